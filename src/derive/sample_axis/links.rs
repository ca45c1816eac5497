//! How the dimensions of a result follow from those of an operand, operation by operation.

use burn_backend::Slice;

use crate::graph::{Graph, Node, Op, ValueId};

/// Which elements of an operand a result depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// Each on the one at its own place in row-major order.
    Flat,
    /// As said for each dimension of the result.
    Dims(Vec<Source>),
    /// Each on all.
    Everything,
}

/// Where a dimension of a result comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// From a dimension of the operand: an index of the one is the same index of the other.
    Dim(usize),
    /// The operand has no such dimension: it is broadcast, or belongs to another operand.
    Absent,
    /// Indices of the result depend on several of the operand, or on others.
    Mixed,
}

/// The link of an operand with a result of an operation: the table of links, one row for each operation.
pub(super) fn link(graph: &Graph, node: &Node, operand: usize, output: ValueId) -> Link {
    let shape = |value: ValueId| &graph.value(value).shape[..];
    let (x, y) = (node.inputs.get(operand).map_or(&[][..], |&value| shape(value)), shape(output));
    let (pair, first, last) = (Pair { x, y }, operand == 0, y.len().saturating_sub(1));
    let resized = |dim: usize| x.get(dim) != y.get(dim);
    match &node.op {
        Op::Zeros | Op::Ones | Op::Full(_) | Op::Random(_) => Link::Everything,
        Op::Reshape | Op::StopGradient | Op::Cast => Link::Flat,
        Op::Unary(_) | Op::BinaryScalar(..) => Link::Flat,
        Op::CompareScalar(..) | Op::Clamp { .. } | Op::HardSigmoid { .. } => Link::Flat,
        Op::SwapDims(a, b) => pair.from(|dim| match dim {
            dim if dim == *a => Some(*b),
            dim if dim == *b => Some(*a),
            dim => Some(dim),
        }),
        Op::Permute(axes) => pair.from(|dim| axes.get(dim).copied()),
        Op::Flip(dims) => pair.but(|dim| dims.contains(&dim)),
        Op::Expand | Op::Binary(_) | Op::Compare(_) => pair.broadcast(),
        Op::MaskWhere | Op::MaskFill(_) => pair.broadcast(),
        Op::Cross(dim) => pair.broadcast().mixed(|at| at == *dim),
        Op::RepeatDim { .. } => pair.but(|_| false),
        Op::Unfold { dim, .. } => pair.but(|at| at == *dim || at >= x.len()),
        Op::Slice(slices) => pair.but(|dim| resized(dim) || reverses(slices, dim)),
        Op::SliceAssign(slices) => {
            pair.but(|dim| !first && (resized(dim) || reverses(slices, dim)))
        }
        Op::Cat(_) | Op::Pad { .. } => pair.but(resized),
        Op::Gather(_) if !first => Link::Flat,
        Op::Gather(dim) => pair.but(|at| at == *dim || resized(at)),
        Op::Scatter(dim, _) => pair.but(|at| !first && (at == *dim || resized(at))),
        Op::Select(dim) if first => pair.but(|at| at == *dim),
        Op::Select(dim) => pair.from(|at| (at == *dim).then_some(0)),
        Op::SelectAssign(..) if operand == 1 => Link::Everything,
        Op::SelectAssign(dim, _) => pair.but(|at| !first && at == *dim),
        Op::ScatterNd(_) if first => pair.but(|_| false),
        Op::GatherNd | Op::ScatterNd(_) | Op::Reduce(_) => Link::Everything,
        Op::ReduceDim(_, dim) | Op::Cumulative(_, dim) | Op::Softmax(_, dim) => {
            pair.but(|at| at == *dim)
        }
        Op::ExtremumWithIndices { dim, .. } | Op::TopK { dim, .. } | Op::Sort { dim, .. } => {
            pair.but(|at| at == *dim)
        }
        Op::SumDims(dims) => pair.but(|at| dims.contains(&at)),
        Op::Matmul => pair.product(first),
        Op::Linear { .. } | Op::LayerNorm { .. } if first => pair.but(|dim| dim == last),
        Op::Linear { .. } if operand == 1 => pair.from(|dim| (dim == last).then_some(1)),
        Op::Linear { .. } | Op::LayerNorm { .. } => pair.broadcast(),
        Op::Embedding if first => pair.from(|dim| (dim == last).then_some(1)),
        Op::Embedding => pair.from(|dim| (dim < last).then_some(dim)),
        Op::BatchNorm { .. } if first => pair.but(|_| false),
        Op::BatchNorm { .. } => pair.from(|dim| (dim == 1).then_some(0)),
        Op::Conv { .. } | Op::ConvTranspose { .. } if first => pair.but(|dim| dim >= 1),
        Op::ConvTranspose { .. } if operand == 1 => pair.from(|_| None).mixed(|dim| dim == 1),
        Op::Conv { .. } | Op::ConvTranspose { .. } => pair.from(|dim| (dim == 1).then_some(0)),
        Op::Unfold4d { .. } => pair.but(|dim| dim >= 1),
        Op::AvgPool { .. } | Op::AdaptiveAvgPool => pair.but(|dim| dim >= 2),
        Op::MaxPool { .. } | Op::Interpolate { .. } => pair.but(|dim| dim >= 2),
        Op::GridSample2d { .. } if first => pair.but(|dim| dim >= 2),
        Op::GridSample2d { .. } => {
            pair.from(|dim| [Some(0), None, Some(1), Some(2)].get(dim).copied().flatten())
        }
        Op::Attention { .. } => pair.attention(operand),
        Op::CtcLoss { .. } => pair.from(|dim| (dim == 0).then_some(usize::from(first))),
        Op::LinearBackward(_) | Op::EmbeddingBackward | Op::ConvBackward(..) => Link::Everything,
        Op::ConvTransposeBackward(..) | Op::AvgPoolBackward { .. } => Link::Everything,
        Op::AdaptiveAvgPoolBackward | Op::MaxPoolBackward(_) => Link::Everything,
        Op::InterpolateBackward { .. } | Op::CtcLossBackward { .. } => Link::Everything,
    }
}

