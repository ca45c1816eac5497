//! The extreme eigenvalues of A, exact or estimated.

use serde::{Deserialize, Serialize};

/// What a solver has learned about the eigenvalues of A.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ExtremeEigenvalues {
    /// The smallest eigenvalue; a Ritz estimate is too large rather than too small.
    pub smallest: f64,
    /// The largest eigenvalue; a Ritz estimate is too small rather than too large.
    pub largest: f64,
    /// κ = max|λ| / min|λ|, or `None` if it is not finite or not known. An estimate is a lower bound: from conjugate
    /// gradients for a positive definite A, and a rough figure for an indefinite one; from MINRES for any A that is not
    /// singular.
    pub condition: Option<f64>,
    /// Whether these are eigenvalues and not Ritz estimates.
    pub exact: bool,
}

impl ExtremeEigenvalues {
    /// From some eigenvalues or Ritz values, among them the outermost and those closest to zero.
    pub(super) fn of(values: &[f64], exact: bool) -> Option<Self> {
        let (first, rest) = values.split_first()?;
        let start = (*first, *first, first.abs(), first.abs());
        let (smallest, largest, least, most) = rest.iter().fold(start, |(s, l, least, most), v| {
            (s.min(*v), l.max(*v), least.min(v.abs()), most.max(v.abs()))
        });
        let condition = most / least;
        let condition = condition.is_finite().then_some(condition);
        Some(Self { smallest, largest, condition, exact })
    }

    /// From estimates of both ends.
    pub(super) fn between(smallest: f64, largest: f64) -> Self {
        let unknown = Self { smallest, largest, condition: None, exact: false };
        Self::of(&[smallest, largest], false).unwrap_or(unknown)
    }

    /// From Ritz values, for an A with a Rayleigh quotient besides that is negative or zero: they say nothing about its
    /// smallest |λ|.
    pub(super) fn of_indefinite(values: &[f64], quotient: f64) -> Option<Self> {
        let found = Self::of(values, false)?;
        Some(Self { smallest: found.smallest.min(quotient), condition: None, ..found })
    }

    /// The eigenvalues of a multiple of A, by a positive factor.
    pub(super) fn scaled(self, factor: f64) -> Self {
        Self { smallest: self.smallest * factor, largest: self.largest * factor, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::ExtremeEigenvalues;

    #[test]
    fn the_condition_number_is_that_of_absolute_values() {
        let found = ExtremeEigenvalues::of(&[-3.0, 4.0, -0.5, 0.25], false);
        let expected = ExtremeEigenvalues {
            smallest: -3.0,
            largest: 4.0,
            condition: Some(16.0),
            exact: false,
        };
        assert_eq!(found, Some(expected));
        assert_eq!(ExtremeEigenvalues::of(&[0.0, 1.0], true).and_then(|e| e.condition), None);
        assert_eq!(ExtremeEigenvalues::of(&[], true), None);
    }
}
