//! The outcome of a check, line by line.

use serde::{Deserialize, Serialize};

use super::Check;
use crate::tensor::Precision;

/// The outcome of one line of a [`CurvatureReport`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// ✓
    Passed,
    /// ✗
    Failed,
    /// –: does not apply here; the line says why.
    Skipped,
}

/// One line of a [`CurvatureReport`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckLine {
    /// What was checked.
    pub check: Check,
    /// The outcome.
    pub outcome: Outcome,
    /// The difference found, in the unit that [`Check`] states, if one was measured.
    pub found: Option<f64>,
    /// The largest difference that counts as rounding.
    pub allowed: Option<f64>,
    /// Where the difference is, why the check was skipped, or the error that stopped it.
    pub note: String,
}

impl CheckLine {
    /// Passed if the difference is at most what is allowed. NaN fails.
    pub(super) fn measured(check: Check, found: f64, allowed: f64, note: String) -> Self {
        let outcome = if found <= allowed { Outcome::Passed } else { Outcome::Failed };
        Self { check, outcome, found: Some(found), allowed: Some(allowed), note }
    }

    /// Passed without a difference.
    pub(super) fn passed(check: Check, note: impl ToString) -> Self {
        Self::unmeasured(check, Outcome::Passed, &note)
    }

    /// Failed without a difference, such as by an error.
    pub(super) fn failed(check: Check, note: impl ToString) -> Self {
        Self::unmeasured(check, Outcome::Failed, &note)
    }

    /// Does not apply, for a reason.
    pub(super) fn skipped(check: Check, reason: impl ToString) -> Self {
        Self::unmeasured(check, Outcome::Skipped, &reason)
    }

    fn unmeasured(check: Check, outcome: Outcome, note: &impl ToString) -> Self {
        Self { check, outcome, found: None, allowed: None, note: note.to_string() }
    }
}

/// How far K-FAC and EKFAC are from the exact block of one layer: information, not a check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerError {
    /// Name of the weight.
    pub layer: String,
    /// Elements of the block, with those of the bias.
    pub elements: usize,
    /// ‖K v − F v‖ / ‖F v‖ for random signs v, an estimate of ‖K − F‖ / ‖F‖ in the Frobenius norm, for K-FAC.
    pub kfac: f64,
    /// The same for EKFAC; `None` if the configuration has none.
    pub ekfac: Option<f64>,
}

/// What products of one kind cost, in units of one gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProductCost {
    /// One product.
    pub product: f64,
    /// The preparation, once per (θ, batch).
    pub prepare: f64,
    /// Bytes kept between products.
    pub kept_bytes: usize,
}

/// Time and memory of products.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvatureCost {
    /// Seconds of one gradient by the recorded program: the unit of all other times.
    pub gradient_seconds: f64,
    /// All lines of this report, with the programs that were derived for them.
    pub check: f64,
    /// Bytes of one vector of the parameters' shape, to compare the bytes kept with.
    pub vector_bytes: usize,
    /// H v.
    pub hessian: ProductCost,
    /// G v, if the closure returns outputs.
    pub gauss_newton: Option<ProductCost>,
}

/// The outcome of [`CurvatureCheck::run`](super::CurvatureCheck::run). Prints as a table; every ✗ is followed by what it
/// means and what to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvatureReport {
    /// Number of elements of all parameters.
    pub elements: usize,
    /// Number of batches.
    pub batches: usize,
    /// The backend.
    pub backend: String,
    /// The precision that the objective computes in.
    pub precision: Precision,
    /// The precision that differences were computed in: f64 where the device has it.
    pub differences: Precision,
    /// The checks in order.
    pub lines: Vec<CheckLine>,
    /// K-FAC and EKFAC next to exact blocks, if a likelihood was given.
    pub layers: Vec<LayerError>,
    /// Time and memory; `None` if not measured.
    pub cost: Option<CurvatureCost>,
}

impl CurvatureReport {
    /// Whether no check failed.
    pub fn is_ok(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The checks that failed.
    pub fn failures(&self) -> impl Iterator<Item = &CheckLine> {
        self.with_outcome(Outcome::Failed)
    }

    /// The checks that passed.
    pub fn passed(&self) -> impl Iterator<Item = &CheckLine> {
        self.with_outcome(Outcome::Passed)
    }

    /// The checks that do not apply.
    pub fn skipped(&self) -> impl Iterator<Item = &CheckLine> {
        self.with_outcome(Outcome::Skipped)
    }

    /// The line of one check.
    pub fn line(&self, check: Check) -> Option<&CheckLine> {
        self.lines.iter().find(|line| line.check == check)
    }

    fn with_outcome(&self, outcome: Outcome) -> impl Iterator<Item = &CheckLine> {
        self.lines.iter().filter(move |line| line.outcome == outcome)
    }
}
