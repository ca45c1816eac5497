//! The algorithm of Martens & Grosse implemented independently on dense matrices, and its steps compared with the
//! optimizer's.

use burn::{module::Param, prelude::*};
use burn_curvature::{
    Fisher, Kfac, KfacOptimizerConfig, Likelihood, LinearOperator, Objective, ParamVector,
    Reduction, kfac::KfacState, materialize,
};

use super::{TARGET, exact_config, optimizer, parameters, problem};
use crate::dense::{dot, multiply};
use crate::{B, Classifier, Samples, samples, without_draws};

const DECAY: f64 = 1e-3;

type Matrix = Vec<Vec<f64>>;

fn sum(alpha: f64, a: &[f64], beta: f64, b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| alpha * a + beta * b).collect()
}

fn dense(operator: &impl LinearOperator<B>) -> Matrix {
    let matrix = materialize(operator).unwrap();
    let rows = matrix.values().chunks(matrix.columns());
    rows.map(<[f64]>::to_vec).collect()
}

/// What the reference says of one step.
struct Step {
    value: f64,
    damping: f64,
    gamma: f64,
    alpha: f64,
    momentum: f64,
    predicted: f64,
    ratio: Option<f64>,
    delta: Vec<f64>,
}

struct Reference {
    objective: Objective<B>,
    k: usize,
    damping: f64,
    gamma: f64,
    periods: [usize; 3],
    average: Option<KfacState>,
    inverse: Matrix,
    previous: Option<Vec<f64>>,
}

impl Reference {
    fn value(&self, theta: &[f64]) -> f64 {
        let theta_vector = self.objective.parameters().space().vector(theta).unwrap();
        self.objective.at(&theta_vector).unwrap().value().unwrap() + 0.5 * DECAY * dot(theta, theta)
    }

    fn step(&mut self, theta: &[f64]) -> Step {
        self.k += 1;
        let [t1, t2, t3] = self.periods;
        let at =
            self.objective.at(&self.objective.parameters().space().vector(theta).unwrap()).unwrap();
        let gradient = at.gradient().unwrap().to_vec().unwrap();
        let gradient = sum(1.0, &gradient, DECAY, theta);
        let new = without_draws().init(&at, TARGET).unwrap();
        let kept = (1.0 - 1.0 / self.k as f64).min(0.95);
        let average = match &self.average {
            Some(old) => old.averaged(&new.state().unwrap(), kept).unwrap(),
            None => new.state().unwrap(),
        };
        let mut fisher = dense(&Fisher::exact(&at, TARGET).unwrap());
        for (i, row) in fisher.iter_mut().enumerate() {
            row[i] += self.damping + DECAY;
        }
        let omega = 0.95_f64.sqrt().powi(t2 as i32);
        let gammas = match self.k % t2 {
            0 => vec![self.gamma, self.gamma * omega, self.gamma / omega],
            _ => vec![self.gamma],
        };
        let again = self.k <= 3 || self.k.is_multiple_of(t3) || self.k.is_multiple_of(t2);
        let kfac = Kfac::from_state(&self.objective, &average).unwrap();
        let mut best: Option<(Step, Matrix)> = None;
        for gamma in gammas {
            let inverse = if again {
                dense(&kfac.factored_inverse(gamma * gamma).unwrap())
            } else {
                self.inverse.clone()
            };
            let delta = sum(-1.0, &multiply(&inverse, &gradient), 0.0, theta);
            let (alpha, momentum) = self.lowest(&fisher, &gradient, &delta);
            let zero = vec![0.0; theta.len()];
            let previous = self.previous.as_ref().unwrap_or(&zero);
            let step = sum(alpha, &delta, momentum, previous);
            let predicted = 0.5 * dot(&step, &multiply(&fisher, &step)) + dot(&gradient, &step);
            if best.as_ref().is_none_or(|(best, _)| predicted < best.predicted) {
                let step = Step {
                    value: self.value(theta),
                    damping: self.damping,
                    gamma,
                    alpha,
                    momentum,
                    predicted,
                    ratio: None,
                    delta: step,
                };
                best = Some((step, inverse));
            }
        }
        let (mut step, inverse) = best.unwrap();
        if self.k.is_multiple_of(t1) {
            let moved = self.value(&sum(1.0, theta, 1.0, &step.delta));
            let ratio = (moved - step.value) / step.predicted;
            let omega = 0.95_f64.powi(t1 as i32);
            if ratio > 0.75 {
                self.damping *= omega;
            } else if ratio < 0.25 {
                self.damping /= omega;
            }
            step.ratio = Some(ratio);
        }
        (self.inverse, self.average) = (inverse, Some(average));
        self.gamma = step.gamma;
        self.previous = Some(step.delta.clone());
        step
    }

