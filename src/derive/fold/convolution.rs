//! Derivatives of a convolution's weight gradient, written with the batch as the batch.
//!
//! Burn writes a weight gradient as a convolution of `xᵀ` with the kernel `gᵀ` (batch and channels exchanged, stride
//! and dilation too). That is as good as any, but its own derivatives then convolve with kernels of the size of an
//! image. They equal an ordinary gradient and an ordinary convolution with the small kernel:
//!
//! ```text
//! ∂/∂xᵀ ⟨conv(xᵀ, gᵀ), V⟩ = (input gradient of conv(x, Vᵀ) for the cotangent g)ᵀ
//! ∂/∂gᵀ ⟨conv(xᵀ, gᵀ), V⟩ = conv(x, Vᵀ)ᵀ
//! ```

use burn_backend::ops::ConvOptions;

use super::{Folder, Rewrite};
use crate::graph::{Convolution, Node, Op, ValueId, WithRespectTo};

/// Exchanges batch and channels.
pub(super) const TURN: Op = Op::SwapDims(0, 1);

impl Folder {
    /// The derivative in terms of what was exchanged, where that makes the kernel smaller.
    pub(super) fn weight_gradient(&self, node: &Node) -> Rewrite {
        let (Op::ConvBackward(conv, wrt), &[x, kernel, adjoint]) = (&node.op, &node.inputs[..])
        else {
            return Rewrite::Keep;
        };
        let (Some(image), Some(conv)) = (self.turned_from(x), exchanged(conv)) else {
            return Rewrite::Keep;
        };
        let area = |value: ValueId| self.ty(value).shape[2..].iter().product::<usize>();
        if area(kernel) <= area(adjoint) {
            return Rewrite::Keep;
        }
        // A weight gradient reads no more of the kernel than its sizes.
        match (wrt, self.turned_from(kernel)) {
            (WithRespectTo::Input, Some(cotangent)) => Rewrite::Turned {
                op: Op::ConvBackward(conv, WithRespectTo::Input),
                image,
                kernel: adjoint,
                cotangent: Some(cotangent),
            },
            (WithRespectTo::Weight, _) => Rewrite::Turned {
                op: Op::Conv { conv, bias: false },
                image,
                kernel: adjoint,
                cotangent: None,
            },
            _ => Rewrite::Keep,
        }
    }

    /// What a value is the exchange of.
    pub(super) fn turned_from(&self, value: ValueId) -> Option<ValueId> {
        let node = self.written_by(value)?;
        match (&node.op, &node.inputs[..]) {
            (Op::SwapDims(0, 1) | Op::SwapDims(1, 0), &[source]) => Some(source),
            _ => None,
        }
    }
}

/// The convolution with stride and dilation exchanged; only without groups.
fn exchanged(conv: &Convolution) -> Option<Convolution> {
    match conv {
        Convolution::D1(options) => exchanged_options(options).map(Convolution::D1),
        Convolution::D2(options) => exchanged_options(options).map(Convolution::D2),
        Convolution::D3(options) => exchanged_options(options).map(Convolution::D3),
    }
}

fn exchanged_options<const N: usize>(options: &ConvOptions<N>) -> Option<ConvOptions<N>> {
    let ConvOptions { stride, padding, dilation, groups } = options.clone();
    (groups == 1).then(|| ConvOptions::new_with_padding(dilation, padding, stride, 1))
}
