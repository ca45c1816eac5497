//! How many operands and results each operation has. Knows counts only.

use crate::graph::{Op, SortOutputs, WithRespectTo};

/// Number of operands; `None` where any number will do.
pub(super) fn inputs(op: &Op) -> Option<usize> {
    let count = match op {
        Op::Cat(_) => return None,
        Op::Zeros | Op::Ones | Op::Full(_) | Op::Random(_) => 0,
        Op::SliceAssign(_)
        | Op::Gather(_)
        | Op::GatherNd
        | Op::Select(_)
        | Op::MaskFill(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Matmul
        | Op::Cross(_)
        | Op::Embedding
        | Op::AvgPoolBackward { .. }
        | Op::AdaptiveAvgPoolBackward
        | Op::InterpolateBackward { .. }
        | Op::GridSample2d { .. } => 2,
        Op::Scatter(..)
        | Op::ScatterNd(_)
        | Op::SelectAssign(..)
        | Op::MaskWhere
        | Op::EmbeddingBackward
        | Op::ConvBackward(..)
        | Op::MaxPoolBackward(_) => 3,
        Op::CtcLoss { .. } => 4,
        Op::BatchNorm { .. } | Op::CtcLossBackward { .. } => 5,
        Op::Linear { bias } | Op::Conv { bias, .. } | Op::ConvTranspose { bias, .. } => {
            2 + usize::from(*bias)
        }
        Op::LayerNorm { beta, .. } => 2 + usize::from(*beta),
        Op::LinearBackward(WithRespectTo::Bias) => 1,
        Op::LinearBackward(_) | Op::ConvTransposeBackward(_, WithRespectTo::Input) => 2,
        Op::ConvTransposeBackward(..) => 3,
        Op::Attention { mask, attn_bias, .. } => 3 + usize::from(*mask) + usize::from(*attn_bias),
        _ => 1,
    };
    Some(count)
}

/// Number of results.
pub(super) fn outputs(op: &Op) -> usize {
    match op {
        Op::ExtremumWithIndices { .. }
        | Op::TopK { outputs: SortOutputs::Both, .. }
        | Op::Sort { outputs: SortOutputs::Both, .. }
        | Op::MaxPool { indices: true, .. } => 2,
        _ => 1,
    }
}
