//! Logistic regression with one weight decay per weight and one weight per sample, in Burn, and the same in plain f64: its
//! minimizer by Newton's method, its outer loss by the definition.

use burn::{
    module::Param,
    prelude::*,
    tensor::activation::{log_sigmoid, sigmoid},
};
use burn_curvature::{Error, ParamVector, implicit::HyperObjective};

use crate::{
    dense::{Rows, dot},
    oracle::solve,
    random::SplitMix64,
};

#[derive(Module, Debug)]
pub struct Weights {
    pub w: Param<Tensor<2>>,
}

/// Logarithms of the decays, and logits of the samples' weights.
#[derive(Module, Debug)]
pub struct Hyper {
    pub decay: Param<Tensor<2>>,
    pub weight: Param<Tensor<1>>,
}

/// Inputs `[n, d]`, labels ±1 `[n, 1]`.
pub type Samples = (Tensor<2>, Tensor<2>);

/// −log σ(y xᵀw) of every sample, `[n]`.
pub fn losses(model: &Weights, (x, y): Samples) -> Tensor<1> {
    -log_sigmoid(x.matmul(model.w.val()) * y).flatten::<1>(0, 1)
}

/// Σ σ(aᵢ) ℓᵢ + ½ Σ exp(bⱼ) wⱼ²
pub fn inner_loss(model: &Weights, hyper: &Hyper, batch: Samples) -> Tensor<1> {
    let data = (losses(model, batch) * sigmoid(hyper.weight.val())).sum();
    data + (hyper.decay.val().exp() * model.w.val().powi_scalar(2)).sum() * 0.5
}

/// Mean validation loss and a direct part: Σ bⱼ wⱼ / 8.
pub fn outer_loss(model: &Weights, hyper: &Hyper, batch: Samples) -> Tensor<1> {
    losses(model, batch).mean() + (hyper.decay.val() * model.w.val()).sum() * 0.125
}

/// A problem in numbers that f32 holds.
pub struct World {
    pub x: Rows,
    pub y: Vec<f64>,
    pub validation: (Rows, Vec<f64>),
    /// The decays and then the weights.
    pub eta: Vec<f64>,
}

impl World {
    pub fn new(seed: u64, (n, d): (usize, usize)) -> Self {
        let mut numbers = SplitMix64::new(seed);
        let mut row = |count: usize| -> Vec<f64> {
            (0..count).map(|_| f64::from(numbers.normal() as f32)).collect()
        };
        let x: Rows = (0..n).map(|_| row(d)).collect();
        let truth = row(d);
        let label = |x: &Vec<f64>, noise: f64| (dot(x, &truth) + noise).signum();
        let y = x.iter().zip(row(n)).map(|(x, noise)| label(x, noise)).collect();
        let other: Rows = (0..n).map(|_| row(d)).collect();
        let labels = other.iter().zip(row(n)).map(|(x, noise)| label(x, noise)).collect();
        let eta = [row(d), row(n)].concat().iter().map(|e| 0.5 * e).collect();
        Self { x, y, validation: (other, labels), eta }
    }

    pub fn d(&self) -> usize {
        self.x[0].len()
    }

    /// Gradient and Hessian of the inner objective in w.
    pub fn derivatives(&self, w: &[f64], eta: &[f64]) -> (Vec<f64>, Rows) {
        let d = w.len();
        let mut gradient: Vec<f64> = (0..d).map(|j| eta[j].exp() * w[j]).collect();
        let mut hessian: Rows = (0..d)
            .map(|i| (0..d).map(|j| if i == j { eta[i].exp() } else { 0.0 }).collect())
            .collect();
        for ((x, y), a) in self.x.iter().zip(&self.y).zip(&eta[d..]) {
            let weight = 1.0 / (1.0 + (-a).exp());
            let p = 1.0 / (1.0 + (y * dot(x, w)).exp()); // σ(−y xᵀw)
            for i in 0..d {
                gradient[i] -= weight * p * y * x[i];
                for j in 0..d {
                    hessian[i][j] += weight * p * (1.0 - p) * x[i] * x[j];
                }
            }
        }
        (gradient, hessian)
    }

