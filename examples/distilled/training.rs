//! Ten images as hyperparameters, one for each class, and a linear classifier that is trained on them alone.

use std::error::Error;

use burn::{module::Param, optim::AdamConfig, prelude::*};
use burn_curvature::{
    ConjugateGradientConfig, Objective, ParamVector,
    implicit::{HyperObjective, ImplicitConfig, InnerSolver},
};

use crate::{
    digits::{CLASSES, Digits, PIXELS},
    logistic::{Samples, Softmax, accuracy},
};

const TRAINING: usize = 1000;
const RATE: f64 = 0.05;
const INNER: InnerSolver = InnerSolver::NewtonCg { steps: 20, gradient_norm: 1e-4 };

/// One image for each class, `[classes, pixels]`.
#[derive(Module, Debug)]
struct Images {
    pixels: Param<Tensor<2>>,
}

/// The images after each step, the first step being the start.
#[allow(dead_code, reason = "only the example draws the images")]
pub struct Distilled {
    /// Accuracies of the classifier on digits that took no part.
    pub accuracies: Vec<f64>,
    /// Pixels of the ten images at the start.
    pub before: Vec<f64>,
    /// Pixels of the ten images at the end.
    pub after: Vec<f64>,
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

/// Starts from the first image of each class; `see` is called with the number and the loss on the training digits of every step.
pub fn distill(
    digits: &Digits,
    seed: u64,
    steps: usize,
    mut see: impl FnMut(usize, f64),
) -> Result<Distilled, Box<dyn Error>> {
    let device = Device::default().autodiff();
    let (training, test) = digits.split(TRAINING, seed);
    let first =
        (0..CLASSES as i64).filter_map(|class| training.labels.iter().position(|l| *l == class));
    let start = training.select(&first.collect::<Vec<_>>());
    let model = Softmax::new(PIXELS, CLASSES, &device);
    let mut images = Images { pixels: Param::from_tensor(start.images(&device)) };
    let mut inner = HyperObjective::capture(&model, &images, start.classes(&device), on_images)?;
    let outer = (training.images(&device), training.classes(&device));
    let outer = Objective::capture(&model, outer, loss)?;
    let testing = outer.on((test.images(&device), test.classes(&device)))?;
    let config = ImplicitConfig::new().with_error_bound(false);
    let solver = ConjugateGradientConfig::new().with_relative_tolerance(1e-3).init()?;
    let mut optimizer = AdamConfig::new().init();
    let (before, mut accuracies) = (inner.hyperparameters().to_vec()?, Vec::new());
    for step in 0..=steps {
        (inner, _) = INNER.minimize(&inner)?;
        let theta = inner.parameters();
        accuracies.push(accuracy(&testing.at(&theta)?, &test.labels)?);
        let found = config.init(&inner)?.hypergradient(&outer, &solver)?;
        see(step, found.report.outer_value);
        if step == steps {
            break;
        }
        images = optimizer.step(RATE, images, found.gradient.into_gradients()?);
        inner = inner.at(&theta, &ParamVector::from_module(&images)?)?;
    }
    Ok(Distilled { accuracies, before, after: inner.hyperparameters().to_vec()? })
}
