//! Bad models, batches and states drawn at random: a typed error or a step with its verdict each time, no panic, and the
//! optimizer left as it was by an error.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::{
    nn::LinearConfig,
    prelude::*,
    tensor::{Bytes, activation::softmax},
};
use burn_curvature::{
    Error, Objective, ParamVector, Reduction,
    errors::{
        BatchError, CaptureError, ConfigError, ExecuteError, ObjectiveError, OptimizerError,
        SavedStateError, VectorError,
    },
    optim::{
        HessianFreeConfig, LevenbergMarquardtConfig, NewtonCgConfig, NewtonOptimizer,
        NewtonOptimizerConfig, NewtonOptimizerState, TrustRegionNewtonConfig,
    },
};

use super::B;
use crate::{
    classifier::{Classifier, Samples, cross_entropy, samples},
    random::SplitMix64,
};

fn is_typed(error: &Error) -> bool {
    error.downcast_ref::<VectorError>().is_some()
        || error.downcast_ref::<OptimizerError>().is_some()
        || error.downcast_ref::<ObjectiveError>().is_some()
        || error.downcast_ref::<CaptureError>().is_some()
        || error.downcast_ref::<BatchError>().is_some()
        || error.downcast_ref::<ConfigError>().is_some()
        || error.downcast_ref::<SavedStateError>().is_some()
        // The backend names the operation and the index, such as a class that is not there.
        || error.downcast_ref::<ExecuteError>().is_some()
}

/// Residuals of the probabilities, and the mean of their squares.
fn squares(model: &Classifier, (x, y): Samples) -> (Tensor<2>, Tensor<1>) {
    let truth = y.one_hot::<2>(3).float();
    let residuals = softmax(model.forward(x), 1) - truth;
    (residuals.clone(), (residuals.clone() * residuals).mean())
}

type Loss<O> = fn(&Classifier, Samples) -> (O, Tensor<1>);

/// A problem with a configuration each; all losses of the same model.
fn problems(seed: u64) -> Vec<(Classifier, Samples, Objective<B>, NewtonOptimizerConfig)> {
    let device = Device::default().autodiff();
    let (model, batch) = (Classifier::new(seed, &device), samples(12, seed, &device));
    let captured = |loss: Loss<Tensor<2>>| -> Objective<B> {
        let objective = Objective::capture(&model, batch.clone(), loss).unwrap();
        objective.in_f64().unwrap().reduced_by(Reduction::Mean).unwrap()
    };
    let plain = || captured(cross_entropy);
    [
        (plain(), NewtonCgConfig::new().with_weight_decay(1e-3).optimizer()),
        (plain(), TrustRegionNewtonConfig::new().optimizer()),
        (plain(), HessianFreeConfig::new().optimizer()),
        (captured(squares), LevenbergMarquardtConfig::new().optimizer()),
    ]
    .map(|(objective, config)| (model.clone(), batch.clone(), objective, config))
    .to_vec()
}

fn parameters(model: &Classifier) -> Vec<f64> {
    ParamVector::<B>::from_module(model).unwrap().to_vec().unwrap()
}

/// A batch that the loss cannot take, or whose loss is not finite.
fn bad_batch((x, y): &Samples, numbers: &mut SplitMix64) -> Samples {
    let cell = |value: f32| Tensor::full([1, 1], value, &x.device());
    let at = numbers.below(12);
    let put = |value| x.clone().slice_assign([at..at + 1, 1..2], cell(value));
    match numbers.below(7) {
        0 => (x.clone().narrow(1, 0, 3), y.clone()),
        1 => (x.clone().slice(0..0), y.clone().slice(0..0)),
        2 => (x.clone(), y.clone().narrow(0, 0, 5)),
        3 => (put(f32::NAN), y.clone()),
        4 => (put(f32::NAN), y.clone()),
        5 => (x.clone(), y.clone() + 9),
        _ => (x.clone().repeat_dim(1, 2), y.clone()),
    }
}

#[test]
fn bad_steps_are_typed_errors_and_change_nothing() {
    for seed in 0..3 {
        for (model, batch, objective, config) in problems(seed) {
            let mut numbers = SplitMix64::new(seed);
            let mut optimizer: NewtonOptimizer<B> = config.init(&objective).unwrap();
            let (model, _) = optimizer.step(&model, batch.clone()).unwrap();
            let mut untouched = optimizer.clone();
            for _ in 0..8 {
                let bad = bad_batch(&batch, &mut numbers);
                let run = || optimizer.step(&model, bad.clone()).map(drop);
                let found = catch_unwind(AssertUnwindSafe(run));
                let found = found.unwrap_or_else(|_| panic!("a panic: {config:?} {bad:?}"));
                assert!(found.as_ref().is_err_and(is_typed), "{config:?} {bad:?}: {found:?}");
            }
            let stranger = Classifier::new(seed, &batch.0.device());
            assert!(optimizer.step(&stranger, batch.clone()).is_err_and(|error| is_typed(&error)));
            let layer = LinearConfig::new(4, 3).init(&batch.0.device());
            assert!(optimizer.step(&layer, batch.clone()).is_err_and(|error| is_typed(&error)));
            for damping in [-1.0, f64::NAN, f64::INFINITY] {
                assert!(optimizer.set_damping(damping).is_err());
                assert!(optimizer.set_learning_rate(damping).is_err());
            }
            let (one, a) = optimizer.step(&model, batch.clone()).unwrap();
            let (two, b) = untouched.step(&model, batch).unwrap();
            assert_eq!((a, parameters(&one)), (b, parameters(&two)), "{config:?}");
        }
    }
}

