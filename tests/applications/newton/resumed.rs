//! States that are saved and loaded: a resumed run equals an uninterrupted one, digit for digit.

use burn::{module::Param, prelude::*};
use burn_curvature::{
    Error, KfacConfig, Likelihood, Objective, Reduction,
    errors::{ConfigError, OptimizerError, SavedStateError},
    optim::{
        Curvature, HessianFreeConfig, LevenbergMarquardtConfig, NewtonCgConfig, NewtonOptimizer,
        NewtonOptimizerConfig, NewtonOptimizerState, NewtonStep, Preconditioner,
        TrustRegionNewtonConfig,
    },
};

use crate::{
    classifier::{Classifier, Samples, cross_entropy, samples},
    failure::failure,
};

use super::{B, Point, functions::CLASSICS, number};

fn problem() -> (Classifier, Samples, Objective<B>) {
    let device = Device::default().autodiff();
    let (model, batch) = (Classifier::new(1, &device), samples(12, 101, &device));
    let objective = Objective::capture(&model, batch.clone(), cross_entropy).unwrap();
    let objective = objective.in_f64().unwrap().reduced_by(Reduction::Mean).unwrap();
    (model, batch, objective)
}

fn configurations() -> [NewtonOptimizerConfig; 3] {
    [
        NewtonCgConfig::new().with_weight_decay(1e-3).optimizer(),
        TrustRegionNewtonConfig::new().with_weight_decay(1e-3).optimizer(),
        HessianFreeConfig::new().with_weight_decay(1e-3).optimizer(),
    ]
}

fn parameters(model: &Classifier) -> Vec<f64> {
    burn_curvature::ParamVector::<B>::from_module(model).unwrap().to_vec().unwrap()
}

#[test]
fn a_resumed_run_equals_an_uninterrupted_one() {
    // Early, and where steps are small and the tolerances of solves fall.
    for (config, pause) in
        configurations().into_iter().flat_map(|one| [3, 5, 7, 9].map(|at| (one.clone(), at)))
    {
        let (mut model, batch, objective) = problem();
        let mut whole = config.init(&objective).unwrap();
        for _ in 0..pause {
            (model, _) = whole.step(&model, batch.clone()).unwrap();
        }
        let state = whole.state().unwrap();
        assert_eq!(state.step(), pause);
        let text = serde_json::to_string(&state).unwrap();
        let by_text: NewtonOptimizerState = serde_json::from_str(&text).unwrap();
        let by_file = NewtonOptimizerState::from_bytes(state.to_bytes().unwrap()).unwrap();
        assert_eq!((&by_text, &by_file), (&state, &state));
        let mut resumed = config.resume(&objective, &by_file).unwrap();
        let mut other = model.clone();
        for _ in 0..4 {
            let (one, two);
            (model, one) = whole.step(&model, batch.clone()).unwrap();
            (other, two) = resumed.step(&other, batch.clone()).unwrap();
            assert_eq!(one, two);
            assert_eq!(parameters(&model), parameters(&other));
        }
        // The state matters: a new optimizer goes another way.
        let (_, fresh) = config.init(&objective).unwrap().step(&model, batch.clone()).unwrap();
        assert_ne!(fresh.step, whole.step(&model, batch.clone()).unwrap().1.step);
    }
}

/// Preconditioners whose factors are computed at every third step, and kept between.
fn refreshed() -> [NewtonOptimizerConfig; 2] {
    let kfac =
        Preconditioner::Kfac { config: KfacConfig::new(), likelihood: Likelihood::Categorical };
    let squares = Preconditioner::SquaredGradients { exponent: 0.75, probes: 4, seed: 1 };
    [kfac, squares].map(|preconditioner| {
        NewtonCgConfig::new()
            .with_curvature(Curvature::GaussNewton)
            .with_preconditioner(Some(preconditioner))
            .with_refresh_every(3)
            .with_weight_decay(0.1)
            .optimizer()
    })
}

/// The step at which the factors in a state were computed.
fn computed_at(state: &NewtonOptimizerState) -> u64 {
    serde_json::to_value(state).unwrap()["factors"]["step"].as_u64().unwrap()
}

