//! Training until the goal or the last iteration, by K-FAC and by first-order methods of Burn; time and error after
//! every step.

use std::time::{Duration, Instant};

use burn::{
    backend::{Autodiff, Dispatch},
    optim::{AdamConfig, GradientsParams, ModuleOptimizer, SgdConfig, momentum::MomentumConfig},
    prelude::*,
};
use burn_curvature::{Error, KfacOptimizerConfig, Likelihood, Objective, Reduction};

use super::network::{Autoencoder, loss, squared_error};

/// Squared error at which training ends.
pub const GOAL: f64 = 0.9;
/// Weight decay of all methods.
const DECAY: f64 = 1e-5;

/// One training.
pub struct Run {
    pub name: String,
    /// Squared error before every step and after the last.
    pub errors: Vec<f64>,
    /// Time of the steps alone.
    pub time: Duration,
}

impl Run {
    fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), errors: Vec::new(), time: Duration::ZERO }
    }

    /// Steps to the goal; none if it was not reached.
    pub fn steps(&self) -> Option<usize> {
        self.errors.iter().position(|error| *error <= GOAL)
    }

    pub fn last(&self) -> f64 {
        self.errors.last().copied().unwrap_or(f64::NAN)
    }
}

/// K-FAC with the settings of Martens & Grosse but for the start of λ and the period of inversions.
pub fn by_kfac(images: &Tensor<2>, seed: u64, limit: usize) -> Result<Run, Error> {
    let mut model = Autoencoder::new(&images.device(), seed);
    let mut run = Run::new("K-FAC");
    let clock = Instant::now();
    let objective: Objective<Autodiff<Dispatch>> =
        Objective::capture(&model, images.clone(), loss)?;
    let mut optimizer = KfacOptimizerConfig::new()
        .with_damping(3.0)
        .with_inverse_period(5)
        .with_weight_decay(DECAY)
        .init(&objective.reduced_by(Reduction::Mean)?, Likelihood::Bernoulli)?;
    run.time += clock.elapsed();
    loop {
        let logits = model.valid().forward(images.clone().inner());
        run.errors.push(squared_error(logits, images.clone().inner()));
        if run.last() <= GOAL || run.errors.len() > limit {
            return Ok(run);
        }
        let clock = Instant::now();
        let step;
        (model, step) = optimizer.step(&model, images.clone())?;
        run.time += clock.elapsed();
        if step.step % 20 == 0 {
            println!("  {step}");
        }
    }
}

/// Nesterov's method at a learning rate.
pub fn by_nesterov(images: &Tensor<2>, seed: u64, rate: f64, limit: usize) -> Run {
    let momentum =
        MomentumConfig::new().with_momentum(0.95).with_dampening(0.0).with_nesterov(true);
    let optimizer = SgdConfig::new().with_momentum(Some(momentum)).init();
    first_order(Run::new(format!("Nesterov, rate {rate}")), optimizer, images, (seed, rate, limit))
}

/// Adam at a learning rate.
pub fn by_adam(images: &Tensor<2>, seed: u64, rate: f64, limit: usize) -> Run {
    let run = Run::new(format!("Adam, rate {rate}"));
    first_order(run, AdamConfig::new().init(), images, (seed, rate, limit))
}

fn first_order(
    mut run: Run,
    mut optimizer: ModuleOptimizer,
    images: &Tensor<2>,
    (seed, rate, limit): (u64, f64, usize),
) -> Run {
    let mut model = Autoencoder::new(&images.device(), seed);
    loop {
        let clock = Instant::now();
        let (logits, loss) = loss(&model, images.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        let next = optimizer.step(rate, model.clone(), gradients);
        run.time += clock.elapsed();
        let error = squared_error(logits.inner(), images.clone().inner());
        run.errors.push(error);
        // A step too large to recover from ends a run too.
        if error <= GOAL || run.errors.len() > limit || !error.is_finite() {
            return run;
        }
        model = next;
    }
}
