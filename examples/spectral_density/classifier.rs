//! A classifier of handwritten digits, trained by plain Burn.

use std::error::Error;

use burn::{
    backend::{Autodiff, Dispatch},
    module::Module,
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    optim::{AdamConfig, GradientsParams, decay::WeightDecayConfig},
    prelude::*,
    tensor::activation::tanh,
};
use burn_curvature::Objective;

use super::support::digits::{CLASSES, Digits, PIXELS};

const HIDDEN: usize = 32;
const TRAIN_ROWS: usize = 1297;
const STEPS: usize = 50;
const LEARNING_RATE: f64 = 0.01;
/// With weight decay the outliers stand clear of the bulk: the tenth eigenvalue was smaller than the ninth by a factor of
/// 1.7 to 1.9 for five seeds. Without it, and for longer training, by a factor of about 1.4.
const WEIGHT_DECAY: f32 = 0.01;

/// A trained network, as its loss on the training set.
pub struct Trained {
    pub objective: Objective<Autodiff<Dispatch>>,
    /// Fraction of the other images that it gets right.
    pub accuracy: f64,
}

#[derive(Module, Debug)]
struct Classifier {
    hidden: Linear,
    output: Linear,
}

impl Classifier {
    fn forward(&self, images: Tensor<2>) -> Tensor<2> {
        self.output.forward(tanh(self.hidden.forward(images)))
    }
}

type Batch = (Tensor<2>, Tensor<1, Int>);

fn loss(model: &Classifier, (images, labels): Batch) -> (Tensor<2>, Tensor<1>) {
    let logits = model.forward(images);
    let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits.clone(), labels);
    (logits, loss)
}

/// Adam on the whole training set.
pub fn train() -> Result<Trained, Box<dyn Error>> {
    let device = Device::default().autodiff();
    device.seed(1);
    let (train, test) = Digits::load()?.split(TRAIN_ROWS, 1);
    let batch = (train.images(&device), train.classes(&device));
    let mut model = Classifier {
        hidden: LinearConfig::new(PIXELS, HIDDEN).init(&device),
        output: LinearConfig::new(HIDDEN, CLASSES).init(&device),
    };
    let mut optimizer =
        AdamConfig::new().with_weight_decay(Some(WeightDecayConfig::new(WEIGHT_DECAY))).init();
    for _ in 0..STEPS {
        let (_, loss) = loss(&model, batch.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(LEARNING_RATE, model, gradients);
    }
    let accuracy = accuracy(&model, test.images(&device), test.classes(&device));
    Ok(Trained { objective: Objective::capture(&model, batch, loss)?, accuracy })
}

fn accuracy(model: &Classifier, images: Tensor<2>, classes: Tensor<1, Int>) -> f64 {
    let predicted = model.forward(images).argmax(1).flatten::<1>(0, 1);
    let right = predicted.inner().equal(classes.inner()).float().mean();
    right.into_data().iter::<f64>().next().unwrap_or(f64::NAN)
}
