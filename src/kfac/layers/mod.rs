//! Finds the layers of a network in its program: products of a parameter with an input, and parameters that are added to
//! them or broadcast to the samples; and which of their rows belong to which sample. Depends on graphs and `derive`;
//! independent of models.

mod norms;
mod once;
mod owner;
mod walk;

pub(super) use once::Moves;
pub(super) use owner::{Samples, Separation};

use std::collections::HashMap;

use crate::graph::{Convolution, Graph, ValueId};
use walk::Walk;

/// How a layer uses its weight.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::kfac) enum LayerKind {
    /// y = x W with W of `[d_in, d_out]`, or of `[d_out, d_in]` where it is transposed first.
    Linear {
        /// Whether W is stored as `[d_out, d_in]`.
        transposed: bool,
    },
    /// y = x ∗ W with W of `[d_out, d_in / groups, kernel…]`.
    Conv(Convolution),
    /// y = rows of W, which is `[d_in, d_out]`.
    Embedding,
}

impl LayerKind {
    /// Number of groups of a convolution, else 1.
    pub fn groups(&self) -> usize {
        match self {
            Self::Conv(Convolution::D1(options)) => options.groups,
            Self::Conv(Convolution::D2(options)) => options.groups,
            Self::Conv(Convolution::D3(options)) => options.groups,
            Self::Linear { .. } | Self::Embedding => 1,
        }
    }

    /// Number of outputs of a layer with a weight of this shape.
    pub fn width_out(&self, weight: &[usize]) -> usize {
        let width = if self.is_stored_by_outputs() { weight.first() } else { weight.last() };
        width.copied().unwrap_or(1)
    }

    /// Whether the weight has a row for each output.
    pub fn is_stored_by_outputs(&self) -> bool {
        matches!(self, Self::Linear { transposed: true } | Self::Conv(_))
    }

    fn is_convolution(&self) -> bool {
        matches!(self, Self::Conv(_))
    }

    /// Elements of an output between one place and the next where samples may begin.
    fn features(&self, output: &[usize]) -> usize {
        match self {
            Self::Linear { .. } | Self::Embedding => output.last().copied().unwrap_or(1),
            Self::Conv(_) => output.iter().skip(1).product(),
        }
    }
}

/// One use of a weight in a layer.
#[derive(Clone, Debug)]
struct LayerUse {
    kind: LayerKind,
    /// Position of the weight among the parameters.
    weight: usize,
    /// Position of the bias among the parameters.
    bias: Option<usize>,
    /// The value x that is multiplied; indices for an embedding.
    input: ValueId,
    /// The value x W, with the bias where the operation itself adds it.
    output: ValueId,
}

/// One use of a parameter that is broadcast.
#[derive(Clone, Debug)]
struct BroadcastUse {
    parameter: usize,
    value: ValueId,
    operand: Option<usize>,
    /// The shape that is broadcast.
    from: Vec<usize>,
    operation: String,
}

/// How a tapped value depends on a parameter.
#[derive(Clone, Debug)]
pub(in crate::kfac) enum Role {
    /// It is the output of a layer with this weight.
    Weight(LayerKind),
    /// It is added to the output of such a layer.
    Bias(LayerKind),
    /// Its elements, in this shape, are broadcast to those of the value.
    Broadcast(Vec<usize>),
}

/// A place of a program where the gradient is taken.
#[derive(Clone, Debug)]
pub(in crate::kfac) struct Tap {
    pub role: Role,
    /// The input of a layer.
    pub input: Option<ValueId>,
    /// The value whose gradient is taken, or which has the shape of the operand whose gradient is.
    pub value: ValueId,
    /// The operand of the operation that writes the value.
    pub operand: Option<usize>,
    /// Whether a bias is added in this use.
    pub biased: bool,
    /// Where its samples sit; `None` if rows of the value reach several samples.
    pub samples: Option<Samples>,
    /// How the output of a layer that is used once for all samples is moved before it is broadcast to the value.
    pub once: Option<Moves>,
}

/// All uses of one weight.
#[derive(Clone, Debug)]
pub(in crate::kfac) struct LayerGroup {
    pub kind: LayerKind,
    /// Position of the weight among the parameters.
    pub weight: usize,
    /// Position of the bias among the parameters.
    pub bias: Option<usize>,
    /// Shape of the weight.
    pub shape: Vec<usize>,
    pub uses: Vec<Tap>,
    /// How often the weight is used in a batch: samples times places.
    pub rows: usize,
    /// The operation in which rows of it reach several samples, if they do.
    pub mixed: Option<String>,
}

