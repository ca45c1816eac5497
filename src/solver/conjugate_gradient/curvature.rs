//! Judges the curvature along a search direction. Knows numbers on the host only.

use super::seen::Seen;

/// What pᵀA p says about A.
pub(super) enum Curvature {
    /// Positive definite along p.
    Positive,
    /// Singular along p, to working precision.
    Vanishing,
    /// Not positive definite.
    Negative,
}

/// Judges pᵀA p against the curvatures seen before.
pub(super) struct CurvatureScale {
    epsilon: f64,
    /// The largest |pᵀA p / pᵀM p| so far.
    largest: f64,
    /// The last pᵀA p / pᵀM p.
    pub(super) last: f64,
    /// The last pᵀM p.
    length: f64,
    /// pᵀM p and rᵀz of the iteration before.
    previous: Option<(f64, f64)>,
}

impl CurvatureScale {
    pub(super) fn new(epsilon: f64) -> Self {
        Self { epsilon, largest: 0.0, last: 0.0, length: 0.0, previous: None }
    }

    /// pᵀM p
    pub(super) fn length(&self) -> f64 {
        self.length
    }

    pub(super) fn restart(&mut self) {
        self.previous = None;
    }

    /// pᵀM p follows from p = z + β p₋ and rᵀp₋ = 0: it is rᵀz + β² p₋ᵀM p₋, which saves a scalar product.
    pub(super) fn classify(&mut self, seen: &Seen) -> Curvature {
        let length = match self.previous {
            None => seen.rho,
            Some((length, rho)) => seen.rho + (seen.rho / rho).powi(2) * length,
        };
        self.length = length;
        self.previous = Some((length, seen.rho));
        self.last = seen.curvature / length;
        self.largest = self.largest.max(self.last.abs());
        if self.last.abs() <= self.epsilon * self.largest {
            Curvature::Vanishing
        } else if self.last < 0.0 {
            Curvature::Negative
        } else {
            Curvature::Positive
        }
    }
}
