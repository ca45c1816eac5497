//! What scores are recognized by: hashes of what must be equal bit by bit, and sums of what may differ by rounding.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    influence::{Estimator, query::Gradients},
    seeds::Seeds,
    space::ParamVector,
    tensor::Precision,
};

/// Relative difference of single numbers that counts as rounding.
const ROUNDING: f64 = 1e-4;
/// The same of their sum, in units of ε.
const COMMON: f64 = 16.0;

/// Names and shapes of the parameters.
pub(super) fn layout<B: AutodiffBackend>(parameters: &ParamVector<B>) -> String {
    let blocks = parameters.layout().blocks().iter();
    let texts = blocks.map(|block| format!("{} {:?}", block.name(), block.shape()));
    texts.collect::<Vec<_>>().join(", ")
}

/// A hash of 128 bits over all bits of some numbers.
pub(super) fn hashed(values: &[f64]) -> String {
    let fold =
        |start: u64| values.iter().fold(start, |hash, value| Seeds::at(hash, value.to_bits()));
    format!("{:016x}{:016x}", fold(1), fold(2))
}

/// The sum of some numbers with random weights between ½ and 1½, so that their order matters, and how much of it counts as
/// rounding: little enough that one of many thousands shows if it is another.
pub(super) fn checksum(values: &[f64], precision: Precision) -> (f64, f64) {
    let weight =
        |index: usize| 0.5 + (Seeds::at(0, index as u64) >> 11) as f64 / (1_u64 << 53) as f64;
    let (mut sum, mut size) = (0.0, 0.0);
    for (index, value) in values.iter().enumerate() {
        sum += weight(index) * value;
        size += weight(index) * value.abs();
    }
    // The roundings of single numbers are independent, up to what they have in common.
    let relative = ROUNDING / (values.len().max(1) as f64).sqrt();
    (sum, size * relative.max(COMMON * precision.epsilon()))
}

/// A hash of the vectors of a query; empty for others.
pub(super) fn print_of<B: AutodiffBackend>(gradients: &Gradients<'_, B>) -> Result<String, Error> {
    let Gradients::Vectors(vectors) = gradients else {
        return Ok(String::new());
    };
    let mut print = String::new();
    for vector in vectors.iter() {
        let mut values = vector.to_vec()?;
        values.extend(print.bytes().map(f64::from));
        print = hashed(&values);
    }
    Ok(print)
}

/// Whether scores depend on how samples are divided into batches: the terms of a series, and the noise of draws.
pub(super) fn by_batch(estimator: &Estimator) -> bool {
    matches!(estimator, Estimator::Lissa(_) | Estimator::Kfac(_) | Estimator::Ekfac(_))
}
