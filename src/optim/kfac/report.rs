//! The report of one step.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::kfac::InversionReport;

/// The report of one step of a [`KfacOptimizer`](crate::KfacOptimizer), at the parameters before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KfacStep {
    /// Step number, starting at 1.
    pub step: usize,
    /// h = ℒ + η/2 ‖θ‖² on the batch.
    pub value: f64,
    /// ‖∇h‖, before clipping.
    pub gradient_norm: f64,
    /// λ in this step.
    pub damping: f64,
    /// γ, the damping of the factors.
    pub gamma: f64,
    /// The factor of Δ = −F̂⁻¹∇h: α, or rate·ν.
    pub alpha: f64,
    /// The factor of the previous step: μ, or the momentum.
    pub momentum: f64,
    /// M(δ) − M(0), the change of h that the quadratic model predicts, with the gradient before it was shortened; `None` with a
    /// learning rate.
    pub predicted: Option<f64>,
    /// ρ = (h(θ + δ) − h(θ)) / (M(δ) − M(0)), in steps that adapt λ.
    pub reduction_ratio: Option<f64>,
    /// Whether the step was shortened: by the limit on the change of the predictions (ν < 1), or because the gradient was too
    /// long.
    #[serde(default)]
    pub limited: bool,
    /// Whether the inverse is new: recomputed, or computed in the background.
    pub inverted: bool,
    /// Where the factored inverse was computed; empty in steps that computed none.
    #[serde(default)]
    pub inversion: InversionReport,
    /// Whether the step was taken. With the quadratic model, a step to a loss that is not finite is not, and λ rises if it is
    /// adapted. With a learning rate every step is taken: a loss that is not finite is an error of the next step, so keep the
    /// model before it if the rate may be too large.
    pub taken: bool,
}

impl fmt::Display for KfacStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "step {}: h {:.6e}, |∇h| {:.3e}, λ {:.3e}, γ {:.3e}, α {:.3e}, μ {:.3e}",
            self.step,
            self.value,
            self.gradient_norm,
            self.damping,
            self.gamma,
            self.alpha,
            self.momentum
        )?;
        if let Some(ratio) = self.reduction_ratio {
            write!(f, ", ρ {ratio:.3}")?;
        }
        if self.limited {
            write!(f, ", limited")?;
        }
        if self.inversion.fallbacks().next().is_some() {
            write!(f, ", {}", self.inversion)?;
        }
        if self.taken { Ok(()) } else { write!(f, ", not taken: the loss would not be finite") }
    }
}