impl LayerGroup {
    /// Number of outputs of the layer.
    pub fn width_out(&self) -> usize {
        self.kind.width_out(&self.shape)
    }

    /// Number of inputs of each group, a one for the bias included.
    pub fn d_in(&self) -> usize {
        let total: usize = self.shape.iter().product();
        total / self.width_out().max(1) + usize::from(self.bias.is_some())
    }

    /// Samples of a batch, as far as they are told apart.
    pub fn samples(&self) -> usize {
        self.uses.first().and_then(|tap| tap.samples).map_or(1, |samples| samples.count)
    }

    /// Whether it is an embedding that is used at several places of a sample.
    pub fn is_shared_embedding(&self) -> bool {
        self.kind == LayerKind::Embedding && self.rows > self.samples()
    }
}

/// A parameter that is no weight or bias of a layer, but whose gradients by single samples are known from those of values.
#[derive(Clone, Debug)]
pub(in crate::kfac) struct BlockGroup {
    pub parameter: usize,
    pub shape: Vec<usize>,
    pub taps: Vec<Tap>,
}

/// Why a parameter is not the weight or bias of layers only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::kfac) enum Leftover {
    /// It is used by another operation, of this name.
    Operation(String),
    /// Its uses are of different kinds.
    Mixed,
    /// It is the bias of several layers.
    Biases,
    /// It is used once for all samples.
    Shared,
    /// Its rows reach several samples, through the operation of this name.
    Places(String),
    /// The loss reads it, the outputs do not.
    Beside,
    /// The loss does not read it.
    Unused,
}

/// The layers of a network, by its program on one batch.
#[derive(Clone, Debug)]
pub(in crate::kfac) struct NetworkLayers {
    /// The loss with normalizations as what they are made of.
    pub graph: Graph,
    /// In order of execution.
    pub layers: Vec<LayerGroup>,
    pub blocks: Vec<BlockGroup>,
    /// Where the samples of the outputs sit.
    pub samples: Samples,
    /// The parameters that are not covered, those of blocks included.
    leftover: Vec<(usize, Leftover)>,
}

impl NetworkLayers {
    /// Finds the layers of a loss and its outputs, with the parameters as first inputs.
    pub fn of(loss: &Graph, parameters: usize, separation: Separation) -> Self {
        let graph = norms::apart(loss);
        let uses = Uses::of(&graph, parameters);
        let layers = uses.layers();
        let covered = |parameter| {
            let mut own = layers.iter().flat_map(|layer| [Some(layer.weight), layer.bias]);
            own.any(|one| one == Some(parameter))
        };
        let left: Vec<usize> = (0..parameters).filter(|&parameter| !covered(parameter)).collect();
        let blocks = left.iter().filter_map(|&parameter| uses.block(parameter)).collect();
        let leftover = left.iter().map(|&parameter| (parameter, uses.reason(parameter))).collect();
        let samples = Samples { count: 1, stride: 1 };
        let mut network = Self { layers, blocks, samples, leftover, graph };
        if let Some(&outputs) = loss.outputs().get(1) {
            owner::assign(&mut network, outputs, separation);
        }
        network
    }

    /// Why a parameter belongs to no layer.
    pub fn reason(&self, parameter: usize) -> Leftover {
        let found = self.leftover.iter().find(|(one, _)| *one == parameter);
        found.map_or(Leftover::Unused, |(_, reason)| reason.clone())
    }

    /// Whether a parameter is one of the blocks.
    pub fn has_block(&self, parameter: usize) -> bool {
        self.blocks.iter().any(|block| block.parameter == parameter)
    }

    /// Whether the outputs have several rows for each sample.
    pub fn has_rows_in_samples(&self) -> bool {
        let shape = self.graph.outputs().get(1).map(|&value| &self.graph.value(value).shape);
        shape.is_some_and(|shape| {
            let rows = shape.num_elements() / shape.last().copied().unwrap_or(1).max(1);
            shape.num_dims() > 2 && rows != shape[0]
        })
    }
}

/// How a program uses its parameters.
struct Uses<'a> {
    graph: &'a Graph,
    layers: Vec<LayerUse>,
    broadcasts: Vec<BroadcastUse>,
    other: HashMap<usize, Leftover>,
}

impl<'a> Uses<'a> {
    fn of(graph: &'a Graph, parameters: usize) -> Self {
        let Walk { layers, broadcasts, other, .. } = Walk::through(graph, parameters);
        Self { graph, layers, broadcasts, other }
    }

    fn is_broadcast(&self, parameter: usize) -> bool {
        self.broadcasts.iter().any(|one| one.parameter == parameter)
    }

