//! Every estimator on every curvature equals the dense reference to its own accuracy.

use burn_curvature::{
    CaptureConfig, ConjugateGradientConfig, DirectConfig, EmpiricalFisher, Fisher, GaussNewton,
    KfacConfig, Likelihood, MinresConfig, Objective, StopReason,
    influence::{Curvature, Estimator, InfluenceConfig, InfluenceWarning, Scores},
    kfac::KfacFisher,
    materialize,
    solver::{LissaConfig, NystromConfig},
};

use super::{TEST, TRAINING, World, damped, rows, vector};
use crate::{
    backends::TestBackend,
    classifier::{Classifier, samples},
    compare::relative_error,
    dense::{Rows, dot},
    oracle::solve,
};

const CATEGORICAL: Curvature = Curvature::Fisher(Likelihood::Categorical);

/// A curvature, its dense matrix, and a damping that makes it positive definite.
fn curvatures(world: &World) -> Vec<(Curvature, Rows, f64)> {
    let mean = world.plain_mean();
    let gauss_newton = rows(&materialize(&GaussNewton::new(&mean).unwrap()).unwrap());
    let fisher = Fisher::exact(&mean, Likelihood::Categorical).unwrap();
    let fisher = rows(&materialize(&fisher).unwrap());
    let empirical = rows(&materialize(&EmpiricalFisher::new(&mean).unwrap()).unwrap());
    vec![
        (Curvature::Hessian, world.hessian(), 0.5),
        (Curvature::GaussNewton, gauss_newton, 0.03),
        (CATEGORICAL, fisher, 0.03),
        (Curvature::EmpiricalFisher, empirical, 0.03),
    ]
}

fn scores(world: &World, estimator: Estimator, (curvature, damping): (Curvature, f64)) -> Scores {
    let config = InfluenceConfig::new(estimator).with_curvature(curvature).with_damping(damping);
    config.with_at_once(2).init(&world.training).unwrap().scores(&world.queries).unwrap()
}

fn error(found: &Scores, expected: &Rows) -> f64 {
    relative_error(found.values(), &expected.concat())
}

#[test]
fn exact_estimators_equal_the_dense_reference_on_every_curvature() {
    for seed in [1, 2, 3] {
        let world = World::new(seed);
        for (curvature, matrix, damping) in curvatures(&world) {
            let expected = world.reference(&matrix, damping);
            let cg = ConjugateGradientConfig::new().with_relative_tolerance(1e-13);
            let minres = MinresConfig::new().with_relative_tolerance(1e-12);
            let nystrom = NystromConfig::new(43, damping);
            for (estimator, tolerance) in [
                (Estimator::Dense(DirectConfig::new()), 1e-11),
                (Estimator::ConjugateGradient(cg), 1e-11),
                (Estimator::Minres(minres), 1e-10),
                (Estimator::Nystrom(nystrom), 1e-6),
            ] {
                // The Hessian is indefinite before it is damped, which a Nyström approximation refuses.
                if matches!((&estimator, curvature), (Estimator::Nystrom(_), Curvature::Hessian)) {
                    continue;
                }
                let found = scores(&world, estimator.clone(), (curvature, damping));
                let report = &found.report;
                assert_eq!((found.queries(), found.samples()), (TEST, TRAINING));
                assert_eq!(report.solves.systems, TEST, "{estimator:?}");
                if tolerance < 1e-6 {
                    assert_eq!(report.solves.unsolved(), None, "{estimator:?} {curvature:?}");
                }
                let error = error(&found, &expected);
                assert!(error < tolerance, "{estimator:?} {curvature:?}: {error:e}");
            }
        }
    }
}

/// Scores by LiSSA over single samples, and the reasons why its solves stopped.
fn by_lissa(
    world: &World,
    lissa: LissaConfig,
    (curvature, damping): (Curvature, f64),
) -> (Scores, Vec<StopReason>) {
    let singles: Vec<_> = (0..TRAINING).map(|n| super::part(&world.train, n, n + 1)).collect();
    let training = world.training.over(singles, burn_curvature::Reduction::Mean).unwrap();
    let config = InfluenceConfig::new(Estimator::Lissa(lissa)).with_curvature(curvature);
    let found = config.with_damping(damping).init(&training).unwrap();
    let found = found.scores(&world.queries).unwrap();
    let stops = found.report.solves.stops.iter().map(|(stop, _)| *stop).collect();
    (found, stops)
}

