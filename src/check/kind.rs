//! What is checked: the name of each check, what a ✗ means and what to do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One check of a [`CurvatureReport`](super::CurvatureReport).
///
/// Differences are relative; *per element* is |found − expected| / (|expected| + 0.1 · root mean square), the largest over
/// all elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Check {
    /// ∇ℒ as recorded against Burn's `backward()`, as compared when the loss was captured.
    BurnGradient,
    /// ⟨∇ℒ, v⟩ against (ℒ(θ + h v) − ℒ(θ − h v)) / 2h, relative to ‖∇ℒ‖ or to the slope.
    Gradient,
    /// H v against (∇ℒ(θ + h v) − ∇ℒ(θ − h v)) / 2h, per element.
    HessianProduct,
    /// H v twice.
    Determinism,
    /// H (αu + βv) against αH u + βH v, and several products at once against one by one.
    Linearity,
    /// ⟨u, H v⟩ against ⟨v, H u⟩.
    Symmetry,
    /// H v in the objective's precision against H v in f64.
    Rounding,
    /// H v by the compiled engine against the eager one.
    Engines,
    /// ℒ of a batch against ℒ of its halves, by the stated reduction, and in other orders of the samples where the program
    /// does not show that they are independent.
    BatchInvariance,
    /// J v against (z(θ + h v) − z(θ − h v)) / 2h, per element.
    Jacobian,
    /// ⟨u, J v⟩ against ⟨Jᵀu, v⟩.
    Adjoint,
    /// G v against Jᵀ (∂ℓ/∂z (z + h J v) − ∂ℓ/∂z (z − h J v)) / 2h, per element.
    GaussNewton,
    /// vᵀG v ≥ 0.
    PositiveSemidefinite,
    /// F v against G v: whether the loss is the negative log-likelihood.
    Likelihood,
    /// K-FAC and EKFAC of every layer, as configured, next to its exact block: passed if they exist, whatever their error.
    KfacBlocks,
    /// The trace of every layer's block of EKFAC, with the targets of the data, against the mean squared gradient of single
    /// samples.
    KfacTrace,
}

impl Check {
    /// What a ✗ means and what to do.
    pub fn advice(self) -> &'static str {
        match self {
            Check::BurnGradient => {
                "The recorded loss is not the one that Burn trains: look for randomness, values read in the closure, or \
                 layers in training mode."
            }
            Check::Gradient => {
                "The gradient is not the derivative of the loss. If it agrees with Burn's, the fault is in Burn's \
                 derivative of an operation: leave out one operation after another until this line passes, and report it."
            }
            Check::HessianProduct => {
                "The product is not the derivative of the gradient: a second derivative is wrong, or the loss has a jump \
                 or a kink at these parameters. Check at other parameters (`objective.at`); if it fails there too, leave \
                 out one operation after another until this line passes, and report it."
            }
            Check::Determinism => {
                "Two products with one vector differ: the loss draws random numbers, or the data change between passes. \
                 Hand random tensors in with the batch; do not shuffle in a stream."
            }
            Check::Linearity => {
                "The products are not linear: state is kept between products, or rounding swamps them. Compute in f64 \
                 with `in_f64()`; if it stays, report it."
            }
            Check::Symmetry => {
                "The Hessian is not symmetric: a second derivative is wrong, or rounding swamps the products. Compute in \
                 f64 with `in_f64()`; if it stays, leave out one operation after another, and report it."
            }
            Check::Rounding => {
                "The objective's precision loses most digits of the product at these parameters. Compute in f64 with \
                 `in_f64()`, or rescale inputs and outputs."
            }
            Check::Engines => {
                "The engines disagree: one of them differentiates an operation wrongly. Use the one whose products agree \
                 with differences, and report it."
            }
            Check::BatchInvariance => {
                "The loss of the batch is not the stated reduction of its samples: samples depend on each other (batch \
                 statistics, contrastive losses), are weighted or masked. Fisher matrices and K-FAC mean something else \
                 then; state the other reduction, or sum and divide by one fixed number."
            }
            Check::Jacobian => {
                "The Jacobian is not the derivative of the outputs: a derivative is wrong, or the outputs have a jump or a \
                 kink at these parameters. Check at other parameters (`objective.at`), and report it."
            }
            Check::Adjoint => {
                "J and Jᵀ do not belong together: a derivative is wrong, or rounding swamps the products. Compute in f64 \
                 with `in_f64()`; if it stays, report it."
            }
            Check::GaussNewton => {
                "The Gauss-Newton product is not Jᵀ(∇²ℓ)J v: a derivative of the loss in the outputs is wrong, or the loss \
                 has a kink there (absolute values, clipping). Check at other parameters, and report it."
            }
            Check::PositiveSemidefinite => {
                "vᵀG v is negative although the likelihood's loss is convex in the outputs: the loss is another one. See \
                 the line on the likelihood."
            }
            Check::Likelihood => {
                "The Fisher matrix is not the Gauss-Newton matrix of the loss: the loss is not the negative \
                 log-likelihood of this likelihood, or its reduction or scale is another one (a mean over outputs or \
                 tokens, a softmax before the loss, label smoothing). Return logits, and scale the loss to the sum over a \
                 sample's outputs."
            }
            Check::KfacBlocks => {
                "K-FAC could not be computed for this model. Follow the error; `UncoveredPolicy`, `KfacFisher` and \
                 `KfacApproximation` are the choices."
            }
            Check::KfacTrace => {
                "K-FAC took other rows for samples than the loss has, or a layer's gradients are not all of it. Use \
                 `UncoveredPolicy::Diagonal` for the layer, and report the model."
            }
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Check::BurnGradient => "∇ℒ = Burn's backward()",
            Check::Gradient => "∇ℒ = differences of the loss",
            Check::HessianProduct => "H v = differences of ∇ℒ",
            Check::Determinism => "H v = H v again",
            Check::Linearity => "H is linear",
            Check::Symmetry => "H is symmetric",
            Check::Rounding => "H v = H v in f64",
            Check::Engines => "compiled engine = eager engine",
            Check::BatchInvariance => "loss of the batch = of its halves",
            Check::Jacobian => "J v = differences of the outputs",
            Check::Adjoint => "⟨u, J v⟩ = ⟨Jᵀu, v⟩",
            Check::GaussNewton => "G v = Jᵀ(∇²ℓ)J v",
            Check::PositiveSemidefinite => "G is positive semidefinite",
            Check::Likelihood => "F = G: the loss is the likelihood's",
            Check::KfacBlocks => "K-FAC and EKFAC of every layer",
            Check::KfacTrace => "tr EKFAC = mean squared gradient",
        })
    }
}
