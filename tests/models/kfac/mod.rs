//! K-FAC against the exact Fisher matrix where theory says that they agree, and its algebra against dense matrices.

mod algebra;
mod batches;
mod biases;
mod cheap;
mod corrected;
mod damaged;
mod diagonal;
mod digits;
mod embeddings;
mod exact;
mod gradient;
mod inversion;
mod laws;
mod layers;
mod limits;
mod norms;
mod policies;
mod repeated;
mod resumed;
mod samples;
mod state;
mod training;
mod views;

use burn::{
    module::{Module, Param},
    nn,
    prelude::*,
};
use burn_curvature::{CaptureConfig, Fisher, Kfac, KfacConfig, Likelihood, Objective, Reduction};

use crate::{B, random::SplitMix64, rows, without_draws};

pub const GAUSSIAN: Likelihood = Likelihood::Gaussian { variance: 1.0 };

pub fn device() -> Device {
    Device::flex().autodiff()
}

pub fn random<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    let mut numbers = SplitMix64::new(seed);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| numbers.symmetric(1.0)).collect();
    Tensor::from_data(TensorData::new(values, shape), &device())
}

pub fn weight<const D: usize>(shape: [usize; D], seed: u64) -> Param<Tensor<D>> {
    Param::from_tensor(random(shape, seed))
}

/// A model with any forward function, on a batch, with the sum or mean of ½‖z‖² over the first dimension, and to be used
/// with any likelihood of its outputs.
pub fn squared<M: Module + 'static, X, const D: usize>(
    model: &M,
    x: X,
    reduction: Reduction,
    forward: impl Fn(&M, X) -> Tensor<D> + Send + 'static,
) -> Objective<B>
where
    X: burn_curvature::Batch + Send + 'static,
{
    let objective =
        Objective::<B>::capture_with(&CaptureConfig::new(), model, x, move |model, x| {
            let z = forward(model, x);
            let samples = z.dims()[0] as f64;
            let sum = z.clone().powf_scalar(2.0).sum() * 0.5;
            let loss = match reduction {
                Reduction::Sum => sum,
                Reduction::Mean => sum / samples,
            };
            (z, loss)
        });
    let objective = objective.unwrap().in_f64().unwrap().reduced_by(reduction).unwrap();
    objective.without_loss_check()
}

/// The largest relative error of a layer's block against the exact Fisher matrix.
pub fn worst(objective: &Objective<B>, likelihood: Likelihood, config: &KfacConfig) -> f64 {
    let kfac = config.init(objective, likelihood).unwrap();
    let exact = Fisher::exact(objective, likelihood).unwrap();
    let blocks = kfac.compare_with(&exact).unwrap();
    assert!(!blocks.is_empty());
    blocks.iter().map(|block| block.relative_error).fold(0.0, f64::max)
}

#[derive(Module, Debug)]
pub struct Deep {
    pub layers: Vec<nn::Linear>,
}

impl Deep {
    pub fn new(widths: &[usize], bias: bool) -> Self {
        let layers = widths.windows(2).enumerate().map(|(index, pair)| {
            let mut layer = nn::LinearConfig::new(pair[0], pair[1]).with_bias(bias).init(&device());
            layer.weight = weight([pair[0], pair[1]], index as u64);
            layer.bias = bias.then(|| weight([pair[1]], 10 + index as u64));
            layer
        });
        Self { layers: layers.collect() }
    }

    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.layers.iter().fold(x, |x, layer| layer.forward(x))
    }
}

/// Its dense matrix.
pub fn dense(objective: &Objective<B>) -> (Kfac<B>, Vec<Vec<f64>>) {
    let kfac = without_draws().init(objective, Likelihood::Categorical).unwrap();
    let matrix = rows(&kfac);
    (kfac, matrix)
}

/// A linear layer with a normalization behind it.
#[derive(Module, Debug)]
struct Normalized {
    linear: nn::Linear,
    norm: nn::LayerNorm,
}

/// Its objective, with squared errors.
pub fn normalized(samples: usize, reduction: Reduction) -> Objective<B> {
    let model = Normalized {
        linear: Deep::new(&[3, 4], true).layers.remove(0),
        norm: nn::LayerNormConfig::new(4).init(&device()),
    };
    squared(&model, random([samples, 3], 1), reduction, |model: &Normalized, x| {
        model.norm.forward(model.linear.forward(x))
    })
}
