//! Booleans that a closure reads: checked wherever the loss is evaluated.

use crate::failure::failure;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::{
    backend::{Autodiff, Flex},
    prelude::*,
};
use burn_curvature::{
    CaptureConfig, Engine, Error, GaussNewton, KfacConfig, Likelihood, LinearOperator, Objective,
    ParamVector, Reduction, errors::ObjectiveError,
};

use super::{Small, batch, small, squared_error, trace_error};

pub(super) type Pair = (Tensor<2>, Tensor<2>);

pub(super) fn truth<const D: usize>(value: Tensor<D, Bool>) -> bool {
    value.into_scalar::<bool>()
}

/// ℒ or 3ℒ, as the batch has it.
pub(super) fn by_batch(model: &Small, (x, y): Pair) -> Tensor<1> {
    let large = truth(x.clone().greater_scalar(1.0).any());
    let loss = squared_error(model, (x, y));
    if large { loss * 3.0 } else { loss }
}

/// ℒ or ℒ², as the outputs have it.
fn by_outputs(model: &Small, (x, y): Pair) -> Tensor<1> {
    let large = truth(model.linear.forward(x.clone()).greater_scalar(2.0).any());
    let loss = squared_error(model, (x, y));
    if large { loss.square() } else { loss }
}

/// With one number of x above 1, as no other is.
pub(super) fn large(rows: usize) -> Pair {
    let (x, y) = batch(rows);
    (x.slice_fill([0..1, 0..1], 1.5), y)
}

pub(super) fn other_truth<T: std::fmt::Debug>(result: Result<T, Error>) -> (usize, bool) {
    match failure(&result) {
        Some(ObjectiveError::OtherTruth { position, expected }) => (*position, *expected),
        _ => panic!("expected another truth value, got {result:?}"),
    }
}

/// Value, gradient and a product of two objectives agree.
pub(super) fn same(a: &Objective, b: &Objective) {
    let numbers = |one: &Objective| {
        let v = one.parameters().space().normal(3);
        let found = one.value_and_gradient().unwrap();
        assert!((one.value().unwrap() - found.value).abs() < 1e-6 * found.value);
        let product = one.hessian_vector_product(&v).unwrap().to_vec().unwrap();
        (found.value, found.gradient.to_vec().unwrap(), product)
    };
    let close = |a: &[f64], b: &[f64]| {
        let largest = b.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        let mut both = a.iter().zip(b);
        assert!(largest > 0.0 && both.all(|(a, b)| (a - b).abs() < 1e-6 * largest), "{a:?}\n{b:?}");
    };
    let (a, b) = (numbers(a), numbers(b));
    close(&[a.0], &[b.0]);
    close(&a.1, &b.1);
    close(&a.2, &b.2);
}

#[test]
fn the_branch_is_the_one_of_the_batch() {
    for (given, scale) in [(batch(5), 1.0), (large(5), 3.0)] {
        let objective = Objective::capture(&small(), given.clone(), by_batch).unwrap();
        let plain = Objective::capture(&small(), given, move |model, batch| {
            squared_error(model, batch) * scale
        });
        same(&objective, &plain.unwrap());
    }
}

#[test]
fn a_batch_of_the_other_branch_is_refused() {
    let objective = Objective::capture(&small(), batch(5), by_batch).unwrap();
    assert!(objective.on(batch(5)).is_ok());
    assert_eq!(other_truth(objective.on(large(5))), (0, false));
    let opposite = Objective::capture(&small(), large(5), by_batch).unwrap();
    let error = opposite.on(batch(5)).map(drop).unwrap_err();
    let expected = ObjectiveError::OtherTruth { position: 0, expected: true };
    assert_eq!(error.downcast_ref(), Some(&expected));
    assert!(error.to_string().contains("would read false"), "{error}");
    // Batches of another size are recorded again, with the booleans that hold there.
    let there = objective.on(large(3)).unwrap();
    same(&there, &Objective::capture(&small(), large(3), by_batch).unwrap());
    assert_eq!(other_truth(objective.on(batch(3))), (0, true));
}

