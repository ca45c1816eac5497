//! What cannot be attributed is refused, with what to do.

use burn::{module::Param, prelude::*};
use burn_curvature::{
    Error, Likelihood, Loss, Objective, Reduction,
    errors::{CaptureError, ConfigError, InfluenceError, ObjectiveError, VectorError},
    influence::{
        AveragedInfluence, Curvature, Estimator, Influence, InfluenceConfig, Prediction, Query,
    },
    solver::NystromConfig,
};

use super::{World, losses, reports::Line};
use crate::{
    classifier::{Classifier, Samples},
    failure::failure,
};

fn config() -> InfluenceConfig {
    InfluenceConfig::default().with_damping(0.5)
}

fn capture<L: Into<Loss> + 'static>(
    world: &World,
    loss: impl Fn(Tensor<1>) -> L + Send + Sync + 'static,
) -> Objective {
    let closure = move |model: &Classifier, batch: Samples| {
        let (z, losses) = losses(model, batch);
        (z, loss(losses))
    };
    Objective::capture(&world.model, world.train.clone(), closure).unwrap()
}

/// The loss of each sample is what the closure returned, and no number of something else.
#[test]
fn a_closure_that_reduces_its_losses_is_refused() {
    let world = World::new(1);
    let scalar = capture(&world, |losses| losses.mean());
    let stated = scalar.reduced_by(Reduction::Mean).unwrap();
    let weighted = capture(&world, |losses| {
        let count = Tensor::<1>::full([1], 30.0, &losses.device());
        Loss::weighted(losses.sum(), count)
    });
    for objective in [scalar, stated, weighted] {
        let found = config().init(&objective);
        let error: &ObjectiveError = failure(&found).unwrap();
        assert!(matches!(error, ObjectiveError::NoSampleLosses { .. }), "{error}");
        assert!(error.to_string().contains("Loss::mean_of(losses)"));
        let queries = influence(&world).scores(&objective);
        assert!(queries.is_err());
    }
    for (objective, losses) in [
        (capture(&world, |losses| Loss::mean_of(losses.mean())), 1),
        (capture(&world, |losses| Loss::sum_of(losses.narrow(0, 0, 15))), 15),
    ] {
        let found = config().init(&objective);
        let expected = ObjectiveError::LossCount { losses, samples: 30 };
        assert_eq!(failure(&found), Some(&expected));
    }
}

/// Samples whose losses depend on each other have no influences of their own.
#[test]
fn a_loss_that_depends_on_other_samples_is_refused() {
    let world = World::new(6);
    let shared = capture(&world, |losses| {
        let mean = losses.clone().mean();
        Loss::mean_of(losses * 2.0 - mean)
    });
    let found = config().init(&shared);
    let error: &ObjectiveError = failure(&found).unwrap();
    assert!(matches!(error, ObjectiveError::SharedLosses { sample: 0, part: 15, whole: 30, .. }));
    assert!(error.to_string().contains("evaluation()"), "{error}");
    // A closure for one number of samples is taken on trust.
    let fixed = capture(&world, |losses| Loss::mean_of(losses.reshape([30])));
    assert!(config().init(&fixed).is_ok());
}

/// One pair in a batch of thirty, in the same half of it, by a thousandth.
#[test]
fn one_pair_of_samples_that_depend_on_each_other_is_found() {
    let world = World::new(6);
    for seed in 0..100 {
        let (from, to) = (seed % 15, (7 * seed + 1) % 15);
        let to = if from == to { to + 1 } else { to };
        let coupled = capture(&world, move |losses| {
            let share = losses.clone().narrow(0, from, 1) * 1e-3;
            let shared = losses.clone().narrow(0, to, 1) + share;
            Loss::mean_of(losses.slice_assign(to..to + 1, shared))
        });
        let found = config().init(&coupled);
        let error: &ObjectiveError = failure(&found).unwrap();
        assert!(matches!(error, ObjectiveError::SharedLosses { .. }), "seed {seed}: {error}");
        assert!(error.to_string().contains("another order"), "{error}");
    }
}

fn influence(world: &World) -> Influence {
    config().init(&world.training).unwrap()
}

