//! The handwritten digits of `examples/data`: 1797 images of 8×8 pixels in ten
//! classes (notice: `examples/data/NOTICE`).

use std::io::{Error, ErrorKind, Read, Result};

use burn::tensor::{Device, Int, Tensor, TensorData};
use flate2::read::GzDecoder;

use super::random::SplitMix64;

/// Pixels of one image.
pub const PIXELS: usize = 64;
/// Number of classes.
#[allow(dead_code, reason = "an autoencoder has none")]
pub const CLASSES: usize = 10;

const FILE: &[u8] = include_bytes!("../../examples/data/digits.csv.gz");
const BRIGHTEST: f32 = 16.0;

/// Images and their classes, on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Digits {
    /// `len × 64` values in `[0, 1]`, one image after the other.
    pub pixels: Vec<f32>,
    /// One class from 0 to 9 per image.
    pub labels: Vec<i64>,
}

impl Digits {
    /// All 1797 images in the order of the file.
    ///
    /// # Errors
    /// `InvalidData` when a row of the file is not 64 pixels and a class.
    pub fn load() -> Result<Self> {
        let mut text = String::new();
        GzDecoder::new(FILE).read_to_string(&mut text)?;
        let mut digits = Self { pixels: Vec::new(), labels: Vec::new() };
        for (row, line) in text.lines().enumerate() {
            digits.push(line).map_err(|reason| {
                Error::new(ErrorKind::InvalidData, format!("row {row}: {reason}"))
            })?;
        }
        Ok(digits)
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Shuffles with `seed` and splits into the first `train` images and the rest.
    pub fn split(&self, train: usize, seed: u64) -> (Self, Self) {
        let order = SplitMix64::new(seed).permutation(self.len());
        let (first, rest) = order.split_at(train.min(order.len()));
        (self.select(first), self.select(rest))
    }

    /// The images with these indices, in this order; unknown indices are left out.
    pub fn select(&self, indices: &[usize]) -> Self {
        let image = |&number: &usize| self.pixels.chunks_exact(PIXELS).nth(number);
        let label = |&number: &usize| self.labels.get(number).copied();
        Self {
            pixels: indices.iter().filter_map(image).flatten().copied().collect(),
            labels: indices.iter().filter_map(label).collect(),
        }
    }

    /// The images as a tensor.
    ///
    /// # Shapes
    /// `[len, 64]`
    pub fn images(&self, device: &Device) -> Tensor<2> {
        let data = TensorData::new(self.pixels.clone(), [self.len(), PIXELS]);
        Tensor::from_data(data, device)
    }

    /// The classes as a tensor.
    ///
    /// # Shapes
    /// `[len]`
    #[allow(dead_code, reason = "an autoencoder needs none")]
    pub fn classes(&self, device: &Device) -> Tensor<1, Int> {
        let data = TensorData::new(self.labels.clone(), [self.len()]);
        Tensor::from_data(data, device)
    }

    fn push(&mut self, line: &str) -> std::result::Result<(), String> {
        let values: Vec<u8> = line
            .split(',')
            .map(|value| value.trim().parse().map_err(|_| format!("'{value}' is no value")))
            .collect::<std::result::Result<_, _>>()?;
        let [pixels @ .., label] = values.as_slice() else {
            return Err("empty".into());
        };
        if pixels.len() != PIXELS {
            return Err(format!("{} pixels, expected {PIXELS}", pixels.len()));
        }
        self.pixels.extend(pixels.iter().map(|&value| f32::from(value) / BRIGHTEST));
        self.labels.push(i64::from(*label));
        Ok(())
    }
}
