//! Which elements of a use belong to which sample of the outputs; where the output of a layer that is used once for all
//! samples is broadcast, each sample has its own gradient.

use super::{BlockGroup, LayerGroup, Leftover, NetworkLayers, Role, Tap};
use crate::{
    derive::{SampleAxes, SampleAxis},
    graph::{Binary, Class, Graph, Node, Op, ValueId},
};

/// What a metric needs the gradients of the layers to separate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::kfac) enum Separation {
    /// The rows of the outputs, each with a target of its own: all are propagated back together.
    Rows,
    /// The samples, the first dimension of the outputs.
    Samples,
    /// Nothing for second moments, since independent targets keep rows apart on average. Where samples matter, rows that
    /// were merged from a dimension of the batch are taken together.
    OnAverage,
}

/// Where the samples of a use sit: element f of the tapped value belongs to sample (f / stride) mod count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kfac) struct Samples {
    pub count: usize,
    pub stride: usize,
}

/// Assigns every tap its samples; layers whose output serves all samples at once are left over, those that mix samples
/// are marked, and blocks that are not separate are dropped.
pub(super) fn assign(network: &mut NetworkLayers, outputs: ValueId, separation: Separation) {
    let graph = network.graph.returning(vec![outputs]);
    let shape = &graph.value(outputs).shape;
    let total = shape.num_elements();
    let row = if shape.num_dims() > 1 { shape.last().copied().unwrap_or(1) } else { 1 };
    let first = shape.iter().next().copied().unwrap_or(1);
    let mut units = vec![(first, total / first.max(1))];
    if separation == Separation::OnAverage {
        units.extend(coarser(&graph, first, total));
    }
    let owners = units.into_iter().map(|(count, stride)| Samples { count, stride });
    let owners = owners.map(|unit| {
        let owner = Owner::new(&graph, outputs, unit);
        let told = network.layers.iter().filter(|layer| owner.of_all(&layer.uses).is_ok());
        (told.count(), owner)
    });
    let best = owners.reduce(|best, next| if next.0 > best.0 { next } else { best });
    let Some((_, samples)) = best else {
        return;
    };
    let rows = Samples { count: total / row.max(1), stride: row };
    let finer = separation == Separation::Rows && rows.count != first;
    let rows = finer.then(|| Owner::new(&graph, outputs, rows));
    apply(network, &samples, rows.as_ref());
}

fn apply(network: &mut NetworkLayers, samples: &Owner<'_>, rows: Option<&Owner<'_>>) {
    let finest = rows.unwrap_or(samples);
    network.samples = finest.unit;
    let mut kept = Vec::with_capacity(network.layers.len());
    for mut layer in std::mem::take(&mut network.layers) {
        match samples.of_all(&layer.uses).and_then(|_| finest.of_all(&layer.uses)) {
            Ok(found) => tell(&mut layer.uses, found),
            Err(Leftover::Places(operation)) => layer.mixed = Some(operation),
            Err(reason) => {
                if reason == Leftover::Shared {
                    network.blocks.extend(finest.once(&layer));
                }
                let own = [Some(layer.weight), layer.bias].into_iter().flatten();
                network.leftover.extend(own.map(|parameter| (parameter, reason.clone())));
                continue;
            }
        }
        kept.push(layer);
    }
    network.layers = kept;
    network.blocks.retain_mut(|block| match finest.of_all(&block.taps) {
        Ok(found) => {
            tell(&mut block.taps, found);
            true
        }
        Err(_) => false,
    });
}

fn tell(taps: &mut [Tap], found: Vec<Samples>) {
    for (tap, samples) in taps.iter_mut().zip(found) {
        tap.samples = Some(samples);
    }
}

/// Larger units than the first dimension of the outputs, which may be merged from sequences: the sizes of the batch's
/// dimensions, outside or inside the rows.
fn coarser(graph: &Graph, first: usize, total: usize) -> Vec<(usize, usize)> {
    let inputs = graph.inputs().iter().flat_map(|&value| graph.value(value).shape.iter().copied());
    let mut sizes: Vec<usize> =
        inputs.filter(|size| *size > 1 && *size < first && first.is_multiple_of(*size)).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes.dedup();
    let both = |size: usize| [(size, total / size), (size, total / first)];
    sizes.into_iter().flat_map(both).collect()
}

/// The samples of a program for one unit.
struct Owner<'a> {
    graph: &'a Graph,
    unit: Samples,
    axes: SampleAxes,
}

impl<'a> Owner<'a> {
    fn new(graph: &'a Graph, outputs: ValueId, unit: Samples) -> Self {
        Self { graph, unit, axes: SampleAxes::backward(graph, unit.count, outputs, unit.stride) }
    }

