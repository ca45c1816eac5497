//! The rows of operations that take a function as an attribute: by the function.

use super::{BILINEAR_ONLY, Class, Lowering, NO_SUCH_OPERATION, Row, Smooth};
use crate::graph::{
    Binary, Cumulative, Interpolation, Reduction, SortOutputs, Unary, WithRespectTo,
};

impl Unary {
    pub(super) fn class(self) -> Class {
        use Unary as U;
        match self {
            U::Erf => Class::Lowered(Lowering::Smooth(Smooth::Erf)),
            U::Gelu => Class::Lowered(Lowering::Smooth(Smooth::Gelu)),
            U::Tanh => Class::Lowered(Lowering::Smooth(Smooth::Tanh)),
            U::Sigmoid => Class::Lowered(Lowering::Smooth(Smooth::Sigmoid)),
            U::LogSigmoid => Class::Lowered(Lowering::Smooth(Smooth::LogSigmoid)),
            U::Relu => Class::Lowered(Lowering::Piecewise),
            U::Recip => Class::Lowered(Lowering::Reciprocal),
            U::Abs | U::Neg | U::Exp | U::Log | U::Log1p | U::Sqrt => Class::Native,
            U::Sin | U::Cos | U::Tan | U::Sinh | U::Cosh => Class::Native,
            U::ArcSin | U::ArcCos | U::ArcTan | U::ArcSinh | U::ArcCosh | U::ArcTanh => {
                Class::Native
            }
            U::Sign | U::Round | U::Floor | U::Ceil | U::Trunc => Class::Constant,
            U::IsNan | U::IsInf | U::Not => Class::Constant,
        }
    }
}

impl Binary {
    /// Of two operands.
    pub(super) fn class(self) -> Class {
        use Binary as B;
        match self {
            B::Add | B::Sub | B::Mul | B::Rem | B::ArcTan2 | B::Hypot => Class::Native,
            B::PRelu | B::SigmoidBackward | B::LogSigmoidBackward => Class::Native,
            B::Div => Class::Lowered(Lowering::Divide),
            B::Powf | B::Powi => Class::Lowered(Lowering::Power),
            B::ReluBackward => Class::Lowered(Lowering::Piecewise),
            B::GeluBackward => Class::Lowered(Lowering::GeluBackward),
            B::And | B::Or | B::Xor | B::ShiftLeft | B::ShiftRight => Class::Constant,
            B::LeakyRelu => Class::Refused(NO_SUCH_OPERATION),
        }
    }

    /// Of an operand and a literal.
    pub(super) fn scalar_class(self) -> Class {
        use Binary as B;
        match self {
            B::Add | B::Sub | B::Mul | B::Rem | B::Powi => Class::Native,
            B::Div => Class::Lowered(Lowering::Divide),
            B::Powf => Class::Lowered(Lowering::Power),
            B::LeakyRelu => Class::Lowered(Lowering::Piecewise),
            B::And | B::Or | B::Xor | B::ShiftLeft | B::ShiftRight => Class::Constant,
            B::ArcTan2 | B::Hypot | B::PRelu => Class::Refused(NO_SUCH_OPERATION),
            B::ReluBackward | B::GeluBackward | B::SigmoidBackward | B::LogSigmoidBackward => {
                Class::Refused(NO_SUCH_OPERATION)
            }
        }
    }
}

impl Reduction {
    /// Along one dimension.
    pub(super) fn class(self) -> Class {
        use Reduction as R;
        match self {
            R::Sum | R::Mean | R::Max | R::Min | R::MaxAbs => Class::Native,
            R::Prod => Class::Lowered(Lowering::Product),
            R::All | R::Any | R::ArgMax | R::ArgMin => Class::Constant,
        }
    }

    pub(super) fn whole_class(self) -> Class {
        match self {
            Reduction::ArgMax | Reduction::ArgMin => Class::Refused(NO_SUCH_OPERATION),
            Reduction::Sum | Reduction::Mean | Reduction::Prod | Reduction::Max => self.class(),
            Reduction::Min | Reduction::MaxAbs | Reduction::All | Reduction::Any => self.class(),
        }
    }
}

impl Cumulative {
    pub(super) fn class(self, dim: usize) -> Class {
        match self {
            Cumulative::Sum | Cumulative::Min | Cumulative::Max => Class::Native,
            Cumulative::Prod => Class::Lowered(Lowering::RunningProduct { dim }),
        }
    }
}

impl SortOutputs {
    /// Of an operation that sorts; indices are no floats.
    pub(super) fn row<'a>(self, name: &'static str) -> Row<'a> {
        match self {
            SortOutputs::Values => Row::native(name, 1),
            SortOutputs::Indices => Row::constant(name, 1),
            SortOutputs::Both => Row::native(name, 1).with_outputs(2),
        }
    }
}

impl WithRespectTo {
    /// Operands of the backward operation of a linear layer.
    pub(super) fn linear_inputs(self) -> usize {
        match self {
            WithRespectTo::Input | WithRespectTo::Weight => 2,
            WithRespectTo::Bias => 1,
        }
    }

    /// Operands of the backward operation of a transposed convolution.
    pub(super) fn transpose_inputs(self) -> usize {
        match self {
            WithRespectTo::Input => 2,
            WithRespectTo::Weight | WithRespectTo::Bias => 3,
        }
    }
}

impl Interpolation {
    pub(super) fn class_of_sample(self) -> Class {
        use Interpolation as I;
        match self {
            I::Bilinear => Class::Native,
            I::Nearest | I::NearestExact | I::Bicubic | I::Lanczos3 => {
                Class::Refused(BILINEAR_ONLY)
            }
        }
    }
}
