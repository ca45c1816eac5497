//! The table of operations: the name of each, how many operands and results it has, and how it is differentiated.
//!
//! Every `match` here names every variant, so that the compiler asks for the row of a new operation. Running and
//! differentiating follow this table; `operations.md`, which a test compares with it, publishes it.

mod functions;

use std::fmt::Debug;

use super::{Op, attributes::Softmax};

/// How many operands and results an operation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arity {
    /// Number of operands; `None` if any number will do.
    pub inputs: Option<usize>,
    /// Number of results.
    pub outputs: usize,
}

/// How a float result of an operation is differentiated, twice and exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Class {
    /// By Burn's own rule.
    Native,
    /// By Burn's rules for other operations, into which it is rewritten.
    Lowered(Lowering),
    /// Not at all, for this reason.
    Refused(&'static str),
    /// It has no operands to differentiate by, or its result is not float or piecewise constant: zero.
    Constant,
}

/// Which lowering rewrites an operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Lowering {
    Smooth(Smooth),
    GeluBackward,
    Piecewise,
    Divide,
    Reciprocal,
    Power,
    Product,
    RunningProduct { dim: usize },
    Softmax(Softmax, usize),
    Matmul,
    Cross { dim: usize },
    Linear,
    Indexing,
    Scatter,
    Normalization,
    Convolution,
    MaxPool,
    Resample,
    Attention,
    CtcLoss { blank: usize },
}

/// Smooth activations, which are given by their value and first two derivatives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Smooth {
    Erf,
    Gelu,
    Tanh,
    Sigmoid,
    LogSigmoid,
}

/// Why the gradient kernels of pools, interpolation and CTC are refused.
const GRADIENT_KERNEL: &str = "it is a gradient itself, computed by a kernel; differentiate the program it is the gradient of";
/// Why grid samples by other methods are refused.
const BILINEAR_ONLY: &str = "Burn's autodiff has only the bilinear grid sample; use that one";
/// Why combinations of a function and its operands that Burn lacks are refused.
pub(super) const NO_SUCH_OPERATION: &str = "Burn has no such operation";

/// One row of the table.
struct Row<'a> {
    /// The name, or what precedes and follows the name of the function, as `Cumulative` in `CumulativeSum`.
    name: [&'static str; 2],
    function: Option<&'a dyn Debug>,
    inputs: Option<usize>,
    outputs: usize,
    class: Class,
}

impl<'a> Row<'a> {
    fn new(name: &'static str, inputs: usize, class: Class) -> Self {
        let inputs = Some(inputs);
        Self { name: [name, ""], function: None, inputs, outputs: 1, class }
    }

    fn native(name: &'static str, inputs: usize) -> Self {
        Self::new(name, inputs, Class::Native)
    }

    fn lowered(name: &'static str, inputs: usize, lowering: Lowering) -> Self {
        Self::new(name, inputs, Class::Lowered(lowering))
    }

    fn constant(name: &'static str, inputs: usize) -> Self {
        Self::new(name, inputs, Class::Constant)
    }

    fn gradient_kernel(name: &'static str, inputs: usize) -> Self {
        Self::new(name, inputs, Class::Refused(GRADIENT_KERNEL))
    }

