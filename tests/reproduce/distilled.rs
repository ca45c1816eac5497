//! Data distillation (Wang et al. 2018; Lorraine et al. 2020, section 5.2): ten images as hyperparameters, one for each
//! class, so that a linear classifier trained on them alone is good at all digits.

use burn::{module::Param, optim::AdamConfig, prelude::*};
use burn_curvature::{
    ConjugateGradientConfig, Objective, ParamVector,
    implicit::{HyperObjective, ImplicitConfig, InnerSolver},
};

use crate::{
    Outcome,
    digits::{CLASSES, Digits, PIXELS},
    figures::Figures,
    logistic::{Samples, Softmax, accuracy},
};

const TRAINING: usize = 1000;
const STEPS: usize = 60;
const RATE: f64 = 0.05;
const INNER: InnerSolver = InnerSolver::NewtonCg { steps: 20, gradient_norm: 1e-4 };

/// One image for each class, `[classes, pixels]`.
#[derive(Module, Debug)]
struct Images {
    pixels: Param<Tensor<2>>,
}

fn loss(model: &Softmax, samples: Samples) -> (Tensor<2>, Tensor<1>) {
    let (z, losses) = model.forward(samples);
    (z, losses.mean())
}

/// The loss on the images alone, with a weight decay.
fn on_images(model: &Softmax, images: &Images, classes: Tensor<1, Int>) -> Tensor<1> {
    let (_, loss) = loss(model, (images.pixels.val(), classes));
    loss + model.w.val().powi_scalar(2).sum() * 0.005
}

fn distill(digits: &Digits, seed: u64, figures: &mut Figures) -> Outcome {
    let device = Device::default().autodiff();
    let (training, test) = digits.split(TRAINING, seed);
    let first =
        (0..CLASSES as i64).filter_map(|class| training.labels.iter().position(|l| *l == class));
    let start = training.select(&first.collect::<Vec<_>>());
    let model = Softmax::new(PIXELS, CLASSES, &device);
    let mut images = Images { pixels: Param::from_tensor(start.images(&device)) };
    let classes = start.classes(&device);
    let mut inner = HyperObjective::capture(&model, &images, classes, on_images)?;
    let outer = (training.images(&device), training.classes(&device));
    let outer = Objective::capture(&model, outer, loss)?;
    let testing = outer.on((test.images(&device), test.classes(&device)))?;
    let config = ImplicitConfig::new().with_error_bound(false);
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-3).init()?;
    let mut optimizer = AdamConfig::new().init();
    let mut accuracies = Vec::new();
    for _ in 0..=STEPS {
        (inner, _) = INNER.minimize(&inner)?;
        let theta = inner.parameters();
        accuracies.push(accuracy(&testing.at(&theta)?, &test.labels)?);
        let found = config.init(&inner)?.hypergradient(&outer, &solver)?;
        images = optimizer.step(RATE, images, found.gradient.into_gradients()?);
        inner = inner.at(&theta, &ParamVector::from_module(&images)?)?;
    }
    figures.note(&format!("distilled.{seed}.before"), accuracies[0]);
    figures.expect(&format!("distilled.{seed}.after"), accuracies[STEPS], 0.85..=1.0);
    let gain = accuracies[STEPS] - accuracies[0];
    figures.expect(&format!("distilled.{seed}.gain"), gain, 0.05..=1.0);
    Ok(())
}

#[test]
#[ignore = "takes a while, see main.rs"]
fn distilled() -> Outcome {
    let digits = Digits::load()?;
    let mut figures = Figures::default();
    for seed in [1, 2, 3] {
        distill(&digits, seed, &mut figures)?;
    }
    assert!(figures.print());
    Ok(())
}
