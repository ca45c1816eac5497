//! As many hyperparameters as parameters: a linear classifier of digits with one weight decay for every weight, which are
//! trained on a validation set by hypergradients.

use burn::{
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    optim::RmsPropConfig,
    prelude::*,
};
use burn_curvature::{
    ConjugateGradientConfig, Error, Objective, ParamVector, SolveOptions,
    implicit::{HyperObjective, ImplicitConfig, InnerSolver},
};

use crate::digits::{CLASSES, Digits, PIXELS};

/// Images to train on, and as many to validate on; the others of the 1797 are for testing.
const ROWS: usize = 50;
/// The logarithm of every decay at the start, a decay of 0.03; and its range, beyond which a decay changes no prediction.
const START: f64 = -3.5;
const RANGE: (f64, f64) = (-12.0, 3.0);
const RATE: f64 = 0.1;
const INNER: InnerSolver = InnerSolver::NewtonCg { steps: 3, gradient_norm: 1e-3 };

type Samples = (Tensor<2>, Tensor<1, Int>);

/// The model, its decays and the three losses.
pub struct Problem {
    pub inner: HyperObjective,
    pub validation: Objective,
    test: Objective,
    decays: Linear,
    labels: [Vec<i64>; 2],
}

/// What one step of the hyperparameters started from.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    pub validation_loss: f64,
    pub test_loss: f64,
    pub test_accuracy: f64,
}

/// Logits and mean cross-entropy.
fn loss(model: &Linear, (images, labels): Samples) -> (Tensor<2>, Tensor<1>) {
    let logits = model.forward(images);
    let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits.clone(), labels);
    (logits, loss)
}

/// Mean cross-entropy and ½ Σ exp(η)·w², weight by weight: the decays are a module of the model's own kind.
fn regularized(model: &Linear, decays: &Linear, batch: Samples) -> Tensor<1> {
    let penalty = |w: Tensor<1>, decay: Tensor<1>| {
        (decay.clamp(RANGE.0, RANGE.1).exp() * w.powi_scalar(2)).sum() * 0.5
    };
    let flat = |linear: &Linear| linear.weight.val().flatten::<1>(0, 1);
    let bias = |linear: &Linear| linear.bias.as_ref().map(|bias| bias.val());
    let (_, mut loss) = loss(model, batch);
    loss = loss + penalty(flat(model), flat(decays));
    if let (Some(w), Some(decay)) = (bias(model), bias(decays)) {
        loss = loss + penalty(w, decay);
    }
    loss
}

impl Problem {
    pub fn new(digits: &Digits, seed: u64, device: &Device) -> Result<Self, Error> {
        device.seed(seed);
        let (training, rest) = digits.split(ROWS, seed);
        let (validation, test) = rest.split(ROWS, seed + 100);
        let samples = |part: &Digits| (part.images(device), part.classes(device));
        let linear = || LinearConfig::new(PIXELS, CLASSES).init(device);
        let (model, decays) = (linear(), linear());
        let start: ParamVector = ParamVector::from_module(&decays)?.space().full(START);
        let decays = start.write_to(&decays)?;
        let inner = HyperObjective::capture(&model, &decays, samples(&training), regularized)?;
        let validating = Objective::capture(&model, samples(&validation), loss)?;
        let testing = validating.on(samples(&test))?;
        let labels = [validation.labels, test.labels];
        Ok(Self { inner, validation: validating, test: testing, decays, labels })
    }

    /// Trains the decays; each step begins with the weights of the last one.
    pub fn train(&mut self, steps: usize) -> Result<Vec<Point>, Error> {
        let solver = ConjugateGradientConfig::new()
            .with_relative_tolerance(1e-2)
            .with_max_iterations(Some(50))
            .init()?;
        let config = ImplicitConfig::new().with_error_bound(false);
        let rmsprop = RmsPropConfig::new().with_alpha(0.9).with_momentum(0.0).with_epsilon(1e-8);
        let mut optimizer = rmsprop.init();
        let mut guess: Option<ParamVector> = None;
        let mut curve = Vec::new();
        for step in 0..=steps {
            (self.inner, _) = INNER.minimize(&self.inner)?; // θ*(η)
            let theta = self.inner.parameters();
            curve.push(Point {
                validation_loss: self.validation.at(&theta)?.value()?,
                test_loss: self.test.at(&theta)?.value()?,
                test_accuracy: self.accuracies()?[1],
            });
            if step == steps {
                break;
            }
            let options = guess
                .take()
                .map_or(SolveOptions::new(), |guess| SolveOptions::new().with_initial_guess(guess));
            let function = config.init(&self.inner)?;
            let found = function.hypergradient_with(&self.validation, &solver, options)?;
            guess = Some(found.solved);
            let gradients = found.gradient.into_gradients()?;
            self.decays = optimizer.step(RATE, self.decays.clone(), gradients);
            self.inner = self.inner.at(&theta, &ParamVector::from_module(&self.decays)?)?;
        }
        Ok(curve)
    }

    /// Accuracy on the validation and on the test images.
    pub fn accuracies(&self) -> Result<[f64; 2], Error> {
        let theta = self.inner.parameters();
        let of = |objective: &Objective, labels: &[i64]| -> Result<f64, Error> {
            let logits = objective.at(&theta)?.outputs()?.to_vec()?;
            let rows = logits.chunks(CLASSES).zip(labels);
            let right = rows.filter(|(row, label)| largest(row) as i64 == **label).count();
            Ok(right as f64 / labels.len() as f64)
        };
        Ok([of(&self.validation, &self.labels[0])?, of(&self.test, &self.labels[1])?])
    }
}

/// The step with the best test accuracy, and the accuracy.
pub fn best_of(curve: &[Point]) -> (usize, f64) {
    let accuracies = curve.iter().map(|point| point.test_accuracy).enumerate();
    accuracies.fold((0, 0.0), |best, found| if found.1 > best.1 { found } else { best })
}

fn largest(row: &[f64]) -> usize {
    (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0)
}
