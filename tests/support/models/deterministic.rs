//! Parameters and data from a seed, equal on every backend. Knows Burn's
//! modules; does not know which model it fills.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Int, Shape, Tensor, TensorData};

use crate::random::SplitMix64;

/// Draws tensors whose values depend on the seed and the order of the calls only.
pub struct Synthetic {
    random: SplitMix64,
}

impl Synthetic {
    pub fn new(seed: u64) -> Self {
        Self { random: SplitMix64::new(seed) }
    }

    /// Values in `[0, 1)`.
    pub fn unit<const D: usize>(&mut self, shape: [usize; D], device: &Device) -> Tensor<D> {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| self.random.unit()).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    /// Integers in `0..bound`.
    pub fn below<const D: usize>(
        &mut self,
        bound: usize,
        shape: [usize; D],
        device: &Device,
    ) -> Tensor<D, Int> {
        let values: Vec<i64> =
            (0..shape.iter().product()).map(|_| self.random.below(bound) as i64).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    /// The module with every float parameter redrawn, its identifiers and
    /// gradient flags kept: matrices uniform in ±1/√fan-in, embeddings in ±1,
    /// scales of norms about 1, other vectors in ±0.1.
    pub fn fill<M: Module>(&mut self, module: M) -> M {
        module.map(&mut Fill { random: &mut self.random, path: Vec::new() })
    }
}

struct Fill<'a> {
    random: &'a mut SplitMix64,
    path: Vec<(String, String)>,
}

impl Fill<'_> {
    /// Center and half-width of the values of the parameter that the path names.
    fn range(&self, shape: &Shape) -> (f32, f32) {
        let (name, owner) =
            self.path.last().map_or(("", ""), |(name, owner)| (name.as_str(), owner.as_str()));
        match &shape[..] {
            [_] if name == "gamma" || name == "running_var" => (1.0, 0.1),
            [_] => (0.0, 0.1),
            _ if owner.ends_with("Embedding") => (0.0, 1.0),
            [rows, _] => (0.0, (*rows as f32).sqrt().recip()),
            [_, inner @ ..] => (0.0, (inner.iter().product::<usize>() as f32).sqrt().recip()),
            [] => (0.0, 0.1),
        }
    }
}

impl ModuleMapper for Fill<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.push((name.into(), container_type.into()));
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| {
            let shape = tensor.shape();
            let (center, width) = self.range(&shape);
            let values: Vec<f32> =
                (0..shape.num_elements()).map(|_| center + self.random.symmetric(width)).collect();
            let trainable = tensor.is_require_grad();
            Tensor::from_data(TensorData::new(values, shape), &tensor.device())
                .set_require_grad(trainable)
        })
    }
}
