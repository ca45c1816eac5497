//! Networks at their optimum, where the gradient is rounding alone: captured all the same, unless the recording is of
//! another loss.

use burn::{
    module::{Module, Param},
    nn::{
        LayerNorm, LayerNormConfig, Linear, LinearConfig,
        loss::{MseLoss, Reduction},
    },
    prelude::*,
    tensor::activation::{gelu, sigmoid, silu, tanh},
};
use burn_curvature::{
    CaptureConfig, Error, Hessian, Objective, Precision, errors::FaithfulnessError, materialize,
};

use crate::{failure::failure, random::SplitMix64};

/// One weight matrix.
#[derive(Module, Debug)]
pub(super) struct Weight {
    pub(super) w: Param<Tensor<2>>,
}

pub(super) fn weight(values: &[f32], device: &Device) -> Weight {
    let w = Tensor::<1>::from_floats(values, device).reshape([values.len(), 1]);
    Weight { w: Param::from_tensor(w) }
}

pub(super) fn normals(numbers: &mut SplitMix64, shape: [usize; 2], device: &Device) -> Tensor<2> {
    let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| numbers.normal() as f32).collect();
    Tensor::<1>::from_floats(values.as_slice(), device).reshape(shape)
}

/// ‖a − b‖ / ‖b‖
pub(super) fn relative_error(a: &[f64], b: &[f64]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied())
}

/// The Hessian product in f32 against that in f64, in a random direction.
fn product_error(objective: &Objective) -> f64 {
    let exact = objective.in_f64().unwrap();
    let product = |objective: &Objective| {
        let v = objective.parameters().space().normal(5);
        objective.hessian_vector_product(&v).unwrap().to_vec().unwrap()
    };
    relative_error(&product(objective), &product(&exact))
}

/// Gaussian elimination with row pivoting.
pub(super) fn solved(a: &[Vec<f64>], b: &[f64]) -> Vec<f64> {
    let n = b.len();
    let mut a: Vec<Vec<f64>> =
        a.iter().zip(b).map(|(row, b)| row.iter().copied().chain([*b]).collect()).collect();
    for k in 0..n {
        let pivot = (k..n).max_by(|i, j| a[*i][k].abs().total_cmp(&a[*j][k].abs())).unwrap();
        a.swap(k, pivot);
        for i in (0..n).filter(|i| *i != k) {
            let factor = a[i][k] / a[k][k];
            let pivot_row = a[k].clone();
            a[i].iter_mut().zip(pivot_row).for_each(|(a, p)| *a -= factor * p);
        }
    }
    (0..n).map(|i| a[i][n] / a[i][i]).collect()
}

/// Two linear maps with a function between them, with and without a normalization.
#[derive(Module, Debug)]
struct Network {
    inner: Linear,
    norm: Option<LayerNorm>,
    outer: Linear,
}

#[derive(Clone, Copy, Debug)]
enum Function {
    Tanh,
    Sigmoid,
    Silu,
    Gelu,
}

impl Network {
    fn new(seed: u64, normalized: bool, device: &Device) -> Self {
        let mut numbers = SplitMix64::new(seed);
        let mut linear = |[rows, columns]: [usize; 2]| {
            let mut linear = LinearConfig::new(rows, columns).init(device);
            linear.weight = Param::from_tensor(normals(&mut numbers, [rows, columns], device));
            linear.bias = Some(Param::from_tensor(Tensor::zeros([columns], device)));
            linear
        };
        Self {
            inner: linear([3, 4]),
            norm: normalized.then(|| LayerNormConfig::new(4).init(device)),
            outer: linear([4, 1]),
        }
    }

    fn forward(&self, x: Tensor<2>, function: Function) -> Tensor<2> {
        let hidden = self.inner.forward(x);
        let hidden = self.norm.as_ref().map_or(hidden.clone(), |norm| norm.forward(hidden));
        let hidden = match function {
            Function::Tanh => tanh(hidden),
            Function::Sigmoid => sigmoid(hidden),
            Function::Silu => silu(hidden),
            Function::Gelu => gelu(hidden),
        };
        self.outer.forward(hidden)
    }
}

type Points = (Tensor<2>, Tensor<2>);

fn points(seed: u64, device: &Device) -> Points {
    let mut numbers = SplitMix64::new(1000 + seed);
    (normals(&mut numbers, [24, 3], device), normals(&mut numbers, [24, 1], device))
}

/// Squared error, with a ridge that makes the optimum a point.
fn squared_error(function: Function) -> impl Fn(&Network, Points) -> (Tensor<2>, Tensor<1>) + Send {
    move |model, (x, y)| {
        let z = model.forward(x, function);
        let norm = model.norm.as_ref().map(|norm| norm.gamma.val().powi_scalar(2).sum());
        let ridge = model.inner.weight.val().powi_scalar(2).sum()
            + model.outer.weight.val().powi_scalar(2).sum();
        let ridge = norm.map_or(ridge.clone(), |norm| ridge + norm);
        (z.clone(), MseLoss::new().forward(z, y, Reduction::Mean) + ridge * 1e-2)
    }
}

