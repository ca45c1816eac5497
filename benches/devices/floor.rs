//! The matrix products and convolutions of a program alone, by Burn's own kernels on the same device, one after another.

use burn_backend::{
    Backend, Distribution, FloatDType, Shape,
    ops::ConvOptions,
    tensor::{Device, FloatTensor},
};
use burn_curvature::program::Graph;

use crate::listing::{Operation, operations};

/// The products and convolutions of one program with operands of their own.
pub struct Floor<I: Backend>(Vec<(Kind, Vec<FloatTensor<I>>)>);

/// What is run. Convolutions have a stride of one.
enum Kind {
    Product,
    Convolution(ConvOptions<2>),
    ByImage(ConvOptions<2>),
    ByKernel(ConvOptions<2>),
}

impl<I: Backend> Floor<I> {
    /// Those of a program.
    pub fn of(program: &Graph, device: &Device<I>) -> Self {
        let operations = operations(program).into_iter();
        let operands = |operation: &Operation| {
            let shapes = operation.operands.iter();
            let operand = |shape: &Vec<usize>| {
                let shape = Shape::from(shape.clone());
                I::float_random(shape, Distribution::Default, device, FloatDType::F32)
            };
            shapes.map(operand).collect()
        };
        let kinds = operations
            .filter_map(|operation| Some((Kind::of(&operation.name)?, operands(&operation))));
        Self(kinds.collect())
    }

    /// Runs them once.
    pub fn run(&self) {
        for (kind, operands) in &self.0 {
            std::hint::black_box(kind.run::<I>(operands.clone()));
        }
    }
}

impl Kind {
    /// `None` for all other operations.
    fn of(name: &str) -> Option<Self> {
        // As in `padding: [(1, 1), (1, 1)]`.
        let padding = || {
            let (_, rest) = name.split_once("padding: [(")?;
            let (sizes, _) = rest.split_once(']')?;
            let mut sizes = sizes.split("), (").map(|pair| pair.split(", ").next()?.parse().ok());
            Some(ConvOptions::new([1, 1], [sizes.next()??, sizes.next()??], [1, 1], 1))
        };
        if name == "Matmul" {
            return Some(Self::Product);
        }
        if name.starts_with("ConvBackward(") {
            return match name.rsplit(", ").next()? {
                "Input)" => padding().map(Self::ByImage),
                "Weight)" => padding().map(Self::ByKernel),
                _ => None,
            };
        }
        name.starts_with("Conv {").then(padding)?.map(Self::Convolution)
    }

    fn run<I: Backend>(&self, operands: Vec<FloatTensor<I>>) -> Option<FloatTensor<I>> {
        let mut operands = operands.into_iter();
        let (first, second) = (operands.next()?, operands.next()?);
        Some(match self {
            Self::Product => I::float_matmul(first, second),
            Self::Convolution(options) => I::conv2d(first, second, None, options.clone()),
            Self::ByImage(options) => {
                I::conv2d_x_backward(first, second, operands.next()?, options.clone())
            }
            Self::ByKernel(options) => {
                I::conv2d_weight_backward(first, second, operands.next()?, options.clone())
            }
        })
    }
}
