//! One sample or more of every operation, for the tests of all rooms. The compiler asks for those of a new variant.

use burn_backend::{
    Distribution,
    ops::{ConvOptions, ConvTransposeOptions, PadMode},
    tensor::IndexingUpdateOp as Update,
};

use super::{
    Arity, Binary, Class, Comparison, Convolution, ConvolutionTranspose, Cumulative, GridPadding,
    Interpolation, Literal, Op, PoolWindow, Reduction, Softmax, SortOutputs, Unary, WithRespectTo,
    table::NO_SUCH_OPERATION,
};

/// All variants of an enum without fields, from a list that does not compile unless it is complete.
macro_rules! every {
    ($name:ident: $($variant:ident),+ $(,)?) => {{
        let _complete = |value: $name| match value { $($name::$variant)|+ => () };
        vec![$($name::$variant),+]
    }};
}

/// Samples of each variant, from rows that do not compile unless every variant has one.
macro_rules! samples {
    ($($pattern:pat => $samples:expr;)+) => {
        /// The samples of each variant of [`Op`], those that Burn does not have included.
        pub(crate) fn samples() -> Vec<Vec<Op>> {
            let _complete = |op: &Op| match op { $($pattern)|+ => () };
            let mut rows = Vec::new();
            $(
                let samples = Vec::from($samples);
                let of_row = samples.iter().all(|op: &Op| matches!(op, $pattern));
                assert!(of_row && !samples.is_empty(), "{samples:?}");
                rows.push(samples);
            )+
            rows
        }
    };
}

