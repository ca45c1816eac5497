//! The rule of each operation for several vectors.

use burn_backend::Slice;

use crate::graph::{Binary, Op, WithRespectTo};

/// How an operation is applied to several vectors at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Element by element, operands aligned at the last dimension: a fixed one is broadcast.
    Broadcast,
    /// The same, with all operands in the shape of the result: not every backend broadcasts them.
    Expanded,
    /// The operation [`around`] the axis, on operands that all have it at the same place.
    Around,
    /// The same, but operand 1 holds positions, which must be fixed.
    Positions,
    /// The axis goes last: operand 1 holds tuples of positions, which must be fixed.
    Last,
    /// The operation itself takes any leading dimensions of this operand; the others must be fixed.
    Leading(usize),
    /// The axis is merged into the first dimension of the first operands of this number; the others must be fixed.
    Merged(usize),
    /// A rule of its own.
    Own,
    /// One vector after another.
    Each,
}

/// The table of rules, one row for each operation.
pub(super) fn rule(op: &Op) -> Rule {
    match op {
        Op::Zeros | Op::Ones | Op::Full(_) | Op::Random(_) => Rule::Each,
        Op::StopGradient | Op::Cast | Op::Unary(_) => Rule::Around,
        Op::BinaryScalar(..) | Op::CompareScalar(..) => Rule::Around,
        Op::Clamp { .. } | Op::HardSigmoid { .. } => Rule::Around,
        Op::Flip(_) | Op::Unfold { .. } | Op::Slice(_) | Op::SliceAssign(_) => Rule::Around,
        Op::RepeatDim { .. } | Op::Cat(_) | Op::Pad { .. } => Rule::Around,
        Op::Gather(_) | Op::Scatter(..) | Op::Cross(_) => Rule::Around,
        Op::ReduceDim(..) | Op::SumDims(_) | Op::Cumulative(..) | Op::Softmax(..) => Rule::Around,
        Op::ExtremumWithIndices { .. } | Op::TopK { .. } | Op::Sort { .. } => Rule::Around,
        Op::Select(_) | Op::SelectAssign(..) => Rule::Positions,
        Op::GatherNd | Op::ScatterNd(_) => Rule::Last,
        Op::MaskWhere | Op::Binary(Binary::PRelu) => Rule::Expanded,
        Op::Binary(_) | Op::Compare(_) | Op::MaskFill(_) => Rule::Broadcast,
        Op::Reshape | Op::SwapDims(..) | Op::Permute(_) | Op::Expand => Rule::Own,
        Op::Reduce(_) | Op::Matmul => Rule::Own,
        Op::Linear { .. } | Op::LayerNorm { .. } => Rule::Leading(0),
        Op::LinearBackward(WithRespectTo::Input) => Rule::Leading(1),
        Op::LinearBackward(_) | Op::Embedding | Op::EmbeddingBackward => Rule::Each,
        Op::BatchNorm { .. } | Op::Unfold4d { .. } => Rule::Merged(1),
        Op::AvgPool { .. } | Op::AdaptiveAvgPool | Op::MaxPool { .. } => Rule::Merged(1),
        Op::AvgPoolBackward { .. } | Op::AdaptiveAvgPoolBackward => Rule::Merged(2),
        Op::Interpolate { .. } => Rule::Merged(1),
        Op::InterpolateBackward { .. } | Op::GridSample2d { .. } => Rule::Merged(2),
        Op::MaxPoolBackward(_) => Rule::Merged(3),
        Op::Attention { mask: false, attn_bias: false, .. } => Rule::Merged(3),
        Op::Attention { .. } | Op::CtcLoss { .. } | Op::CtcLossBackward { .. } => Rule::Each,
        Op::Conv { .. } | Op::ConvBackward(..) => Rule::Own,
        Op::ConvTranspose { .. } | Op::ConvTransposeBackward(..) => Rule::Own,
    }
}

/// An operation on operands that have one more dimension, the axis, which it leaves alone.
pub(super) fn around(op: &Op, axis: usize) -> Op {
    let behind = |dim: usize| if dim < axis { dim } else { dim + 1 };
    match op {
        Op::Flip(dims) => Op::Flip(dims.iter().copied().map(behind).collect()),
        &Op::Unfold { dim, size, step } => Op::Unfold { dim: behind(dim), size, step },
        Op::Slice(slices) => Op::Slice(with_all_of(slices, axis)),
        Op::SliceAssign(slices) => Op::SliceAssign(with_all_of(slices, axis)),
        &Op::RepeatDim { dim, times } => Op::RepeatDim { dim: behind(dim), times },
        &Op::Cat(dim) => Op::Cat(behind(dim)),
        Op::Pad { padding, mode } => {
            let mut padding = padding.clone();
            padding.resize(padding.len().max(axis), (0, 0));
            padding.insert(axis, (0, 0));
            Op::Pad { padding, mode: *mode }
        }
        &Op::Gather(dim) => Op::Gather(behind(dim)),
        Op::Scatter(dim, update) => Op::Scatter(behind(*dim), *update),
        &Op::Select(dim) => Op::Select(behind(dim)),
        Op::SelectAssign(dim, update) => Op::SelectAssign(behind(*dim), *update),
        &Op::ReduceDim(of, dim) => Op::ReduceDim(of, behind(dim)),
        Op::SumDims(dims) => Op::SumDims(dims.iter().copied().map(behind).collect()),
        &Op::ExtremumWithIndices { dim, largest } => {
            Op::ExtremumWithIndices { dim: behind(dim), largest }
        }
        &Op::TopK { dim, k, outputs } => Op::TopK { dim: behind(dim), k, outputs },
        &Op::Sort { dim, descending, outputs } => {
            Op::Sort { dim: behind(dim), descending, outputs }
        }
        &Op::Cumulative(of, dim) => Op::Cumulative(of, behind(dim)),
        &Op::Softmax(of, dim) => Op::Softmax(of, behind(dim)),
        &Op::Cross(dim) => Op::Cross(behind(dim)),
        others => others.clone(),
    }
}

/// Slices, which may leave out the last dimensions, and all of the axis.
fn with_all_of(slices: &[Slice], axis: usize) -> Vec<Slice> {
    let mut slices = slices.to_vec();
    slices.resize(slices.len().max(axis), Slice::full());
    slices.insert(axis, Slice::full());
    slices
}
