//! A check of an objective's derivatives on the user's own model, batch and backend. Depends on curvature and K-FAC;
//! nothing depends on it.
//!
//! Every line compares two ways to compute one result that share as little code as possible: derivatives with finite
//! differences, products with each other, K-FAC with gradients of single samples.

mod config;
mod cost;
mod derivatives;
mod differences;
mod kfac;
mod kind;
mod operators;
mod report;
mod table;
#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
mod tests;

pub use config::CurvatureCheckConfig;
pub use kind::Check;
pub use report::{CheckLine, CurvatureCost, CurvatureReport, LayerError, Outcome, ProductCost};

use std::time::Instant;

use burn_backend::{AutodiffBackend, Backend};

use crate::{
    derive::{DeriveError, LikelihoodError},
    error::Error,
    kfac::KfacError,
    objective::{Objective, ObjectiveError},
    tensor::TensorBridge,
};
use derivatives::{Derivatives, Differentiated};

const NO_LIKELIHOOD: &str = "no likelihood was given: `CurvatureCheckConfig::with_likelihood`";
const NO_LAYERS: &str =
    "K-FAC finds no layer: `Kfac::coverage` says how parameters are approximated";

/// A check of an objective's gradient, Hessian, Gauss-Newton matrix and K-FAC, like `gradcheck` in PyTorch.
///
/// | line | compares |
/// |---|---|
/// | [`BurnGradient`](Check::BurnGradient) | the recorded gradient with Burn's `backward()`, as done when the loss was captured |
/// | [`Gradient`](Check::Gradient) | ⟨∇ℒ, v⟩ with (ℒ(θ + h v) − ℒ(θ − h v)) / 2h |
/// | [`HessianProduct`](Check::HessianProduct) | H v with (∇ℒ(θ + h v) − ∇ℒ(θ − h v)) / 2h, element by element |
/// | [`Determinism`](Check::Determinism), [`Linearity`](Check::Linearity), [`Symmetry`](Check::Symmetry) | products with each other |
/// | [`Rounding`](Check::Rounding) | H v with H v in f64 |
/// | [`Engines`](Check::Engines) | the compiled engine with the eager one, where Burn has it |
/// | [`BatchInvariance`](Check::BatchInvariance) | ℒ of a batch with ℒ of its halves, where a reduction is stated |
/// | [`Jacobian`](Check::Jacobian), [`Adjoint`](Check::Adjoint) | J v with differences of the outputs, and with Jᵀu |
/// | [`GaussNewton`](Check::GaussNewton), [`PositiveSemidefinite`](Check::PositiveSemidefinite) | G v with Jᵀ(∇²ℓ)J v, ∇²ℓ by differences; the sign of vᵀG v |
/// | [`Likelihood`](Check::Likelihood) | F v with G v: whether the loss is the likelihood's |
/// | [`KfacBlocks`](Check::KfacBlocks) | whether K-FAC and EKFAC exist; their errors are information |
/// | [`KfacTrace`](Check::KfacTrace) | the trace of every layer's block of EKFAC with the mean squared gradient of single samples |
///
/// Lines on outputs need a closure that returns `(outputs, loss)`, those on Fisher matrices a
/// [likelihood](CurvatureCheckConfig::with_likelihood) and a [stated reduction](Objective::reduced_by). Lines that do
/// not apply are marked – with the reason. The report also holds the relative error of K-FAC's and EKFAC's blocks,
/// estimated for up to 12 layers, which describes the approximation and is not a check, and the [cost](CurvatureCost)
/// of products and of the check itself.
///
/// Differences are computed in f64 where the device supports it, whatever the objective's precision; they then detect an
/// error of a thousandth in one element. In f32 they detect errors of a few percent, or are marked as undecided, as is a derivative
/// that rounding of a large loss hides.
///
/// # Cost
/// About 25 gradients, 15 more with outputs, 20 more with a likelihood and a batch of 64; gradients in f64 cost about
/// twice as much as in f32.
///
/// # How to read a ✗
/// Read from the top: the first ✗ usually causes those below it. [`Check::advice`] says what each means, and so does the
/// printed report. If `∇ℒ = Burn's backward()` fails, the recorded loss is not the one meant. If it passes and `∇ℒ =
/// differences of the loss` fails, Burn's own derivative is wrong. `H v = differences of ∇ℒ` fails alone: a second
/// derivative of this crate is wrong. `Rounding` fails alone: compute in f64. `Likelihood` or `BatchInvariance` fails:
/// what was stated about the loss is not true.
///
/// # Example
/// ℒ = ½ mean (x w − y)²: H = G = xᵀx / n, and F is G for the variance 1.
///
/// ```
/// use burn::{module::Param, prelude::*};
/// use burn_curvature::{Likelihood, Objective, Reduction, check::{Check, CurvatureCheckConfig}};
///
/// #[derive(Module, Debug)]
/// struct Line {
///     w: Param<Tensor<2>>,
/// }
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let device = Device::default().autodiff();
/// let model = Line { w: Param::from_tensor(Tensor::from_floats([[0.5], [-1.0]], &device)) };
/// let x = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], &device);
/// let y = Tensor::<2>::from_floats([[1.0], [0.0]], &device);
/// let objective = Objective::capture(&model, (x, y), |model, (x, y)| {
///     let z = x.matmul(model.w.val());
///     (z.clone(), (z - y).powf_scalar(2.0).mean() * 0.5)
/// })?
/// .reduced_by(Reduction::Mean)?;
///
/// let check = CurvatureCheckConfig::new().with_likelihood(Likelihood::Gaussian { variance: 1.0 }).init()?;
/// let report = check.run(&objective)?;
/// assert!(report.is_ok(), "{report}");
///
/// let check = CurvatureCheckConfig::new().with_likelihood(Likelihood::Gaussian { variance: 4.0 }).init()?;
/// let report = check.run(&objective)?; // the loss is that of another variance
/// assert!(report.failures().all(|line| line.check == Check::Likelihood));
/// assert!(!report.is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CurvatureCheck {
    config: CurvatureCheckConfig,
}