#[test]
fn configurations_out_of_range() {
    let world = World::new(2);
    let init = |config: InfluenceConfig| config.init(&world.training);
    for (config, field) in [
        (config().with_damping(-1.0), "damping"),
        (config().with_damping(f64::NAN), "damping"),
        (config().with_weight_decay(f64::INFINITY), "weight_decay"),
        (config().with_at_once(0), "at_once"),
        (config().with_damping(f64::MAX).with_weight_decay(f64::MAX), "damping"),
    ] {
        let found = init(config);
        assert_eq!(failure::<_, ConfigError>(&found).unwrap().field, field);
    }
    let kfac = InfluenceConfig::new(Estimator::kfac()).with_damping(0.1);
    // Beyond the range of f32 the scores would be zero.
    let narrow = capture(&world, Loss::mean_of);
    let categorical = Curvature::Fisher(Likelihood::Categorical);
    let found = kfac.clone().with_curvature(categorical).with_damping(1e40).init(&narrow);
    assert_eq!(failure::<_, ConfigError>(&found).unwrap().field, "damping");
    let found = init(kfac.with_curvature(Curvature::GaussNewton));
    assert!(matches!(failure(&found), Some(InfluenceError::NotFisher { .. })));
    let nystrom = InfluenceConfig::new(Estimator::Nystrom(NystromConfig::new(5, 0.1)));
    let found = init(nystrom.with_damping(0.2));
    assert_eq!(failure(&found), Some(&InfluenceError::OtherDamping { found: 0.1, expected: 0.2 }));
}

#[test]
fn queries_of_something_else() {
    let world = World::new(3);
    let influence = influence(&world);
    let none: &[burn_curvature::ParamVector] = &[];
    assert_eq!(failure(&influence.scores(none)), Some(&InfluenceError::NoQuery));
    // Another instance of the model is another set of parameters.
    let other = World::new(3);
    for query in [Query::Samples(&other.queries), Query::Value(&other.queries)] {
        let found = influence.scores(query);
        assert!(matches!(failure(&found), Some(VectorError::LayoutMismatch { .. })), "{found:?}");
    }
    let other_precision = world.training.in_precision(burn_curvature::Precision::F32).unwrap();
    assert!(influence.scores(Query::Value(&other_precision)).is_err());
    let space = world.training.parameters().space();
    let nan = space.full(f64::NAN);
    let found = influence.scores(&nan);
    assert!(matches!(failure(&found), Some(VectorError::NonFinite { .. })), "{found:?}");
    assert!(influence.change_along(&nan, &world.queries).is_err());
    let range = |range| influence.visit_scores(&world.queries, Some(range), |_| Ok(()));
    let expected = InfluenceError::QueryRange { start: 4, end: 6, queries: 5 };
    assert_eq!(failure(&range(4..6)), Some(&expected));
    assert!(range(2..2).is_err());
    let stopped = influence.visit_scores(&world.queries, None, |_| {
        Err(Error::new(std::io::Error::other("the disk is full")))
    });
    assert_eq!(stopped.unwrap_err().to_string(), "the disk is full");
    assert!(influence.top(&world.queries, 0).is_err());
}

/// Samples that the closure cannot take, a training set without any, and checkpoints of another training.
#[test]
fn a_training_set_that_does_not_belong_to_the_objective() {
    let world = World::new(8);
    let ((x, y), (a, b)) = (world.train.clone(), world.test.clone());
    let wide = (x.clone().repeat_dim(1, 2), y.clone());
    let ragged = (x.narrow(0, 0, 29), y);
    for batch in [wide, ragged] {
        let alone = world.training.on(batch.clone()).and_then(|o| config().init(&o));
        assert!(matches!(failure(&alone), Some(CaptureError::Panicked { .. })), "{alone:?}");
        let mixed = vec![world.train.clone(), batch];
        let over = world.training.over(mixed, Reduction::Mean);
        let found = over.and_then(|over| config().init(&over));
        assert!(matches!(failure(&found), Some(CaptureError::Panicked { .. })), "{found:?}");
    }
    let nothing: Vec<Samples> = Vec::new();
    let found = world.training.over(nothing, Reduction::Mean).and_then(|o| config().init(&o));
    assert!(failure::<_, ObjectiveError>(&found).is_some(), "{found:?}");

    let other = World::new(8);
    let theta = other.training.parameters().clone();
    let found = config().init_averaged(&world.training, &[theta]);
    assert!(matches!(failure(&found), Some(VectorError::LayoutMismatch { .. })), "{found:?}");
    let fewer = world.training.on((a, b)).unwrap();
    let points = vec![influence(&world), config().init(&fewer).unwrap()];
    let found = AveragedInfluence::new(points);
    let expected = InfluenceError::OtherSamples { expected: 30, found: 5 };
    assert_eq!(failure(&found), Some(&expected));
    let upweighted = config().with_prediction(Prediction::Upweighted);
    let points = vec![influence(&world), upweighted.init(&world.training).unwrap()];
    let found = AveragedInfluence::new(points);
    assert!(matches!(failure(&found), Some(InfluenceError::OtherScale { .. })), "{found:?}");
    let products = InfluenceConfig::new(Estimator::Identity).init(&world.training).unwrap();
    let changes = config().init(&world.training).unwrap();
    let found = AveragedInfluence::new(vec![products, changes]);
    assert!(matches!(failure(&found), Some(InfluenceError::OtherScale { .. })), "{found:?}");
    let averaged = AveragedInfluence::new(vec![influence(&world), influence(&world)]).unwrap();
    let found = averaged.scores_at(&[Query::Samples(&world.queries)]);
    let expected = InfluenceError::QueryCount { expected: 2, found: 1 };
    assert_eq!(failure(&found), Some(&expected));
}

