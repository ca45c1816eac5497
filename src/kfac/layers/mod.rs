//! Finds the layers of a network in its program: products of a parameter with an input, and parameters that are added to
//! them or broadcast to the samples; and which of their rows belong to which sample. Depends on graphs and `derive`;
//! independent of models.

mod norms;
mod owner;
mod uses;
mod walk;

pub(super) use owner::{Moves, Samples, Separation};

use crate::graph::{Convolution, Graph, ValueId};
use walk::Uses;

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

/// How a tapped value depends on a parameter.
#[derive(Clone, Debug, PartialEq)]
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
    /// The input of a layer; indices for an embedding.
    pub input: Option<ValueId>,
    /// The value whose gradient is taken, or which has the shape of the operand whose gradient is.
    pub value: ValueId,
    /// The operand of the operation that writes the value.
    pub operand: Option<usize>,
    /// Position of the bias that is added in this use.
    pub bias: Option<usize>,
    /// Where its samples sit; `None` if rows of the value reach several samples.
    pub samples: Option<Samples>,
    /// How the output of a layer that is used once for all samples is moved before it is broadcast to the value.
    pub once: Option<Moves>,
    /// The function of the parameter, element by element, that is broadcast in its place.
    pub function: Option<ValueId>,
}

impl Tap {
    fn of(role: Role, value: ValueId) -> Self {
        let (input, operand, bias, samples) = (None, None, None, None);
        Self { role, input, value, operand, bias, samples, once: None, function: None }
    }

    /// The same use as that of the bias which is added in it.
    fn as_bias(&self) -> Option<Self> {
        let (Role::Weight(kind) | Role::Bias(kind)) = &self.role else { return None };
        Some(Self { role: Role::Bias(kind.clone()), input: None, bias: None, ..self.clone() })
    }
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
    /// Whether it is an embedding that can be reduced: by the first batch, it is used at several places of a sample.
    pub is_bag: bool,
}

impl LayerGroup {
    /// Number of outputs of the layer.
    pub fn width_out(&self) -> usize {
        self.kind.width_out(&self.shape)
    }

    /// Number of inputs of each group, including the constant 1 of the bias.
    pub fn d_in(&self) -> usize {
        let total: usize = self.shape.iter().product();
        total / self.width_out().max(1) + usize::from(self.bias.is_some())
    }

    /// Number of outputs of each group.
    pub fn d_out(&self) -> usize {
        self.width_out() / self.kind.groups().max(1)
    }

    /// Samples of a batch, as far as they are separate.
    pub fn samples(&self) -> usize {
        self.uses.first().and_then(|tap| tap.samples).map_or(1, |samples| samples.count)
    }

    /// Whether it is an embedding that is used at several places of a sample.
    pub fn is_shared_embedding(&self) -> bool {
        self.kind == LayerKind::Embedding && self.rows > self.samples()
    }
}

/// A parameter that is no weight or bias of a layer, but whose gradients of single samples follow from those of values.
#[derive(Clone, Debug)]
pub(in crate::kfac) struct BlockGroup {
    pub parameter: usize,
    pub shape: Vec<usize>,
    pub taps: Vec<Tap>,
}

/// Why a parameter is not the weight or bias of layers only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub(in crate::kfac) enum Leftover {
    #[error("used by {0}")]
    Operation(String),
    #[error("used by layers of different kinds")]
    Mixed,
    #[error("used as a bias of several layers")]
    Biases,
    #[error(
        "used once for all samples, so that their gradients cannot be separated; looked up again for each sample, as \
         by indices repeated with `repeat_dim`, it is a layer"
    )]
    Shared,
    #[error("its rows reach several samples through {0}")]
    Places(String),
    #[error("read by the loss directly, not through the outputs")]
    Beside,
    #[error("not used")]
    Unused,
}

/// The layers of a network, by its program on one batch.
#[derive(Clone, Debug)]
pub(in crate::kfac) struct NetworkLayers {
    /// The loss with normalizations written out.
    pub graph: Graph,
    /// In order of execution.
    pub layers: Vec<LayerGroup>,
    pub blocks: Vec<BlockGroup>,
    /// Where the samples of the outputs sit.
    pub samples: Samples,
    /// The parameters that are not covered, including those of blocks.
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
        for layer in &mut network.layers {
            layer.is_bag = layer.is_shared_embedding();
        }
        network
    }

    /// All taps: those of the layers, then those of the blocks.
    pub fn taps(&self) -> impl Iterator<Item = &Tap> {
        let of_layers = self.layers.iter().flat_map(|group| &group.uses);
        of_layers.chain(self.blocks.iter().flat_map(|block| &block.taps))
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