/// On the Hessian, whose single terms are indefinite, the damping must exceed the most negative eigenvalue of any of them.
#[test]
fn lissa_comes_near_and_nearer_with_more_repeats() {
    for seed in [4, 5, 6] {
        let world = World::new(seed);
        let curvatures = curvatures(&world);
        for (at, damping) in [(1, 0.3), (0, 1.5)] {
            let (curvature, matrix, _) = &curvatures[at];
            let expected = world.reference(matrix, damping);
            let of = |repeats: usize| {
                let lissa =
                    LissaConfig::new().with_scale(Some(10.0)).with_depth(150).with_repeats(repeats);
                let (found, stops) = by_lissa(&world, lissa, (*curvature, damping));
                assert_eq!(stops, [StopReason::Sampled], "{curvature:?}");
                let solves = &found.report.solves;
                assert_eq!((solves.products, solves.term_products), (TEST, TEST * 150 * repeats));
                error(&found, &expected)
            };
            let (few, many) = (of(2), of(40));
            assert!(many < 0.1 && many < few, "{curvature:?}: {few} {many}");
        }
    }
}

/// A scale that does not hold the terms, and a Hessian with too little damping.
#[test]
fn a_series_that_diverges_is_reported() {
    let world = World::new(4);
    for (scale, depth, damping) in [(0.05, 150, 1.5), (1.0, 3000, 0.0)] {
        let lissa = LissaConfig::new().with_scale(Some(scale)).with_depth(depth).with_repeats(1);
        let (found, stops) = by_lissa(&world, lissa, (Curvature::Hessian, damping));
        assert_eq!(stops, [StopReason::Diverged], "scale {scale}");
        assert!(found.values().iter().all(|score| score.is_finite()));
        let warned = |warning: &InfluenceWarning| {
            matches!(warning, InfluenceWarning::Unsolved { stop: StopReason::Diverged, .. })
        };
        assert!(found.report.warnings().iter().any(warned), "{}", found.report);
    }
}

#[test]
fn kronecker_factors_are_the_inverse_of_their_own_matrix() {
    let world = World::new(5);
    let (mean, damping) = (world.plain_mean(), 0.03);
    let config = KfacConfig::new().with_fisher(KfacFisher::Exact);
    let kfac = config.init(&mean, Likelihood::Categorical).unwrap();
    let ekfac = config.init_ekfac(&mean, Likelihood::Categorical).unwrap();
    for (estimator, matrix) in [
        (Estimator::Kfac(config), materialize(&kfac).unwrap()),
        (Estimator::Ekfac(config), materialize(&ekfac).unwrap()),
    ] {
        let expected = world.reference(&rows(&matrix), damping);
        // Two queries at once by directional derivatives, five out of the layers.
        for at_once in [2, 5] {
            let config = InfluenceConfig::new(estimator.clone()).with_curvature(CATEGORICAL);
            let config = config.with_damping(damping).with_at_once(at_once);
            let found = config.init(&world.training).unwrap().scores(&world.queries).unwrap();
            assert_eq!(found.report.solves.systems, 0);
            let error = error(&found, &expected);
            assert!(error < 1e-10, "{estimator:?}, {at_once} at once: {error:e}");
        }
        // Self-influence comes out of the layers.
        let config = InfluenceConfig::new(estimator.clone()).with_curvature(CATEGORICAL);
        let influence = config.with_damping(damping).init(&world.training).unwrap();
        let own = influence.self_influence().unwrap();
        let inverse = damped(&rows(&matrix), damping);
        let gradients = world.gradients(&world.train, TRAINING);
        let of_sample = |g: &Vec<f64>| dot(g, &solve(&inverse, g)) / TRAINING as f64;
        let expected: Vec<f64> = gradients.iter().map(of_sample).collect();
        assert!(relative_error(&own.scores, &expected) < 1e-10);
        assert_eq!((own.report.solves.systems, own.report.directional_derivatives), (0, 0));
    }
}

