//! The training set in batches of random lengths, some of them empty, and a model with a frozen layer: the scores of one
//! batch, a typed error, and the scores of a linear model.

use burn::{
    module::Param,
    nn::Linear,
    prelude::*,
    tensor::{DType, activation::tanh},
};
use burn_curvature::{
    ConjugateGradientConfig, DirectConfig, Error, Likelihood, Loss, Objective, Reduction,
    errors::BatchError,
    influence::{Curvature, Estimator, InfluenceConfig},
};

use super::{TRAINING, World, losses_of, mean_of_losses, part};
use crate::{classifier::Samples, compare::relative_error, failure::failure, random::SplitMix64};

/// Estimators whose scores are determined to rounding.
fn estimators() -> Vec<InfluenceConfig> {
    let fisher = Curvature::Fisher(Likelihood::Categorical);
    let cg = ConjugateGradientConfig::new().with_relative_tolerance(1e-13);
    let of = |estimator, curvature| InfluenceConfig::new(estimator).with_curvature(curvature);
    let all = [
        of(Estimator::Dense(DirectConfig::new()), Curvature::Hessian),
        of(Estimator::ConjugateGradient(cg), Curvature::GaussNewton),
        of(Estimator::kfac(), fisher),
        of(Estimator::ekfac(), fisher),
        of(Estimator::Identity, Curvature::Hessian),
    ];
    all.map(|config| config.with_damping(0.8).with_weight_decay(0.01)).to_vec()
}

/// Everything that an influence says of its training samples, as one list.
fn everything(
    config: &InfluenceConfig,
    training: &Objective,
    queries: &Objective,
) -> Result<Vec<f64>, Error> {
    let influence = config.init(training)?;
    let groups = [vec![0, 7, 29], vec![13]];
    let mut all = influence.scores(queries)?.values().to_vec();
    all.extend(influence.self_influence()?.scores);
    all.extend(influence.scores_by_parameter(queries)?.values.concat().concat());
    all.extend(influence.group_scores(queries, &groups)?.0.concat());
    all.extend(influence.training_losses()?);
    all.extend(influence.newton_step(&groups[0])?.step.to_vec()?);
    Ok(all)
}

/// The samples in neighboring batches of random lengths from 1 to 9.
fn ragged(samples: &Samples, numbers: &mut SplitMix64) -> Vec<Samples> {
    let (mut batches, mut first) = (Vec::new(), 0);
    while first < TRAINING {
        let last = TRAINING.min(first + 1 + numbers.below(9));
        batches.push(part(samples, first, last));
        first = last;
    }
    batches
}

#[test]
fn batches_of_any_lengths_have_the_scores_of_one() {
    for (seed, config) in (0..).zip(estimators()) {
        let world = World::new(80 + seed);
        let mut numbers = SplitMix64::new(seed);
        let expected = everything(&config, &world.training, &world.queries).unwrap();
        for _ in 0..2 {
            let batches = ragged(&world.train, &mut numbers);
            let lengths: Vec<_> = batches.iter().map(|(x, _)| x.dims()[0]).collect();
            let held = world.training.over(batches.clone(), Reduction::Mean).unwrap();
            let stream = move |visit: &mut dyn FnMut(Samples) -> Result<(), Error>| {
                batches.iter().cloned().try_for_each(visit)
            };
            let streamed = world.training.over_stream(Reduction::Mean, stream).unwrap();
            for training in [held, streamed.with_memory_budget(0)] {
                let found = everything(&config, &training, &world.queries).unwrap();
                let error = relative_error(&found, &expected);
                assert!(error < 1e-10, "{:?} {lengths:?}: {error:e}", config.estimator);
            }
        }
    }
}

/// An empty batch at a random place, of a list and of a stream.
#[test]
fn empty_batches_are_refused() {
    let world = World::new(90);
    let mut numbers = SplitMix64::new(11);
    for _ in 0..3 {
        let mut batches = ragged(&world.train, &mut numbers);
        let (x, y) = world.train.clone();
        batches.insert(numbers.below(batches.len() + 1), (x.slice(0..0), y.slice(0..0)));
        let held = world.training.over(batches.clone(), Reduction::Mean);
        let streamed = world
            .training
            .over_stream(Reduction::Mean, move |visit| batches.iter().cloned().try_for_each(visit));
        for training in [held, streamed] {
            let found = training.and_then(|training| estimators()[1].init(&training));
            assert!(matches!(failure(&found), Some(BatchError::Empty { .. })), "{found:?}");
        }
    }
}

/// With a frozen hidden layer scores are those of its outputs as features of a linear model.
#[test]
fn a_frozen_layer_is_a_feature_map() {
    for (seed, config) in (0..).zip(estimators()) {
        let world = World::new(91 + seed);
        let mut frozen = world.model.clone();
        frozen.hidden = frozen.hidden.no_grad();
        let capture = |batch: &Samples| -> Objective {
            let captured = Objective::capture(&frozen, batch.clone(), mean_of_losses).unwrap();
            captured.in_f64().unwrap()
        };
        let (training, queries) = (capture(&world.train), capture(&world.test));
        assert_eq!(training.layout().len(), 18); // of 43
        let found = everything(&config, &training, &queries).unwrap();

        // The features in f64, as the frozen layer computes them there.
        let device = world.train.0.device();
        let wide = |tensor: Tensor<2>| tensor.cast(DType::F64);
        let hidden = &world.model.hidden;
        let (weight, bias) = (hidden.weight.val(), hidden.bias.as_ref().unwrap().val());
        let features = |(x, y): &Samples| {
            let z = wide(x.clone()).matmul(wide(weight.clone())) + wide(bias.clone().unsqueeze());
            (Tensor::<2>::from_data(tanh(z).into_data(), (&device, DType::F64)), y.clone())
        };
        let head = in_f64(&world.model.output);
        let training =
            Objective::capture(&head, features(&world.train), |head: &Linear, (x, y): Samples| {
                let z = head.forward(x);
                (z.clone(), Loss::mean_of(losses_of(z, y)))
            });
        let training = training.unwrap().in_f64().unwrap();
        let queries = training.on(features(&world.test));
        let expected = everything(&config, &training, &queries.unwrap()).unwrap();
        let error = relative_error(&found, &expected);
        assert!(error < 1e-9, "{:?}: {error:e}", config.estimator);
    }
}

/// The same layer with parameters of f64.
fn in_f64(layer: &Linear) -> Linear {
    let mut layer = layer.clone();
    let wide = |data: TensorData| data.convert::<f64>();
    let device = layer.weight.val().device();
    let weight = wide(layer.weight.val().into_data());
    layer.weight = Param::from_tensor(Tensor::from_data(weight, (&device, DType::F64)));
    layer.bias = layer.bias.as_ref().map(|bias| {
        let bias = wide(bias.val().into_data());
        Param::from_tensor(Tensor::from_data(bias, (&device, DType::F64)))
    });
    layer
}