/// Files with a byte changed, or cut off: refused, or a state that the next step takes or refuses.
#[test]
fn damaged_files_do_no_harm() {
    let mut refused = 0;
    for (model, batch, objective, config) in problems(4) {
        let mut optimizer: NewtonOptimizer<B> = config.init(&objective).unwrap();
        let (model, _) = optimizer.step(&model, batch.clone()).unwrap();
        let bytes = optimizer.state().unwrap().to_bytes().unwrap().to_vec();
        let mut numbers = SplitMix64::new(9);
        for round in 0..60 {
            let mut damaged = bytes.clone();
            if round % 3 == 0 {
                damaged.truncate(numbers.below(bytes.len()));
            } else {
                damaged[numbers.below(bytes.len())] ^= 1 << numbers.below(8);
            }
            let run = || -> Result<(), Error> {
                let bytes = Bytes::from_bytes_vec(damaged.clone());
                let state = NewtonOptimizerState::from_bytes(bytes)?;
                let mut resumed = config.resume(&objective, &state)?;
                resumed.step(&model, batch.clone()).map(drop)
            };
            let found = catch_unwind(AssertUnwindSafe(run));
            let found = found.unwrap_or_else(|_| panic!("a panic in round {round}: {config:?}"));
            refused += usize::from(found.is_err());
            assert!(found.is_ok() || found.as_ref().is_err_and(is_typed), "{found:?}");
        }
    }
    assert!(refused > 80, "{refused}"); // those that are cut off at least
}

/// Each bit of a file, one at a time, and each length: reading it is an error or a state, and no panic in Burn's reader comes
/// through.
#[test]
fn every_bit_of_a_file_may_be_wrong() {
    let (model, batch, objective, config) = problems(6).swap_remove(2);
    let mut optimizer: NewtonOptimizer<B> = config.init(&objective).unwrap();
    optimizer.step(&model, batch).unwrap();
    let bytes = optimizer.state().unwrap().to_bytes().unwrap().to_vec();
    let read = |damaged: Vec<u8>, what: String| {
        let run = || NewtonOptimizerState::from_bytes(Bytes::from_bytes_vec(damaged));
        let found = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| panic!("{what}"));
        assert!(found.as_ref().map_or_else(is_typed, |_| true), "{what}: {found:?}");
    };
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            read(damaged, format!("bit {bit} of byte {at}"));
        }
        read(bytes[..at].to_vec(), format!("{at} bytes"));
    }
}

/// Numbers in a state that no run leaves there.
#[test]
fn impossible_states_are_refused() {
    for (model, batch, objective, config) in problems(5) {
        let mut optimizer: NewtonOptimizer<B> = config.init(&objective).unwrap();
        let (model, _) = optimizer.step(&model, batch.clone()).unwrap();
        let good = serde_json::to_value(optimizer.state().unwrap()).unwrap();
        for field in ["damping", "growth", "radius", "first_norm", "last_norm", "tolerance"] {
            for number in ["-1.0", "NaN", "inf", "-inf"] {
                let mut bad = good.clone();
                bad[field] = number.into();
                let state: NewtonOptimizerState = serde_json::from_value(bad).unwrap();
                let found = config.resume(&objective, &state);
                let found = found.map(drop);
                assert!(found.as_ref().is_err_and(is_typed), "{field} {number}: {found:?}");
            }
        }
        let count = objective.layout().len();
        for solution in [vec!["NaN"; count], vec!["inf"; count], vec!["1.0"; count + 1], vec![]] {
            let mut bad = good.clone();
            bad["solution"] = solution.join(" ").into();
            let state: NewtonOptimizerState = serde_json::from_value(bad).unwrap();
            let found = config.resume(&objective, &state).map(drop);
            assert!(found.as_ref().is_err_and(is_typed), "{solution:?}: {found:?}");
        }
        let mut last = good;
        last["step"] = u64::MAX.into();
        let state: NewtonOptimizerState = serde_json::from_value(last).unwrap();
        let mut resumed = config.resume(&objective, &state).unwrap();
        assert_eq!(resumed.step(&model, batch).unwrap().1.step, usize::MAX);
    }
}
