//! Handwritten characters of Omniglot, from a file that is not part of the project.
#![allow(clippy::print_stdout, reason = "says what is skipped")]

use std::{
    fs,
    io::{Error, Read},
    path::PathBuf,
};

use burn::prelude::*;
use flate2::read::GzDecoder;

use crate::random::SplitMix64;

/// Width and height of an image, and after pooling.
const SIDE: usize = 28;
const POOLED: usize = SIDE / 2;
/// Drawings of each character.
const DRAWINGS: usize = 20;

/// The content of a file in the folder `BURN_CURVATURE_DATA`, or `../shared/data` beside the project; `None`, with a message,
/// if it is not there.
fn content(name: &str) -> Result<Option<Vec<u8>>, Error> {
    let folder = std::env::var_os("BURN_CURVATURE_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
        PathBuf::from,
    );
    let file = folder.join(name);
    if !file.exists() {
        println!("skipped: {} is not there", file.display());
        return Ok(None);
    }
    let mut bytes = Vec::new();
    GzDecoder::new(fs::File::open(file)?).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Drawings pooled to 14×14, ordered by character.
pub struct Omniglot {
    images: Vec<Vec<f32>>,
}

impl Omniglot {
    pub fn load() -> Result<Option<Self>, Error> {
        let Some(bytes) = content("omniglot-small-images-idx3-ubyte.gz")? else { return Ok(None) };
        let pixels = &bytes[16..]; // magic number, count, rows, columns
        let images = pixels.chunks_exact(SIDE * SIDE).map(pooled).collect();
        Ok(Some(Self { images }))
    }

    /// A random task of some characters: training and test samples, labeled from 0; the last feature is 1.
    #[allow(clippy::type_complexity)]
    pub fn task(
        &self,
        (ways, shots): (usize, usize),
        (seed, device): (u64, &Device),
    ) -> ((Tensor<2>, Tensor<1, Int>), (Tensor<2>, Tensor<1, Int>)) {
        let mut numbers = SplitMix64::new(seed);
        let characters = numbers.permutation(self.images.len() / DRAWINGS);
        let mut parts = [Vec::new(), Vec::new()];
        for (label, character) in characters.into_iter().take(ways).enumerate() {
            let drawings = numbers.permutation(DRAWINGS).into_iter().take(2 * shots);
            for (at, drawing) in drawings.enumerate() {
                let image = &self.images[character * DRAWINGS + drawing];
                parts[at / shots].push((image, label as i64));
            }
        }
        let [training, test] = parts.map(|rows| {
            let inputs: Vec<f32> =
                rows.iter().flat_map(|(image, _)| image.iter().copied().chain([1.0])).collect();
            let labels: Vec<i64> = rows.iter().map(|(_, label)| *label).collect();
            let inputs = TensorData::new(inputs, [rows.len(), POOLED * POOLED + 1]);
            let labels = TensorData::new(labels, [rows.len()]);
            (Tensor::from_data(inputs, device), Tensor::from_data(labels, device))
        });
        (training, test)
    }
}

/// Means of 2×2 pixels, from 0 to 1.
fn pooled(image: &[u8]) -> Vec<f32> {
    let at = |row: usize, column: usize| f32::from(image[row * SIDE + column]);
    let mean = |row: usize, column: usize| {
        let rows =
            [at(row, column), at(row, column + 1), at(row + 1, column), at(row + 1, column + 1)];
        rows.iter().sum::<f32>() / (4.0 * 255.0)
    };
    (0..POOLED * POOLED).map(|at| mean(2 * (at / POOLED), 2 * (at % POOLED))).collect()
}
