//! Epochs of mini-batches, by K-FAC and by Adam: time, loss and accuracy.

use std::time::{Duration, Instant};

use burn::{
    lr_scheduler::exponential::ExponentialLrSchedulerConfig,
    optim::{AdamConfig, GradientsParams},
    prelude::*,
};
use burn_curvature::{KfacOptimizerConfig, Likelihood, Objective, Reduction};

use super::network::{Network, Samples, loss};
use crate::{digits::Digits, random::SplitMix64};

/// Images to train on.
pub const TRAIN: usize = 1297;
pub const ADAM_RATES: [f64; 3] = [1e-3, 3e-3, 1e-2];

const BATCH: usize = 64;
const EPOCHS: usize = 4;
const RATE: f64 = 0.1;
/// The rate falls to about a tenth over all epochs.
const RATE_FACTOR: f64 = 0.97;

/// A trained network.
pub struct Trained {
    pub model: Network,
    pub time: Duration,
    /// Mean loss of the batches of every epoch, each before its step.
    pub losses: Vec<f64>,
}

/// Batches of all images in random order; the last, smaller one is left out.
pub fn batches(digits: &Digits, seed: u64, device: &Device) -> Vec<Samples> {
    let order = SplitMix64::new(seed).permutation(digits.len());
    let batch = |rows: &[usize]| {
        let part = digits.select(rows);
        (part.images(device), part.classes(device))
    };
    order.chunks_exact(BATCH).map(batch).collect()
}

/// The light mode of K-FAC with a learning rate that falls by a schedule of Burn.
pub fn by_kfac(
    digits: &Digits,
    seed: u64,
    device: &Device,
) -> Result<Trained, Box<dyn std::error::Error>> {
    let mut model = Network::new(device, seed);
    let clock = Instant::now();
    let first = batches(digits, seed, device).swap_remove(0);
    let objective = Objective::capture(&model, first, loss)?;
    let objective = objective.reduced_by(Reduction::Mean)?;
    let mut optimizer =
        KfacOptimizerConfig::stochastic(RATE).init(&objective, Likelihood::Categorical)?;
    if seed == 1 {
        println!("{}\n", optimizer.coverage());
    }
    let mut rates = ExponentialLrSchedulerConfig::new(RATE, RATE_FACTOR).init()?;
    let mut losses = Vec::new();
    for epoch in 0..EPOCHS {
        let mut sum = Mean::default();
        for batch in batches(digits, seed + 100 * epoch as u64, device) {
            optimizer.set_learning_rate(rates.step().base())?;
            let step;
            (model, step) = optimizer.step(&model, batch)?;
            sum.add(step.value);
        }
        losses.push(sum.value());
    }
    Ok(Trained { model, time: clock.elapsed(), losses })
}

/// Adam of Burn at a learning rate.
pub fn by_adam(digits: &Digits, seed: u64, rate: f64, device: &Device) -> Trained {
    let mut model = Network::new(device, seed);
    let clock = Instant::now();
    let mut optimizer = AdamConfig::new().init();
    let mut losses = Vec::new();
    for epoch in 0..EPOCHS {
        let mut sum = Mean::default();
        for batch in batches(digits, seed + 100 * epoch as u64, device) {
            let (_, loss) = loss(&model, batch);
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            model = optimizer.step(rate, model, gradients);
            sum.add(loss.into_data().iter::<f64>().sum());
        }
        losses.push(sum.value());
    }
    Trained { model, time: clock.elapsed(), losses }
}

/// Fraction of images that are classified correctly.
pub fn accuracy(model: &Network, digits: &Digits, device: &Device) -> f64 {
    let device = device.clone().inner();
    let found = model.valid().forward(digits.images(&device)).argmax(1);
    let right = found.flatten::<1>(0, 1).equal(digits.classes(&device));
    let share = right.float().mean().into_data();
    share.iter::<f64>().next().unwrap_or(f64::NAN)
}

/// One line of the table.
pub fn print(name: &str, seed: u64, run: &Trained, accuracy: f64) {
    let losses: Vec<String> =
        run.losses.iter().take(EPOCHS).map(|loss| format!("{loss:.3}")).collect();
    println!(
        "{name:16} {seed:4}   {:7.2}   {:24}  {accuracy:.4}",
        run.time.as_secs_f64(),
        losses.join(" ")
    );
}

#[derive(Default)]
struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn value(&self) -> f64 {
        self.sum / self.count as f64
    }
}
