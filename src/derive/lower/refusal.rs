//! Operations that are refused: no exact second derivative is known for them here.

use crate::graph::{Interpolation, Op};

/// Why an operation cannot be differentiated twice, if so.
pub(super) fn reason(op: &Op) -> Option<&'static str> {
    match op {
        Op::AvgPoolBackward { .. }
        | Op::AdaptiveAvgPoolBackward
        | Op::MaxPoolBackward(_)
        | Op::InterpolateBackward { .. }
        | Op::CtcLossBackward { .. } => Some(
            "it is a gradient itself, computed by a kernel; differentiate the program it is the gradient of",
        ),
        Op::GridSample2d { mode, .. } if *mode != Interpolation::Bilinear => {
            Some("Burn's autodiff has only the bilinear grid sample; use that one")
        }
        _ => None,
    }
}