    /// The weight and the bias of a layer that is used once for all samples, where its output is broadcast to them.
    fn once(&self, layer: &LayerGroup) -> Vec<BlockGroup> {
        let follow = |tap: &Tap| match self.of(tap) {
            Ok(_) => Some(tap.clone()),
            Err(_) => to_broadcast(self.graph, &self.axes, tap),
        };
        let taps: Option<Vec<Tap>> = layer.uses.iter().map(follow).collect();
        let Some(taps) = taps else {
            return Vec::new();
        };
        let biased = taps.iter().filter(|tap| tap.bias.is_some());
        let biased = biased.filter_map(Tap::as_bias).collect();
        let bias = layer.bias.map(|parameter| {
            let shape = vec![layer.width_out()];
            BlockGroup { parameter, shape, taps: biased }
        });
        let (parameter, shape) = (layer.weight, layer.shape.clone());
        std::iter::once(BlockGroup { parameter, shape, taps }).chain(bias).collect()
    }

    /// The samples of all taps, or why one has none.
    fn of_all(&self, taps: &[Tap]) -> Result<Vec<Samples>, Leftover> {
        taps.iter().map(|tap| self.of(tap)).collect()
    }

    fn of(&self, tap: &Tap) -> Result<Samples, Leftover> {
        let (count, shape) = (self.axes.samples(), &self.graph.value(tap.value).shape[..]);
        let stride = match self.axes.of(tap.value) {
            None => return Err(Leftover::Beside),
            Some(_) if count == 1 => shape.iter().product(),
            Some(SampleAxis::Shared) => return Err(Leftover::Shared),
            Some(SampleAxis::Mixed { node }) => {
                let name = self.graph.nodes().get(node).map(|node| node.op.name());
                return Err(Leftover::Places(name.unwrap_or_default()));
            }
            Some(SampleAxis::Samples { stride }) => stride,
        };
        let broadcast = tap.once.as_ref().map(|moves| &moves.from);
        let features = match (&tap.role, broadcast) {
            (Role::Weight(kind) | Role::Bias(kind), None) => kind.features(shape),
            (Role::Broadcast(from), _) | (_, Some(from)) => {
                let dims = self.axes.dimensions(stride, shape).unwrap_or_default();
                let own = |dim: &usize| {
                    let at = (dim + from.len()).checked_sub(shape.len());
                    at.is_some_and(|at| from.get(at).is_some_and(|&size| size > 1))
                };
                if dims.iter().any(own) { 0 } else { 1 }
            }
        };
        if count > 1 && (features == 0 || !stride.is_multiple_of(features)) {
            return Err(Leftover::Places("features".into()));
        }
        Ok(Samples { count, stride })
    }
}

/// How an output is moved before it is broadcast to the samples.
#[derive(Clone, Debug)]
pub(in crate::kfac) struct Moves {
    /// Each movement with the shape before it.
    pub moves: Vec<(Op, Vec<usize>)>,
    /// The shape that is broadcast.
    pub from: Vec<usize>,
}

/// A tap at the operation that broadcasts the output of a layer to the samples; `None` if other operations read it.
fn to_broadcast(graph: &Graph, axes: &SampleAxes, tap: &Tap) -> Option<Tap> {
    if matches!(&tap.role, Role::Weight(kind) | Role::Bias(kind) if kind.is_convolution()) {
        return None;
    }
    let shape = |value: ValueId| graph.value(value).shape.to_vec();
    let (mut value, mut moves) = (tap.value, Vec::new());
    loop {
        let (node, operand) = reader(graph, value)?;
        let output = *node.outputs.first()?;
        if matches!(axes.of(output), Some(SampleAxis::Samples { .. })) {
            let once = Some(Moves { moves, from: shape(value) });
            let operand = match node.op {
                Op::Binary(_) if node.op.class() != Class::Constant => Some(operand),
                Op::Expand => None,
                Op::RepeatDim { dim, .. } if shape(value).get(dim) == Some(&1) => None,
                _ => return None,
            };
            return Some(Tap { value: output, operand, once, ..tap.clone() });
        }
        match node.op {
            Op::Reshape | Op::SwapDims(..) | Op::Permute(_) => {
                moves.push((node.op.clone(), shape(value)));
            }
            Op::Binary(Binary::Add) if shape(value) == shape(output) => {}
            _ => return None,
        }
        value = output;
    }
}

/// The only operation that reads a value, and as which operand.
fn reader(graph: &Graph, value: ValueId) -> Option<(&Node, usize)> {
    let reads = |node: &Node| node.inputs.iter().filter(|input| **input == value).count();
    let total: usize = graph.nodes().iter().map(reads).sum();
    if total != 1 || graph.outputs().contains(&value) {
        return None;
    }
    graph
        .nodes()
        .iter()
        .find_map(|node| Some((node, node.inputs.iter().position(|input| *input == value)?)))
}
