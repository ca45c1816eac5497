//! The exact solver for low rank plus diagonal.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    operator::{InvertedLowRank, LinearOperator, LowRank},
    space::ParamVector,
    tensor::DefaultBackend,
};

use super::{
    ExtremeEigenvalues, Method, MethodDetail, Solution, SolveReport, StopReason,
    stopping::rounding, system::System,
};

/// The direct solver for low rank plus a positive diagonal, A = Σᵢ cᵢvᵢvᵢᵀ + D, by the formula of Sherman, Morrison and
/// Woodbury.
///
/// ```text
/// x = D⁻¹b − D⁻¹Vᵀ K V D⁻¹b          K = (C⁻¹ + V D⁻¹ Vᵀ)⁻¹, k×k
/// ```
///
/// For a small data set: with the gradients gᵢ of N samples in a [`LowRank`] it solves (1/N Σ gᵢgᵢᵀ + λI) x = b
/// exactly, in N dimensions. The larger the largest eigenvalue compared with D, the more digits the formula loses; a
/// few steps of iterative refinement, x ← x + A⁻¹(b − A x), get them back.
///
/// # Cost
/// For k < n vectors of n elements: k²·n multiply-adds on the device and about 9 k³ on the host, once; then 4·k·n per
/// right-hand side and refinement. With more vectors k·n² and 9 n³ on the host, once, and 4·n² for each.
///
/// # Requirements
/// D > 0, if there are fewer vectors than elements. Coefficients of either sign, as long as A is not singular. A
/// residual that stays above a hundredth of ‖b‖, as it does if D is below the rounding of the other part, ends as
/// [`StopReason::Stagnation`].
///
/// # Errors
/// [`OperatorError::NotInvertible`](crate::errors::OperatorError::NotInvertible); layouts, precisions or devices that differ, NaN
/// or infinity in b.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{ParamSpace, StopReason, operator::LowRank, solver::Woodbury};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(3)?;
/// let g = space.vector(&[1.0, 2.0, 2.0])?;
/// let fisher = LowRank::mean_of(&[g.clone()])?.with_damping(1.0)?; // g gᵀ + I
/// let solution = Woodbury::new(fisher)?.solve(&g)?;
/// assert_eq!(solution.report.stop, StopReason::Solved);
/// let x = solution.x.to_vec()?; // g / (1 + gᵀg)
/// assert!((x[0] - 0.1).abs() < 1e-15);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
///
/// # References
/// Golub & Van Loan, Matrix Computations, 4th edition, sections 2.1.4 and 3.5.3 (iterative refinement).
#[derive(Debug, Clone)]
pub struct Woodbury<B: AutodiffBackend = DefaultBackend> {
    operator: LowRank<B>,
    inverse: LowRank<B>,
    spectrum: Option<ExtremeEigenvalues>,
}

impl<B: AutodiffBackend> Woodbury<B> {
    /// Largest number of refinements; each gains about as many digits as the first solve.
    const REFINEMENTS: usize = 3;

    /// Decomposes the small matrix.
    ///
    /// # Errors
    /// [`OperatorError::NotInvertible`](crate::errors::OperatorError::NotInvertible).
    pub fn new(operator: LowRank<B>) -> Result<Self, Error> {
        let InvertedLowRank { inverse, extremes } = operator.inverted()?;
        let spectrum =
            extremes.and_then(|(least, most)| ExtremeEigenvalues::of(&[least, most], true));
        Ok(Self { operator, inverse, spectrum })
    }

    /// The operator A.
    pub fn operator(&self) -> &LowRank<B> {
        &self.operator
    }

    /// A⁻¹ as an operator, without refinement.
    pub fn inverse(&self) -> &LowRank<B> {
        &self.inverse
    }

    /// Solves A x = b.
    ///
    /// # Errors
    /// See [`Woodbury`].
    #[inline(never)]
    pub fn solve(&self, rhs: &ParamVector<B>) -> Result<Solution<B>, Error> {
        let system = System::new(&self.operator, rhs)?;
        rhs.expect_finite("the right-hand side b")?;
        let rhs_norm = rhs.norm()?;
        let mut x = self.inverse.apply(rhs)?;
        let (mut r, mut residual) = system.checked_residual(&x)?;
        let mut refinements = 0;
        while refinements < Self::REFINEMENTS && residual > 0.0 {
            let better = x.clone().add(&self.inverse.apply(&r)?)?;
            let (better_r, better_residual) = system.checked_residual(&better)?;
            if better_residual >= residual {
                break;
            }
            let little = better_residual > 0.5 * residual;
            (x, r, residual) = (better, better_r, better_residual);
            refinements += 1;
            if little {
                break;
            }
        }
        let norms = (rhs_norm, residual);
        let norm = self.spectrum.map(|found| found.smallest.abs().max(found.largest.abs()));
        let allowed = rounding(norm.unwrap_or(f64::INFINITY), &x, rhs_norm)?;
        let report = SolveReport {
            iterations: refinements,
            spectrum: self.spectrum,
            detail: Some(MethodDetail::Woodbury { rank: self.operator.rank() }),
            ..SolveReport::new(
                Method::Woodbury,
                StopReason::of_direct(norms, allowed),
                &system,
                norms,
            )
        };
        Ok(Solution { x, report, negative_curvature: None })
    }

    /// Solves A x = b for several b.
    ///
    /// # Errors
    /// See [`Woodbury`].
    pub fn solve_many(&self, rhs: &[ParamVector<B>]) -> Result<Vec<Solution<B>>, Error> {
        rhs.iter().map(|rhs| self.solve(rhs)).collect()
    }
}
