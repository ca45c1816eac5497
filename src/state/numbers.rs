//! Lists of f64 that are restored bit for bit from any format. Depends on serde; independent of what the values mean.
//!
//! Parsers of readable formats may lose the last digit of a number (that of serde_json does by default), and a resumed
//! run would take other steps. In such formats the numbers are one text, `0.5 -1e-300 …`, which Rust itself writes and
//! reads without loss; in binary formats they are a sequence of numbers.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

pub(crate) fn serialize<S: Serializer>(numbers: &[f64], to: S) -> Result<S::Ok, S::Error> {
    if !to.is_human_readable() {
        return numbers.serialize(to);
    }
    let mut text = String::with_capacity(20 * numbers.len());
    for number in numbers {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&format!("{number:?}"));
    }
    text.serialize(to)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
    if !from.is_human_readable() {
        return Vec::deserialize(from);
    }
    let text = String::deserialize(from)?;
    let numbers = text.split_ascii_whitespace().map(str::parse::<f64>);
    numbers.collect::<Result<_, _>>().map_err(D::Error::custom)
}

/// The same for an `Option`.
pub(crate) mod optional {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize)]
    struct Borrowed<'a>(#[serde(with = "super")] &'a [f64]);

    #[derive(Deserialize)]
    struct Owned(#[serde(with = "super")] Vec<f64>);

    pub fn serialize<S: Serializer>(numbers: &Option<Vec<f64>>, to: S) -> Result<S::Ok, S::Error> {
        numbers.as_deref().map(Borrowed).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<f64>>, D::Error> {
        let numbers = Option::<Owned>::deserialize(from)?;
        Ok(numbers.map(|Owned(numbers)| numbers))
    }
}

/// The same for one number.
pub(crate) mod one {
    use serde::{Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
        super::serialize(&[*number], to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        match super::deserialize(from)?.as_slice() {
            [number] => Ok(*number),
            other => Err(D::Error::invalid_length(other.len(), &"one number")),
        }
    }
}
