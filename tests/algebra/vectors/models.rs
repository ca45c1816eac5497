//! Small Burn models.

use burn::{
    Tensor,
    module::{Module, Param},
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig},
    tensor::{Device, activation},
};

/// Two layers with a normalization between them.
#[derive(Module, Debug)]
pub struct Mlp {
    pub first: Linear,
    pub norm: BatchNorm,
    pub second: Linear,
}

impl Mlp {
    pub fn new(device: &Device) -> Self {
        Self {
            first: LinearConfig::new(3, 4).init(device),
            norm: BatchNormConfig::new(4).init(device),
            second: LinearConfig::new(4, 2).init(device),
        }
    }

    pub fn loss(&self, x: Tensor<2>) -> Tensor<1> {
        let hidden = activation::tanh(self.norm.forward(self.first.forward(x)));
        self.second.forward(hidden).powf_scalar(2.0).sum()
    }
}

/// One matrix used twice: y = W W x.
#[derive(Module, Debug)]
pub struct Tied {
    pub encoder: Linear,
    pub decoder: Linear,
    pub bias: Param<Tensor<1>>,
}

impl Tied {
    pub fn new(device: &Device) -> Self {
        let encoder = LinearConfig::new(3, 3).with_bias(false).init(device);
        let _ = encoder.weight.val();
        Self {
            decoder: encoder.clone(),
            encoder,
            bias: Param::from_tensor(Tensor::from_floats([0.1, -0.2, 0.3], device)),
        }
    }

    pub fn loss(&self, x: Tensor<2>) -> Tensor<1> {
        let y = self.decoder.forward(self.encoder.forward(x)) + self.bias.val().unsqueeze();
        y.powf_scalar(2.0).sum()
    }
}

pub fn batch(device: &Device) -> Tensor<2> {
    Tensor::from_floats(
        [[0.5, -1.0, 2.0], [1.5, 0.3, -0.7], [-0.2, 0.8, 0.1], [1.0, 1.0, -1.0]],
        device,
    )
}

pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}