#[test]
fn groups_out_of_range() {
    let world = World::new(4);
    let influence = influence(&world);
    let groups = |groups: &[Vec<usize>]| influence.group_scores(&world.queries, groups);
    let error = InfluenceError::NoSuchSample { group: 1, sample: 30, samples: 30 };
    assert_eq!(failure(&groups(&[vec![0], vec![30]])), Some(&error));
    let error = InfluenceError::EmptyGroup { group: 0 };
    assert_eq!(failure(&groups(&[vec![]])), Some(&error));
    let error = InfluenceError::Repeated { group: 0, sample: 2 };
    assert_eq!(failure(&groups(&[vec![2, 1, 2]])), Some(&error));
    assert_eq!(failure(&influence.newton_step(&[2, 2])), Some(&error));
    assert!(influence.influence_step(&[31]).is_err());
    let all: Vec<usize> = (0..30).collect();
    let error = InfluenceError::NothingLeft { group: 0, samples: 30 };
    assert_eq!(failure(&influence.newton_step(&all)), Some(&error));
    assert_eq!(
        failure(&influence.scores_by_part(&world.queries, &[])),
        Some(&InfluenceError::NoPart)
    );
    let other = World::new(4);
    let subset = other.training.layout().select_module("hidden").unwrap();
    assert!(influence.scores_by_part(&world.queries, &[("hidden", &subset)]).is_err());
    let averaged = config().init_averaged(&world.training, &[]);
    assert_eq!(failure(&averaged), Some(&InfluenceError::NoCheckpoint));
}

/// One sample whose loss is not a number is named.
#[test]
fn a_loss_that_is_not_finite_is_named() {
    let world = World::new(5);
    let (x, y) = world.test.clone();
    let x =
        x.slice_assign([3..4, 0..1], Tensor::full([1, 1], f32::NAN, &Device::default().autodiff()));
    let queries = world.queries.on((x.clone(), y.clone())).unwrap();
    let found = influence(&world).scores(&queries);
    assert!(matches!(failure(&found), Some(VectorError::NonFinite { .. })), "{found:?}");
    assert!(config().init(&queries).is_err());
}

/// ℓ = (w − √y)²: at y = 0 it has a derivative by w, which has none by y. A direction is no number either.
#[test]
fn derivatives_that_are_not_finite_are_named() {
    let device = Device::default().autodiff();
    let model = Line { w: Param::from_tensor(Tensor::from_floats([2.0], &device)) };
    let of = |y: &[f32]| Tensor::<1>::from_floats(y, &device);
    let training = Objective::capture(&model, of(&[1.0, 1.0, 4.0]), |model, y: Tensor<1>| {
        Loss::mean_of((model.w.val() - y.sqrt()).powf_scalar(2.0))
    });
    let influence = config().init(&training.unwrap()).unwrap();
    let direction = influence.training().parameters().clone();
    assert!(influence.input_gradients(&direction, of(&[1e-6, 1.0])).is_ok());
    let found = influence.input_gradients(&direction, of(&[0.0, 1.0]));
    let Some(VectorError::NonFinite { count, .. }) = failure(&found) else { panic!("{found:?}") };
    assert_eq!(*count, 1);
    let nan = direction.clone().scale(f64::NAN);
    for found in [
        influence.change_along(&direction, &nan).map(drop),
        influence.change_along(&nan, &direction).map(drop),
        influence.scores(&nan).map(drop),
    ] {
        assert!(matches!(failure(&found), Some(VectorError::NonFinite { .. })), "{found:?}");
    }
}

/// There is no derivative by a token.
#[test]
fn inputs_that_are_integers_are_refused() {
    let world = World::new(7);
    let labels = world.train.1.clone();
    let tokens = Objective::capture(&world.model, labels.clone(), |model, y: Tensor<1, Int>| {
        let weight = model.hidden_weight().narrow(0, 0, 1).expand([30, 5]);
        let chosen = weight.gather(1, y.unsqueeze_dim(1)).squeeze_dim::<1>(1);
        Loss::mean_of(chosen.powf_scalar(2.0))
    });
    let influence = config().init(&tokens.unwrap()).unwrap();
    let direction = influence.training().parameters().clone();
    let found = influence.input_gradients(&direction, labels);
    assert_eq!(failure(&found), Some(&ObjectiveError::NoFloats));
    let single = world.train.0.clone();
    assert!(influence.input_gradients(&direction, single).is_err());
}
