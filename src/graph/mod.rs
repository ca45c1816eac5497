//! The program as data: values, operations with their table, and passes. Depends on tensor types; independent of how a
//! program is recorded, differentiated or run.
//!
//! A [`Graph`] is a list of [`Node`]s in execution order, each reading values and writing new ones (static single
//! assignment). Values are inputs, constants, or written by exactly one node.

mod attributes;
mod builder;
mod compare;
mod count;
mod display;
mod error;
mod memory;
mod op;
mod passes;
#[cfg(test)]
pub(crate) mod samples;
mod split;
mod table;
#[cfg(test)]
mod tests;
mod transpose;

pub(crate) use attributes::{
    Binary, Comparison, Convolution, ConvolutionTranspose, Cumulative, GridPadding, Interpolation,
    Literal, PoolWindow, Reduction, Softmax, SortOutputs, Unary, WithRespectTo,
};
pub(crate) use builder::GraphBuilder;
pub use error::GraphError;
pub(crate) use op::Op;
pub(crate) use split::Split;
pub(crate) use table::{Arity, Class, Lowering, Smooth};

use burn_backend::TensorData;

pub(crate) use crate::tensor::{Kind, ValueType};

/// Names a value of one [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ValueId(u32);

impl ValueId {
    /// Position of the value among all values of its graph.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    pub fn new(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

/// One operation with the values it reads and writes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// What is computed.
    pub op: Op,
    /// Values read, in the order of the operation's documentation.
    pub inputs: Vec<ValueId>,
    /// Values written.
    pub outputs: Vec<ValueId>,
}

/// A constant of a program: a tensor fixed while recording.
#[derive(Clone, Debug)]
pub(crate) struct Constant {
    /// The value it defines.
    pub value: ValueId,
    /// Its elements.
    pub data: TensorData,
}

/// A program: inputs and constants, operations in execution order, outputs.
///
/// A recorded loss or one of its derivatives. It prints as a listing, [`to_dot`](Self::to_dot) draws it, and
/// [`operations`](Self::operations) counts what it computes.
///
/// # Example
/// ```
/// use burn::{nn::LinearConfig, prelude::*};
/// use burn_curvature::Objective;
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let model = LinearConfig::new(3, 2).init(&device);
/// let x = Tensor::<2>::ones([4, 3], &device);
/// let objective =
///     Objective::capture(&model, x, |model, x: Tensor<2>| model.forward(x).powi_scalar(2).mean())?;
///
/// let (_, product) = objective.hessian_programs()?; // run for every product with a vector
/// assert_eq!(product.operations()["Matmul"], 2); // X·V and Xᵀ·(X·V)
/// println!("{product}");
/// # Ok(())
/// # }
/// ```
///
/// # Operations
///
#[doc = include_str!("operations.md")]
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Type of every value, indexed by [`ValueId::index`].
    pub(crate) values: Vec<ValueType>,
    /// Operations in execution order.
    pub(crate) nodes: Vec<Node>,
    /// Values passed in at every run.
    pub(crate) inputs: Vec<ValueId>,
    /// Values fixed while recording.
    pub(crate) constants: Vec<Constant>,
    /// Values returned by every run; one value may occur more than once.
    pub(crate) outputs: Vec<ValueId>,
    /// In a program for several vectors: names of the operations that it runs for one vector after another.
    pub(crate) one_by_one: Vec<String>,
}

impl Graph {
    /// Operations in execution order.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Values passed in at every run.
    pub(crate) fn inputs(&self) -> &[ValueId] {
        &self.inputs
    }

    /// Values returned by every run; one value may occur more than once.
    pub(crate) fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }

    /// Type of a value of this graph.
    pub(crate) fn value(&self, id: ValueId) -> &ValueType {
        &self.values[id.index()]
    }

    /// Names of the operations that a program for several vectors runs for one vector after another, because they have no
    /// rule for several at once. Empty in all other programs.
    pub fn one_by_one(&self) -> &[String] {
        &self.one_by_one
    }

    /// Number of operations.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no operation.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}
