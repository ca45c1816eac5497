//! Booleans that a closure reads: supplied while it is recorded. Other values are not read.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use burn::{prelude::*, tensor::activation::tanh};
use burn_curvature::{Objective, errors::CaptureError};

use super::guards::{Pair, large, other_truth, same, truth};
use super::{Small, batch, device, small, squared_error, trace_error};

#[test]
fn several_truth_values_are_supplied_one_after_another() {
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
    let runs = Arc::new(AtomicUsize::new(0));
    let error = trace_error(Objective::capture(&small(), batch(5), move |model, (x, y)| {
        let run = runs.fetch_add(1, Ordering::Relaxed);
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
