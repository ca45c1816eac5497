//! The network whose predictions are explained: trained by plain Burn, with one loss per digit.

use std::error::Error;

use burn::prelude::*;
use burn_curvature::{Loss, Objective};

#[path = "../../tests/support/logistic.rs"]
#[allow(dead_code, reason = "a network is asked here, with the same losses")]
mod logistic;

use crate::{
    digits::{CLASSES, Digits},
    trained::{self, Classifier, Samples, TRAIN_ROWS, Training},
};
use logistic::cross_entropies;

/// w of ½w‖θ‖², which the training has and the closure leaves out.
pub const DECAY: f64 = 1e-3;

/// A trained network with its digits.
pub struct Network {
    /// Over the digits that it was trained on.
    pub objective: Objective,
    pub train: Digits,
    pub test: Digits,
}

/// Logits, and the mean of the images' cross-entropies.
fn loss(model: &Classifier, samples: Samples) -> (Tensor<2>, Loss) {
    let labels = samples.1.clone();
    let (logits, _) = trained::loss(model, samples);
    (logits.clone(), Loss::mean_of(cross_entropies(logits, labels)))
}

impl Network {
    pub fn trained() -> Result<Self, Box<dyn Error>> {
        let weight_decay = Some(DECAY as f32);
        let training = Training { hidden: 24, steps: 600, learning_rate: 0.02, weight_decay };
        let trained = training.run()?;
        let (train, test) = Digits::load()?.split(TRAIN_ROWS, 1); // as in the training
        let objective = Objective::capture(&trained.model, trained.batch, loss)?;
        Ok(Self { objective, train, test })
    }

    /// The same losses of some test digits.
    pub fn on_tests(&self, indices: &[usize]) -> Result<Objective, Box<dyn Error>> {
        let (digits, device) = (self.test.select(indices), Device::default().autodiff());
        Ok(self.objective.on((digits.images(&device), digits.classes(&device)))?)
    }
}

/// What the network takes each digit for.
pub fn guesses(objective: &Objective) -> Result<Vec<usize>, Box<dyn Error>> {
    Ok(objective.outputs()?.to_vec()?.chunks(CLASSES).map(largest).collect())
}

/// The index of the largest number.
pub fn largest(numbers: &[f64]) -> usize {
    (0..numbers.len()).max_by(|&a, &b| numbers[a].total_cmp(&numbers[b])).unwrap_or(0)
}
