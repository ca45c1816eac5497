//! The operations of a recorded program.
//!
//! One variant per mathematical operation, for operands of all kinds (float, int, bool): the kinds are part of the
//! types of the values it reads and writes. Nor are shapes repeated: `Reshape` reshapes to the shape of its output.

use burn_backend::{Distribution, Slice, ops::PadMode, tensor::IndexingUpdateOp};

use super::attributes::{
    Binary, Comparison, Convolution, ConvolutionTranspose, Cumulative, GridPadding, Interpolation,
    Literal, PoolWindow, Reduction, Softmax, SortOutputs, Unary, WithRespectTo,
};

/// One operation of a [`Graph`](super::Graph).
///
/// The comment of each variant lists its inputs in order and, where it is more than one, its outputs.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    // --- creation: no inputs ---
    /// Zeros of the output's type.
    Zeros,
    /// Ones of the output's type.
    Ones,
    /// One literal everywhere.
    Full(Literal),
    /// A random draw; never merged with another, and drawn once per preparation.
    Random(Distribution),

    // --- movement: `x` ---
    /// `x` in the output's shape.
    Reshape,
    /// `x` with two dimensions exchanged.
    SwapDims(usize, usize),
    /// `x` with its dimensions in another order.
    Permute(Vec<usize>),
    /// `x` reversed along dimensions.
    Flip(Vec<usize>),
    /// `x` broadcast to the output's shape.
    Expand,
    /// Sliding windows of `x` along a dimension, in a new last dimension.
    Unfold {
        /// Dimension the window slides along.
        dim: usize,
        /// Size of the window.
        size: usize,
        /// Step between windows.
        step: usize,
    },
    /// A part of `x`.
    Slice(Vec<Slice>),
    /// `x` with a part replaced: `x, value`.
    SliceAssign(Vec<Slice>),
    /// `x` repeated along a dimension.
    RepeatDim {
        /// Dimension to repeat along.
        dim: usize,
        /// How many times.
        times: usize,
    },
    /// All inputs joined along a dimension.
    Cat(usize),
    /// `x` with a border; `(before, after)` per dimension, beginning at the first.
    Pad {
        /// Elements before and after, per dimension as Burn's `float_pad` takes it.
        padding: Vec<(usize, usize)>,
        /// What the border holds.
        mode: PadMode,
    },

    // --- indexing ---
    /// `x, indices`: selects along a dimension, indices of the output's shape.
    Gather(usize),
    /// `x, indices, value`.
    Scatter(usize, IndexingUpdateOp),
    /// `x, indices`.
    GatherNd,
    /// `x, indices, values`.
    ScatterNd(IndexingUpdateOp),
    /// `x, indices` (1-D): whole slices along a dimension.
    Select(usize),
    /// `x, indices, value`.
    SelectAssign(usize, IndexingUpdateOp),
    /// `x, mask, value`: value where the mask is true.
    MaskWhere,
    /// `x, mask`: the literal where the mask is true.
    MaskFill(Literal),

    // --- element by element ---
    /// `x`, as a constant: no gradient passes.
    StopGradient,
    /// `x` in the output's type and kind.
    Cast,
    /// `x`.
    Unary(Unary),
    /// `x, y`.
    Binary(Binary),
    /// `x` with a literal on the right.
    BinaryScalar(Binary, Literal),
    /// `x, y`.
    Compare(Comparison),
    /// `x` with a literal on the right.
    CompareScalar(Comparison, Literal),
    /// `x` held between bounds.
    Clamp {
        /// Lower bound.
        min: Option<Literal>,
        /// Upper bound.
        max: Option<Literal>,
    },
    /// `max(0, min(1, alpha·x + beta))`.
    HardSigmoid {
        /// Slope.
        alpha: Literal,
        /// Offset.
        beta: Literal,
    },

    // --- reductions: `x` ---
    /// Over everything.
    Reduce(Reduction),
    /// Along one dimension, which keeps size 1.
    ReduceDim(Reduction, usize),
    /// Sum along several dimensions, which keep size 1.
    SumDims(Vec<usize>),
    /// Largest (or smallest) along a dimension; outputs `values, indices`.
    ExtremumWithIndices {
        /// Dimension.
        dim: usize,
        /// Largest rather than smallest.
        largest: bool,
    },
    /// The k largest along a dimension; outputs one or both of `values`, `indices`.
    TopK {
        /// Dimension.
        dim: usize,
        /// How many.
        k: usize,
        /// Which outputs there are.
        outputs: SortOutputs,
    },
    /// Sorted along a dimension; outputs one or both of `values`, `indices`.
    Sort {
        /// Dimension.
        dim: usize,
        /// Largest first.
        descending: bool,
        /// Which outputs there are.
        outputs: SortOutputs,
    },
    /// A cumulative reduction along a dimension.
    Cumulative(Cumulative, usize),
    /// Softmax and its relatives along a dimension.
    Softmax(Softmax, usize),

    // --- products ---
    /// `x, y`: matrix product over the last two dimensions.
    Matmul,
    /// `x, y`: cross product along a dimension.
    Cross(usize),

    // --- layers ---
    /// `x, weight[, bias]`.
    Linear {
        /// Whether there is a bias.
        bias: bool,
    },
    /// `weight, grad` → input; `x, grad` → weight; `grad` → bias.
    LinearBackward(WithRespectTo),
    /// `weights, indices`.
    Embedding,
    /// `weights, grad, indices`.
    EmbeddingBackward,
    /// `x, gamma, beta, mean, variance`.
    BatchNorm {
        /// Added to the variance.
        epsilon: f64,
    },
    /// `x, gamma[, beta]`.
    LayerNorm {
        /// Added to the variance.
        epsilon: f64,
        /// Whether there is a beta.
        beta: bool,
    },
    /// `x, weight[, bias]`.
    Conv {
        /// Dimensions and options.
        conv: Convolution,
        /// Whether there is a bias.
        bias: bool,
    },
    /// `x, weight, grad` → input or weight; `x, bias, grad` → bias.
    ConvBackward(Convolution, WithRespectTo),
    /// `x, weight[, bias]`.
    ConvTranspose {
        /// Dimensions and options.
        conv: ConvolutionTranspose,
        /// Whether there is a bias.
        bias: bool,
    },
    /// `weight, grad` → input; `x, weight, grad` → weight; `x, bias, grad` → bias.
    ConvTransposeBackward(ConvolutionTranspose, WithRespectTo),
    /// `x`: patches of a 4-D image, `[batch, channels·kernel, positions]`.
    Unfold4d {
        /// Patch size.
        kernel: [usize; 2],
        /// Step between patches.
        stride: [usize; 2],
        /// Padding on both sides.
        padding: [usize; 2],
        /// Distance between a patch's elements.
        dilation: [usize; 2],
    },
    /// `x`.
    AvgPool {
        /// The window.
        window: PoolWindow,
        /// Whether padding counts in the mean.
        count_include_pad: bool,
    },
    /// `x, grad`.
    AvgPoolBackward {
        /// The window.
        window: PoolWindow,
        /// Whether padding counts in the mean.
        count_include_pad: bool,
    },
    /// `x`; output size per spatial dimension in the output's shape.
    AdaptiveAvgPool,
    /// `x, grad`.
    AdaptiveAvgPoolBackward,
    /// `x`; outputs `values`, or `values, indices`.
    MaxPool {
        /// The window.
        window: PoolWindow,
        /// Whether indices are an output too.
        indices: bool,
    },
    /// `x, grad, indices`.
    MaxPoolBackward(PoolWindow),
    /// `x`; output size in the output's shape.
    Interpolate {
        /// Method.
        mode: Interpolation,
        /// Whether corner pixels are aligned.
        align_corners: bool,
    },
    /// `x, grad`.
    InterpolateBackward {
        /// Method.
        mode: Interpolation,
        /// Whether corner pixels are aligned.
        align_corners: bool,
    },
    /// `x, grid`.
    GridSample2d {
        /// Method.
        mode: Interpolation,
        /// What is read outside the image.
        padding: GridPadding,
        /// Whether corner pixels are aligned.
        align_corners: bool,
    },
    /// `query, key, value[, mask][, attn_bias]`.
    Attention {
        /// Whether there is a mask.
        mask: bool,
        /// Whether there is an additive bias.
        attn_bias: bool,
        /// Scale of the scores; `1/√d` where absent.
        scale: Option<f64>,
        /// Soft cap of the scores.
        softcap: Option<f64>,
        /// Whether later positions are hidden.
        is_causal: bool,
    },
    /// `log_probs, targets, input_lengths, target_lengths`.
    CtcLoss {
        /// Index of the blank.
        blank: usize,
    },
    /// `log_probs, targets, input_lengths, target_lengths, grad_loss`.
    CtcLossBackward {
        /// Index of the blank.
        blank: usize,
    },
}

impl Op {
    /// Whether the result has no operands and equal elements.
    pub(crate) fn is_uniform(&self) -> bool {
        matches!(self, Op::Zeros | Op::Ones | Op::Full(_))
    }

    /// Whether two runs of the operation may give different results.
    pub fn is_random(&self) -> bool {
        matches!(self, Op::Random(_))
    }
}
