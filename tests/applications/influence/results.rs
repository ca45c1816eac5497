//! What a result is made of: parts, groups, the samples themselves, batches, ranges.

use std::sync::{Arc, Mutex};

use burn::prelude::*;
use burn_curvature::{
    ConjugateGradientConfig, DirectConfig, MinresConfig, Objective, Reduction,
    influence::{
        Curvature, Estimator, Influence, InfluenceConfig, InfluenceReport, InfluenceWarning,
        Prediction, Query, Scores,
    },
    solver::LissaConfig,
};

use super::{TEST, TRAINING, World, damped, part, rows, sum_of_losses, vector};
use crate::{compare::relative_error, dense::dot, oracle::solve};

fn config() -> InfluenceConfig {
    let cg = ConjugateGradientConfig::new().with_relative_tolerance(1e-14);
    InfluenceConfig::new(Estimator::ConjugateGradient(cg)).with_damping(0.5)
}

fn influence(world: &World) -> Influence {
    config().init(&world.training).unwrap()
}

#[test]
fn parts_add_up_to_the_total() {
    let world = World::new(1);
    for influence in [
        influence(&world),
        config().with_weight_decay(0.2).with_at_once(2).init(&world.training).unwrap(),
    ] {
        let whole = influence.scores(&world.queries).unwrap();
        let split = influence.scores_by_parameter(&world.queries).unwrap();
        assert_eq!(split.parts.len(), 4);
        assert!(relative_error(&split.totals().concat(), whole.values()) < 1e-12);
        let layout = world.training.layout();
        let layers = ["hidden", "output"].map(|name| layout.select_module(name).unwrap());
        let named = [("hidden", &layers[0]), ("output", &layers[1])];
        let by_layer = influence.scores_by_part(&world.queries, &named).unwrap();
        assert_eq!(by_layer.parts, ["hidden", "output"]);
        assert!(relative_error(&by_layer.totals().concat(), whole.values()) < 1e-12);
        let first: Vec<f64> = split.parts.iter().zip(&split.values[0]).fold(
            vec![0.0; TRAINING],
            |sum, (name, part)| {
                let own = f64::from(name.starts_with("hidden"));
                sum.iter().zip(part).map(|(sum, score)| sum + own * score).collect()
            },
        );
        assert!(relative_error(&by_layer.values[0][0], &first) < 1e-12);
    }
}

#[test]
fn scores_do_not_depend_on_batches() {
    let world = World::new(2);
    let expected = influence(&world).scores(&world.queries).unwrap();
    let batches = |size: usize| -> Vec<_> {
        let starts = (0..TRAINING).step_by(size);
        starts.map(|n| part(&world.train, n, TRAINING.min(n + size))).collect()
    };
    for size in [1, 7, 16] {
        let kept = world.training.over(batches(size), Reduction::Mean).unwrap();
        let shared = Arc::new(Mutex::new(batches(size)));
        let streamed = world.training.over_stream(Reduction::Mean, move |visit| {
            let batches = shared.lock().unwrap().clone();
            batches.into_iter().try_for_each(visit)
        });
        let tests = (0..TEST).map(|n| part(&world.test, n, n + 1));
        let queries = world.queries.over(tests, Reduction::Mean).unwrap();
        for training in [kept, streamed.unwrap()] {
            let found = config().with_at_once(3).init(&training).unwrap().scores(&queries).unwrap();
            let error = relative_error(found.values(), expected.values());
            assert!(error < 1e-10, "batches of {size}: {error:e}");
            let step = config().init(&training).unwrap().newton_step(&[2, 20]).unwrap().step;
            let whole = influence(&world).newton_step(&[2, 20]).unwrap().step;
            assert!(relative_error(&vector(&step), &vector(&whole)) < 1e-10);
        }
    }
}

#[test]
fn a_sum_over_samples_has_scores_in_its_own_units() {
    let world = World::new(3);
    let sum = Objective::capture(&world.model, world.train.clone(), sum_of_losses).unwrap();
    let sum = sum.in_f64().unwrap();
    let count = TRAINING as f64;
    // N·ℒ with N·λ has the same minimum.
    let found = config().with_damping(0.5 * count).init(&sum).unwrap().scores(&world.queries);
    let expected = influence(&world).scores(&world.queries).unwrap();
    assert!(relative_error(found.unwrap().values(), expected.values()) < 1e-11);
    let upweighted = config().with_prediction(Prediction::Upweighted).init(&world.training);
    let upweighted = upweighted.unwrap().scores(&world.queries).unwrap();
    let scaled: Vec<f64> = expected.values().iter().map(|score| -count * score).collect();
    assert!(relative_error(upweighted.values(), &scaled) < 1e-13);
}