samples! {
    Op::Zeros => [Op::Zeros];
    Op::Ones => [Op::Ones];
    Op::Full(_) => [Op::Full(ONE)];
    Op::Random(_) => [Op::Random(Distribution::Default)];
    Op::Reshape => [Op::Reshape];
    Op::SwapDims(..) => [Op::SwapDims(0, 1)];
    Op::Permute(_) => [Op::Permute(vec![1, 0])];
    Op::Flip(_) => [Op::Flip(vec![0])];
    Op::Expand => [Op::Expand];
    Op::Unfold { .. } => [Op::Unfold { dim: 0, size: 2, step: 1 }];
    Op::Slice(_) => [Op::Slice(vec![])];
    Op::SliceAssign(_) => [Op::SliceAssign(vec![])];
    Op::RepeatDim { .. } => [Op::RepeatDim { dim: 0, times: 2 }];
    Op::Cat(_) => [Op::Cat(0)];
    Op::Pad { .. } => [Op::Pad { padding: vec![], mode: PadMode::Edge }];
    Op::Gather(_) => [Op::Gather(0)];
    Op::Scatter(..) => updates().map(|update| Op::Scatter(0, update)).collect::<Vec<_>>();
    Op::GatherNd => [Op::GatherNd];
    Op::ScatterNd(_) => updates().map(Op::ScatterNd).collect::<Vec<_>>();
    Op::Select(_) => [Op::Select(0)];
    Op::SelectAssign(..) => updates().map(|update| Op::SelectAssign(0, update)).collect::<Vec<_>>();
    Op::MaskWhere => [Op::MaskWhere];
    Op::MaskFill(_) => [Op::MaskFill(ONE)];
    Op::StopGradient => [Op::StopGradient];
    Op::Cast => [Op::Cast];
    Op::Unary(_) => unary().map(Op::Unary).collect::<Vec<_>>();
    Op::Binary(_) => binary().map(Op::Binary).collect::<Vec<_>>();
    Op::BinaryScalar(..) => binary().map(|of| Op::BinaryScalar(of, ONE)).collect::<Vec<_>>();
    Op::Compare(_) => comparisons().map(Op::Compare).collect::<Vec<_>>();
    Op::CompareScalar(..) => comparisons().map(|of| Op::CompareScalar(of, ONE)).collect::<Vec<_>>();
    Op::Clamp { .. } => [Op::Clamp { min: Some(ONE), max: None }];
    Op::HardSigmoid { .. } => [Op::HardSigmoid { alpha: ONE, beta: ONE }];
    Op::Reduce(_) => reductions().map(Op::Reduce).collect::<Vec<_>>();
    Op::ReduceDim(..) => reductions().map(|of| Op::ReduceDim(of, 0)).collect::<Vec<_>>();
    Op::SumDims(_) => [Op::SumDims(vec![0])];
    Op::ExtremumWithIndices { .. } => {
        [true, false].map(|largest| Op::ExtremumWithIndices { dim: 0, largest })
    };
    Op::TopK { .. } => outputs().map(|outputs| Op::TopK { dim: 0, k: 1, outputs }).collect::<Vec<_>>();
    Op::Sort { .. } => {
        outputs().map(|outputs| Op::Sort { dim: 0, descending: true, outputs }).collect::<Vec<_>>()
    };
    Op::Cumulative(..) => {
        let all = every!(Cumulative: Sum, Prod, Min, Max);
        all.into_iter().map(|of| Op::Cumulative(of, 0)).collect::<Vec<_>>()
    };
    Op::Softmax(..) => {
        let all = every!(Softmax: Softmax, LogSoftmax, Softmin);
        all.into_iter().map(|of| Op::Softmax(of, 0)).collect::<Vec<_>>()
    };
    Op::Matmul => [Op::Matmul];
    Op::Cross(_) => [Op::Cross(0)];
    Op::Linear { .. } => [true, false].map(|bias| Op::Linear { bias });
    Op::LinearBackward(_) => operands().map(Op::LinearBackward).collect::<Vec<_>>();
    Op::Embedding => [Op::Embedding];
    Op::EmbeddingBackward => [Op::EmbeddingBackward];
    Op::BatchNorm { .. } => [Op::BatchNorm { epsilon: 1e-5 }];
    Op::LayerNorm { .. } => [true, false].map(|beta| Op::LayerNorm { epsilon: 1e-5, beta });
    Op::Conv { .. } => [true, false].map(|bias| Op::Conv { conv: conv(), bias });
    Op::ConvBackward(..) => operands().map(|to| Op::ConvBackward(conv(), to)).collect::<Vec<_>>();
    Op::ConvTranspose { .. } => {
        [true, false].map(|bias| Op::ConvTranspose { conv: transpose(), bias })
    };
    Op::ConvTransposeBackward(..) => {
        operands().map(|to| Op::ConvTransposeBackward(transpose(), to)).collect::<Vec<_>>()
    };
    Op::Unfold4d { .. } => {
        [Op::Unfold4d { kernel: [1; 2], stride: [1; 2], padding: [0; 2], dilation: [1; 2] }]
    };
    Op::AvgPool { .. } => [Op::AvgPool { window: window(), count_include_pad: true }];
    Op::AvgPoolBackward { .. } => {
        [Op::AvgPoolBackward { window: window(), count_include_pad: true }]
    };
    Op::AdaptiveAvgPool => [Op::AdaptiveAvgPool];
    Op::AdaptiveAvgPoolBackward => [Op::AdaptiveAvgPoolBackward];
    Op::MaxPool { .. } => [true, false].map(|indices| Op::MaxPool { window: window(), indices });
    Op::MaxPoolBackward(_) => [Op::MaxPoolBackward(window())];
    Op::Interpolate { .. } => {
        methods().map(|mode| Op::Interpolate { mode, align_corners: true }).collect::<Vec<_>>()
    };
    Op::InterpolateBackward { .. } => {
        [Op::InterpolateBackward { mode: Interpolation::Nearest, align_corners: true }]
    };
    Op::GridSample2d { .. } => methods().map(sample).collect::<Vec<_>>();
    Op::Attention { .. } => [attention(false, false), attention(true, false), attention(true, true)];
    Op::CtcLoss { .. } => [Op::CtcLoss { blank: 0 }];
    Op::CtcLossBackward { .. } => [Op::CtcLossBackward { blank: 0 }];
}

