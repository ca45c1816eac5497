//! Scores by EKFAC in its eigenbases, and of queries that do not come out of the same layers. Networks with places, groups,
//! embeddings and norms are tested with the gradients of their samples.

use burn::{prelude::*, tensor::activation::tanh};
use burn_curvature::{
    Likelihood, Loss, Objective, ParamVector, Reduction,
    errors::VectorError,
    influence::{Curvature, Estimator, Influence, InfluenceConfig, Prediction},
};

use super::{TEST, World, losses, part};
use crate::{
    classifier::{Classifier, Samples},
    compare::relative_error,
    failure::failure,
};

fn config() -> InfluenceConfig {
    InfluenceConfig::new(Estimator::ekfac())
        .with_curvature(Curvature::Fisher(Likelihood::Categorical))
        .with_damping(0.03)
}

fn influence(world: &World) -> Influence {
    config().init(&world.training).unwrap()
}

/// The gradients of the losses of an objective's samples, by an objective for each.
fn gradients(queries: &Objective, batch: &Samples) -> Vec<ParamVector> {
    let of_sample = |n: usize| queries.on(part(batch, n, n + 1)).unwrap().gradient().unwrap();
    (0..TEST).map(of_sample).collect()
}

type Closure = fn(&Classifier, Samples) -> (Tensor<2>, Loss);

/// The score of a class in place of the loss, and a temperature that scales the weights themselves.
const OTHERS: [Closure; 3] = [
    |model, batch| {
        let (z, losses) = losses(model, batch);
        (z, Loss::sum_of(losses.powf_scalar(2.0)))
    },
    |model, (x, y)| {
        let z = model.forward(x);
        let margin = z.clone().gather(1, y.unsqueeze_dim(1)).squeeze_dim::<1>(1);
        (z, Loss::mean_of(margin))
    },
    |model, (x, y)| {
        let scaled = model.output.weight.val() * 0.5;
        let z = tanh(model.hidden.forward(x)).matmul(scaled);
        let margin = z.clone().gather(1, y.unsqueeze_dim(1)).squeeze_dim::<1>(1);
        (z, Loss::mean_of(margin))
    },
];

#[test]
fn queries_may_have_losses_of_their_own() {
    for seed in [1, 2, 3] {
        let world = World::new(seed);
        for (at, closure) in OTHERS.into_iter().enumerate() {
            let queries = Objective::capture(&world.model, world.test.clone(), closure).unwrap();
            let queries = queries.in_f64().unwrap();
            let vectors = gradients(&queries, &world.test);
            for prediction in [Prediction::LeftOut, Prediction::Upweighted] {
                let config = config().with_weight_decay(0.02).with_prediction(prediction);
                let influence = config.init(&world.training).unwrap();
                let expected = influence.scores(&vectors).unwrap();
                let found = influence.scores(&queries).unwrap();
                let error = relative_error(found.values(), expected.values());
                assert!(error < 1e-11, "closure {at}, seed {seed}: {error:e}");
            }
        }
    }
}

/// Ranges that begin and end within batches.
#[test]
fn ranges_of_queries_are_rows_of_the_whole() {
    let world = World::new(4);
    let influence = influence(&world);
    let whole = influence.scores(&world.queries).unwrap();
    let pieces = [(0, 2), (2, 5)].map(|(from, to)| part(&world.test, from, to));
    let apart = world.queries.over(pieces, Reduction::Mean).unwrap();
    for queries in [&world.queries, &apart] {
        for range in [0..1, 1..3, 2..5, 4..5] {
            let (mut rows, mut first) = (Vec::new(), None);
            let visit = |block: burn_curvature::influence::ScoreRows| {
                first = Some(block.first);
                rows.extend(block.rows.concat());
                Ok(())
            };
            let report = influence.visit_scores(queries, Some(range.clone()), visit).unwrap();
            assert_eq!((first, report.queries), (Some(range.start), range.len()));
            let expected: Vec<f64> =
                range.flat_map(|query| whole.row(query).unwrap()).copied().collect();
            assert!(relative_error(&rows, &expected) < 1e-12);
        }
    }
}

#[test]
fn a_query_that_is_not_finite_is_named() {
    let world = World::new(5);
    let (x, y) = world.test.clone();
    let device = Device::default().autodiff();
    let x = x.slice_assign([3..4, 0..1], Tensor::full([1, 1], f32::NAN, &device));
    let found = influence(&world).scores(&world.queries.on((x, y)).unwrap());
    assert!(matches!(failure(&found), Some(VectorError::NonFinite { .. })), "{found:?}");
}
