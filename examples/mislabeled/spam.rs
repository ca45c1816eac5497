//! E-mails as features, some of them with the wrong label (notice: `examples/data/NOTICE`).

use std::io::{Error, ErrorKind, Read, Result};

use burn::{
    prelude::*,
    tensor::{Int, TensorData},
};
use flate2::read::GzDecoder;

use crate::random::SplitMix64;

const FILE: &[u8] = include_bytes!("../data/spambase.csv.gz");
/// Frequencies and lengths, and a constant.
pub const FEATURES: usize = 58;

/// The e-mails, with labels of which some have been flipped.
pub struct Emails {
    features: Vec<f32>,
    labels: Vec<i64>,
    /// Which labels are wrong.
    pub flipped: Vec<bool>,
}

impl Emails {
    /// All 4601 e-mails, each label flipped with a probability.
    ///
    /// # Errors
    /// `InvalidData` when a row of the file is not 57 numbers and a class.
    pub fn flipped(probability: f64, seed: u64) -> Result<Self> {
        let mut text = String::new();
        GzDecoder::new(FILE).read_to_string(&mut text)?;
        let (mut rows, mut labels) = (Vec::new(), Vec::new());
        for line in text.lines().skip(1) {
            let invalid = || Error::new(ErrorKind::InvalidData, format!("'{line}' is no e-mail"));
            let (numbers, class) = line.rsplit_once(',').ok_or_else(invalid)?;
            let numbers = numbers.split(',').map(str::parse).collect::<std::result::Result<_, _>>();
            let numbers: Vec<f64> = numbers.map_err(|_| invalid())?;
            if numbers.len() != FEATURES - 1 {
                return Err(invalid());
            }
            rows.push(numbers);
            labels.push(i64::from(class == "spam"));
        }
        let mut numbers = SplitMix64::new(seed);
        let flipped: Vec<bool> = rows.iter().map(|_| numbers.uniform() < probability).collect();
        let wrong = labels.iter_mut().zip(&flipped).filter(|(_, flipped)| **flipped);
        wrong.for_each(|(label, _)| *label = 1 - *label);
        Ok(Self { features: standardized(&rows), labels, flipped })
    }

    /// Features `[e-mails, 58]` and labels `[e-mails]`, 1 for spam.
    pub fn samples(&self, device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
        let count = self.labels.len();
        let features = TensorData::new(self.features.clone(), [count, FEATURES]);
        let labels = TensorData::new(self.labels.clone(), [count]);
        (Tensor::from_data(features, device), Tensor::from_data(labels, device))
    }
}

/// Logarithms of 1 + x with mean 0 and variance 1 in each column, and a column of ones.
fn standardized(rows: &[Vec<f64>]) -> Vec<f32> {
    let count = rows.len() as f64;
    let column = |index: usize| rows.iter().map(move |row| row[index].ln_1p());
    let scales: Vec<(f64, f64)> = (0..FEATURES - 1)
        .map(|index| {
            let mean = column(index).sum::<f64>() / count;
            let variance = column(index).map(|x| (x - mean).powi(2)).sum::<f64>() / count;
            (mean, variance.sqrt())
        })
        .collect();
    let scaled = |row: &Vec<f64>| -> Vec<f32> {
        let each = row.iter().zip(&scales).map(|(x, (mean, s))| (x.ln_1p() - mean) / s);
        each.map(|x| x as f32).chain([1.0]).collect()
    };
    rows.iter().flat_map(scaled).collect()
}
