//! A loss program with a zero added wherever a gradient is taken.

use burn_backend::{DType, ops::FloatTensorOps, tensor::Device};
use burn_capture::CaptureBackend;

use super::{Tensor, record::input};
use crate::{
    derive::{self, Arguments, Inputs, adjoint_product, apply_recorded, required},
    error::Error,
    graph::{Binary, Graph, Node, Op, ValueId, ValueType},
    kfac::layers::{BlockGroup, LayerGroup, LayerKind, NetworkLayers, Tap},
};

/// Largest number of elements of the gradients of one tap that go back together: more leave the cache.
const MOST_TOGETHER: usize = 1 << 17;

/// A loss program with a probe at every tap of the layers and blocks.
pub(super) struct Probed {
    /// The program without probes, and its number of parameters.
    pub loss: Graph,
    pub parameters: usize,
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
        Self { program: program.taking(own), loss, parameters, layers, blocks }
    }

    /// For each layer whether the outputs of the network are its own, but for what is added to them: their cotangents are
    /// then its gradients.
    pub fn at_outputs(&self) -> Vec<bool> {
        let mut probes = self.program.inputs[self.parameters..].iter();
        let layers = self.layers.iter().map(|layer| {
            let own: Vec<ValueId> = probes.by_ref().take(layer.uses.len()).copied().collect();
            let is_linear = matches!(layer.kind, LayerKind::Linear { .. });
            matches!(own.as_slice(), [probe] if is_linear && self.is_added_to_outputs(*probe))
        });
        layers.collect()
    }

    /// Whether z is a value and others that do not depend on it, all of one shape but for those.
    fn is_added_to_outputs(&self, probe: ValueId) -> bool {
        let program = &self.program;
        let depending = program.dependents(&[probe]);
        let Some(&z) = program.outputs().get(1) else { return false };
        let mut value = z;
        while value != probe {
            let writer = program.nodes.iter().find(|node| node.outputs.contains(&value));
            let Some(Node { op: Op::Binary(Binary::Add), inputs, .. }) = writer else {
                return false;
            };
            let of_probe = |input: &&ValueId| depending.contains(input);
            let mut on_the_way = inputs.iter().filter(of_probe);
            match (on_the_way.next(), on_the_way.next()) {
                (Some(&next), None) if program.value(next) == program.value(z) => value = next,
                _ => return false,
            }
        }
        true
    }

    /// The element type of the parameters.
    pub fn dtype(&self) -> DType {
        self.loss.inputs().first().map_or(DType::F32, |&value| self.loss.value(value).dtype)
    }

    /// The parameters with a zero for every probe.
    pub fn leaves(&self, inputs: &Inputs, device: &Device<CaptureBackend>) -> Vec<Tensor> {
        let zeros = self.taps().map(|tap| {
            let ValueType { shape, dtype } = self.ty(tap).clone();
            CaptureBackend::float_zeros(shape, device, dtype.into())
        });
        inputs.parameters.iter().cloned().chain(zeros).collect()
    }

    /// The gradients of ⟨z, u⟩ at all taps: inputs as the loss program's, and then u.
    pub fn adjoint(&self) -> Result<Graph, Error> {
        let z = required(self.program.outputs().get(1).copied())?;
        let network = self.program.returning(vec![z]);
        derive::derived("gradients of layers", &self.loss, self.parameters, |scope, inputs| {
            let ValueType { shape, dtype } = self.program.value(z).clone();
            let cotangent = input(scope, shape.to_vec(), dtype)?;
            let device = scope.device();
            let arguments = Arguments {
                program: &network,
                device: &device,
                parameters: &self.leaves(inputs, &device),
                batch: &inputs.batch,
            };
            let mut gradients = adjoint_product(&arguments, cotangent, apply_recorded)?;
            Ok(gradients.split_off(self.parameters))
        })
    }

    /// How many of some cotangents go back together: as many as fit, but not fewer than make products of the gradients
    /// with themselves as much work as adding these up.
    pub fn together(&self, cotangents: usize) -> usize {
        let elements = self.taps().map(|tap| self.ty(tap).shape.num_elements());
        let fit = MOST_TOGETHER / elements.max().unwrap_or(1).max(1);
        let wide = self.layers.iter().map(|layer| layer.width_out() / (2 * layer.rows).max(1));
        let most = fit.max(wide.max().unwrap_or(1)).max(1);
        cotangents.div_ceil(cotangents.div_ceil(most).max(1))
    }

    /// All taps: those of the layers, then those of the blocks. Probes are in this order.
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
