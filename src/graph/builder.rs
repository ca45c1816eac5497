//! Appends operations to a graph, be it new or partly rewritten by a pass.

use super::{Graph, Node, Op, ValueId, ValueType};

/// A graph under construction.
#[derive(Default)]
pub(crate) struct GraphBuilder {
    graph: Graph,
}

impl GraphBuilder {
    /// A new value that nothing defines yet.
    pub fn value(&mut self, ty: ValueType) -> ValueId {
        self.graph.values.push(ty);
        ValueId::new(self.graph.values.len() - 1)
    }

    /// A new value passed in at every run.
    pub fn input(&mut self, ty: ValueType) -> ValueId {
        let id = self.value(ty);
        self.graph.inputs.push(id);
        id
    }

    /// A new constant.
    pub fn constant(&mut self, ty: ValueType, data: burn_backend::TensorData) -> ValueId {
        let id = self.value(ty);
        self.graph.constants.push(super::Constant { value: id, data });
        id
    }

    /// Appends an operation whose outputs have the given types.
    pub fn node(&mut self, op: Op, inputs: Vec<ValueId>, outputs: Vec<ValueType>) -> Vec<ValueId> {
        let outputs: Vec<_> = outputs.into_iter().map(|ty| self.value(ty)).collect();
        self.graph.nodes.push(Node { op, inputs, outputs: outputs.clone() });
        outputs
    }

    /// The finished graph with its outputs.
    pub fn finish(mut self, outputs: Vec<ValueId>) -> Graph {
        self.graph.outputs = outputs;
        self.graph
    }
}

impl Graph {
    /// Appends an operation that writes a new value of the given type.
    pub(crate) fn append(&mut self, op: Op, inputs: Vec<ValueId>, ty: ValueType) -> ValueId {
        self.values.push(ty);
        let output = ValueId::new(self.values.len() - 1);
        self.append_to(op, inputs, output);
        output
    }

    /// Appends an operation that writes a value which nothing writes yet.
    pub(crate) fn append_to(&mut self, op: Op, inputs: Vec<ValueId>, output: ValueId) {
        self.nodes.push(Node { op, inputs, outputs: vec![output] });
    }
}