    /// The minimizer in w, to rounding.
    pub fn minimizer(&self, eta: &[f64]) -> Vec<f64> {
        let mut w = vec![0.0; self.d()];
        for _ in 0..60 {
            let (gradient, hessian) = self.derivatives(&w, eta);
            let step = solve(&hessian, &gradient);
            // A step never longer than 1 leaves the region where Newton's method would overshoot.
            let length = dot(&step, &step).sqrt();
            let factor = if length > 1.0 { 1.0 / length } else { 1.0 };
            w.iter_mut().zip(&step).for_each(|(w, step)| *w -= factor * step);
        }
        w
    }

    /// L(w, η)
    pub fn outer(&self, w: &[f64], eta: &[f64]) -> f64 {
        let (x, y) = &self.validation;
        let loss = |(x, y): (&Vec<f64>, &f64)| (-y * dot(x, w)).exp().ln_1p();
        let mean = x.iter().zip(y).map(loss).sum::<f64>() / y.len() as f64;
        mean + 0.125 * dot(&eta[..w.len()], w)
    }

    /// dL/dη by differences of minimizers, extrapolated twice.
    pub fn by_differences(&self) -> Vec<f64> {
        let at = |index: usize, h: f64| {
            let mut eta = self.eta.clone();
            eta[index] += h;
            self.outer(&self.minimizer(&eta), &eta)
        };
        (0..self.eta.len()).map(|index| richardson(|h| at(index, h))).collect()
    }

    pub fn model(&self, device: &Device) -> Weights {
        Weights { w: Param::from_tensor(Tensor::zeros([self.d(), 1], device)) }
    }

    pub fn hyper(&self, device: &Device) -> Hyper {
        let (decay, weight) = self.eta.split_at(self.d());
        Hyper {
            decay: Param::from_tensor(Tensor::from_data(data(decay, [decay.len(), 1]), device)),
            weight: Param::from_tensor(Tensor::from_data(data(weight, [weight.len()]), device)),
        }
    }

    pub fn training(&self, device: &Device) -> Samples {
        samples((&self.x, &self.y), device)
    }

    pub fn validation(&self, device: &Device) -> Samples {
        samples((&self.validation.0, &self.validation.1), device)
    }

    /// The inner and the outer objective in f64, at η and the given w.
    pub fn captured(&self, w: &[f64]) -> Result<(HyperObjective, HyperObjective), Error> {
        let device = Device::flex().autodiff();
        let (model, hyper) = (self.model(&device), self.hyper(&device));
        let inner = HyperObjective::capture(&model, &hyper, self.training(&device), inner_loss)?;
        let outer = HyperObjective::capture(&model, &hyper, self.validation(&device), outer_loss)?;
        let (inner, outer) = (inner.in_f64()?, outer.in_f64()?);
        let theta = inner.parameters().space().vector(w)?;
        let eta = inner.hyperparameters();
        Ok((inner.at(&theta, &eta)?, outer.at(&theta, &eta)?))
    }
}

fn samples((x, y): (&Rows, &[f64]), device: &Device) -> Samples {
    let (n, d) = (x.len(), x[0].len());
    let inputs = Tensor::from_data(data(&x.concat(), [n, d]), device);
    (inputs, Tensor::from_data(data(y, [n, 1]), device))
}

fn data<const D: usize>(values: &[f64], shape: [usize; D]) -> TensorData {
    TensorData::new(values.iter().map(|value| *value as f32).collect::<Vec<_>>(), shape)
}

/// f′(0) by central differences at three steps, extrapolated to order 6.
pub fn richardson(f: impl Fn(f64) -> f64) -> f64 {
    let central = |h: f64| (f(h) - f(-h)) / (2.0 * h);
    let [a, b, c] = [4e-2, 2e-2, 1e-2].map(central);
    let (ab, bc) = ((4.0 * b - a) / 3.0, (4.0 * c - b) / 3.0);
    (16.0 * bc - ab) / 15.0
}

/// The entries of a vector.
pub fn entries(vector: &ParamVector) -> Vec<f64> {
    vector.to_vec().unwrap()
}