/// All samples of operations that Burn has.
pub(crate) fn existing() -> impl Iterator<Item = Op> {
    samples().into_iter().flatten().filter(exists)
}

/// Whether Burn has an operation: not every function takes every combination of operands.
pub(crate) fn exists(op: &Op) -> bool {
    op.class() != Class::Refused(NO_SUCH_OPERATION)
}

/// What distinguishes the rows of the table: name, number of operands and results, and class.
pub(crate) fn row(op: &Op) -> String {
    let Arity { inputs, outputs } = op.arity();
    let class = match op.class() {
        Class::Native => "native",
        Class::Lowered(_) => "lowered",
        Class::Refused(_) => "refused",
        Class::Constant => "constant",
    };
    format!("{} ({inputs:?} to {outputs}, {class})", op.name())
}

/// The rows of `needed` that `found` lacks.
pub(crate) fn missing<'a>(
    needed: impl Iterator<Item = Op>,
    found: impl Iterator<Item = &'a Op>,
) -> Vec<String> {
    let found: std::collections::HashSet<String> = found.map(row).collect();
    needed.map(|op| row(&op)).filter(|row| !found.contains(row)).collect()
}

const ONE: Literal = Literal::Float(1.0);

fn updates() -> impl Iterator<Item = Update> {
    every!(Update: Assign, Add, Mul, Min, Max).into_iter()
}

#[rustfmt::skip]
fn unary() -> impl Iterator<Item = Unary> {
    every!(Unary:
        Abs, Neg, Sign, Exp, Log, Log1p, Erf, Sqrt, Recip, Sin, Cos, Tan, Sinh, Cosh, Tanh, ArcSin,
        ArcCos, ArcTan, ArcSinh, ArcCosh, ArcTanh, Round, Floor, Ceil, Trunc, IsNan, IsInf, Not,
        Relu, Gelu, Sigmoid, LogSigmoid
    ).into_iter()
}

#[rustfmt::skip]
fn binary() -> impl Iterator<Item = Binary> {
    every!(Binary:
        Add, Sub, Mul, Div, Rem, Powf, Powi, ArcTan2, Hypot, And, Or, Xor, ShiftLeft, ShiftRight,
        LeakyRelu, PRelu, ReluBackward, GeluBackward, SigmoidBackward, LogSigmoidBackward
    ).into_iter()
}

fn comparisons() -> impl Iterator<Item = Comparison> {
    every!(Comparison: Equal, NotEqual, Greater, GreaterEqual, Lower, LowerEqual).into_iter()
}

fn reductions() -> impl Iterator<Item = Reduction> {
    every!(Reduction: Sum, Mean, Prod, Max, Min, MaxAbs, All, Any, ArgMax, ArgMin).into_iter()
}

fn outputs() -> impl Iterator<Item = SortOutputs> {
    every!(SortOutputs: Values, Indices, Both).into_iter()
}

fn operands() -> impl Iterator<Item = WithRespectTo> {
    every!(WithRespectTo: Input, Weight, Bias).into_iter()
}

fn methods() -> impl Iterator<Item = Interpolation> {
    every!(Interpolation: Nearest, NearestExact, Bilinear, Bicubic, Lanczos3).into_iter()
}

fn conv() -> Convolution {
    Convolution::D1(ConvOptions::new([1], [0], [1], 1))
}

fn transpose() -> ConvolutionTranspose {
    ConvolutionTranspose::D1(ConvTransposeOptions::new([1], [0], [0], [1], 1))
}

fn window() -> PoolWindow {
    let (kernel, stride, padding, dilation) = (vec![2], vec![1], vec![0], vec![1]);
    PoolWindow { kernel, stride, padding, dilation, ceil_mode: false }
}

fn sample(mode: Interpolation) -> Op {
    Op::GridSample2d { mode, padding: GridPadding::Zeros, align_corners: true }
}

fn attention(mask: bool, attn_bias: bool) -> Op {
    Op::Attention { mask, attn_bias, scale: None, softcap: None, is_causal: false }
}
