//! The program as data: values, operations and passes over them. Knows nothing of how a program is recorded,
//! differentiated or run.
//!
//! A [`Graph`] is a list of [`Node`]s in execution order, each reading values and writing new ones (static single
//! assignment). Values are inputs, constants, or written by exactly one node.

mod attributes;
mod builder;
mod display;
mod error;
mod op;
mod passes;
mod split;
mod table;
#[cfg(test)]
mod tests;
mod transpose;

pub use attributes::{
    Binary, Comparison, Convolution, ConvolutionTranspose, Cumulative, GridPadding, Interpolation,
    Literal, PoolWindow, Reduction, Softmax, SortOutputs, Unary, WithRespectTo,
};
pub(crate) use builder::GraphBuilder;
pub use error::GraphError;
pub use op::Op;
pub(crate) use split::Split;
pub(crate) use table::{Arity, Class, Lowering, Smooth};

use burn_backend::TensorData;

pub use crate::tensor::{Kind, ValueType};

/// Names a value of one [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(u32);

impl ValueId {
    /// Position of the value in [`Graph::values`].
    pub fn index(self) -> usize {
        self.0 as usize
    }

    pub(crate) fn new(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

/// One operation with the values it reads and writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What is computed.
    pub op: Op,
    /// Values read, in the order of the operation's documentation.
    pub inputs: Vec<ValueId>,
    /// Values written.
    pub outputs: Vec<ValueId>,
}

/// A constant of a program: a number fixed while recording.
#[derive(Clone, Debug)]
pub struct Constant {
    /// The value it defines.
    pub value: ValueId,
    /// Its numbers.
    pub data: TensorData,
}

/// A program: inputs and constants, operations in execution order, outputs.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Type of every value, indexed by [`ValueId::index`].
    pub(crate) values: Vec<ValueType>,
    /// Operations in execution order.
    pub(crate) nodes: Vec<Node>,
    /// Values handed in at every run.
    pub(crate) inputs: Vec<ValueId>,
    /// Values fixed while recording.
    pub(crate) constants: Vec<Constant>,
    /// Values handed back at every run; a value may stand here more than once.
    pub(crate) outputs: Vec<ValueId>,
}

impl Graph {
    /// Types of all values, by [`ValueId::index`].
    pub fn values(&self) -> &[ValueType] {
        &self.values
    }

    /// Operations in execution order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Values handed in at every run.
    pub fn inputs(&self) -> &[ValueId] {
        &self.inputs
    }

    /// Values fixed while recording.
    pub fn constants(&self) -> &[Constant] {
        &self.constants
    }

    /// Values handed back at every run; a value may stand here more than once.
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }

    /// Type of a value of this graph.
    pub(crate) fn value(&self, id: ValueId) -> &ValueType {
        &self.values[id.index()]
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
