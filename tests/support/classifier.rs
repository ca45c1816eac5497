//! A small classifier on random samples, always the same for a seed.

use burn::{
    module::{Module, Param},
    nn,
    prelude::*,
};

use crate::random::SplitMix64;

/// Three classes from four features by one hidden layer; 43 parameters.
#[derive(Module, Debug)]
pub struct Classifier {
    pub hidden: nn::Linear,
    pub output: nn::Linear,
}

impl Classifier {
    pub fn new(seed: u64, device: &Device) -> Self {
        let mut numbers = SplitMix64::new(seed);
        let mut layer = |input: usize, output: usize| {
            let mut layer = nn::LinearConfig::new(input, output).init(device);
            let mut fill =
                |count: usize| -> Vec<f32> { (0..count).map(|_| numbers.symmetric(0.8)).collect() };
            let weight = TensorData::new(fill(input * output), [input, output]);
            let bias = TensorData::new(fill(output), [output]);
            layer.weight = Param::from_data(weight, device);
            layer.bias = Some(Param::from_data(bias, device));
            layer
        };
        Self { hidden: layer(4, 5), output: layer(5, 3) }
    }

    pub fn hidden_weight(&self) -> Tensor<2> {
        self.hidden.weight.val()
    }

    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let hidden = burn::tensor::activation::tanh(self.hidden.forward(x));
        self.output.forward(hidden)
    }
}

/// Features and classes of some samples.
pub fn samples(count: usize, seed: u64, device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
    let mut numbers = SplitMix64::new(seed);
    let x: Vec<f32> = (0..4 * count).map(|_| numbers.symmetric(1.5)).collect();
    let y: Vec<i64> = (0..count).map(|_| numbers.below(3) as i64).collect();
    (
        Tensor::from_data(TensorData::new(x, [count, 4]), device),
        Tensor::from_data(TensorData::new(y, [count]), device),
    )
}

pub type Samples = (Tensor<2>, Tensor<1, Int>);

/// Mean cross-entropy.
pub fn cross_entropy(model: &Classifier, (x, y): Samples) -> (Tensor<2>, Tensor<1>) {
    let z = model.forward(x);
    let loss = nn::loss::CrossEntropyLossConfig::new().init(&z.device()).forward(z.clone(), y);
    (z, loss)
}

/// Cross-entropy, summed over samples.
pub fn summed_cross_entropy(model: &Classifier, (x, y): Samples) -> (Tensor<2>, Tensor<1>) {
    let rows = x.dims()[0] as f64;
    let (z, loss) = cross_entropy(model, (x, y));
    (z, loss * rows)
}