/// Whether a slice goes backwards along a dimension.
fn reverses(slices: &[Slice], dim: usize) -> bool {
    slices.get(dim).is_some_and(|slice| slice.step < 0)
}

/// The shapes of an operand and of a result.
struct Pair<'a> {
    x: &'a [usize],
    y: &'a [usize],
}

impl Pair<'_> {
    /// The dimension of the result that corresponds to the one of the operand, if its size allows it.
    fn source(&self, x: usize, y: usize) -> Source {
        match (self.x.get(x), self.y.get(y)) {
            (Some(own), Some(size)) if own == size => Source::Dim(x),
            (Some(1), _) => Source::Absent,
            _ => Source::Mixed,
        }
    }

    /// Each dimension of the result from that of the operand which `of` names, or from none.
    fn from(&self, of: impl Fn(usize) -> Option<usize>) -> Link {
        let dims = 0..self.y.len();
        Link::Dims(dims.map(|y| of(y).map_or(Source::Absent, |x| self.source(x, y))).collect())
    }

    /// Each dimension from its own, but for some.
    fn but(&self, mixed: impl Fn(usize) -> bool) -> Link {
        self.from(Some).mixed(mixed)
    }

    /// As element by element operations broadcast: aligned at the last dimension.
    fn broadcast(&self) -> Link {
        self.from(|dim| (dim + self.x.len()).checked_sub(self.y.len()))
    }

    /// A matrix product: the left operand gives the rows, the right one the columns.
    fn product(&self, left: bool) -> Link {
        let rank = self.y.len();
        let foreign = rank.saturating_sub(if left { 1 } else { 2 });
        let aligned = |dim: usize| (dim + self.x.len()).checked_sub(rank);
        self.from(|dim| if dim == foreign { None } else { aligned(dim) })
    }

    /// `query, key, value` of `[batch, heads, places, width]`, and masks broadcast over `[batch, heads, places, places]`.
    fn attention(&self, operand: usize) -> Link {
        if self.x.len() != 4 || self.y.len() != 4 {
            return Link::Everything;
        }
        self.from(|dim| {
            let own = match operand {
                1 => dim < 2,
                2 => dim != 2,
                _ => dim < 3,
            };
            own.then_some(dim)
        })
    }
}

impl Link {
    /// The dimension of the operand that one of the result comes from.
    pub fn source(&self, result: usize) -> Option<usize> {
        match self {
            Self::Dims(sources) => match sources.get(result) {
                Some(Source::Dim(dim)) => Some(*dim),
                _ => None,
            },
            Self::Flat | Self::Everything => None,
        }
    }

    /// Whether the operand has none of some dimensions of the result.
    pub fn lacks(&self, results: &[usize]) -> bool {
        let Self::Dims(sources) = self else {
            return false;
        };
        results.iter().all(|&dim| sources.get(dim) == Some(&Source::Absent))
    }

    fn mixed(self, mixed: impl Fn(usize) -> bool) -> Self {
        match self {
            Self::Dims(sources) => {
                let each = sources.into_iter().enumerate();
                let each =
                    each.map(|(dim, source)| if mixed(dim) { Source::Mixed } else { source });
                Self::Dims(each.collect())
            }
            other => other,
        }
    }
}
