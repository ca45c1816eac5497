//! Training until the goal or the last iteration, by K-FAC and by first-order methods of Burn; time and error after
//! every step.

use std::time::{Duration, Instant};

use burn::{
    optim::{AdamConfig, GradientsParams, ModuleOptimizer, SgdConfig, momentum::MomentumConfig},
    prelude::*,
};
use burn_curvature::{Error, KfacOptimizerConfig, Likelihood, Objective, Reduction};

use super::network::{Autoencoder, loss, squared_error};

/// Squared error at which training ends.
pub const GOAL: f64 = 0.9;
/// Images to train on.
pub const IMAGES: usize = 1500;
/// The largest number of steps of K-FAC.
pub const LIMIT: usize = 180;
/// Learning rates of Nesterov's method.
pub const NESTEROV_RATES: [f64; 4] = [0.005, 0.01, 0.02, 0.05];
/// Learning rates of Adam.
pub const ADAM_RATES: [f64; 2] = [3e-3, 1e-2];
/// Weight decay of K-FAC.
const DECAY: f64 = 1e-5;

/// One training.
pub struct Run {
    method: &'static str,
    /// Learning rate of a first-order method, NaN of another.
    pub rate: f64,
    /// Squared error before every step and after the last.
    pub errors: Vec<f64>,
    /// Time of the steps alone.
    pub time: Duration,
}

impl Run {
    fn new(method: &'static str, rate: f64) -> Self {
        Self { method, rate, errors: Vec::new(), time: Duration::ZERO }
    }

    /// Steps to the goal; `None` if it was not reached.
    pub fn steps(&self) -> Option<usize> {
        self.errors.iter().position(|error| *error <= GOAL)
    }

    pub fn last(&self) -> f64 {
        self.errors.last().copied().unwrap_or(f64::NAN)
    }

    /// One line of the table: the method, its rate, the starting point, steps to the goal, seconds, error at the end.
    fn print(&self, seed: u64) {
        let steps = self.steps().map_or("-".into(), |steps| steps.to_string());
        let seconds = self.time.as_secs_f64();
        let (method, rate, last) = (self.method, self.rate, self.last());
        println!("{method:10} {rate:6}   {seed:4}   {steps:>5}   {seconds:8.3}   {last:.4}");
    }
}

/// K-FAC with the settings of Martens & Grosse but for the start of λ and the period of inversions.
pub fn by_kfac(images: &Tensor<2>, seed: u64, limit: usize) -> Result<Run, Error> {
    let mut model = Autoencoder::new(&images.device(), seed);
    let mut run = Run::new("K-FAC", f64::NAN);
    let clock = Instant::now();
    let objective: Objective = Objective::capture(&model, images.clone(), loss)?;
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
            run.print(seed);
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

/// The best run of Nesterov's method over learning rates.
pub fn best_nesterov(images: &Tensor<2>, seed: u64, rates: &[f64], limit: usize) -> Run {
    best(rates.iter().map(|&rate| by_nesterov(images, seed, rate, limit)))
}

/// The best run of Adam over learning rates.
pub fn best_adam(images: &Tensor<2>, seed: u64, rates: &[f64], limit: usize) -> Run {
    best(rates.iter().map(|&rate| by_adam(images, seed, rate, limit)))
}

/// The run with the fewest steps to the goal, or with the smallest error at the end.
fn best(runs: impl Iterator<Item = Run>) -> Run {
    let order = |run: &Run| (run.steps().unwrap_or(usize::MAX), run.last());
    let best = runs.min_by(|a, b| {
        let (a, b) = (order(a), order(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    best.expect("at least one run")
}

/// Nesterov's method at a learning rate.
fn by_nesterov(images: &Tensor<2>, seed: u64, rate: f64, limit: usize) -> Run {
    let momentum =
        MomentumConfig::new().with_momentum(0.95).with_dampening(0.0).with_nesterov(true);
    let optimizer = SgdConfig::new().with_momentum(Some(momentum)).init();
    first_order(Run::new("Nesterov", rate), optimizer, images, (seed, rate, limit))
}

/// Adam at a learning rate.
fn by_adam(images: &Tensor<2>, seed: u64, rate: f64, limit: usize) -> Run {
    let run = Run::new("Adam", rate);
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
            run.print(seed);
            return run;
        }
        model = next;
    }
}
