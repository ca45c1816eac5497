//! 5000 handwritten digits of 28×28 pixels, 500 of each class, from a file that is not part of the project.

use std::{
    fs::File,
    io::{Error, ErrorKind, Read, Result},
    path::{Path, PathBuf},
};

use burn::prelude::*;
use flate2::read::GzDecoder;

use crate::random::SplitMix64;

pub const PIXELS: usize = 784;
pub const CLASSES: usize = 10;
const NAME: &str = "mnist-5k.csv.gz";

/// Images `[images, 784]` with values from 0 to 1, and their classes `[images]`.
pub type Samples = (Tensor<2>, Tensor<1, Int>);

/// The first `train` images in a random order, and the `test` that follow, from the folder `BURN_CURVATURE_DATA`, or
/// `../shared/data` beside the project; `None`, with a message, where the file is absent.
///
/// # Errors
/// Those of reading; `InvalidData` when a row is not 784 values and a class.
pub fn load([train, test]: [usize; 2], seed: u64, device: &Device) -> Result<Option<[Samples; 2]>> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("BURN_CURVATURE_DATA").map_or_else(beside, PathBuf::from);
    let file = folder.join(NAME);
    if !file.exists() {
        println!("skipped: there is no {}; set BURN_CURVATURE_DATA to its folder", file.display());
        return Ok(None);
    }
    let mut text = String::new();
    GzDecoder::new(File::open(file)?).read_to_string(&mut text)?;
    let rows: Vec<Vec<u8>> = text.lines().map(row).collect::<Result<_>>()?;
    let order = SplitMix64::new(seed).permutation(rows.len());
    let samples = |chosen: &[usize]| {
        let chosen: Vec<&[u8]> = chosen.iter().map(|&index| rows[index].as_slice()).collect();
        let pixels = chosen.iter().flat_map(|row| &row[..PIXELS]);
        let pixels: Vec<f32> = pixels.map(|&value| f32::from(value) / 255.0).collect();
        let classes: Vec<i64> = chosen.iter().map(|row| i64::from(row[PIXELS])).collect();
        let count = chosen.len();
        (
            Tensor::from_data(TensorData::new(pixels, [count, PIXELS]), device),
            Tensor::from_data(TensorData::new(classes, [count]), device),
        )
    };
    Ok(Some([samples(&order[..train]), samples(&order[train..train + test])]))
}

fn row(line: &str) -> Result<Vec<u8>> {
    let values = line.split(',').map(|value| value.parse().ok()).collect::<Option<Vec<u8>>>();
    let values = values.filter(|values| values.len() == PIXELS + 1);
    values
        .ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("no image and class in {NAME}")))
}
