//! K terms of the Neumann series at the minimizer are K unrolled steps, differentiated by Burn in f64.

use burn::{
    prelude::*,
    tensor::{DType, activation::sigmoid},
};
use burn_curvature::{
    StopReason,
    implicit::{ImplicitConfig, Verdict, truncated},
};

use super::world::{World, entries};
use crate::compare::relative_error;

fn tensor<const D: usize>(values: Vec<f64>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F64))
}

/// dL/dη by reverse mode through `steps` gradient steps from w, in f64: decays, then weights.
fn unrolled(world: &World, w: &[f64], (steps, rate): (usize, f64)) -> Vec<f64> {
    let device = Device::flex().autodiff();
    let (n, d) = (world.y.len(), w.len());
    let (decay, weight) = world.eta.split_at(d);
    let decay = tensor(decay.to_vec(), [d, 1], &device).require_grad();
    let weight = tensor(weight.to_vec(), [n, 1], &device).require_grad();
    let x = tensor(world.x.concat(), [n, d], &device);
    let y = tensor(world.y.clone(), [n, 1], &device);
    let mut w = tensor(w.to_vec(), [d, 1], &device);
    for _ in 0..steps {
        let pull = sigmoid(-(x.clone().matmul(w.clone()) * y.clone())) * y.clone();
        let data = x.clone().transpose().matmul(pull * sigmoid(weight.clone()));
        w = w.clone() - (decay.clone().exp() * w - data) * rate;
    }
    let (x, y) = &world.validation;
    let (x, y) = (tensor(x.concat(), [n, d], &device), tensor(y.clone(), [n, 1], &device));
    let losses = ((-(x.matmul(w.clone()) * y)).exp() + 1.0).log();
    let loss = losses.sum() * (1.0 / n as f64) + (decay.clone() * w).sum() * 0.125;
    let gradients = loss.backward();
    let of = |tensor: &Tensor<2>| {
        let data = tensor.grad(&gradients).unwrap().into_data();
        data.iter::<f64>().collect::<Vec<_>>()
    };
    [of(&decay), of(&weight)].concat()
}

#[test]
fn terms_of_the_neumann_series_are_unrolled_steps() {
    for seed in [1, 2, 3] {
        let world = World::new(seed, (16, 5)); // a power of two, for Burn's divisions
        let w = world.minimizer(&world.eta);
        let (inner, outer) = world.captured(&w).unwrap();
        let function = ImplicitConfig::new().with_error_bound(false).init(&inner).unwrap();
        for steps in [1, 2, 5, 20, 120] {
            let rate = 0.03125;
            let solver = truncated(steps, rate).unwrap();
            let found = function.hypergradient(&outer, &solver).unwrap();
            assert_eq!(found.report.solve.stop, StopReason::IterationLimit);
            assert_eq!(found.report.solve.iterations, steps);
            assert_eq!(found.report.verdict, Verdict::Unsolved);
            let expected = unrolled(&world, &w, (steps, rate));
            let error = relative_error(&entries(&found.gradient), &expected);
            assert!(error < 1e-10, "seed {seed}, {steps} steps: {error:e}");
        }
    }
}

/// What is kept depends on the shapes of the problem, not on how long θ was trained.
#[test]
fn memory_does_not_grow_with_inner_steps() {
    let world = World::new(4, (16, 5));
    let bytes = [1, 10, 1000].map(|steps| {
        let mut w = vec![0.0; 5];
        for _ in 0..steps {
            let (gradient, _) = world.derivatives(&w, &world.eta);
            w.iter_mut().zip(&gradient).for_each(|(w, g)| *w -= 0.03 * g);
        }
        let (inner, outer) = world.captured(&w).unwrap();
        let function = ImplicitConfig::new().init(&inner).unwrap();
        let solver = truncated(3, 0.03).unwrap();
        function.hypergradient(&outer, &solver).unwrap();
        (function.matrix().operator().kept_bytes(), function.mixed().kept_bytes())
    });
    assert!(bytes[0].0 > 0 && bytes[0].1 > 0);
    assert_eq!(bytes[0], bytes[1]);
    assert_eq!(bytes[0], bytes[2]);
}
