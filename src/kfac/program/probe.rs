//! A loss program with a zero added wherever a gradient is taken.

use burn_backend::{DType, ops::FloatTensorOps, tensor::Device};
use burn_capture::CaptureBackend;

use super::Tensor;
use crate::{
    derive::{self, Arguments, Inputs, adjoint_product, apply_recorded, required},
    error::Error,
    graph::{Binary, Graph, Node, Op, ValueId, ValueType},
    kfac::layers::{LayerKind, NetworkLayers, Tap},
};

/// Largest number of elements of the gradients of one tap that go back together: more leave the cache.
const MOST_TOGETHER: usize = 1 << 17;

/// A loss program with a probe at every tap of the layers and blocks.
pub(super) struct Probed<'a> {
    /// With the program without probes.
    pub network: &'a NetworkLayers,
    pub parameters: usize,
    /// Inputs: parameters, probes, batch. Outputs: the loss, z, then the inputs of the layers.
    pub program: Graph,
}

impl<'a> Probed<'a> {
    pub fn new(network: &'a NetworkLayers, parameters: usize) -> Self {
        let inputs = network.taps().filter_map(|tap| tap.input);
        let outputs = network.graph.outputs().iter().copied().chain(inputs).collect();
        let mut program = network.graph.returning(outputs);
        let mut own = program.inputs.clone();
        let mut batch = own.split_off(parameters);
        own.extend(network.taps().map(|tap| add_probe(&mut program, tap)));
        own.append(&mut batch);
        Self { program: program.taking(own), network, parameters }
    }

    /// For each layer whether the outputs of the network are its own, but for what is added to them: their cotangents are
    /// then its gradients.
    pub fn at_outputs(&self) -> Vec<bool> {
        let mut probes = self.program.inputs[self.parameters..].iter();
        let layers = self.network.layers.iter().map(|layer| {
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
        let loss = &self.network.graph;
        loss.inputs().first().map_or(DType::F32, |&value| loss.value(value).dtype)
    }

    /// The parameters with a zero for every probe.
    pub fn leaves(&self, inputs: &Inputs, device: &Device<CaptureBackend>) -> Vec<Tensor> {
        let zeros = self.network.taps().map(|tap| {
            let ValueType { shape, dtype } = self.ty(tap).clone();
            CaptureBackend::float_zeros(shape, device, dtype.into())
        });
        inputs.parameters.iter().cloned().chain(zeros).collect()
    }

    /// The gradients of ⟨z, u⟩ at all taps: inputs as the loss program's, and then u.
    pub fn adjoint(&self) -> Result<Graph, Error> {
        let z = required(self.program.outputs().get(1).copied())?;
        let program = &self.program.returning(vec![z]);
        let (loss, parameters) = (&self.network.graph, self.parameters);
        derive::derived("gradients of layers", loss, parameters, |scope, inputs| {
            let cotangent = scope.input(self.program.value(z)).into_float()?;
            let device = &scope.device();
            let (leaves, batch) = (self.leaves(inputs, device), &inputs.batch);
            let arguments = Arguments { program, device, parameters: &leaves, batch };
            Ok(adjoint_product(&arguments, cotangent, apply_recorded)?.split_off(parameters))
        })
    }

    /// How many of some cotangents go back together: as many as fit, but not fewer than make products of the gradients
    /// with themselves as much work as adding these up.
    pub fn together(&self, cotangents: usize) -> usize {
        let elements = self.network.taps().map(|tap| self.ty(tap).shape.num_elements());
        let fit = MOST_TOGETHER / elements.max().unwrap_or(1).max(1);
        let wide =
            self.network.layers.iter().map(|layer| layer.width_out() / (2 * layer.rows).max(1));
        let most = fit.max(wide.max().unwrap_or(1)).max(1);
        cotangents.div_ceil(cotangents.div_ceil(most).max(1))
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
