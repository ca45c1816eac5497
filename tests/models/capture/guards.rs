//! Booleans that a closure reads: supplied while it is recorded, checked wherever the loss is evaluated.

use crate::failure::failure;
use std::sync::{Arc, OnceLock};

use burn::{
    backend::{Autodiff, Flex},
    prelude::*,
    tensor::activation::tanh,
};
use burn_curvature::{
    CaptureConfig, Engine, Error, GaussNewton, KfacConfig, Likelihood, LinearOperator, Objective,
    ParamVector, Reduction,
    errors::{CaptureError, ObjectiveError},
};

use super::{Small, batch, device, small, squared_error, trace_error};

type Pair = (Tensor<2>, Tensor<2>);

fn truth<const D: usize>(value: Tensor<D, Bool>) -> bool {
    value.into_scalar::<bool>()
}

/// ℒ or 3ℒ, as the batch has it.
fn by_batch(model: &Small, (x, y): Pair) -> Tensor<1> {
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
fn large(rows: usize) -> Pair {
    let (x, y) = batch(rows);
    (x.slice_fill([0..1, 0..1], 1.5), y)
}

fn other_truth<T: std::fmt::Debug>(result: Result<T, Error>) -> (usize, bool) {
    match failure(&result) {
        Some(ObjectiveError::OtherTruth { position, expected }) => (*position, *expected),
        _ => panic!("expected another truth value, got {result:?}"),
    }
}

/// Value, gradient and a product of two objectives agree.
fn same(a: &Objective, b: &Objective) {
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
    let stream = objective
        .over_stream(Reduction::Mean, |visit| {
            visit(batch(5))?;
            visit(large(5))
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

#[test]
fn several_truth_values_are_told_one_after_another() {
    // The second one is read on one branch of the first only, and the third twice.
    let nested = |model: &Small, (x, y): Pair| {
        let z = tanh(model.linear.forward(x.clone()));
        let mut loss = (z.clone() - y).square().mean();
        if truth(x.clone().greater_scalar(1.0).any()) {
            if truth(z.clone().sum().lower_scalar(1e3)) {
                loss = loss * 2.0;
            }
            let last = z.clone().greater_scalar(2.0).any();
            loss = match (truth(last.clone()), truth(last)) {
                (false, false) => loss + z.square().sum(),
                _ => loss * 0.0,
            };
        }
        loss
    };
    let objective = Objective::capture(&small(), large(5), nested).unwrap();
    let plain = Objective::capture(&small(), large(5), |model: &Small, (x, y): Pair| {
        let z = tanh(model.linear.forward(x));
        (z.clone() - y).square().mean() * 2.0 + z.square().sum()
    });
    same(&objective, &plain.unwrap());
    assert_eq!(other_truth(objective.on(batch(5))), (0, true));
}

#[test]
fn a_truth_value_that_is_read_and_used_stays_computed() {
    let mixed = |model: &Small, (x, y): Pair| {
        let mask = x.clone().greater_scalar(1.0).any();
        let read = truth(mask.clone());
        let factor = mask.float() + if read { 1.0 } else { 2.0 };
        squared_error(model, (x, y)) * factor
    };
    let objective = Objective::capture(&small(), large(5), mixed).unwrap();
    let plain =
        Objective::capture(&small(), large(5), |model, batch| squared_error(model, batch) * 2.0);
    same(&objective, &plain.unwrap());
    let listing = objective.loss_program().unwrap().to_string();
    assert!(listing.contains("Any"), "{listing}");
}

#[test]
fn what_is_no_computed_truth_value_is_still_not_read() {
    // A number.
    let error = trace_error(Objective::capture(&small(), batch(5), |model, (x, y)| {
        let _ = truth(Tensor::<2>::greater_scalar(x.clone(), 1.0).any());
        let positive: i64 = x.clone().greater_scalar(0.0).int().sum().into_scalar();
        squared_error(model, (x, y)) * positive as f64
    }));
    assert!(matches!(&error, CaptureError::Read { .. }), "{error}");
    assert!(error.to_string().contains("may not read values"), "{error}");
    // Several at once.
    let error = trace_error(Objective::capture(&small(), batch(5), |model, (x, y)| {
        let all = Tensor::<2>::greater_scalar(x.clone(), 1.0).into_data();
        let any = all.iter::<bool>().any(|large| large);
        squared_error(model, (x, y)) * if any { 2.0 } else { 1.0 }
    }));
    assert!(matches!(&error, CaptureError::Read { .. }), "{error}");
    // One of the batch.
    let flag = Tensor::<1, Bool>::from_data([true], &device());
    let (x, y) = batch(5);
    let error = trace_error(Objective::capture(&small(), (x, y, flag), |model, (x, y, flag)| {
        let factor = if truth(flag) { 2.0 } else { 1.0 };
        squared_error(model, (x, y)) * factor
    }));
    assert!(matches!(&error, CaptureError::Read { .. }), "{error}");
    // A draw, which is another one in the next run.
    let error = trace_error(Objective::capture(&small(), batch(5), |model, (x, y)| {
        let coin = Tensor::<2>::random_like(&x, burn::tensor::Distribution::Default);
        let factor = if truth(coin.greater_scalar(0.5).any()) { 2.0 } else { 1.0 };
        squared_error(model, (x, y)) * factor
    }));
    assert!(matches!(&error, CaptureError::Random { .. }), "{error}");
}

#[test]
fn too_many_reads_are_refused() {
    let reads = |count: usize| {
        move |model: &Small, (x, y): Pair| {
            let mut factor = 1.0;
            for i in 0..count {
                let above = x.clone().greater_scalar(0.01 * i as f64).any();
                factor += if truth(above) { 1.0 } else { 0.5 };
            }
            squared_error(model, (x, y)) * factor
        }
    };
    assert!(Objective::capture(&small(), batch(2), reads(64)).is_ok());
    let error = trace_error(Objective::capture(&small(), batch(2), reads(65)));
    assert!(matches!(&error, CaptureError::Read { .. }), "{error}");
}

#[test]
fn a_closure_that_goes_another_way_when_it_runs_again_is_refused() {
    // Burn's own run, the first recording, and then another one each time.
    let runs = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let error = trace_error(Objective::capture(&small(), batch(5), move |model, (x, y)| {
        let run = runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut z = Tensor::<2>::clone(&x);
        for _ in 0..run {
            z = z + 0.0;
        }
        let factor = if truth(z.greater_scalar(1.0).any()) { 2.0 } else { 1.0 };
        squared_error(model, (x, y)) * factor
    }));
    assert!(matches!(&error, CaptureError::ClosureChanged { .. }), "{error}");
}

#[test]
fn threads_that_trace_at_once_do_not_mix_what_they_read() {
    let plain = |scale: f64| {
        let objective = Objective::capture(&small(), batch(5), move |model, batch| {
            squared_error(model, batch) * scale
        });
        objective.unwrap().value().unwrap()
    };
    let expected: Vec<f64> = [1.0, 2.0].map(plain).to_vec();
    std::thread::scope(|threads| {
        for thread in 0..8 {
            let expected = &expected;
            threads.spawn(move || {
                for round in 0..10 {
                    // Every second thread reads true, and each records another number of operations.
                    let threshold = if thread % 2 == 0 { -10.0 } else { 10.0 };
                    let objective =
                        Objective::capture(&small(), batch(5), move |model, (x, y): Pair| {
                            let mut z = x.clone();
                            for _ in 0..thread + round {
                                z = z + 0.0;
                            }
                            let above = truth(z.clone().greater_scalar(threshold).any());
                            let below = truth(z.lower_scalar(threshold).all());
                            assert!(above != below);
                            squared_error(model, (x, y)) * if above { 2.0 } else { 1.0 }
                        });
                    let value = objective.unwrap().value().unwrap();
                    let expected = expected[1 - thread % 2];
                    assert!((value - expected).abs() < 1e-6 * expected, "{value}");
                }
            });
        }
    });
}

#[test]
fn an_objective_that_its_own_closure_evaluates_is_refused() {
    type Shared = Arc<OnceLock<Objective>>;
    let itself = Shared::default();
    let seen = Arc::clone(&itself);
    let objective = Objective::capture(&small(), batch(5), move |model: &Small, batch: Pair| {
        let inner = Tensor::<2>::ones([4, 3], &device());
        let inner = (inner, Tensor::<2>::ones([4, 2], &device()));
        if let Some(Err(error)) = seen.get().map(|own| own.on(inner)) {
            panic!("{error}");
        }
        squared_error(model, batch)
    });
    let objective = objective.unwrap();
    itself.set(objective.clone()).unwrap();
    let error = trace_error(objective.on(batch(3)));
    assert!(error.to_string().contains("that is being captured"), "{error}");
}