impl CurvatureCheck {
    /// Checks an objective at its parameters, over its batches, and reports what was found.
    ///
    /// # Errors
    /// A loss or gradient that is NaN or infinite. Everything else that fails is a line of the report.
    #[inline(never)]
    pub fn run<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
    ) -> Result<CurvatureReport, Error>
    where
        B::InnerBackend: TensorBridge,
    {
        self.run_on(objective, &Derivatives::new())
    }

    fn run_on<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        derivatives: &Derivatives<B>,
    ) -> Result<CurvatureReport, Error>
    where
        B::InnerBackend: TensorBridge,
    {
        let CurvatureCheckConfig { directions, timings, seed, .. } = self.config;
        let start = Instant::now();
        objective.gradient()?;
        let in_f64 = objective.in_f64().ok();
        let differentiated =
            Differentiated::new(objective, derivatives, (directions, seed), in_f64.clone());
        let mut lines = self.of_the_loss(objective, &differentiated, in_f64.as_ref());
        lines.extend(self.of_outputs(&differentiated));
        let is_likelihood = !lines
            .iter()
            .any(|line| line.check == Check::Likelihood && line.outcome == Outcome::Failed);
        let (blocks, layers) = self.of_kfac(objective, is_likelihood);
        lines.extend(blocks);
        Ok(CurvatureReport {
            elements: objective.layout().len(),
            batches: objective.batches(),
            backend: <B::InnerBackend as Backend>::name(objective.parameters().device()),
            precision: objective.precision(),
            differences: differentiated.objective.precision(),
            lines,
            layers,
            cost: cost::measure(objective, (timings, seed), start)?,
        })
    }

    /// The lines on the loss, its gradient and its Hessian.
    fn of_the_loss<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        precise: &Differentiated<'_, B>,
        in_f64: Option<&Objective<B>>,
    ) -> Vec<CheckLine> {
        let derivatives = precise.derivatives;
        let direction = objective.parameters().space().normal(self.config.seed);
        let properties = (derivatives.hessian)(objective)
            .and_then(|hessian| operators::properties(hessian.as_ref(), self.config.seed));
        let properties = properties.unwrap_or_else(|error| {
            [Check::Determinism, Check::Linearity, Check::Symmetry]
                .map(|check| CheckLine::failed(check, &error))
        });
        let rounding = precise.directions.first().map_or_else(
            || Ok(CheckLine::skipped(Check::Rounding, "there is no direction")),
            |direction| operators::rounding(objective, in_f64, derivatives, direction),
        );
        let mut lines = vec![
            burn_gradient(objective),
            settled(Check::Gradient, precise.gradient()),
            settled(Check::HessianProduct, precise.hessian()),
        ];
        lines.extend(properties);
        lines.extend([
            settled(Check::Rounding, rounding),
            settled(Check::Engines, operators::engines(objective, &direction)),
            settled(Check::BatchInvariance, operators::batch_invariance(objective)),
        ]);
        lines
    }

    /// The lines on the outputs and the Gauss-Newton matrix.
    fn of_outputs<B: AutodiffBackend>(&self, precise: &Differentiated<'_, B>) -> Vec<CheckLine> {
        let Differentiated { objective, derivatives, directions, .. } = precise;
        let likelihood = self.config.likelihood;
        let positive = operators::positive(objective, derivatives, directions, likelihood);
        let fisher = directions.first().map_or_else(
            || Ok(CheckLine::skipped(Check::Likelihood, "there is no direction")),
            |direction| operators::likelihood(objective, direction, likelihood),
        );
        vec![
            settled(Check::Jacobian, precise.jacobian()),
            settled(Check::Adjoint, precise.adjoint()),
            settled(Check::GaussNewton, precise.gauss_newton()),
            settled(Check::PositiveSemidefinite, positive),
            settled(Check::Likelihood, fisher),
        ]
    }

    /// The lines on K-FAC, and the errors of its blocks, if the loss is the likelihood's.
    fn of_kfac<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
        is_likelihood: bool,
    ) -> ([CheckLine; 2], Vec<LayerError>) {
        let CurvatureCheckConfig { likelihood, kfac, seed, .. } = &self.config;
        let skipped = |reason: &str| {
            let lines = [Check::KfacBlocks, Check::KfacTrace];
            (lines.map(|check| CheckLine::skipped(check, reason)), Vec::new())
        };
        let Some(likelihood) = *likelihood else {
            return skipped(NO_LIKELIHOOD);
        };
        if !is_likelihood {
            return skipped("the loss is not the likelihood's");
        }
        let (blocks, layers) = match kfac::layer_errors(objective, likelihood, (kfac, *seed)) {
            Ok(layers) if layers.is_empty() => return skipped(NO_LAYERS),
            Ok(layers) => (kfac::blocks(&layers), layers),
            Err(error) => (settled(Check::KfacBlocks, Err(error)), Vec::new()),
        };
        let traces = kfac::traces(objective, likelihood, kfac);
        ([blocks, settled(Check::KfacTrace, traces)], layers)
    }
}

