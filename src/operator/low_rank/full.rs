//! The inverse of low rank plus a diagonal with as many vectors as elements or more, which has no low rank: by the
//! eigenvalues of the whole matrix, on the host in f64.
//!
//! ```text
//! VᵀCV + D = U diag(μ) Uᵀ      A⁻¹ = U diag(1/μ) Uᵀ
//! ```
//! The formula for low rank subtracts from D⁻¹ nearly all of it here, wherever the vectors outweigh D.

use burn_backend::AutodiffBackend;
use faer::Mat;

use crate::{
    error::Error,
    operator::{OperatorError, stack::upload},
    space::read_tensor,
};

use super::{
    Addend, LowRank,
    inverse::{Inverted, eigen},
};

impl<B: AutodiffBackend> LowRank<B> {
    /// A⁻¹, where the vectors span the whole space.
    pub(super) fn inverted_as_a_whole(&self) -> Result<Inverted<B>, Error> {
        let (n, precision) = (self.space.len(), self.space.precision());
        let (whole, terms) = self.whole()?;
        let (vectors, eigenvalues) = eigen(&whole)?;
        let size = |value: &f64| value.abs();
        // Terms that cancel leave their rounding.
        let most = eigenvalues.iter().map(size).fold(terms, f64::max);
        let invertible = |value: &&f64| {
            size(value) > n as f64 * f64::EPSILON * most
                && size(value).recip() <= precision.largest()
        };
        let positive = eigenvalues.iter().all(|value| *value > 0.0);
        if let Some(found) = eigenvalues.iter().find(|value| !invertible(value)) {
            return Err(OperatorError::NotInvertible { found: *found }.into());
        }
        let least = eigenvalues.first().copied().unwrap_or(0.0);
        let rows: Vec<f64> = (0..n * n).map(|at| vectors[(at % n, at / n)]).collect();
        let coefficients: Vec<f64> = eigenvalues.iter().map(|value| value.recip()).collect();
        let rows = upload(&rows, [n, n], &self.space);
        let inverse = Self::from_rows(rows, &coefficients, &self.space);
        Ok(Inverted { inverse, extremes: positive.then_some((least, most)) })
    }

    /// VᵀCV + D, and the largest sum of absolute values on its diagonal.
    fn whole(&self) -> Result<(Mat<f64>, f64), Error> {
        let (k, n) = (self.rank(), self.space.len());
        let rows = read_tensor::<B>(self.rows.clone())?;
        let at =
            |row: usize, column: usize| rows.get(row * n + column).copied().unwrap_or(f64::NAN);
        let weight = |row: usize| self.coefficients.get(row).copied().unwrap_or(f64::NAN);
        let v = Mat::from_fn(k, n, at);
        let weighted = Mat::from_fn(k, n, |row, column| weight(row) * at(row, column));
        let mut whole = v.transpose() * weighted;
        let diagonal = match &self.diagonal {
            Addend::Zero => vec![0.0; n],
            Addend::Multiple(factor) => vec![*factor; n],
            Addend::Diagonal(diagonal) => diagonal.to_vec()?,
        };
        let mut terms: f64 = 0.0;
        for (column, added) in diagonal.into_iter().enumerate() {
            whole[(column, column)] += added;
            let squares = (0..k).map(|row| weight(row).abs() * at(row, column).powi(2));
            terms = terms.max(squares.sum::<f64>() + added.abs());
        }
        let found = whole.norm_max();
        if found.is_finite() {
            return Ok((whole, terms));
        }
        Err(OperatorError::NonFiniteEntry { row: 0, column: 0, value: found }.into())
    }
}
