//! The printed capital letters of `examples/data`: 20,000 rows of 16 features in 26 classes (notice:
//! `examples/data/NOTICE`), and few-shot tasks of them.

use std::io::{Error, ErrorKind, Read, Result};

use burn::tensor::{Device, Int, Tensor, TensorData};
use flate2::read::GzDecoder;

use super::random::SplitMix64;

/// Features of one letter.
pub const FEATURES: usize = 16;

const FILE: &[u8] = include_bytes!("../../examples/data/letter.csv.gz");
/// Feature values are 0 to 15.
const MIDDLE: f32 = 7.5;

/// Inputs `[n, features]` and classes `[n]`.
pub type Samples = (Tensor<2>, Tensor<1, Int>);

/// The rows of every letter, on the host.
pub struct Letters {
    /// For each class the features of its rows, in `[−1, 1]`.
    rows: Vec<Vec<[f32; FEATURES]>>,
}

/// Sizes of a few-shot task.
#[derive(Clone, Copy)]
pub struct Shots {
    /// Number of classes.
    pub ways: usize,
    /// Training samples of each class.
    pub training: usize,
    /// Test samples of each class.
    pub test: usize,
}

impl Letters {
    /// All rows of the file.
    ///
    /// # Errors
    /// `InvalidData` when a row of the file is not a letter and 16 values.
    pub fn load() -> Result<Self> {
        let mut text = String::new();
        GzDecoder::new(FILE).read_to_string(&mut text)?;
        let mut rows = vec![Vec::new(); 26];
        for line in text.lines().skip(1) {
            let (class, row) = parse(line)
                .ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("row '{line}'")))?;
            rows[class].push(row);
        }
        Ok(Self { rows })
    }

    /// A random task of some of the classes: its training and its test samples, labeled from 0.
    pub fn task(
        &self,
        classes: &[usize],
        shots: Shots,
        (seed, device): (u64, &Device),
    ) -> (Samples, Samples) {
        let mut numbers = SplitMix64::new(seed);
        let order = numbers.permutation(classes.len());
        let (mut training, mut test) = (Vec::new(), Vec::new());
        for (label, &at) in order.iter().take(shots.ways).enumerate() {
            let rows = &self.rows[classes[at]];
            let chosen = numbers.permutation(rows.len());
            let mut chosen = chosen.iter().map(|&row| (rows[row], label as i64));
            training.extend(chosen.by_ref().take(shots.training));
            test.extend(chosen.take(shots.test));
        }
        (samples(&training, device), samples(&test, device))
    }
}

fn parse(line: &str) -> Option<(usize, [f32; FEATURES])> {
    let mut fields = line.split(',');
    let class = fields.next()?.bytes().next()?.checked_sub(b'A')?;
    let values: Option<Vec<f32>> = fields.map(|field| field.trim().parse().ok()).collect();
    let values: [f32; FEATURES] = values?.try_into().ok()?;
    (class < 26).then(|| (usize::from(class), values.map(|value| value / MIDDLE - 1.0)))
}

fn samples(rows: &[([f32; FEATURES], i64)], device: &Device) -> Samples {
    let inputs: Vec<f32> = rows.iter().flat_map(|(row, _)| *row).collect();
    let classes: Vec<i64> = rows.iter().map(|(_, class)| *class).collect();
    let inputs = TensorData::new(inputs, [rows.len(), FEATURES]);
    let classes = TensorData::new(classes, [rows.len()]);
    (Tensor::from_data(inputs, device), Tensor::from_data(classes, device))
}
