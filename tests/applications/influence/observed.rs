//! Progress and iterations that are passed to an observer.

use std::sync::{Arc, Mutex};

use burn_curvature::{
    ConjugateGradientConfig, MinresConfig, Reduction,
    influence::{Curvature, Estimator, InfluenceConfig},
    solver::LissaConfig,
};

use super::{TEST, TRAINING, World, part, results::config};

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