#[test]
fn a_data_set_of_both_branches_is_refused() {
    let objective = Objective::capture(&small(), batch(5), by_batch).unwrap();
    let held = objective.over([batch(5), large(5)], Reduction::Mean);
    assert_eq!(other_truth(held), (0, false));
    let stream = objective.over_stream(Reduction::Mean, |visit| {
        visit(batch(5))?;
        visit(large(5))
    });
    assert_eq!(other_truth(stream), (0, false));
    // One that is found out by a later pass.
    let passes = AtomicUsize::new(0);
    let stream = objective
        .over_stream(Reduction::Mean, move |visit| {
            let first = passes.fetch_add(1, Ordering::Relaxed) == 0;
            visit(batch(5))?;
            visit(if first { batch(5) } else { large(5) })
        })
        .unwrap();
    assert_eq!(other_truth(stream.value()), (0, false));
    assert_eq!(other_truth(stream.gradient()), (0, false));
    let v = stream.parameters().space().ones();
    assert_eq!(other_truth(stream.hessian_vector_product(&v)), (0, false));
}

#[test]
fn parameters_of_the_other_branch_are_refused_by_everything_that_is_evaluated() {
    let model = small();
    let objective = Objective::capture(&model, batch(5), by_outputs).unwrap();
    let plain = Objective::capture(&model, batch(5), squared_error).unwrap();
    same(&objective, &plain);
    let theta = objective.parameters();
    let near = objective.at(&theta.scale_by(1.1)).unwrap();
    same(&near, &plain.at(&theta.scale_by(1.1)).unwrap());

    let far = objective.at(&theta.scale_by(50.0)).unwrap();
    let v = theta.space().ones();
    for _ in 0..2 {
        assert_eq!(other_truth(far.value()), (0, false));
        assert_eq!(other_truth(far.gradient()), (0, false));
        assert_eq!(other_truth(far.prepare()), (0, false));
        assert_eq!(other_truth(far.hessian_vector_product(&v)), (0, false));
    }
    // And back again: what was refused there is not refused here.
    same(&far.at(theta).unwrap(), &plain);
    // A recording made there takes the other way.
    let there = far.on(batch(4)).unwrap();
    let squared =
        Objective::capture(&model, batch(4), |model, batch| squared_error(model, batch).square());
    same(&there, &squared.unwrap().at(far.parameters()).unwrap());
}

#[test]
fn what_needs_outputs_is_guarded_too() {
    let objective = Objective::capture(&small(), batch(5), |model: &Small, (x, y): Pair| {
        let z = model.linear.forward(x);
        assert!(truth(z.clone().lower_scalar(2.0).all()), "small outputs");
        (z.clone(), (z - y).square().mean())
    });
    let objective = objective.unwrap().reduced_by(Reduction::Mean).unwrap();
    let kfac = |objective: &Objective<_>| {
        let likelihood = Likelihood::Gaussian { variance: 1.0 };
        KfacConfig::new().init(objective, likelihood)
    };
    assert!(objective.outputs().is_ok() && kfac(&objective).is_ok());
    let theta = objective.parameters();
    let far = objective.at(&theta.scale_by(50.0)).unwrap();
    assert_eq!(other_truth(far.outputs()), (0, true));
    assert_eq!(other_truth(kfac(&far)), (0, true));
    let newton = GaussNewton::new(&far).unwrap();
    assert_eq!(other_truth(newton.apply(theta)), (0, true));
    // A batch of another size is recorded at these parameters, where the closure panics on its own. (2 and 3 samples were
    // recorded when the reduction was checked.)
    let error = trace_error(far.on(batch(7)));
    assert!(error.to_string().contains("small outputs"), "{error}");
}

/// Shorter to read.
trait Scale {
    fn scale_by(&self, factor: f64) -> Self;
}

impl Scale for ParamVector {
    fn scale_by(&self, factor: f64) -> Self {
        self.clone().scale(factor)
    }
}

#[test]
fn the_eager_engine_and_f64_are_guarded_too() {
    let config = CaptureConfig::new().with_engine(Engine::Eager);
    let objective =
        Objective::<Autodiff<Flex>>::capture_with(&config, &small(), batch(5), by_outputs).unwrap();
    let exact = objective.in_f64().unwrap();
    let v = exact.parameters().space().normal(1);
    let eager = exact.hessian_vector_product(&v).unwrap();
    let compiled = exact.with_engine(Engine::Compiled);
    let compiled = compiled.hessian_vector_product(&v).unwrap();
    let difference = eager.sub(&compiled).unwrap().norm().unwrap();
    assert!(difference < 1e-12, "{difference}");
    let far = exact.parameters().clone().scale(50.0);
    let far = exact.at(&far).unwrap();
    assert_eq!(other_truth(far.hessian_vector_product(&v)), (0, false));
}