    /// α and μ by Cramer's rule.
    fn lowest(&self, curvature: &Matrix, gradient: &[f64], delta: &[f64]) -> (f64, f64) {
        let product = multiply(curvature, delta);
        let (a, s) = (dot(delta, &product), dot(gradient, delta));
        let Some(previous) = &self.previous else {
            return (-s / a, 0.0);
        };
        let (b, c) = (dot(previous, &product), dot(previous, &multiply(curvature, previous)));
        let t = dot(gradient, previous);
        let determinant = a * c - b * b;
        ((-s * c + t * b) / determinant, (-t * a + s * b) / determinant)
    }
}

/// Sixty steps agree in all that is reported; λ goes down and γ moves.
#[test]
fn steps_are_those_of_the_reference() {
    let device = Device::flex().autodiff();
    for seed in 0..3 {
        let (mut model, batch, objective) = problem::<B>(seed, &device);
        let periods = [5, 20, 7];
        let config = exact_config()
            .with_weight_decay(DECAY)
            .with_damping_period(Some(periods[0]))
            .with_search_period(Some(periods[1]))
            .with_inverse_period(periods[2]);
        let mut optimizer = optimizer(&config, &objective);
        let mut reference = Reference {
            objective,
            k: 0,
            damping: 0.5,
            gamma: (0.5 + DECAY).sqrt(),
            periods,
            average: None,
            inverse: Matrix::new(),
            previous: None,
        };
        for k in 1..=60 {
            let theta = parameters(&model);
            let expected = reference.step(&theta);
            let step;
            (model, step) = optimizer.step(&model, batch.clone()).unwrap();
            let close = |found: f64, expected: f64, what: &str| {
                let error = (found - expected).abs() / expected.abs().max(1e-9);
                assert!(error < 1e-6, "seed {seed}, step {k}, {what}: {found} for {expected}");
            };
            close(step.value, expected.value, "h");
            close(step.damping, expected.damping, "λ");
            close(step.gamma, expected.gamma, "γ");
            close(step.alpha, expected.alpha, "α");
            close(step.momentum, expected.momentum, "μ");
            close(step.predicted.unwrap(), expected.predicted, "M");
            assert_eq!(step.reduction_ratio.is_some(), k % 5 == 0);
            if let Some(ratio) = step.reduction_ratio {
                close(ratio, expected.ratio.unwrap(), "ρ");
            }
            assert_eq!(step.inverted, k <= 3 || k % 7 == 0 || k % 20 == 0);
            let moved = sum(1.0, &theta, 1.0, &expected.delta);
            for (found, expected) in parameters(&model).iter().zip(&moved) {
                assert!((found - expected).abs() < 1e-6 * (1.0 + expected.abs()));
            }
        }
        assert!(reference.damping < 0.2);
        assert!((reference.gamma - 0.501_f64.sqrt()).abs() > 1e-3);
    }
}

#[derive(Module, Debug)]
struct Line {
    w: Param<Tensor<2>>,
    b: Param<Tensor<1>>,
}

type Points = (Tensor<2>, Tensor<2>);

fn squares(model: &Line, (x, y): Points) -> (Tensor<2>, Tensor<1>) {
    let z = x.matmul(model.w.val()) + model.b.val().unsqueeze();
    (z.clone(), (z - y).powf_scalar(2.0).sum() * 0.5)
}

