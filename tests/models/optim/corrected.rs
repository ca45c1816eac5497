//! Steps with the eigenvalue-corrected inverse: compared with the same on dense matrices, and in training.

use crate::failure::failure;
use burn::tensor::{DType, Device};
use burn_curvature::{
    KfacConfig, KfacOptimizerConfig,
    errors::{KfacError, OptimizerError},
    kfac::KfacFisher,
    optim::{KfacInverse, StepRule},
};

use super::{
    TARGET, exact_config,
    layers_by_hand::{Layer, seen},
    optimizer, parameters, problem,
};
use crate::{B, Classifier, without_draws};

const RATE: f64 = 0.3;
pub(super) const DAMPING: f64 = 0.2;
const DECAY: f64 = 0.6;

/// The same values in f64, so that steps are not rounded.
fn in_f64(mut model: Classifier) -> Classifier {
    for layer in [&mut model.hidden, &mut model.output] {
        layer.weight =
            layer.weight.clone().map(|weight| weight.cast(DType::F64).detach().require_grad());
        let bias = layer.bias.take();
        layer.bias =
            bias.map(|bias| bias.map(|bias| bias.cast(DType::F64).detach().require_grad()));
    }
    model
}

fn config(factor_period: usize) -> KfacOptimizerConfig {
    KfacOptimizerConfig::stochastic(RATE)
        .with_kfac(without_draws())
        .with_rule(StepRule::LearningRate { rate: RATE, momentum: 0.0, limit: None })
        .with_damping(DAMPING)
        .with_decay(DECAY)
        .with_inverse_period(5)
        .with_factor_period(factor_period)
        .with_inverse(KfacInverse::EigenvalueCorrected)
}

#[test]
fn steps_are_those_of_dense_matrices() {
    let device = Device::flex().autodiff();
    for (seed, period) in [(1, 1), (2, 1), (3, 2)] {
        let (model, batch, objective) = problem::<B>(seed, &device);
        let mut model = in_f64(model);
        let mut optimizer = optimizer(&config(period), &objective);
        let (mut layers, mut updates) = ([Layer::default(), Layer::default()], 0);
        for k in 1..=12 {
            // Batches of four samples, one after another.
            let rows = 4 * (k % 3)..4 * (k % 3) + 4;
            let part = (batch.0.clone().slice([rows.clone()]), batch.1.clone().slice([rows]));
            let theta = parameters(&model);
            let x: Vec<f64> = part.0.to_data().iter().collect();
            let at = objective.on(part.clone()).unwrap();
            let at = at.at(&objective.parameters().space().vector(&theta).unwrap());
            let gradient = at.unwrap().gradient().unwrap().to_vec().unwrap();

            let seen = seen(&theta, &x);
            let collected = k == 1 || k % period == 0;
            updates += usize::from(collected);
            let keep = (1.0 - 1.0 / updates as f64).min(DECAY);
            let mut expected = Vec::new();
            for ((layer, seen), own) in layers.iter_mut().zip(&seen).zip([0..25, 25..43]) {
                if collected {
                    layer.update(seen, keep);
                }
                if k <= 3 || k % 5 == 0 {
                    layer.decompose();
                }
                if collected {
                    layer.correct(seen, keep);
                }
                expected.extend(layer.solve(&gradient[own]));
            }
            let (moved, step) = optimizer.step(&model, part).unwrap();
            assert_eq!(step.inverted, k <= 3 || k % 5 == 0);
            let moved_to = parameters(&moved);
            for ((old, new), expected) in theta.iter().zip(&moved_to).zip(&expected) {
                let found = (old - new) / RATE;
                assert!(
                    (found - expected).abs() < 1e-9 * (1.0 + expected.abs()),
                    "step {k}: {found} for {expected}"
                );
            }
            model = moved;
        }
    }
}

/// Martens & Grosse's steps with the corrected inverse lower the objective as with K-FAC's exact one.
#[test]
fn the_quadratic_model_takes_corrected_directions() {
    let device = Device::flex().autodiff();
    for seed in 1..4 {
        let (start, batch, objective) = problem::<B>(seed, &device);
        let ends = [KfacInverse::Exact, KfacInverse::EigenvalueCorrected].map(|kind| {
            let config = exact_config().with_inverse(kind).with_search_period(Some(6));
            let (mut model, mut optimizer) = (start.clone(), optimizer(&config, &objective));
            let mut values = Vec::new();
            for _ in 0..30 {
                let step;
                (model, step) = optimizer.step(&model, batch.clone()).unwrap();
                values.push(step.value);
            }
            assert!(values[29] < 0.5 * values[0], "{kind:?}: {values:?}");
            values[29]
        });
        assert!(ends[1] < 1.2 * ends[0], "seed {seed}: {ends:?}");
    }
}

/// Mini-batches with drawn targets, bases that stay for the whole training: the loss on all data falls.
#[test]
fn mini_batches_train_in_old_bases() {
    let device = Device::flex().autodiff();
    for seed in 1..4 {
        let (mut model, batch, objective) = problem::<B>(seed, &device);
        let kfac = KfacConfig::new().with_fisher(KfacFisher::MonteCarlo { draws: 1, seed });
        let config = KfacOptimizerConfig::stochastic(0.3)
            .with_kfac(kfac)
            .with_inverse(KfacInverse::EigenvalueCorrected)
            .with_inverse_period(1000);
        let mut optimizer = optimizer(&config, &objective);
        let before = objective.value().unwrap();
        for k in 0..60 {
            let rows = 4 * (k % 3)..4 * (k % 3) + 4;
            let part = (batch.0.clone().slice([rows.clone()]), batch.1.clone().slice([rows]));
            (model, _) = optimizer.step(&model, part).unwrap();
        }
        let theta = objective.parameters().space().vector(&parameters(&model));
        let after = objective.at(&theta.unwrap()).unwrap().value().unwrap();
        assert!(after < 0.7 * before, "seed {seed}: {before} to {after}");
    }
}

#[test]
fn what_has_no_diagonal_is_refused() {
    let device = Device::flex().autodiff();
    let (model, batch, objective) = problem::<B>(1, &device);
    let forward = KfacConfig::new().with_fisher(KfacFisher::ForwardOnly);
    let error = config(1).with_kfac(forward).init(&objective, TARGET);
    assert_eq!(failure(&error), Some(&KfacError::NoDiagonal));
    // A state of the one kind of inverse is none of the other.
    let kinds = [KfacInverse::EigenvalueCorrected, KfacInverse::Exact];
    for (own, other) in [(kinds[0], kinds[1]), (kinds[1], kinds[0])] {
        let mut whole = optimizer(&config(1).with_inverse(own), &objective);
        whole.step(&model, batch.clone()).unwrap();
        let state = whole.state().unwrap();
        let other = config(1).with_inverse(other);
        let error = other.resume(&objective, TARGET, &state);
        assert!(matches!(error.unwrap_err().downcast_ref(), Some(OptimizerError::State { .. })));
    }
}
