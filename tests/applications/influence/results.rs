//! What a result is made of: parts, groups, the samples themselves, batches, ranges.

use std::sync::{Arc, Mutex};

use burn::prelude::*;
use burn_curvature::{
    ConjugateGradientConfig, Objective, Reduction,
    influence::{Estimator, Influence, InfluenceConfig, Prediction, Query},
};

use super::{TEST, TRAINING, World, damped, part, sum_of_losses, vector};
use crate::{compare::relative_error, dense::dot, oracle::solve};

pub(super) fn config() -> InfluenceConfig {
    let cg = ConjugateGradientConfig::new().with_relative_tolerance(1e-14);
    InfluenceConfig::new(Estimator::ConjugateGradient(cg)).with_damping(0.5)
}

pub(super) fn influence(world: &World) -> Influence {
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