#[test]
fn self_influences_by_samples_and_by_coordinates() {
    let world = World::new(4);
    let matrix = damped(&world.hessian(), 0.5);
    let expected = |gradients: &[Vec<f64>], matrix: &Vec<Vec<f64>>| -> Vec<f64> {
        let count = gradients.len() as f64;
        gradients.iter().map(|g| dot(g, &solve(matrix, g)) / count).collect()
    };
    // Fewer samples than parameters.
    let own = influence(&world).self_influence().unwrap();
    let gradients = world.gradients(&world.train, TRAINING);
    assert!(relative_error(&own.scores, &expected(&gradients, &matrix)) < 1e-11);
    assert_eq!(own.report.solves.systems, TRAINING);
    // More samples than parameters.
    let twice: Vec<_> = [part(&world.train, 0, TRAINING), part(&world.train, 0, TRAINING)].into();
    let training = world.training.over(twice, Reduction::Mean).unwrap();
    let own = config().with_at_once(10).init(&training).unwrap().self_influence().unwrap();
    let gradients = [gradients.clone(), gradients].concat();
    assert!(relative_error(&own.scores, &expected(&gradients, &matrix)) < 1e-11);
    assert_eq!(own.report.solves.systems, 43);
}

#[test]
fn groups_and_the_largest_scores() {
    let world = World::new(5);
    let influence = influence(&world);
    let scores = influence.scores(&world.queries).unwrap();
    let groups = [vec![0, 4, 9], vec![12]];
    let (found, _) = influence.group_scores(&world.queries, &groups).unwrap();
    assert_eq!(found, scores.of_groups(&groups).unwrap());
    let row = scores.row(2).unwrap();
    assert!((found[2][0] - row[0] - row[4] - row[9]).abs() < 1e-15 && found[2][1] == row[12]);
    // A step for the group, along the gradient of the query.
    let step = influence.influence_step(&groups[0]).unwrap().step;
    let along = influence.change_along(&step, &world.queries).unwrap();
    assert!((along[2] - found[2][0]).abs() < 1e-12 * found[2][0].abs());

    let top = influence.top(&world.queries, 4).unwrap();
    for query in 0..TEST {
        let mut order: Vec<usize> = (0..TRAINING).collect();
        let row = scores.row(query).unwrap();
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
        let names = |top: &[(usize, f64)]| -> Vec<usize> { top.iter().map(|(n, _)| *n).collect() };
        assert_eq!(names(&top.largest[query]), order[..4]);
        order.reverse();
        assert_eq!(names(&top.smallest[query]), order[..4]);
        assert_eq!(scores.largest(query, 4), top.largest[query]);
        assert_eq!(scores.smallest(query, 4), top.smallest[query]);
    }
    assert_eq!(scores.largest(0, 1000).len(), TRAINING);
}

#[test]
fn a_query_is_losses_a_scalar_or_vectors() {
    let world = World::new(6);
    let influence = influence(&world);
    let each = influence.scores(&world.queries).unwrap();
    let mean = influence.scores(Query::Value(&world.queries)).unwrap();
    let average: Vec<f64> =
        (0..TRAINING).map(|n| each.rows().map(|row| row[n]).sum::<f64>() / TEST as f64).collect();
    assert!(relative_error(mean.values(), &average) < 1e-11);
    let vectors = [world.queries.gradient().unwrap(), world.queries.parameters().clone()];
    let given = influence.scores(&vectors[..]).unwrap();
    assert_eq!(given.queries(), 2);
    assert!(relative_error(given.row(0).unwrap(), &average) < 1e-11);
    let single = influence.scores(&vectors[1]).unwrap();
    assert!(relative_error(single.values(), given.row(1).unwrap()) < 1e-11);
    // Any scalar of the parameters, by a closure of its own: the margin of a class.
    let margin = Objective::capture(&world.model, world.test.0.clone(), |model, x: Tensor<2>| {
        let z = model.forward(x).sum_dim(0).squeeze_dim::<1>(0);
        z.clone().narrow(0, 0, 1) - z.narrow(0, 1, 1)
    });
    let margin = margin.unwrap().in_f64().unwrap();
    let of_margin = influence.scores(Query::Value(&margin)).unwrap();
    let gradient = margin.gradient().unwrap();
    let expected = influence.scores(&gradient).unwrap();
    assert!(relative_error(of_margin.values(), expected.values()) < 1e-12);
    let along = influence.change_along(&vectors[1], Query::Value(&world.queries)).unwrap();
    assert!((along[0] - vectors[0].dot(&vectors[1]).unwrap()).abs() < 1e-13);
    assert_eq!(influence.change_along(&vectors[1], &vectors[..]).unwrap().len(), 2);
}