#[test]
fn factors_are_kept_for_some_steps_and_saved() {
    for config in refreshed() {
        let (mut model, batch, objective) = problem();
        let mut whole = config.init(&objective).unwrap();
        for expected in [1, 1, 1, 4, 4, 4, 7] {
            (model, _) = whole.step(&model, batch.clone()).unwrap();
            let state = whole.state().unwrap();
            assert_eq!(computed_at(&state), expected);
            let by_text = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
            let by_file = NewtonOptimizerState::from_bytes(state.to_bytes().unwrap()).unwrap();
            for read in [by_text, by_file] {
                assert_eq!(read, state);
                let mut resumed = config.resume(&objective, &read).unwrap();
                let (mut one, mut two) = (whole.clone(), model.clone());
                let mut other = model.clone();
                for _ in 0..3 {
                    let (expected, found);
                    (two, expected) = one.step(&two, batch.clone()).unwrap();
                    (other, found) = resumed.step(&other, batch.clone()).unwrap();
                    assert_eq!(found, expected);
                    assert_eq!(parameters(&other), parameters(&two));
                }
            }
        }
    }
}

/// Kept factors are those of an earlier point: the step is another one than with fresh ones.
#[test]
fn kept_factors_are_used() {
    for config in refreshed() {
        let (mut model, batch, objective) = problem();
        let mut kept = config.init(&objective).unwrap();
        for _ in 0..2 {
            (model, _) = kept.step(&model, batch.clone()).unwrap();
        }
        let mut text = serde_json::to_value(kept.state().unwrap()).unwrap();
        text["factors"] = serde_json::Value::Null;
        let mut fresh = config.resume(&objective, &serde_json::from_value(text).unwrap()).unwrap();
        let one = kept.step(&model, batch.clone()).unwrap();
        let two = fresh.step(&model, batch.clone()).unwrap();
        assert_ne!(parameters(&one.0), parameters(&two.0));
        assert_eq!(computed_at(&fresh.state().unwrap()), 3);
    }
}

#[test]
fn factors_of_another_kind_are_refused() {
    let (model, batch, objective) = problem();
    let [kfac, squares] = refreshed();
    let mut optimizer = kfac.init(&objective).unwrap();
    optimizer.step(&model, batch).unwrap();
    let refused = squares.resume(&objective, &optimizer.state().unwrap());
    assert!(matches!(failure(&refused), Some(OptimizerError::State { .. })), "{refused:?}");
    // Without a preconditioner, or with one at every step, they are not needed.
    assert!(configurations()[0].resume(&objective, &optimizer.state().unwrap()).is_ok());
    let never = NewtonCgConfig::new().with_refresh_every(0).init(&objective);
    assert_eq!(failure::<_, ConfigError>(&never).unwrap().field, "refresh_every");
}

/// The same on fast converging runs, where the tolerances of solves fall: after every step of each classic function.
#[test]
fn a_run_may_be_resumed_after_any_step() {
    for classic in CLASSICS {
        let start = Point::at(classic.start);
        let objective = super::objective(&start, classic.f);
        for config in
            [NewtonCgConfig::new().optimizer(), TrustRegionNewtonConfig::new().optimizer()]
        {
            let (mut whole, mut model) = (config.init(&objective).unwrap(), start.clone());
            for _ in 0..10 {
                let mut resumed = config.resume(&objective, &whole.state().unwrap()).unwrap();
                let other = resumed.step(&model, number(1.0)).unwrap();
                let step = whole.step(&model, number(1.0)).unwrap();
                assert_eq!(
                    (&other.1, other.0.values()),
                    (&step.1, step.0.values()),
                    "{}",
                    classic.name
                );
                model = step.0;
            }
        }
    }
}

