//! Steps of K-FAC in training mode: as data-parallel training, with the same bits on all ranks.

use burn::{prelude::*, tensor::activation::log_softmax};
use burn_curvature::{
    CaptureConfig, Error, Likelihood, Loss, Objective, ParamVector, Reduction,
    communicator::Communicator,
    errors::{ObjectiveError, OptimizerError},
};

use crate::{
    device,
    equal::compare,
    failure::failure,
    modes::{self, Normed},
    run,
    shares::{self, Samples},
};

const TARGET: Likelihood = Likelihood::Categorical;

/// The model is in f32; everything else is computed in f64.
#[test]
fn steps_in_training_mode_are_those_by_hand() {
    for size in 2..=4 {
        compare(move |_, ranks| modes::figures(ranks, size, &device()), 1e-6, [size]);
    }
}

/// The loss of [`Normed`] with its divisor stated: the number of samples.
fn stated(model: &Normed, (x, y): Samples) -> (Tensor<2>, Loss) {
    let z = model.logits(x);
    let losses = -log_softmax(z.clone(), 1).gather(1, y.unsqueeze_dim(1)).squeeze_dim::<1>(1);
    (z, Loss::mean_of(losses))
}

fn capture_stated(model: &Normed, device: &Device) -> Result<Objective, Error> {
    CaptureConfig::new().evaluation().init(model, shares::batch(0, device), stated)?.in_f64()
}

/// What a closure states as the divisor of its loss is that of Burn's gradient too.
#[test]
fn steps_by_a_loss_with_a_stated_divisor_are_those_by_hand() {
    for size in 2..=3 {
        let steps = move |_: &_, ranks| modes::steps(capture_stated, ranks, size, &device());
        compare(steps, 1e-6, [size]);
    }
}

/// Each rank drops out other units, and all have the same model.
#[test]
fn networks_with_dropout_train() {
    let found = run(3, |ranks| {
        let device = device();
        let mut model = Normed::new(0.25, &device);
        let shared = modes::capture(&model, &device)?.shared(ranks.clone())?;
        let mine = modes::batch(ranks.rank(), 3, &device);
        let risk = shared.over([mine.clone()], Reduction::Mean)?;
        let mut values = vec![risk.value()?];
        let mut optimizer = modes::config().init(&shared, TARGET)?;
        for _ in 0..20 {
            (model, _) = optimizer.step(&model, mine.clone())?;
        }
        values.push(risk.at_model(&model)?.value()?);
        let refused = optimizer.step_on(&model, &risk).map(drop);
        // In evaluation mode that works.
        optimizer.step_on(&model.valid(), &risk)?;
        let theta: ParamVector = ParamVector::from_module(&model)?;
        Ok((values, theta.to_vec()?, model.statistics(), refused))
    });
    let found: Vec<_> = found.into_iter().map(Result::unwrap).collect();
    for (values, theta, statistics, refused) in &found {
        assert!(values[1] < 0.8 * values[0], "{values:?}");
        assert_eq!((values, theta, statistics), (&found[0].0, &found[0].1, &found[0].2));
        assert!(matches!(failure(refused), Some(OptimizerError::TrainingMode { layers: 2, .. })));
    }
}

/// A loss that is not finite on one rank: an error on all of them, the statistics of before, and work goes on.
#[test]
fn a_pass_that_fails_on_one_rank_leaves_all_as_they_were() {
    let found = run(3, |ranks| {
        let device = device();
        let model = Normed::new(0.0, &device);
        let shared = modes::capture(&model, &device)?.shared(ranks.clone())?;
        let mut optimizer = modes::config().init(&shared, TARGET)?;
        let mine = modes::batch(ranks.rank(), 3, &device);
        let (model, _) = optimizer.step(&model, mine.clone())?;
        let before = model.statistics();
        let factor = if ranks.rank() == 1 { f32::NAN } else { 2.0 };
        let broken = (mine.0.clone().mul_scalar(factor), mine.1.clone());
        let failed = optimizer.step(&model, broken).map(drop);
        let same = model.statistics() == before;
        let (model, _) = optimizer.step(&model, mine)?;
        Ok((failed, same, model.statistics() != before, model.statistics()))
    });
    let found: Vec<_> = found.into_iter().map(Result::unwrap).collect();
    for (failed, same, moves, statistics) in &found {
        let kind = failure::<_, ObjectiveError>(failed);
        assert!(matches!(kind, Some(ObjectiveError::NotFiniteLoss { .. })), "{failed:?}");
        assert!(same & moves);
        assert_eq!(statistics, &found[0].3);
    }
}
