//! A loss program with a zero added wherever a gradient is taken.

use crate::{
    graph::{Binary, Graph, Node, Op, ValueId, ValueType},
    kfac::layers::{BlockGroup, LayerGroup, NetworkLayers, Tap},
};

/// A loss program with a probe at every tap of the layers and blocks.
pub(super) struct Probed {
    /// Inputs: parameters, probes, batch. Outputs: the loss, z, then the inputs of the layers.
    pub program: Graph,
    pub layers: Vec<LayerGroup>,
    pub blocks: Vec<BlockGroup>,
}

impl Probed {
    pub fn new(network: &NetworkLayers, parameters: usize) -> Self {
        let NetworkLayers { graph: loss, layers, blocks, .. } = network.clone();
        let of_layers = layers.iter().flat_map(|group| &group.uses);
        let taps: Vec<Tap> =
            of_layers.chain(blocks.iter().flat_map(|block| &block.taps)).cloned().collect();
        let inputs = taps.iter().filter_map(|tap| tap.input);
        let outputs = loss.outputs().iter().copied().chain(inputs).collect();
        let mut program = loss.returning(outputs);
        let mut own = program.inputs.clone();
        let mut batch = own.split_off(parameters);
        own.extend(taps.iter().map(|tap| add_probe(&mut program, tap)));
        own.append(&mut batch);
        Self { program: program.taking(own), layers, blocks }
    }

    /// All taps: those of the layers, then those of the blocks. Probes stand in this order.
    pub fn taps(&self) -> impl Iterator<Item = &Tap> {
        let of_layers = self.layers.iter().flat_map(|group| &group.uses);
        of_layers.chain(self.blocks.iter().flat_map(|block| &block.taps))
    }

    /// Type of the probe of a tap.
    pub fn ty(&self, tap: &Tap) -> &ValueType {
        self.program.value(tap.value)
    }

    /// Samples, and rows between one and the next, of the rows of a layer's tap.
    pub fn row_axis(&self, tap: &Tap, conv: bool) -> Option<[usize; 2]> {
        let samples = tap.samples.filter(|_| tap.once.is_none())?;
        let shape = &self.ty(tap).shape;
        let stride = if conv {
            let places: usize = shape.iter().skip(2).product();
            samples.stride / shape.iter().skip(1).product::<usize>().max(1) * places
        } else {
            samples.stride / shape.last().copied().unwrap_or(1).max(1)
        };
        Some([samples.count, stride])
    }
}

/// Adds a new value to a tapped one, for all who read it, or to an operand, and names the new one.
fn add_probe(program: &mut Graph, tap: &Tap) -> ValueId {
    let ty = program.value(tap.value).clone();
    let mut fresh = || {
        program.values.push(ty.clone());
        ValueId::new(program.values.len() - 1)
    };
    let (probe, sum) = (fresh(), fresh());
    let writer = program.nodes.iter().position(|node| node.outputs.contains(&tap.value));
    let (tapped, at) = match (tap.operand, writer) {
        (Some(operand), Some(writer)) => {
            let tapped = &mut program.nodes[writer].inputs[operand];
            (std::mem::replace(tapped, sum), writer)
        }
        (_, writer) => {
            let readers = program.nodes.iter_mut().flat_map(|node| &mut node.inputs);
            for reference in readers.chain(&mut program.outputs) {
                if *reference == tap.value {
                    *reference = sum;
                }
            }
            (tap.value, writer.map_or(0, |at| at + 1))
        }
    };
    let inputs = vec![tapped, probe];
    let node = Node { op: Op::Binary(Binary::Add), inputs, outputs: vec![sum] };
    program.nodes.insert(at, node);
    probe
}