#[test]
fn states_that_do_not_fit_are_refused() {
    let (model, batch, objective) = problem();
    let [line, region, free] = configurations();
    let mut whole = free.init(&objective).unwrap();
    whole.step(&model, batch).unwrap();
    let state = whole.state().unwrap();
    let refused = region.resume(&objective, &state);
    assert!(matches!(failure(&refused), Some(OptimizerError::State { .. })), "{refused:?}");
    let (_, _, stranger) = problem();
    let refused = free.resume(&stranger, &state);
    assert!(matches!(failure(&refused), Some(OptimizerError::Instance { .. })), "{refused:?}");
    let refused = line.resume(&objective, &state); // λ would be taken over
    assert!(matches!(failure(&refused), Some(OptimizerError::State { .. })), "{refused:?}");
    let damaged = NewtonOptimizerState::from_bytes(burn::tensor::Bytes::from_bytes_vec(vec![1, 2]));
    assert!(failure::<_, SavedStateError>(&damaged).is_some());
}

fn is_refused(refused: Result<NewtonOptimizer<B>, Error>) -> bool {
    matches!(failure(&refused), Some(OptimizerError::State { .. }))
}

/// λ belongs to its rule and to the value it started from.
#[test]
fn states_with_another_damping_are_refused() {
    let point = Point::at(&[1.0, 2.0]);
    let captured = Objective::capture(&point, number(1.0), |point: &Point, one: Tensor<1>| {
        let r = point.w.val() * one;
        (r.clone(), r.square().sum())
    });
    let objective: Objective<B> = captured.unwrap().in_f64().unwrap();
    let marquardt = LevenbergMarquardtConfig::new();
    let mut optimizer = marquardt.init(&objective).unwrap();
    optimizer.step(&point, number(1.0)).unwrap();
    let state = optimizer.state().unwrap();
    assert!(marquardt.resume(&objective, &state).is_ok());
    assert!(is_refused(marquardt.clone().with_damping(2e-3).resume(&objective, &state)));
    assert!(is_refused(NewtonCgConfig::new().with_damping(1e-3).resume(&objective, &state)));
    // λ = 0 would never rise again.
    let mut changed = serde_json::to_value(&state).unwrap();
    changed["damping"] = "0.0".into();
    assert!(is_refused(marquardt.resume(&objective, &serde_json::from_value(changed).unwrap())));
    // λ = 0 of another rule.
    let mut newton = NewtonCgConfig::new().init(&objective).unwrap();
    newton.step(&point, number(1.0)).unwrap();
    assert!(is_refused(marquardt.resume(&objective, &newton.state().unwrap())));
}

#[derive(Module, Debug)]
struct Other {
    v: Param<Tensor<1>>,
}

/// As many numbers with the same identifier, and another name or shape.
#[test]
fn states_of_other_parameters_are_refused() {
    let point = Point::at(&[1.0, 2.0]);
    let mut optimizer = NewtonCgConfig::new()
        .init(&super::objective(&point, |p| p.w.val().square().sum()))
        .unwrap();
    optimizer.step(&point, number(1.0)).unwrap();
    let state = optimizer.state().unwrap();
    let other = Other { v: Param::initialized(point.w.id, point.w.val()) };
    let captured = Objective::capture(&other, number(1.0), |other: &Other, one: Tensor<1>| {
        other.v.val().square().sum() * one
    });
    let renamed: Objective<B> = captured.unwrap().in_f64().unwrap();
    assert!(is_refused(NewtonCgConfig::new().resume(&renamed, &state)));
    let longer = Point { w: Param::initialized(point.w.id, Point::at(&[1.0, 2.0, 3.0]).w.val()) };
    let longer = super::objective(&longer, |p| p.w.val().square().sum());
    assert!(is_refused(NewtonCgConfig::new().resume(&longer, &state)));
}

/// Reports are data and print as one line.
#[test]
fn reports_are_data() {
    let (model, batch, objective) = problem();
    let mut optimizer = TrustRegionNewtonConfig::new().init(&objective).unwrap();
    let (_, step) = optimizer.step(&model, batch).unwrap();
    let text = serde_json::to_string(&step).unwrap();
    let back: NewtonStep = serde_json::from_str(&text).unwrap();
    assert_eq!((back.step, back.verdict), (step.step, step.verdict));
    let line = step.to_string();
    assert!(
        line.starts_with("step 1: h ") && line.ends_with(", taken") && !line.contains('\n'),
        "{line}"
    );
    assert!(line.contains("radius 1.000e0") && line.contains(", ρ "), "{line}");
}