#[test]
fn the_identity_gives_products_of_gradients() {
    let world = World::new(6);
    let none = vec![vec![0.0; 43]; 43];
    let expected = world.reference(&none, 1.0);
    // Neither damping nor curvature counts.
    let found = scores(&world, Estimator::Identity, (Curvature::GaussNewton, 7.0));
    assert!(error(&found, &expected) < 1e-12);
    // Nor does a weight decay.
    let config = InfluenceConfig::new(Estimator::Identity).with_weight_decay(0.5);
    let decayed = config.init(&world.training).unwrap();
    assert!(error(&decayed.scores(&world.queries).unwrap(), &expected) < 1e-12);
    let gradients = world.gradients(&world.train, TRAINING);
    let own: Vec<f64> = gradients.iter().map(|g| dot(g, g) / TRAINING as f64).collect();
    assert!(relative_error(&decayed.self_influence().unwrap().scores, &own) < 1e-12);
    let pairs = gradients[3].iter().zip(&gradients[8]);
    let step: Vec<f64> = pairs.map(|(a, b)| (a + b) / TRAINING as f64).collect();
    let found = decayed.influence_step(&[3, 8]).unwrap().step;
    assert!(relative_error(&vector(&found), &step) < 1e-12);
}

#[test]
fn an_indefinite_matrix_is_reported() {
    let world = World::new(7);
    let found = scores(&world, Estimator::default(), (Curvature::Hessian, 0.0));
    assert!(found.report.solves.unsolved().is_some(), "{}", found.report);
    let text = found.report.to_string();
    assert!(text.contains("warning") && text.contains("not positive definite"), "{text}");
    // Solvers for indefinite systems solve it, and say so too.
    for estimator in [Estimator::Dense(DirectConfig::new()), Estimator::Minres(MinresConfig::new())]
    {
        let found = scores(&world, estimator, (Curvature::Hessian, 0.0));
        let indefinite = |warning: &InfluenceWarning| {
            matches!(warning, InfluenceWarning::NegativeCurvature { systems: TEST })
        };
        assert!(found.report.warnings().iter().any(indefinite), "{}", found.report);
    }
}

/// The same on every backend, in the precisions that it has.
fn scores_of_all_samples<B: TestBackend>() {
    let device = B::user_device().autodiff();
    let model = Classifier::new(9, &device);
    let (train, test) = (samples(12, 1, &device), samples(3, 2, &device));
    let config = CaptureConfig::new();
    let capture = |batch| {
        Objective::<B>::capture_with(&config, &model, batch, super::mean_of_losses).unwrap()
    };
    let (training, queries) = (capture(train), capture(test));
    let space = training.parameters().space().clone();
    let gradients: Vec<Vec<f64>> = (0..12)
        .map(|n| {
            let (x, y) = samples(12, 1, &device);
            let one = (x.slice([n..n + 1, 0..4]), y.narrow(0, n, 1));
            training.on(one).unwrap().gradient().unwrap().to_vec().unwrap()
        })
        .collect();
    let config = InfluenceConfig::default().with_curvature(Curvature::GaussNewton);
    for &precision in B::PRECISIONS {
        let training = training.in_precision(precision).unwrap();
        let queries = queries.in_precision(precision).unwrap();
        let gauss_newton = rows(&materialize(&GaussNewton::new(&training).unwrap()).unwrap());
        let damped = damped(&gauss_newton, 0.1);
        let found = config.clone().with_damping(0.1).init(&training).unwrap();
        let found = found.scores(&queries).unwrap();
        assert_eq!(found.report.solves.stops, [(StopReason::Converged, 3)]);
        let mut expected = Vec::new();
        for query in 0..3 {
            let (x, y) = samples(3, 2, &device);
            let one = (x.slice([query..query + 1, 0..4]), y.narrow(0, query, 1));
            let gradient = training.on(one).unwrap().gradient().unwrap().to_vec().unwrap();
            let solved = solve(&damped, &gradient);
            expected.extend(gradients.iter().map(|g| dot(g, &solved) / 12.0));
        }
        let error = relative_error(found.values(), &expected);
        assert!(error < 1e-4, "{precision}: {error:e}");
    }
    assert_eq!(space.len(), 43);
}
on_backends!(scores_of_all_samples: ndarray, flex);