/// The model at a minimum of its loss, found in f64 by Newton's method with damping, and rounded to f32.
fn converged(model: &Network, batch: Points, function: Function) -> Network {
    let loss = squared_error(function);
    let objective = CaptureConfig::new()
        .unchecked()
        .init(model, batch, move |model, batch| loss(model, batch).1);
    let mut objective: Objective = objective.unwrap().in_f64().unwrap();
    let mut damping = 1.0;
    for _ in 0..300 {
        let found = objective.value_and_gradient().unwrap();
        let gradient = found.gradient.to_vec().unwrap();
        if found.gradient.norm().unwrap() < 1e-12 {
            break;
        }
        let hessian = materialize(&Hessian::new(&objective).unwrap()).unwrap();
        let mut rows: Vec<Vec<f64>> =
            hessian.values().chunks(gradient.len()).map(<[f64]>::to_vec).collect();
        (0..rows.len()).for_each(|i| rows[i][i] += damping);
        let step = objective.parameters().space().vector(&solved(&rows, &gradient)).unwrap();
        let next = objective.parameters().clone().sub(&step).unwrap();
        let next = objective.at(&next).unwrap();
        if next.value().unwrap() <= found.value {
            objective = next;
            damping *= 0.2;
        } else {
            damping *= 5.0;
        }
    }
    let gradient = objective.gradient().unwrap().norm().unwrap();
    assert!(gradient < 1e-9, "not at an optimum: {gradient:e}");
    let single = objective.parameters().clone().cast(Precision::F32).unwrap();
    single.write_to(model).unwrap()
}

fn captured(model: &Network, batch: Points, function: Function) -> Result<Objective, Error> {
    Objective::capture(model, batch, squared_error(function))
}

#[test]
fn networks_have_their_curvature_at_the_optimum_for_every_seed() {
    let device = Device::flex().autodiff();
    for seed in 0..10 {
        let model = Network::new(seed, true, &device);
        let model = converged(&model, points(seed, &device), Function::Tanh);
        let objective = captured(&model, points(seed, &device), Function::Tanh);
        let objective = objective.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let error = product_error(&objective);
        assert!(error < 1e-3, "seed {seed}: {error:e}");
    }
}

#[test]
fn every_smooth_function_is_captured_at_an_optimum() {
    for device in [Device::flex().autodiff(), Device::ndarray().autodiff()] {
        for function in [Function::Tanh, Function::Sigmoid, Function::Silu, Function::Gelu] {
            for seed in 0..2 {
                let model = Network::new(seed, false, &device);
                let model = converged(&model, points(seed, &device), function);
                let objective = captured(&model, points(seed, &device), function);
                let objective =
                    objective.unwrap_or_else(|error| panic!("{function:?} {seed}: {error}"));
                let error = product_error(&objective);
                assert!(error < 1e-3, "{function:?} {seed}: {error:e}");
            }
        }
    }
}

/// Whether a loss was refused, or recorded as what it is.
fn refused_or(result: Result<Objective, Error>, is_right: impl FnOnce(&Objective) -> bool) -> bool {
    match &result {
        Ok(objective) => is_right(objective),
        Err(_) => matches!(failure(&result), Some(FaithfulnessError::Unfaithful { .. })),
    }
}

/// H·1
fn product_with_ones(objective: &Objective) -> Vec<f64> {
    let ones = objective.parameters().space().ones();
    objective.hessian_vector_product(&ones).unwrap().to_vec().unwrap()
}

/// A loss whose target Burn holds fixed.
#[test]
fn a_target_that_is_stopped_is_never_taken_for_rounding() {
    let device = Device::flex().autodiff();
    for seed in 0..10 {
        let mut numbers = SplitMix64::new(seed);
        let w: Vec<f32> = numbers.normals(3).iter().map(|w| *w as f32).collect();
        let (x, y) =
            (normals(&mut numbers, [8, 3], &device), normals(&mut numbers, [8, 3], &device));
        let model = weight(&w, &device);
        let rows: Vec<f64> = x.to_data().iter::<f64>().collect();
        let result = Objective::capture(&model, (x, y), |model: &Weight, (x, y)| {
            let (x, y): Points = (x, y);
            let target = y.matmul(model.w.val()) * 0.9;
            (x.matmul(model.w.val()) - target.detach()).powi_scalar(2).mean()
        });
        let is_right = |objective: &Objective| {
            // 2/n xᵀx·1
            let mut expected = vec![0.0; 3];
            for row in rows.chunks(3) {
                let sum: f64 = row.iter().sum();
                expected.iter_mut().zip(row).for_each(|(e, x)| *e += 2.0 / 8.0 * x * sum);
            }
            relative_error(&product_with_ones(objective), &expected) < 1e-4
        };
        assert!(refused_or(result, is_right), "seed {seed}");
    }
}

/// At w = 0 both gradients vanish; near it they do not.
#[test]
fn a_stopped_factor_at_zero_is_noticed_nearby() {
    let device = Device::flex().autodiff();
    let model = weight(&[0.0, 0.0], &device);
    let result = Objective::capture(&model, (), |model: &Weight, ()| {
        (model.w.val() * model.w.val().detach()).sum()
    });
    assert!(refused_or(result, |objective| product_with_ones(objective) == [0.0, 0.0]));
}

/// The optimum of a network, with the target of its own outputs held fixed besides.
#[test]
fn a_stopped_branch_is_noticed_at_an_optimum() {
    let device = Device::flex().autodiff();
    for seed in 0..3 {
        let model = Network::new(seed, false, &device);
        let model = converged(&model, points(seed, &device), Function::Tanh);
        let loss = squared_error(Function::Tanh);
        let result = Objective::capture(&model, points(seed, &device), move |model, batch| {
            let (z, loss) = loss(model, batch);
            loss + (z.clone() * (z.clone() - z.detach())).mean()
        });
        // With the factor stopped the gradient is that of ½z², and with nothing stopped that of 0.
        let is_right = |objective: &Objective| objective.gradient().unwrap().norm().unwrap() > 1e-3;
        assert!(refused_or(result, is_right), "seed {seed}");
    }
}