    fn function(name: [&'static str; 2], of: &'a dyn Debug, inputs: usize, class: Class) -> Self {
        Self { name, function: Some(of), ..Self::new("", inputs, class) }
    }

    fn with_outputs(self, outputs: usize) -> Self {
        Self { outputs, ..self }
    }
}

impl Op {
    fn row(&self) -> Row<'_> {
        use Lowering as L;
        let one_if = |present: &bool| usize::from(*present);
        match self {
            Op::Zeros => Row::constant("Zeros", 0),
            Op::Ones => Row::constant("Ones", 0),
            Op::Full(_) => Row::constant("Full", 0),
            Op::Random(_) => Row::constant("Random", 0),
            Op::Reshape => Row::native("Reshape", 1),
            Op::SwapDims(..) => Row::native("SwapDims", 1),
            Op::Permute(_) => Row::native("Permute", 1),
            Op::Flip(_) => Row::native("Flip", 1),
            Op::Expand => Row::native("Expand", 1),
            Op::Unfold { .. } => Row::lowered("Unfold", 1, L::Indexing),
            Op::Slice(_) => Row::native("Slice", 1),
            Op::SliceAssign(_) => Row::native("SliceAssign", 2),
            Op::RepeatDim { .. } => Row::native("RepeatDim", 1),
            Op::Cat(_) => Row { inputs: None, ..Row::native("Cat", 0) },
            Op::Pad { .. } => Row::lowered("Pad", 1, L::Indexing),
            Op::Gather(_) => Row::native("Gather", 2),
            Op::Scatter(..) => Row::lowered("Scatter", 3, L::Scatter),
            Op::GatherNd => Row::native("GatherNd", 2),
            Op::ScatterNd(_) => Row::lowered("ScatterNd", 3, L::Scatter),
            Op::Select(_) => Row::native("Select", 2),
            Op::SelectAssign(..) => Row::lowered("SelectAssign", 3, L::Scatter),
            Op::MaskWhere => Row::lowered("MaskWhere", 3, L::Piecewise),
            Op::MaskFill(_) => Row::lowered("MaskFill", 2, L::Piecewise),
            Op::StopGradient => Row::constant("StopGradient", 1),
            Op::Cast => Row::native("Cast", 1),
            Op::Unary(of) => Row::function(["", ""], of, 1, of.class()),
            Op::Binary(of) => Row::function(["", ""], of, 2, of.class()),
            Op::BinaryScalar(of, _) => Row::function(["", "Scalar"], of, 1, of.scalar_class()),
            Op::Compare(of) => Row::function(["", ""], of, 2, Class::Constant),
            Op::CompareScalar(of, _) => Row::function(["", "Scalar"], of, 1, Class::Constant),
            Op::Clamp { .. } => Row::lowered("Clamp", 1, L::Piecewise),
            Op::HardSigmoid { .. } => Row::lowered("HardSigmoid", 1, L::Piecewise),
            Op::Reduce(of) => Row::function(["", ""], of, 1, of.whole_class()),
            Op::ReduceDim(of, _) => Row::function(["", "Dim"], of, 1, of.class()),
            Op::SumDims(_) => Row::native("SumDims", 1),
            Op::ExtremumWithIndices { .. } => Row::native("ExtremumWithIndices", 1).with_outputs(2),
            Op::TopK { outputs, .. } => outputs.row("TopK"),
            Op::Sort { outputs, .. } => outputs.row("Sort"),
            Op::Cumulative(of, dim) => Row::function(["Cumulative", ""], of, 1, of.class(*dim)),
            Op::Softmax(of, dim) => {
                Row::function(["", ""], of, 1, Class::Lowered(L::Softmax(*of, *dim)))
            }
            Op::Matmul => Row::lowered("Matmul", 2, L::Matmul),
            Op::Cross(dim) => Row::lowered("Cross", 2, L::Cross { dim: *dim }),
            Op::Linear { bias } => Row::lowered("Linear", 2 + one_if(bias), L::Linear),
            Op::LinearBackward(to) => Row::lowered("LinearBackward", to.linear_inputs(), L::Linear),
            Op::Embedding => Row::lowered("Embedding", 2, L::Indexing),
            Op::EmbeddingBackward => Row::lowered("EmbeddingBackward", 3, L::Indexing),
            Op::BatchNorm { .. } => Row::lowered("BatchNorm", 5, L::Normalization),
            Op::LayerNorm { beta, .. } => {
                Row::lowered("LayerNorm", 2 + one_if(beta), L::Normalization)
            }
            Op::Conv { bias, .. } => Row::lowered("Conv", 2 + one_if(bias), L::Convolution),
            Op::ConvBackward(..) => Row::native("ConvBackward", 3),
            Op::ConvTranspose { bias, .. } => {
                Row::lowered("ConvTranspose", 2 + one_if(bias), L::Convolution)
            }
            Op::ConvTransposeBackward(_, to) => {
                Row::native("ConvTransposeBackward", to.transpose_inputs())
            }
            Op::Unfold4d { .. } => Row::lowered("Unfold4d", 1, L::Indexing),
            Op::AvgPool { .. } => Row::lowered("AvgPool", 1, L::Resample),
            Op::AvgPoolBackward { .. } => Row::gradient_kernel("AvgPoolBackward", 2),
            Op::AdaptiveAvgPool => Row::lowered("AdaptiveAvgPool", 1, L::Resample),
            Op::AdaptiveAvgPoolBackward => Row::gradient_kernel("AdaptiveAvgPoolBackward", 2),
            Op::MaxPool { indices, .. } => {
                Row::lowered("MaxPool", 1, L::MaxPool).with_outputs(1 + one_if(indices))
            }
            Op::MaxPoolBackward(_) => Row::gradient_kernel("MaxPoolBackward", 3),
            Op::Interpolate { .. } => Row::lowered("Interpolate", 1, L::Resample),
            Op::InterpolateBackward { .. } => Row::gradient_kernel("InterpolateBackward", 2),
            Op::GridSample2d { mode, .. } => Row::new("GridSample2d", 2, mode.class_of_sample()),
            Op::Attention { mask, attn_bias, .. } => {
                let inputs = 3 + one_if(mask) + one_if(attn_bias);
                Row::lowered("Attention", inputs, L::Attention)
            }
            Op::CtcLoss { blank } => Row::lowered("CtcLoss", 4, L::CtcLoss { blank: *blank }),
            Op::CtcLossBackward { .. } => Row::gradient_kernel("CtcLossBackward", 5),
        }
    }

    /// Name of the operation, without its attributes.
    pub fn name(&self) -> String {
        let Row { name: [before, after], function, .. } = self.row();
        match function {
            Some(function) => format!("{before}{function:?}{after}"),
            None => before.into(),
        }
    }

    /// How many operands and results the operation has.
    pub(crate) fn arity(&self) -> Arity {
        let Row { inputs, outputs, .. } = self.row();
        Arity { inputs, outputs }
    }

    /// How a float result of the operation is differentiated.
    pub(crate) fn class(&self) -> Class {
        self.row().class
    }
}