    fn is_bias(&self, parameter: usize) -> bool {
        self.layers.iter().any(|one| one.bias == Some(parameter))
    }

    fn as_weight(&self, parameter: usize) -> impl Iterator<Item = &LayerUse> {
        self.layers.iter().filter(move |one| one.weight == parameter)
    }

    /// Whether a parameter is the weight of layers of one kind, and nothing else.
    fn is_weight(&self, parameter: usize) -> bool {
        let mut uses = self.as_weight(parameter);
        let Some(first) = uses.next() else {
            return false;
        };
        let alike = uses.all(|one| one.kind == first.kind);
        alike && !self.is_bias(parameter) && self.has_no_others(parameter)
    }

    fn has_no_others(&self, parameter: usize) -> bool {
        !self.is_broadcast(parameter) && !self.other.contains_key(&parameter)
    }

    /// The bias of a weight: of all uses that have one the same, and of no other weight.
    fn bias_of(&self, weight: usize) -> Option<usize> {
        let bias = self.as_weight(weight).find_map(|one| one.bias)?;
        let own = self.as_weight(weight).all(|one| one.bias.is_none_or(|other| other == bias));
        let others = self.layers.iter().any(|one| one.bias == Some(bias) && one.weight != weight);
        let weights = self.as_weight(bias).next().is_some();
        (own && !others && !weights && self.has_no_others(bias)).then_some(bias)
    }

    /// The groups of uses of each weight.
    fn layers(&self) -> Vec<LayerGroup> {
        let mut groups: Vec<LayerGroup> = Vec::new();
        for one in self.layers.iter().filter(|one| self.is_weight(one.weight)) {
            let bias = self.bias_of(one.weight);
            let tap = self.tap(one, Role::Weight(one.kind.clone()), bias.is_some());
            let shape = self.shape_of(one.weight);
            let width = one.kind.width_out(&shape).max(1);
            let rows = self.graph.value(one.output).shape.num_elements() / width;
            match groups.iter_mut().find(|group| group.weight == one.weight) {
                Some(group) => {
                    group.rows += rows;
                    group.uses.push(tap);
                }
                None => groups.push(LayerGroup {
                    kind: one.kind.clone(),
                    weight: one.weight,
                    bias,
                    shape,
                    uses: vec![tap],
                    rows,
                    mixed: None,
                }),
            }
        }
        groups
    }

    fn tap(&self, one: &LayerUse, role: Role, with_bias: bool) -> Tap {
        let biased = with_bias && one.bias.is_some();
        let input = matches!(role, Role::Weight(_)).then_some(one.input);
        Tap { role, input, value: one.output, operand: None, biased, samples: None, once: None }
    }

    /// All uses of a parameter that is no layer's; `None` if there are others than these.
    fn block(&self, parameter: usize) -> Option<BlockGroup> {
        if self.other.contains_key(&parameter) {
            return None;
        }
        let weights = self.as_weight(parameter);
        let weights = weights.map(|one| self.tap(one, Role::Weight(one.kind.clone()), false));
        let biases = self.layers.iter().filter(|one| one.bias == Some(parameter));
        let biases = biases.map(|one| self.tap(one, Role::Bias(one.kind.clone()), false));
        let broadcasts = self.broadcasts.iter().filter(|one| one.parameter == parameter);
        let broadcasts = broadcasts.map(|one| Tap {
            role: Role::Broadcast(one.from.clone()),
            input: None,
            value: one.value,
            operand: one.operand,
            biased: false,
            samples: None,
            once: None,
        });
        let taps: Vec<Tap> = weights.chain(biases).chain(broadcasts).collect();
        let shape = self.shape_of(parameter);
        (!taps.is_empty()).then_some(BlockGroup { parameter, shape, taps })
    }

    /// Why a parameter belongs to no layer.
    fn reason(&self, parameter: usize) -> Leftover {
        let (weight, bias) = (self.as_weight(parameter).next(), self.is_bias(parameter));
        let broadcast = self.broadcasts.iter().find(|one| one.parameter == parameter);
        match (self.other.get(&parameter), weight, bias, broadcast) {
            (Some(_), Some(_), ..) | (Some(_), _, true, _) => Leftover::Mixed,
            (Some(other), ..) => other.clone(),
            (None, None, false, Some(one)) => Leftover::Operation(one.operation.clone()),
            (None, None, false, None) => Leftover::Unused,
            (None, None, true, None) => Leftover::Biases,
            (None, ..) => Leftover::Mixed,
        }
    }

    fn shape_of(&self, parameter: usize) -> Vec<usize> {
        self.graph.value(self.graph.inputs()[parameter]).shape.to_vec()
    }
}
