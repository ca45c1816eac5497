//! Burn's own gradient of a loss, and its comparison with the recorded one.

use burn::module::Module;
use burn_backend::AutodiffBackend;

use super::source::backward;
use crate::{
    capture::{Batch, Captured},
    error::Error,
    graph::{Graph, Op, Unary},
    objective::{FaithfulnessError, ValueAndGradient},
    panics::caught,
    space::ParamVector,
    tensor::TensorBridge,
};

/// The loss and gradient that Burn's `backward()` computes.
pub(super) fn by_burn<B, M, X, O>(
    model: &M,
    batch: X,
    loss: &impl Fn(&M, X) -> O,
) -> Result<ValueAndGradient<B>, Error>
where
    B: AutodiffBackend,
    B::InnerBackend: TensorBridge,
    M: Module,
    X: Batch,
    O: Captured,
{
    let run = || {
        let (value, gradients) = backward(model, batch, loss)?;
        Ok(ValueAndGradient { value, gradient: ParamVector::from_backward(model, gradients)? })
    };
    caught(run).unwrap_or_else(|message| Err(FaithfulnessError::BurnPanicked { message }.into()))
}

/// The default for the relative difference from Burn's gradient that counts as rounding.
///
/// Burn's default gradient of GELU, which ndarray uses, is that of the tanh approximation: off by up to 4e-4 for each
/// activation, and by 2e-3 of the norm in parameters behind several layers.
pub(super) fn tolerance(loss: &Graph) -> f64 {
    let has_gelu = loss.nodes.iter().any(|node| node.op == Op::Unary(Unary::Gelu));
    if has_gelu { 1e-2 } else { 1e-3 }
}

/// Compares block by block: ‖g − g_Burn‖ ≤ tolerance · max(‖g_Burn‖, 1e-2 ‖whole g_Burn‖).
///
/// The second term tolerates rounding in a parameter whose gradient almost vanishes.
pub(super) fn compare<B: AutodiffBackend>(
    recorded: &ValueAndGradient<B>,
    burn: &ValueAndGradient<B>,
    tolerance: f64,
    layers_in_training_mode: usize,
) -> Result<(), Error> {
    let (ours, theirs) = (recorded.gradient.to_vec()?, burn.gradient.to_vec()?);
    let whole = norm(theirs.iter().copied());
    let mut worst = (0.0, "");
    for block in recorded.gradient.layout().blocks() {
        let (ours, theirs) = (&ours[block.range()], &theirs[block.range()]);
        let scale = norm(theirs.iter().copied()).max(1e-2 * whole).max(f64::MIN_POSITIVE);
        let difference = norm(ours.iter().zip(theirs).map(|(a, b)| a - b)) / scale;
        if difference > worst.0 || difference.is_nan() {
            worst = (difference, block.name());
        }
    }
    if worst.0 <= tolerance {
        return Ok(());
    }
    Err(FaithfulnessError::Unfaithful {
        parameter: worst.1.to_string(),
        difference: worst.0,
        recorded_loss: recorded.value,
        burn_loss: burn.value,
        causes: causes(layers_in_training_mode),
    }
    .into())
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt()
}

fn causes(layers_in_training_mode: usize) -> String {
    let others = "a `detach` or `without_autodiff` in the model (gradients are not stopped in a recording), a value \
                  read while recording, randomness in the closure, or a closure that gives different results when \
                  called twice";
    match layers_in_training_mode {
        0 => others.into(),
        n => format!(
            "{n} layers are in training mode (Dropout, BatchNorm, noise), which is recorded in evaluation mode: if \
             evaluation mode is what you mean, capture with `CaptureConfig::new().evaluation().init(…)` or pass \
             `model.valid()`; otherwise {others}"
        ),
    }
}
