//! A classifier of digits, and the digits in batches.

use burn::{module::Param, nn, prelude::*, tensor::activation::tanh};
use burn_curvature::Error;

use crate::{
    digits::{CLASSES, Digits, PIXELS},
    random::SplitMix64,
};

const BATCH: usize = 150;

pub type Samples = (Tensor<2>, Tensor<1, Int>);

/// All digits in batches, shuffled, the same on every rank.
pub fn batches(device: &Device) -> Result<Vec<Samples>, Error> {
    let (digits, _) = Digits::load().map_err(Error::new)?.split(usize::MAX, 1);
    let order: Vec<usize> = (0..digits.len()).collect();
    let samples = |part: &[usize]| {
        let part = digits.select(part);
        (part.images(device), part.classes(device))
    };
    Ok(order.chunks(BATCH).map(samples).collect())
}

#[derive(Module, Debug)]
pub struct Classifier {
    hidden: nn::Linear,
    output: nn::Linear,
}

impl Classifier {
    /// The same θ on every rank, whatever random numbers other threads draw.
    pub fn new(device: &Device) -> Self {
        let mut numbers = SplitMix64::new(1);
        let mut layer = |input: usize, output: usize| {
            let scale = (3.0 / input as f32).sqrt();
            let weight: Vec<f32> = (0..input * output).map(|_| numbers.symmetric(scale)).collect();
            let mut layer = nn::LinearConfig::new(input, output).init(device);
            layer.weight = Param::from_data(TensorData::new(weight, [input, output]), device);
            layer.bias = Some(Param::from_tensor(Tensor::zeros([output], device)));
            layer
        };
        Self { hidden: layer(PIXELS, 32), output: layer(32, CLASSES) }
    }

    pub fn loss(&self, (images, labels): Samples) -> (Tensor<2>, Tensor<1>) {
        let z = self.output.forward(tanh(self.hidden.forward(images)));
        let loss = nn::loss::CrossEntropyLossConfig::new().init(&z.device());
        (z.clone(), loss.forward(z, labels))
    }
}
