//! Meta-training by iMAML and by first-order MAML, and what a start is worth on letters that neither has seen.

use burn::{module::Module, optim::AdamConfig, prelude::*};
use burn_curvature::{
    ConjugateGradientConfig, Error, Objective, ParamVector,
    implicit::{Imaml, ImamlConfig, InnerSolver},
};

use super::network::{Network, loss};
use crate::letters::{Letters, Samples, Shots};

pub const SHOTS: Shots = Shots { ways: 5, training: 1, test: 10 };
/// Letters to meta-train on; the other ten are for evaluation.
const TRAINING: usize = 16;
const TASKS: usize = 4;
const RATE: f64 = 1e-2;
/// λ of the inner problems.
const REGULARIZATION: f64 = 0.5;
const INNER: InnerSolver = InnerSolver::GradientDescent { steps: 12, rate: 0.5 };
const HELD_OUT_TASKS: u64 = 100;
/// Seeds of held-out tasks begin here.
const HELD_OUT: u64 = 1 << 32;

/// Where the gradient of a start comes from.
#[derive(Clone, Copy, PartialEq)]
pub enum Rule {
    /// (I + H/λ)⁻¹∇L: the derivative through the adaptation.
    Implicit,
    /// ∇L at the adapted parameters, as if adaptation were a constant shift.
    FirstOrder,
}

/// Classes of a seed to meta-train on, and those held out.
pub fn classes(seed: u64) -> (Vec<usize>, Vec<usize>) {
    let mut classes = crate::random::SplitMix64::new(seed).permutation(26);
    let held_out = classes.split_off(TRAINING);
    (classes, held_out)
}

/// Test accuracy from a random start, with the best of some regularizations.
pub fn scratch(letters: &Letters, seed: u64, device: &Device) -> Result<f64, Error> {
    let (_, imaml) = start(letters, seed, device)?;
    let mut best: f64 = 0.0;
    for regularization in [0.5, 0.1, 0.02] {
        let inner = InnerSolver::GradientDescent { steps: 40, rate: 0.5 };
        let config = ImamlConfig::new(regularization).with_inner(inner);
        best = best.max(accuracy(&config.init(imaml.objective())?, letters, seed)?);
    }
    Ok(best)
}

/// What is meta-trained, at a random start.
pub fn start(letters: &Letters, seed: u64, device: &Device) -> Result<(Network, Imaml), Error> {
    let model = Network::new(SHOTS.ways, device, seed);
    let (batch, _) = letters.task(&classes(seed).0, SHOTS, (seed, device));
    let objective = Objective::capture(&model, batch, loss)?;
    let imaml = ImamlConfig::new(REGULARIZATION).with_inner(INNER).init(&objective)?;
    Ok((model, imaml))
}

/// Meta-trains a start with Burn's Adam; `observe` gets the step and the model now and then.
pub fn meta_train(
    (mut model, mut imaml): (Network, Imaml),
    (letters, seed): (&Letters, u64),
    (rule, steps): (Rule, usize),
    mut observe: impl FnMut(usize, &Imaml) -> Result<(), Error>,
) -> Result<Imaml, Error> {
    let device = model.devices()[0].clone();
    let (classes, _) = classes(seed);
    let solver = ConjugateGradientConfig::new().with_max_iterations(Some(5)).init()?;
    let mut optimizer = AdamConfig::new().init();
    for step in 0..steps {
        observe(step, &imaml)?;
        let at = |task| (seed << 24) + (step * TASKS + task) as u64;
        let tasks = (0..TASKS).map(|task| letters.task(&classes, SHOTS, (at(task), &device)));
        let gradient = match rule {
            Rule::Implicit => imaml.meta_gradient(tasks, &solver)?.gradient,
            Rule::FirstOrder => first_order(&imaml, tasks)?,
        };
        model = optimizer.step(RATE, model, gradient.into_gradients()?);
        imaml = imaml.at(&ParamVector::from_module(&model)?)?;
    }
    observe(steps, &imaml)?;
    Ok(imaml)
}

/// The mean of ∇L at the adapted parameters.
fn first_order(
    imaml: &Imaml,
    tasks: impl Iterator<Item = (Samples, Samples)>,
) -> Result<ParamVector, Error> {
    let mut sum: Option<ParamVector> = None;
    for (training, test) in tasks {
        let (phi, _) = imaml.adapt(training)?;
        let slope = imaml.problem(test)?.loss().at(&phi)?.gradient()?;
        sum = Some(match sum {
            Some(sum) => sum.add(&slope)?,
            None => slope,
        });
    }
    Ok(sum.expect("there are tasks").scale(1.0 / TASKS as f64))
}

/// Mean test accuracy on held-out tasks after adaptation.
pub fn accuracy(imaml: &Imaml, letters: &Letters, seed: u64) -> Result<f64, Error> {
    let device = Device::default().autodiff();
    let (_, classes) = classes(seed);
    let mut right = 0.0;
    for task in 0..HELD_OUT_TASKS {
        let (training, test) = letters.task(&classes, SHOTS, (HELD_OUT + task, &device));
        let (phi, _) = imaml.adapt(training)?;
        let logits = imaml.problem(test.clone())?.loss().at(&phi)?.outputs()?;
        let predicted = logits.to_vec()?;
        let labels: Vec<i64> = test.1.into_data().iter::<i64>().collect();
        let rows = predicted.chunks(SHOTS.ways).zip(labels);
        right += rows.filter(|(row, label)| largest(row) as i64 == *label).count() as f64;
    }
    Ok(right / (HELD_OUT_TASKS as usize * SHOTS.ways * SHOTS.test) as f64)
}

fn largest(row: &[f64]) -> usize {
    (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0)
}
