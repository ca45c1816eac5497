//! What the reports of results say.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use burn_curvature::{
    DirectConfig, Loss, Objective, Reduction,
    influence::{Curvature, Estimator, InfluenceConfig, InfluenceReport, InfluenceWarning, Scores},
};

use super::{
    TRAINING, World, damped, part,
    results::{config, influence},
    rows, vector,
};
use crate::{compare::relative_error, dense::dot, oracle::solve};

#[derive(Module, Debug)]
pub(super) struct Line {
    pub w: Param<Tensor<1>>,
}

#[test]
fn results_are_saved_and_their_reports_printed() {
    let world = World::new(9);
    let scores = influence(&world).scores(&world.queries).unwrap();
    let saved = serde_json::to_string(&scores).unwrap();
    let loaded: Scores = serde_json::from_str(&saved).unwrap();
    assert!(relative_error(loaded.values(), scores.values()) < 1e-15);
    let report: &InfluenceReport = &loaded.report;
    assert_eq!(
        (&report.config, &report.solves.stops),
        (&scores.report.config, &scores.report.solves.stops)
    );
    let warnings = report.warnings();
    // Random parameters are no minimum.
    assert!(
        matches!(warnings[..], [InfluenceWarning::NotStationary { remaining }] if remaining > 1.0)
    );
    let text = report.to_string();
    for part in [
        "30 samples on 5 queries",
        "ConjugateGradient",
        "Hessian + 5e-1·I",
        "43 (f64)",
        "stationary",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(report.kept_bytes > 0 && report.solves.products > 0);
    let residual = report.solves.largest_residual.unwrap();
    assert!(residual <= 1e-14, "{residual:e}");
}

/// ‖∇ℓₙ‖ is estimated, the rest of the measure is exact.
#[test]
fn the_distance_from_a_stationary_point() {
    let world = World::new(10);
    let found = influence(&world).stationarity();
    let gradients = world.gradients(&world.train, TRAINING);
    let square = gradients.iter().map(|g| dot(g, g)).sum::<f64>() / TRAINING as f64;
    let norm = world.training.gradient().unwrap().norm().unwrap();
    assert!((found.gradient_norm - norm).abs() < 1e-14);
    assert!((found.sample_gradient / square.sqrt() - 1.0).abs() < 0.3, "{found:?}");
    let remaining = norm * TRAINING as f64 / found.sample_gradient;
    assert!((found.remaining / remaining - 1.0).abs() < 1e-12);
    let decayed = config().with_weight_decay(0.3).init(&world.training).unwrap().stationarity();
    let decay = world.training.parameters().clone().scale(0.3);
    let sum = world.training.gradient().unwrap().add(&decay).unwrap().norm().unwrap();
    assert!((decayed.gradient_norm - sum).abs() < 1e-14);
}

/// Where every sample is fitted and only the weight decay pulls: no number of samples has as large a gradient.
#[test]
fn weight_decay_alone_is_no_stationary_point() {
    let device = Device::default().autodiff();
    let model = Line { w: Param::from_tensor(Tensor::from_floats([2.0], &device)) };
    let targets = Tensor::<1>::from_floats([2.0, 2.0, 2.0], &device);
    let training = Objective::capture(&model, targets, |model, y: Tensor<1>| {
        Loss::mean_of((y - model.w.val()).powf_scalar(2.0) * 0.5)
    });
    let training = training.unwrap().in_f64().unwrap();
    let plain = InfluenceConfig::new(Estimator::Dense(DirectConfig::new()));
    for (decay, norm) in [(0.0, 0.0), (0.1, 0.2)] {
        let influence = plain.clone().with_weight_decay(decay).init(&training).unwrap();
        let found = influence.stationarity();
        assert!((found.gradient_norm - norm).abs() < 1e-15 && found.sample_gradient == 0.0);
        let report = influence.newton_step(&[1]).unwrap().report;
        if decay == 0.0 {
            assert_eq!((found.remaining, report.warnings()), (0.0, Vec::new()));
            continue;
        }
        let expected = [InfluenceWarning::NotStationary { remaining: f64::MAX }];
        assert_eq!(report.warnings(), expected);
        let saved = serde_json::to_string(&report).unwrap();
        let loaded: InfluenceReport = serde_json::from_str(&saved).unwrap();
        assert_eq!(loaded.warnings(), expected);
        let said = report.to_string();
        assert!(said.contains("those of all samples do") && said.len() < 2000, "{said}");
    }
}

#[test]
fn the_newton_step_takes_any_curvature() {
    let world = World::new(11);
    let group = [1, 5];
    let kept: Vec<usize> = (0..TRAINING).filter(|n| !group.contains(n)).collect();
    let rest: Vec<_> = kept.iter().map(|&n| part(&world.train, n, n + 1)).collect();
    let rest = world.training.over(rest, Reduction::Mean).unwrap();
    let gradients = world.gradients(&world.train, TRAINING);
    let sum: Vec<f64> = (0..43).map(|p| gradients[1][p] + gradients[5][p]).collect();
    for (curvature, matrix) in [
        (
            Curvature::Hessian,
            burn_curvature::materialize(&burn_curvature::Hessian::new(&rest).unwrap()),
        ),
        (
            Curvature::GaussNewton,
            burn_curvature::materialize(&burn_curvature::GaussNewton::new(&rest).unwrap()),
        ),
        (
            Curvature::Fisher(burn_curvature::Likelihood::Categorical),
            burn_curvature::materialize(&burn_curvature::GaussNewton::new(&rest).unwrap()),
        ),
        (
            Curvature::EmpiricalFisher,
            burn_curvature::materialize(&burn_curvature::EmpiricalFisher::new(&rest).unwrap()),
        ),
    ] {
        let matrix = damped(&rows(&matrix.unwrap()), 0.5);
        let expected: Vec<f64> =
            solve(&matrix, &sum).iter().map(|step| step / kept.len() as f64).collect();
        let estimator = Estimator::Dense(DirectConfig::new());
        let config = InfluenceConfig::new(estimator).with_damping(0.5).with_curvature(curvature);
        let removal = config.init(&world.training).unwrap().newton_step(&group).unwrap();
        let error = relative_error(&vector(&removal.step), &expected);
        assert!(error < 1e-11, "{curvature:?}: {error:e}");
        // The report says what was computed: here with the training far from a minimum.
        let report = &removal.report;
        let matrix = match curvature {
            Curvature::Fisher(_) => Curvature::GaussNewton,
            other => other,
        };
        assert_eq!((report.queries, report.config.curvature), (1, matrix));
        assert_eq!((report.config.damping, report.solves.systems), (0.5, 1));
        let said = report.to_string();
        assert!(said.contains("Dense") && said.contains("not at a stationary point"), "{said}");
        let identity = InfluenceConfig::new(Estimator::Identity).with_curvature(curvature);
        let report = identity.init(&world.training).unwrap().influence_step(&group).unwrap().report;
        assert_eq!(
            (report.config.estimator.clone(), report.solves.systems),
            (Estimator::Identity, 0)
        );
        if let Curvature::Fisher(_) = curvature {
            // K-FAC solves no separate system: conjugate gradients do, and are named.
            let config = InfluenceConfig::new(Estimator::kfac()).with_damping(0.5);
            let config = config.with_curvature(curvature);
            let removal = config.init(&world.training).unwrap().newton_step(&group).unwrap();
            assert_eq!(removal.report.config.estimator, Estimator::default());
            assert_eq!(removal.report.solves.unsolved(), None);
            assert!(relative_error(&vector(&removal.step), &expected) < 1e-4);
        }
    }
}