#[test]
fn blocks_of_queries_are_passed_on_in_order_and_observed() {
    let world = World::new(7);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let influence = config().with_at_once(2).init(&world.training).unwrap();
    let influence = influence
        .with_progress(move |progress| sink.lock().unwrap().push((progress.done, progress.total)));
    let whole = influence.scores(&world.queries).unwrap();
    assert_eq!(*seen.lock().unwrap(), [(2, 5), (4, 5), (5, 5)]);
    let mut rest = Vec::new();
    let report = influence
        .visit_scores(&world.queries, Some(2..5), |block| {
            assert_eq!(block.first, 2 + rest.len() / TRAINING);
            rest.extend(block.rows.concat());
            Ok(())
        })
        .unwrap();
    // Taken up again at a multiple of `at_once`: bit for bit.
    assert_eq!(rest, whole.values()[2 * TRAINING..]);
    assert_eq!((report.queries, report.directional_derivatives), (3, 3));
    // And a second time, from another thread.
    let again = std::thread::scope(|scope| {
        scope.spawn(|| influence.scores(&world.queries).unwrap()).join().unwrap()
    });
    assert_eq!(again.values(), whole.values());
}

/// The iterations of each query by itself, down to the tolerance; scores are the same bits with and without an observer.
#[test]
fn solves_of_single_queries_are_observed() {
    let world = World::new(17);
    let tolerance = 1e-9;
    for estimator in [
        Estimator::ConjugateGradient(
            ConjugateGradientConfig::new().with_relative_tolerance(tolerance),
        ),
        Estimator::Minres(MinresConfig::new().with_relative_tolerance(tolerance)),
    ] {
        let config = InfluenceConfig::new(estimator).with_damping(0.5);
        for (at_once, observed) in [(1, TEST), (2, 1), (TEST, 0)] {
            let config = config.clone().with_at_once(at_once);
            let plain = config.init(&world.training).unwrap().scores(&world.queries).unwrap();
            let seen = Arc::new(Mutex::new(Vec::new()));
            let sink = Arc::clone(&seen);
            let influence = config.init(&world.training).unwrap().with_iterations(move |at| {
                sink.lock().unwrap().push((at.index, at.relative_residual));
            });
            let found = influence.scores(&world.queries).unwrap();
            assert_eq!(found.values(), plain.values());
            let seen = seen.lock().unwrap();
            // Each solve starts at its first iteration and ends at the tolerance.
            let solves: Vec<_> = seen.chunk_by(|a, b| b.0 == a.0 + 1).collect();
            assert_eq!(solves.len(), observed, "{seen:?}");
            for solve in solves {
                assert_eq!(solve[0].0, 1);
                assert!(solve[solve.len() - 1].1 <= tolerance, "{solve:?}");
            }
        }
    }
}

/// An iteration of LiSSA is a repeat of its series.
#[test]
fn repeats_of_lissa_are_observed() {
    let world = World::new(18);
    let singles: Vec<_> = (0..TRAINING).map(|n| part(&world.train, n, n + 1)).collect();
    let training = world.training.over(singles, Reduction::Mean).unwrap();
    let lissa = LissaConfig::new().with_scale(Some(4.0)).with_depth(40).with_repeats(3);
    let config = InfluenceConfig::new(Estimator::Lissa(lissa)).with_damping(0.5).with_at_once(1);
    let config = config.with_curvature(Curvature::GaussNewton);
    let plain = config.init(&training).unwrap().scores(&world.queries).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let influence = config.init(&training).unwrap();
    let influence = influence.with_iterations(move |at| sink.lock().unwrap().push(at.index));
    assert_eq!(influence.scores(&world.queries).unwrap().values(), plain.values());
    assert_eq!(*seen.lock().unwrap(), [1, 2, 3].repeat(TEST));
}

#[test]
fn averages_over_checkpoints_are_means_of_scores() {
    let world = World::new(8);
    let space = world.training.parameters().space();
    let here = world.training.parameters().clone();
    let there = here.clone().axpy(0.05, &space.normal(3)).unwrap();
    let at = |parameters| {
        let influence = config().init(&world.training.at(parameters).unwrap()).unwrap();
        influence.scores(&world.queries.at(parameters).unwrap()).unwrap()
    };
    let (a, b) = (at(&here), at(&there));
    let mean: Vec<f64> = a.values().iter().zip(b.values()).map(|(a, b)| 0.5 * (a + b)).collect();
    let averaged = config().init_averaged(&world.training, &[here.clone(), there.clone()]).unwrap();
    let found = averaged.scores(&world.queries).unwrap();
    assert!(relative_error(&found.rows.concat(), &mean) < 1e-13);
    assert_eq!(found.reports, [a.report.clone(), b.report.clone()]);
    let moved = [world.queries.at(&here).unwrap(), world.queries.at(&there).unwrap()];
    let queries = [Query::Samples(&moved[0]), Query::Samples(&moved[1])];
    assert_eq!(averaged.scores_at(&queries).unwrap().rows, found.rows);
    assert!(averaged.scores_at(&queries[..1]).is_err());
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
