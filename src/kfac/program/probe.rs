//! A loss program with a zero added to the output of every layer.

use std::sync::Arc;

use crate::{
    graph::{Binary, Graph, Node, Op, ValueId},
    kfac::layers::LayerGroup,
};

/// A loss program with a probe at the output of every layer.
pub(super) struct Probed {
    /// Inputs: parameters, probes, batch. Outputs: the loss, z, then the inputs of the layers.
    pub program: Graph,
    /// Types of the probes are those of these values.
    pub probed: Vec<ValueId>,
    /// The uses of every weight; inputs and probes stand in this order.
    pub groups: Arc<[LayerGroup]>,
}

impl Probed {
    pub fn new(loss: &Graph, parameters: usize, groups: Arc<[LayerGroup]>) -> Self {
        let uses = groups.iter().flat_map(|group| group.uses.iter().copied());
        let (inputs, probed): (Vec<ValueId>, Vec<ValueId>) = uses.unzip();
        let outputs = loss.outputs().iter().copied().chain(inputs).collect();
        let mut program = loss.returning(outputs);
        let mut own = program.inputs.clone();
        let mut batch = own.split_off(parameters);
        for &value in &probed {
            own.push(add_probe(&mut program, value));
        }
        own.append(&mut batch);
        Self { program: program.taking(own), probed, groups }
    }
}

/// Adds a new value to another, for everybody who reads it, and names the new one.
fn add_probe(program: &mut Graph, value: ValueId) -> ValueId {
    let ty = program.value(value).clone();
    let mut fresh = || {
        program.values.push(ty.clone());
        ValueId::new(program.values.len() - 1)
    };
    let (probe, sum) = (fresh(), fresh());
    let readers = program.nodes.iter_mut().flat_map(|node| &mut node.inputs);
    for reference in readers.chain(&mut program.outputs) {
        if *reference == value {
            *reference = sum;
        }
    }
    let writer = program.nodes.iter().position(|node| node.outputs.contains(&value));
    let node = Node { op: Op::Binary(Binary::Add), inputs: vec![value, probe], outputs: vec![sum] };
    program.nodes.insert(writer.map_or(0, |at| at + 1), node);
    probe
}
