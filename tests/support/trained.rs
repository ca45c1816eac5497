//! A classifier of handwritten digits, 64-h-10 with tanh between its layers, trained by Burn's Adam.

use std::error::Error;

use burn::{
    module::Module,
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    optim::{AdamConfig, GradientsParams, decay::WeightDecayConfig},
    prelude::*,
    tensor::activation::tanh,
};

use crate::digits::{CLASSES, Digits, PIXELS};

/// Images to train on; the others of the 1797 are for testing.
pub const TRAIN_ROWS: usize = 1297;

/// Images `[images, 64]` and their classes `[images]`.
pub type Samples = (Tensor<2>, Tensor<1, Int>);

/// Two linear layers.
#[derive(Module, Debug)]
pub struct Classifier {
    hidden: Linear,
    output: Linear,
}

/// Logits and mean cross-entropy.
pub fn loss(model: &Classifier, (images, labels): Samples) -> (Tensor<2>, Tensor<1>) {
    let logits = model.output.forward(tanh(model.hidden.forward(images)));
    let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits.clone(), labels);
    (logits, loss)
}

/// How to train: steps of Adam on the whole training set.
pub struct Training {
    /// Units of the hidden layer.
    pub hidden: usize,
    pub steps: usize,
    pub learning_rate: f64,
    pub weight_decay: Option<f32>,
}

/// A trained network with its training set.
pub struct Trained {
    pub model: Classifier,
    pub batch: Samples,
    /// Fraction of the other images that it classifies correctly.
    pub accuracy: f64,
}

impl Training {
    /// Trains on the default device; the same network every time.
    ///
    /// # Errors
    /// Those of reading the digits.
    pub fn run(&self) -> Result<Trained, Box<dyn Error>> {
        let device = Device::default().autodiff();
        device.seed(1);
        let (train, test) = Digits::load()?.split(TRAIN_ROWS, 1);
        let batch = (train.images(&device), train.classes(&device));
        let mut model = Classifier {
            hidden: LinearConfig::new(PIXELS, self.hidden).init(&device),
            output: LinearConfig::new(self.hidden, CLASSES).init(&device),
        };
        let decay = self.weight_decay.map(WeightDecayConfig::new);
        let mut optimizer = AdamConfig::new().with_weight_decay(decay).init();
        for _ in 0..self.steps {
            let (_, loss) = loss(&model, batch.clone());
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            model = optimizer.step(self.learning_rate, model, gradients);
        }
        let accuracy = accuracy(&model, (test.images(&device), test.classes(&device)));
        Ok(Trained { model, batch, accuracy })
    }
}

impl Trained {
    /// The training set in batches of `size` images; the last one may be smaller.
    #[allow(dead_code, reason = "some programs use the whole set only")]
    pub fn batches(&self, size: usize) -> Vec<Samples> {
        let (images, labels) = &self.batch;
        let batch = |from: usize| {
            let rows = from..(from + size).min(TRAIN_ROWS);
            (images.clone().slice([rows.clone()]), labels.clone().slice([rows]))
        };
        (0..TRAIN_ROWS).step_by(size).map(batch).collect()
    }
}

fn accuracy(model: &Classifier, samples: Samples) -> f64 {
    let classes = samples.1.clone();
    let predicted = loss(model, samples).0.argmax(1).flatten::<1>(0, 1);
    let right = predicted.inner().equal(classes.inner()).float().mean();
    right.into_data().iter::<f64>().next().unwrap_or(f64::NAN)
}
