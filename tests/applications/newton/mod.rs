//! Newton-type optimizers: classic functions with known minimizers, saddles, dense references, laws, and what is refused.

mod argmin;
mod attack;
mod classic;
mod functions;
mod invariances;
mod least_squares;
mod logistic;
mod refusals;
mod resumed;
mod rules;
mod saddles;
mod series;
mod stalled;

use burn::{module::Param, prelude::*, tensor::DType};
use burn_curvature::{
    Objective, ParamVector,
    backend::DefaultBackend,
    optim::{NewtonOptimizer, NewtonStep},
};

/// The backend of these tests.
type B = DefaultBackend;

/// A point of the plane or of another space.
#[derive(Module, Debug)]
pub struct Point {
    w: Param<Tensor<1>>,
}

impl Point {
    pub fn at(values: &[f64]) -> Self {
        let data = TensorData::new(values.to_vec(), [values.len()]);
        let device = Device::default().autodiff();
        Self { w: Param::from_tensor(Tensor::from_data(data, (&device, DType::F64))) }
    }

    /// Coordinate i, of shape `[1]`.
    pub fn x(&self, i: usize) -> Tensor<1> {
        self.w.val().slice(i..i + 1)
    }

    pub fn values(&self) -> Vec<f64> {
        ParamVector::<B>::from_module(self).unwrap().to_vec().unwrap()
    }
}

/// The number c as a batch.
pub fn number(c: f64) -> Tensor<1> {
    let data = TensorData::new(vec![c], [1]);
    Tensor::from_data(data, (&Device::default().autodiff(), DType::F64))
}

/// f as an objective in f64 at a point.
pub fn objective(start: &Point, f: fn(&Point) -> Tensor<1>) -> Objective<B> {
    let objective =
        Objective::capture(start, number(1.0), move |point: &Point, one: Tensor<1>| f(point) * one);
    objective.unwrap().in_f64().unwrap()
}

/// Steps until the gradient is small or the point stationary; the model and the reports.
pub fn run(
    optimizer: &mut NewtonOptimizer<B>,
    start: Point,
    gradient: f64,
    limit: usize,
) -> (Point, Vec<NewtonStep>) {
    let (mut model, mut steps) = (start, Vec::new());
    for _ in 0..limit {
        let step;
        (model, step) = optimizer.step(&model, number(1.0)).unwrap();
        let done = step.gradient_norm <= gradient;
        steps.push(step);
        if done {
            break;
        }
    }
    (model, steps)
}
