//! Influence functions against what they predict, on real data.

mod bregman;
mod leave_one_out;
mod memory;
mod mislabeled;
mod net;
mod subsets;

use burn::prelude::*;
use burn_curvature::{Error, Objective};

use crate::{
    digits::{CLASSES, Digits, PIXELS},
    logistic::{Samples, Softmax, loss},
};

/// w of ½w‖θ‖², in units of the mean loss.
const DECAY: f64 = 0.01;

/// Takes the datamodeling scores on MNIST to the sizes of the literature if it is `full`.
const SIZE: &str = "BURN_CURVATURE_LDS";

/// How many images and trainings a linear datamodeling score is computed from.
#[derive(Clone, Copy)]
struct Sizes {
    train: usize,
    test: usize,
    subsets: usize,
}

impl Sizes {
    /// All 5000 images of the file, 4800 of them for training, and 100 subsets, by `BURN_CURVATURE_LDS=full`: one or two minutes
    /// for each seed on one core.
    fn or_full(self) -> Self {
        if std::env::var(SIZE).is_ok_and(|size| size == "full") {
            Self { train: 4800, test: 200, subsets: 100 }
        } else {
            self
        }
    }
}

/// Digits for training and testing, split by a seed.
fn digits(train: usize, seed: u64, device: &Device) -> Result<[Samples; 2], std::io::Error> {
    let (train, test) = Digits::load()?.split(train, seed);
    Ok([train, test].map(|part| (part.images(device), part.classes(device))))
}

/// A softmax regression of digits in f64, not trained.
fn regression(batch: Samples) -> Result<Objective, Error> {
    let model = Softmax::new(PIXELS, CLASSES, &batch.0.device());
    Objective::capture(&model, batch, loss)?.in_f64()
}
