//! Finds the function that runs an operation: one line per variant, so that the compiler asks for a new one.

use burn_backend::{
    Backend,
    ops::{AttentionModuleOptions, UnfoldOptions},
    tensor::Device,
};

use super::{
    ExecuteError, Operand, activation, call::Call, comparison, conv, creation, elementwise,
    indexing, module, movement, pool, reduction,
};
use crate::graph::{Op, ValueType};

/// A function that runs one operation, as [`apply`] does.
pub(crate) type Apply<B> =
    fn(&Op, Vec<Operand<B>>, &[ValueType], &Device<B>) -> Result<Vec<Operand<B>>, ExecuteError>;

/// Runs one operation: operands by value, so that a backend may work in place.
///
/// Kinds come from the operands, shapes and element types from `outputs`.
pub(crate) fn apply<B: Backend>(
    op: &Op,
    inputs: Vec<Operand<B>>,
    outputs: &[ValueType],
    device: &Device<B>,
) -> Result<Vec<Operand<B>>, ExecuteError> {
    #[cfg(all(feature = "flex", feature = "ndarray"))]
    if super::host::is_lent(op, &inputs) {
        return super::host::lent(op, inputs, outputs, device);
    }
    let call = Call::new(op, inputs, outputs, device)?;
    match op {
        Op::Zeros => creation::constant(&call, false),
        Op::Ones => creation::constant(&call, true),
        Op::Full(value) => creation::full(&call, *value),
        Op::Random(distribution) => creation::random(&call, *distribution),
        Op::Reshape => movement::reshape(call),
        Op::SwapDims(a, b) => movement::swap_dims(call, *a, *b),
        Op::Permute(axes) => movement::permute(call, axes),
        Op::Flip(axes) => movement::flip(call, axes),
        Op::Expand => movement::expand(call),
        Op::Unfold { dim, size, step } => movement::unfold(call, *dim, *size, *step),
        Op::Slice(slices) => movement::slice(call, slices),
        Op::SliceAssign(slices) => movement::slice_assign(call, slices),
        Op::RepeatDim { dim, times } => movement::repeat_dim(call, *dim, *times),
        Op::Cat(dim) => movement::cat(call, *dim),
        Op::Pad { padding, mode } => movement::pad(call, padding, *mode),
        Op::Gather(dim) => indexing::gather(call, *dim),
        Op::Scatter(dim, update) => indexing::scatter(call, *dim, *update),
        Op::GatherNd => indexing::gather_nd(call),
        Op::ScatterNd(update) => indexing::scatter_nd(call, *update),
        Op::Select(dim) => indexing::select(call, *dim),
        Op::SelectAssign(dim, update) => indexing::select_assign(call, *dim, *update),
        Op::MaskWhere => indexing::mask_where(call),
        Op::MaskFill(value) => indexing::mask_fill(call, *value),
        Op::StopGradient => elementwise::stop_gradient(call),
        Op::Cast => elementwise::cast(call),
        Op::Unary(function) => elementwise::unary(call, *function),
        Op::Binary(function) => elementwise::binary(call, *function),
        Op::BinaryScalar(function, y) => elementwise::binary_scalar(call, *function, *y),
        Op::Compare(comparison) => comparison::compare(call, *comparison),
        Op::CompareScalar(comparison, y) => comparison::compare_scalar(call, *comparison, *y),
        Op::Clamp { min, max } => elementwise::clamp(call, *min, *max),
        Op::HardSigmoid { alpha, beta } => activation::hard_sigmoid(call, *alpha, *beta),
        Op::Reduce(function) => reduction::reduce(call, *function),
        Op::ReduceDim(function, dim) => reduction::reduce_dim(call, *function, *dim),
        Op::SumDims(dims) => reduction::sum_dims(call, dims),
        Op::ExtremumWithIndices { dim, largest } => reduction::extremum(call, *dim, *largest),
        Op::TopK { dim, k, outputs } => reduction::top_k(call, *dim, *k, *outputs),
        Op::Sort { dim, descending, outputs } => reduction::sort(call, *dim, *descending, *outputs),
        Op::Cumulative(function, dim) => reduction::cumulative(call, *function, *dim),
        Op::Softmax(function, dim) => activation::softmax(call, *function, *dim),
        Op::Matmul => module::matmul(call),
        Op::Cross(dim) => module::cross(call, *dim),
        Op::Linear { bias } => module::linear(call, *bias),
        Op::LinearBackward(to) => module::linear_backward(call, *to),
        Op::Embedding => module::embedding(call),
        Op::EmbeddingBackward => module::embedding_backward(call),
        Op::BatchNorm { epsilon } => module::batch_norm(call, *epsilon),
        Op::LayerNorm { epsilon, beta } => module::layer_norm(call, *epsilon, *beta),
        Op::Conv { conv, bias } => conv::conv(call, conv, *bias),
        Op::ConvBackward(conv, to) => conv::conv_backward(call, conv, *to),
        Op::ConvTranspose { conv, bias } => conv::conv_transpose(call, conv, *bias),
        Op::ConvTransposeBackward(conv, to) => conv::conv_transpose_backward(call, conv, *to),
        Op::Unfold4d { kernel, stride, padding, dilation } => {
            let options = UnfoldOptions { stride: *stride, padding: *padding, dilation: *dilation };
            conv::unfold4d(call, *kernel, options)
        }
        Op::AvgPool { window, count_include_pad: pad } => pool::avg_pool(call, window, *pad),
        Op::AvgPoolBackward { window, count_include_pad } => {
            pool::avg_pool_backward(call, window, *count_include_pad)
        }
        Op::AdaptiveAvgPool => pool::adaptive_avg_pool(call),
        Op::AdaptiveAvgPoolBackward => pool::adaptive_avg_pool_backward(call),
        Op::MaxPool { window, indices } => pool::max_pool(call, window, *indices),
        Op::MaxPoolBackward(window) => pool::max_pool_backward(call, window),
        Op::Interpolate { mode, align_corners } => pool::interpolate(call, *mode, *align_corners),
        Op::InterpolateBackward { mode, align_corners } => {
            pool::interpolate_backward(call, *mode, *align_corners)
        }
        Op::GridSample2d { mode, padding, align_corners } => {
            module::grid_sample_2d(call, *mode, *padding, *align_corners)
        }
        Op::Attention { mask, attn_bias, scale, softcap, is_causal } => {
            let (scale, softcap, is_causal) = (*scale, *softcap, *is_causal);
            let options = AttentionModuleOptions { scale, softcap, is_causal };
            module::attention(call, *mask, *attn_bias, options)
        }
        Op::CtcLoss { blank } => module::ctc_loss(call, *blank),
        Op::CtcLossBackward { blank } => module::ctc_loss_backward(call, *blank),
    }
}
