//! One weight for every training sample, trained on clean validation samples: half of the labels are wrong, and the weights
//! find out which (data hyper-cleaning, Franceschi et al. 2017). On 5,000 digits of MNIST.

use burn::{module::Param, optim::AdamConfig, prelude::*, tensor::activation::sigmoid};
use burn_curvature::{
    ConjugateGradientConfig, Objective, ParamVector,
    implicit::{HyperObjective, ImplicitConfig, InnerSolver},
};

use crate::{
    Outcome,
    figures::Figures,
    logistic::{Softmax, accuracy},
    mnist::{self, CLASSES, PIXELS, Samples},
    random::SplitMix64,
};

const TRAINING: usize = 1000;
const VALIDATION: usize = 500;
const TEST: usize = 2000;
/// Part of the training labels that are replaced by random ones.
const WRONG: f64 = 0.5;
const STEPS: usize = 30;
const RATE: f64 = 0.5;
const INNER: InnerSolver = InnerSolver::NewtonCg { steps: 4, gradient_norm: 1e-4 };

/// Logits of the samples' weights.
#[derive(Module, Debug)]
struct Weights {
    logits: Param<Tensor<1>>,
}

/// Σ σ(η)ℓ / n + ½ · 0.01 ‖w‖²
fn inner_loss(model: &Softmax, weights: &Weights, batch: Samples) -> Tensor<1> {
    let (_, losses) = model.forward(batch);
    let decay = model.w.val().powi_scalar(2).sum() * 0.005;
    (losses * sigmoid(weights.logits.val())).sum() * (1.0 / TRAINING as f64) + decay
}

/// The samples from a row to another.
fn part((x, y): &Samples, rows: std::ops::Range<usize>) -> Samples {
    (x.clone().slice([rows.clone()]), y.clone().slice([rows]))
}

fn labels((_, y): &Samples) -> Vec<i64> {
    y.clone().into_data().iter::<i64>().collect()
}

/// F1 of the samples with a weight below one half as a search for wrong labels.
fn f1(logits: &[f64], wrong: &[bool]) -> f64 {
    let found = logits.iter().zip(wrong);
    let count = |of: fn(bool, bool) -> bool| {
        found.clone().filter(|(logit, wrong)| of(**logit < 0.0, **wrong)).count() as f64
    };
    let both = count(|a, b| a && b);
    2.0 * both / (2.0 * both + count(|a, b| a && !b) + count(|a, b| !a && b))
}

fn clean([all, test]: &[Samples; 2], seed: u64, figures: &mut Figures) -> Outcome {
    let device = Device::default().autodiff();
    let mut numbers = SplitMix64::new(seed);
    let (x, y) = part(all, 0..TRAINING);
    let validation = part(all, TRAINING..TRAINING + VALIDATION);
    let mut given = labels(&(x.clone(), y));
    let wrong: Vec<bool> = given
        .iter_mut()
        .map(|class| {
            let wrong = numbers.uniform() < WRONG;
            if wrong {
                *class = (*class + 1 + numbers.below(CLASSES - 1) as i64) % CLASSES as i64;
            }
            wrong
        })
        .collect();
    let given = Tensor::from_data(TensorData::new(given, [TRAINING]), &device);
    let model = Softmax::new(PIXELS, CLASSES, &device);
    let mut weights = Weights { logits: Param::from_tensor(Tensor::zeros([TRAINING], &device)) };
    let mut inner = HyperObjective::capture(&model, &weights, (x, given), inner_loss)?;
    let mean = |model: &Softmax, batch: Samples| {
        let (z, losses) = model.forward(batch);
        (z, losses.mean())
    };
    let outer = Objective::capture(&model, validation, mean)?;
    let testing = outer.on(test.clone())?;
    let labels = labels(test);

    let config = ImplicitConfig::new().with_error_bound(false);
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-2).init()?;
    let mut optimizer = AdamConfig::new().init();
    for step in 0..=STEPS {
        (inner, _) = INNER.minimize(&inner)?;
        let theta = inner.parameters();
        if step == 0 {
            let noisy = accuracy(&testing.at(&theta)?, &labels)?;
            figures.note(&format!("cleaning.{seed}.accuracy.noisy"), noisy);
        }
        let found = config.init(&inner)?.hypergradient(&outer, &solver)?;
        weights = optimizer.step(RATE, weights, found.gradient.into_gradients()?);
        inner = inner.at(&theta, &ParamVector::from_module(&weights)?)?;
    }
    let (inner, _) = INNER.minimize(&inner)?;
    let cleaned = accuracy(&testing.at(&inner.parameters())?, &labels)?;
    figures.expect(&format!("cleaning.{seed}.accuracy.cleaned"), cleaned, 0.8..=1.0);
    let f1 = f1(&inner.hyperparameters().to_vec()?, &wrong);
    figures.expect(&format!("cleaning.{seed}.f1"), f1, 0.85..=1.0);
    Ok(())
}

#[test]
#[ignore = "takes a while, see main.rs"]
fn data_cleaning() -> Outcome {
    let device = Device::default().autodiff();
    let mut figures = Figures::default();
    for seed in [1, 2, 3] {
        let Some(digits) = mnist::load([TRAINING + VALIDATION, TEST], seed, &device)? else {
            return Ok(());
        };
        clean(&digits, seed, &mut figures)?;
    }
    assert!(figures.print());
    Ok(())
}