/// Σ over points of ½‖wᵀx + b − y‖² with three inputs and two outputs.
fn line(seed: u64, device: &Device) -> (Line, Points) {
    let mut numbers = crate::random::SplitMix64::new(seed);
    let mut tensor = |rows: usize, columns: usize| {
        let values: Vec<f32> = (0..rows * columns).map(|_| numbers.symmetric(1.0)).collect();
        Tensor::<2>::from_data(TensorData::new(values, [rows, columns]), device)
    };
    let model = Line {
        w: Param::from_tensor(tensor(3, 2)),
        b: Param::from_tensor(tensor(1, 2).flatten(0, 1)),
    };
    (model, (tensor(20, 3), tensor(20, 2)))
}

/// On linear least squares K-FAC is the Hessian: a step with hardly any damping lands on the solution.
#[test]
fn one_step_solves_least_squares() {
    let device = Device::flex().autodiff();
    for seed in 0..4 {
        let (model, batch) = line(seed, &device);
        let objective: Objective<B> =
            Objective::capture_with(&Default::default(), &model, batch.clone(), squares).unwrap();
        let objective = objective.in_f64().unwrap();
        let gaussian = Likelihood::Gaussian { variance: 1.0 };
        let mut optimizer = KfacOptimizerConfig::new()
            .with_kfac(without_draws())
            .with_damping(1e-12)
            .with_weight_decay(0.0)
            .init(&objective.reduced_by(Reduction::Sum).unwrap(), gaussian)
            .unwrap();
        let (model, step) = optimizer.step_on(&model, &objective).unwrap();
        assert!((step.alpha - 1.0).abs() < 1e-5, "{step}");
        let theta = ParamVector::<B>::from_module(&model).unwrap();
        let theta = theta.cast(objective.precision()).unwrap();
        let left = objective.at(&theta).unwrap().gradient().unwrap();
        assert!(left.norm().unwrap() < 1e-5 * step.gradient_norm);
    }
}

/// The step on several batches is that on one batch of all.
#[test]
fn a_data_set_makes_one_step() {
    let device = Device::flex().autodiff();
    let (model, batch, objective) = problem::<B>(3, &device);
    let parts = [0..5, 5..10, 10..12].map(|range: std::ops::Range<usize>| -> Samples {
        (batch.0.clone().slice([range.clone()]), batch.1.clone().slice([range]))
    });
    let whole = objective.over(parts, Reduction::Mean).unwrap();
    let mut one = optimizer(&exact_config(), &objective);
    let mut other = one.clone();
    let (mut first, mut second) = (model.clone(), model);
    for _ in 0..6 {
        (first, _) = one.step(&first, batch.clone()).unwrap();
        (second, _) = other.step_on(&second, &whole).unwrap();
    }
    for (a, b) in parameters(&first).iter().zip(parameters(&second)) {
        assert!((a - b).abs() < 1e-5, "{a} for {b}");
    }
}

/// loss × c with λ × c and η × c steps to the same place.
#[test]
fn a_multiple_of_the_loss_makes_the_same_step() {
    let device = Device::flex().autodiff();
    let factor = 7.0;
    let (model, batch, objective) = problem::<B>(5, &device);
    let summed = |model: &Classifier, batch: Samples| {
        let rows = batch.0.dims()[0] as f64;
        let (z, loss) = super::cross_entropy(model, batch);
        (z, loss * rows)
    };
    let sum: Objective<B> =
        Objective::capture_with(&Default::default(), &model, batch.clone(), summed).unwrap();
    let rows = samples(12, 105, &device).0.dims()[0] as f64;
    let config = exact_config().with_inverse_period(1).with_damping(0.3 * factor);
    let scaled = config
        .clone()
        .with_damping(config.damping * rows)
        .with_weight_decay(config.weight_decay * rows);
    let mut one = optimizer(&config, &objective);
    let sum = sum.in_f64().unwrap().reduced_by(Reduction::Sum).unwrap();
    let mut other = scaled.init(&sum, TARGET).unwrap();
    let (first, a) = one.step(&model, batch.clone()).unwrap();
    let (second, b) = other.step(&model, batch).unwrap();
    assert!((a.alpha - b.alpha).abs() < 1e-9 * a.alpha.abs());
    for (a, b) in parameters(&first).iter().zip(parameters(&second)) {
        assert!((a - b).abs() < 1e-6, "{a} for {b}");
    }
}