/// The comparison with Burn's gradient was made when the loss was captured: a difference is refused there.
fn burn_gradient<B: AutodiffBackend>(objective: &Objective<B>) -> CheckLine {
    if objective.was_compared() {
        CheckLine::passed(Check::BurnGradient, "compared when the loss was captured")
    } else {
        CheckLine::skipped(
            Check::BurnGradient,
            "not compared: captured with `unchecked()`, or with values that are drawn",
        )
    }
}

/// A line, or what its error means: a refusal does not apply, anything else failed.
fn settled(check: Check, line: Result<CheckLine, Error>) -> CheckLine {
    line.unwrap_or_else(|error| {
        if is_refusal(&error) {
            CheckLine::skipped(check, error)
        } else {
            CheckLine::failed(check, error)
        }
    })
}

/// Whether an error says that an operator is not for this loss.
fn is_refusal(error: &Error) -> bool {
    let derived = matches!(
        error.downcast_ref(),
        Some(
            DeriveError::NoOutputs
                | DeriveError::UnusedOutputs
                | DeriveError::Bypass { .. }
                | DeriveError::Eager { .. }
        )
    );
    let objective = matches!(
        error.downcast_ref(),
        Some(
            ObjectiveError::NoReduction
                | ObjectiveError::Bypass { .. }
                | ObjectiveError::Halved { .. }
        )
    );
    let kfac = matches!(
        error.downcast_ref(),
        Some(kind) if !matches!(kind, KfacError::NonFinite { .. })
    );
    let likelihood = matches!(
        error.downcast_ref(),
        Some(
            LikelihoodError::Unfit { .. }
                | LikelihoodError::TooManyDraws { .. }
                | LikelihoodError::NoDraws
        )
    );
    derived || objective || kfac || likelihood
}
