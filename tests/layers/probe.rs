//! Small models around one layer, values for their batches and parameters, and a loss that depends on every output.

use burn::{
    backend::{Autodiff, Flex},
    module::Module,
    nn::{Linear, LinearConfig},
    prelude::*,
    tensor::activation::tanh,
};
use burn_curvature::ParamVector;
use rand::{SeedableRng, rngs::Xoshiro256PlusPlus};
use rand_distr::{Distribution, StandardNormal};

/// Where all models of the tables are built.
pub fn device() -> Device {
    Device::flex().autodiff()
}

/// Standard normal numbers.
pub fn data<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    let generator = Xoshiro256PlusPlus::seed_from_u64(seed);
    let values: Vec<f64> =
        StandardNormal.sample_iter(generator).take(shape.iter().product()).collect();
    let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &device())
}

/// Numbers in (0, 1).
pub fn fractions<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    burn::tensor::activation::sigmoid(data(shape, seed))
}

/// +1 and −1.
pub fn signs<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    data(shape, seed).sign()
}

/// Class labels below `classes`, all of them met in turn.
pub fn labels<const D: usize>(shape: [usize; D], classes: i64) -> Tensor<D, Int> {
    let count: usize = shape.iter().product();
    let values: Vec<i64> = (0..count as i64).map(|i| (i * 5 + i / 3) % classes).collect();
    Tensor::from_data(TensorData::new(values, shape), &device())
}

/// The model with parameters that are a function of nothing but their number: Burn's own are drawn from a generator
/// that tests share.
pub fn spread<M: Module>(model: &M) -> M {
    let numbers = ParamVector::<Autodiff<Flex>>::from_module(model)
        .map(|parameters| parameters.space().normal(7).scale(0.5));
    match numbers {
        Ok(numbers) => numbers.write_to(model).expect("numbers for this model"),
        _ => model.clone(), // a model without parameters is refused by capturing
    }
}

/// mean((zᵢ·(1 + ½ cos i) − sin i)²): no two outputs count alike.
pub fn readout<const D: usize>(output: Tensor<D>) -> Tensor<1> {
    let flat: Tensor<1> = output.flatten(0, D - 1);
    let phase = Tensor::<1, Int>::arange(0..flat.dims()[0] as i64, &flat.device()).float();
    (flat * (phase.clone().cos() * 0.5 + 1.0) - phase.sin()).square().mean()
}

/// A layer after a linear map of the last axis that bends.
#[derive(Module, Debug)]
pub struct Probe<L: Module> {
    mix: Linear,
    pub layer: L,
}

impl<L: Module> Probe<L> {
    pub fn new(features: usize, layer: L) -> Self {
        Self { mix: LinearConfig::new(features, features).init(&device()), layer }
    }

    /// h + sin h of h = x·W + b, bent so that the layer's input has second derivatives, and one-to-one so that it does
    /// not bunch up.
    pub fn bent<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let h = self.mix.forward(x);
        h.clone() + h.sin()
    }
}

/// A multilayer perceptron, in front of a loss.
#[derive(Module, Debug)]
pub struct Net {
    first: Linear,
    second: Linear,
}

impl Net {
    pub fn new(inputs: usize, outputs: usize) -> Self {
        Self {
            first: LinearConfig::new(inputs, 5).init(&device()),
            second: LinearConfig::new(5, outputs).init(&device()),
        }
    }

    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.second.forward(tanh(self.first.forward(x)))
    }
}
