//! Attributes of operations: functions, reductions, windows, literals.

use burn_backend::{
    Scalar,
    ops::{ConvOptions, ConvTransposeOptions},
};

/// A literal inside an operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Literal {
    /// A floating-point number.
    Float(f64),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// A truth value.
    Bool(bool),
}

impl From<Literal> for Scalar {
    fn from(literal: Literal) -> Self {
        match literal {
            Literal::Float(x) => Scalar::Float(x),
            Literal::Int(x) => Scalar::Int(x),
            Literal::UInt(x) => Scalar::UInt(x),
            Literal::Bool(x) => Scalar::Bool(x),
        }
    }
}

impl Literal {
    /// The literal as a double-precision number.
    pub fn as_f64(self) -> f64 {
        match self {
            Literal::Float(x) => x,
            Literal::Int(x) => x as f64,
            Literal::UInt(x) => x as f64,
            Literal::Bool(x) => f64::from(u8::from(x)),
        }
    }
}

/// Functions of one operand, element by element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    Abs,
    Neg,
    Sign,
    Exp,
    Log,
    Log1p,
    Erf,
    Sqrt,
    Recip,
    Sin,
    Cos,
    Tan,
    Sinh,
    Cosh,
    Tanh,
    ArcSin,
    ArcCos,
    ArcTan,
    ArcSinh,
    ArcCosh,
    ArcTanh,
    Round,
    Floor,
    Ceil,
    Trunc,
    IsNan,
    IsInf,
    /// Logical `not` of a bool operand, bitwise `not` of an int operand.
    Not,
    Relu,
    Gelu,
    Sigmoid,
    LogSigmoid,
}

/// Functions of two operands, element by element, with broadcasting; also between an operand and a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    /// Power with a float exponent.
    Powf,
    /// Power with an int exponent.
    Powi,
    ArcTan2,
    Hypot,
    /// Logical `and` of bool operands, bitwise `and` of int operands.
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
    LeakyRelu,
    PRelu,
    /// `relu_backward(output, gradient)`.
    ReluBackward,
    /// `gelu_backward(input, gradient)`.
    GeluBackward,
    /// `sigmoid_backward(output, gradient)`.
    SigmoidBackward,
    /// `log_sigmoid_backward(input, gradient)`.
    LogSigmoidBackward,
}

/// Comparisons; the output is bool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Lower,
    LowerEqual,
}

/// Reductions, over everything (output of shape `[1]`) or along one dimension (which then has size 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    Sum,
    Mean,
    Prod,
    Max,
    Min,
    MaxAbs,
    /// Of bool operands, or of others taken as 'non-zero'.
    All,
    Any,
    /// Index of the largest element; only along a dimension.
    ArgMax,
    /// Index of the smallest element; only along a dimension.
    ArgMin,
}

/// Cumulative reductions along one dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cumulative {
    Sum,
    Prod,
    Min,
    Max,
}

/// Normalizing functions along one dimension.
#[allow(clippy::enum_variant_names, reason = "the names of the functions")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Softmax {
    Softmax,
    LogSoftmax,
    Softmin,
}

/// A convolution in one, two or three dimensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Convolution {
    D1(ConvOptions<1>),
    D2(ConvOptions<2>),
    D3(ConvOptions<3>),
}

/// A transposed convolution in one, two or three dimensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConvolutionTranspose {
    D1(ConvTransposeOptions<1>),
    D2(ConvTransposeOptions<2>),
    D3(ConvTransposeOptions<3>),
}

/// With respect to which operand a backward operation takes its gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WithRespectTo {
    Input,
    Weight,
    Bias,
}

/// The window of a pooling operation; one entry per spatial dimension (one or two).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolWindow {
    /// Size of the window.
    pub kernel: Vec<usize>,
    /// Step between windows.
    pub stride: Vec<usize>,
    /// Padding on both sides.
    pub padding: Vec<usize>,
    /// Distance between the elements of a window; ones for average pools.
    pub dilation: Vec<usize>,
    /// Whether the last, partial window counts.
    pub ceil_mode: bool,
}

/// Method of an interpolation or a grid sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interpolation {
    Nearest,
    NearestExact,
    Bilinear,
    Bicubic,
    Lanczos3,
}

/// What a grid sample reads outside the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GridPadding {
    Zeros,
    Border,
    Reflection,
}

/// Which outputs a sorting operation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SortOutputs {
    Values,
    Indices,
    Both,
}
