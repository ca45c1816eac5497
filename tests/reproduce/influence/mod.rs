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
