//! Random networks in f64, as data: what a closure does with its model follows from a list of steps.

use burn::{
    module::{Module, ModuleMapper, Param},
    nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig},
    prelude::*,
    tensor::{DType, activation},
};

use crate::random::SplitMix64;

pub fn device() -> Device {
    Device::flex().autodiff()
}

pub fn tensor<const D: usize>(shape: [usize; D], random: &mut SplitMix64) -> Tensor<D> {
    let values = random.normals(shape.iter().product());
    Tensor::from_data(TensorData::new(values, shape), (&device(), DType::F64))
}

/// One step of a network on rows `[n, width]`.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// x W, with a bias or without.
    Linear(usize, Option<usize>),
    /// A smooth function of each element.
    Bend(usize),
    Norm(usize),
    Drop,
    /// Adds what there was before a step.
    Skip(usize),
    /// x ∘ (1 + v), for all rows.
    Gate(usize),
    /// x ∘ mean of the row: an axis of size one.
    Mean,
    /// Joined with nothing, and the sum of nothing added.
    Nothing,
    /// The rows cut into two places each, which share a weight.
    Places(usize),
}

#[derive(Module, Debug)]
pub struct Net {
    pub matrices: Vec<Param<Tensor<2>>>,
    pub vectors: Vec<Param<Tensor<1>>>,
    pub norms: Vec<BatchNorm>,
    pub dropout: Dropout,
}

/// What of a network is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub norms: bool,
    pub dropout: bool,
    /// Whether some parameters are frozen.
    pub frozen: bool,
    /// Whether weights are used again.
    pub repeated: bool,
}

#[derive(Clone, Debug)]
pub struct Drawn {
    pub net: Net,
    pub steps: Vec<Step>,
    pub widths: [usize; 2],
}

struct Fill<'a> {
    random: &'a mut SplitMix64,
    frozen: bool,
}

impl ModuleMapper for Fill<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let trains = param.is_require_grad();
        let (shape, id) = (param.val().dims(), param.id);
        let center = if trains { 0.0 } else { 1.0 };
        let values = self.random.normals(shape.iter().product());
        let values: Vec<f64> =
            values.iter().map(|value| center + 0.5 * value / (1.0 + value.abs() * 0.5)).collect();
        let tensor =
            Tensor::<D>::from_data(TensorData::new(values, shape), (&device(), DType::F64));
        let freezes = self.frozen && self.random.below(3) == 0;
        Param::initialized(id, tensor.set_require_grad(trains && !freezes))
    }
}

pub fn draw(kind: Kind, random: &mut SplitMix64) -> Drawn {
    let start = 1 + random.below(4);
    let (mut width, mut widths) = (start, Vec::new());
    let (mut matrices, mut vectors, mut norms) = (Vec::<[usize; 2]>::new(), Vec::new(), Vec::new());
    let (mut steps, count) = (Vec::new(), 4 + random.below(8));
    for at in 0..count {
        widths.push(width);
        let last = at + 1 == count;
        let step = match if at == 0 || last { 0 } else { random.below(12) } {
            0..=2 => {
                let to = 1 + random.below(4);
                let again = |shape: &[usize; 2]| shape[0] == width && kind.repeated;
                let old = matrices.iter().position(again).filter(|_| random.below(2) == 0);
                let matrix = old.unwrap_or_else(|| {
                    matrices.push([width, to]);
                    matrices.len() - 1
                });
                width = matrices[matrix][1];
                let bias = (random.below(2) == 0).then(|| {
                    vectors.push(width);
                    vectors.len() - 1
                });
                Step::Linear(matrix, bias)
            }
            3 | 4 => Step::Bend(random.below(6)),
            5 | 6 if kind.norms => {
                norms.push(width);
                Step::Norm(norms.len() - 1)
            }
            7 if kind.dropout => Step::Drop,
            8 => match widths.iter().position(|&before| before == width) {
                Some(before) => Step::Skip(before),
                None => Step::Mean,
            },
            9 => {
                vectors.push(width);
                Step::Gate(vectors.len() - 1)
            }
            10 if width % 2 == 0 => {
                matrices.push([width / 2, width / 2]);
                Step::Places(matrices.len() - 1)
            }
            10 | 11 => Step::Nothing,
            _ => Step::Bend(random.below(6)),
        };
        steps.push(step);
    }
    let zeros = |shape: [usize; 2]| Param::from_tensor(Tensor::zeros(shape, &device()));
    let net = Net {
        matrices: matrices.into_iter().map(zeros).collect(),
        vectors: vectors
            .into_iter()
            .map(|n| Param::from_tensor(Tensor::zeros([n], &device())))
            .collect(),
        norms: norms.into_iter().map(|width| BatchNormConfig::new(width).init(&device())).collect(),
        dropout: DropoutConfig::new(0.3).init(),
    };
    let frozen = kind.frozen;
    let net = net.map(&mut Fill { random, frozen });
    Drawn { net, steps, widths: [start, width] }
}

fn bend(x: Tensor<2>, function: usize) -> Tensor<2> {
    match function {
        0 => x.tanh(),
        1 => activation::sigmoid(x),
        2 => activation::softplus(x, 1.0),
        3 => activation::gelu(x),
        4 => x.square().neg().exp(),
        _ => activation::silu(x),
    }
}

/// The outputs `[n, classes]`.
pub fn forward(net: &Net, steps: &[Step], x: Tensor<2>) -> Tensor<2> {
    let (mut x, mut before) = (x, Vec::new());
    for step in steps {
        before.push(x.clone());
        let [n, width] = x.dims();
        x = match *step {
            Step::Linear(matrix, bias) => {
                let x = x.matmul(net.matrices[matrix].val());
                bias.map_or(x.clone(), |bias| x + net.vectors[bias].val().unsqueeze())
            }
            Step::Bend(function) => bend(x, function),
            Step::Norm(norm) => net.norms[norm].forward(x),
            Step::Drop => net.dropout.forward(x),
            Step::Skip(at) => x + before[at].clone(),
            Step::Gate(vector) => x * (net.vectors[vector].val() + 1.0).unsqueeze(),
            Step::Mean => x.clone() * x.mean_dim(1),
            Step::Nothing => {
                let nothing = x.clone().slice([0..n, 0..0]);
                let sum = nothing.clone().sum().unsqueeze::<2>();
                Tensor::cat(vec![x, nothing], 1) + sum
            }
            Step::Places(matrix) => {
                let rows = x.reshape([n, 2, width / 2]);
                rows.matmul(net.matrices[matrix].val().unsqueeze()).tanh().reshape([n, width])
            }
        };
    }
    x
}
