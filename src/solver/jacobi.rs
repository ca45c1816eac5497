//! The diagonal preconditioner.

use burn_backend::AutodiffBackend;

use crate::{
    config::ConfigError,
    error::Error,
    operator::{Diagonal, LinearOperator, OperatorError, SelfAdjoint},
    space::{ParamSpace, ParamVector},
    tensor::DefaultBackend,
};

use super::SolverError;

/// The Jacobi preconditioner M⁻¹ = (diag(d) + λI)^−ξ from the diagonal d of A, or an estimate of it.
///
/// It helps where the unknowns have different scales, and does nothing for a matrix whose diagonal is constant.
///
/// # Cost
/// Reads d once; one multiplication per entry and application.
///
/// # Errors
/// [`SolverError::Diagonal`] if an entry of d + λ is not positive and finite, as for an indefinite A;
/// [`OperatorError::Damping`]; [`ConfigError`] for an exponent outside (0, 1].
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{
///     ConjugateGradientConfig, LinearOperator, LinearSolver, ParamSpace, SolveOptions, operator::Diagonal,
///     solver::Jacobi,
/// };
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(3)?;
/// let d = space.vector(&[1.0, 1e2, 1e4])?;
/// let (a, b) = (Diagonal::new(d.clone())?.damped(0.5)?, space.ones());
/// let jacobi = Jacobi::new(&d, 0.5)?;
/// let options = SolveOptions::new().with_preconditioner(&jacobi);
/// let solution = ConjugateGradientConfig::new().init()?.solve_with(&a, &b, options)?;
/// assert_eq!(solution.report.iterations, 1); // A is diagonal
/// # Ok::<(), burn_curvature::Error>(())
/// ```
///
/// # References
/// Martens, Deep learning via Hessian-free optimization, 2010, section 4.7 (the exponent, ξ = ¾ there).
#[derive(Debug, Clone)]
pub struct Jacobi<B: AutodiffBackend = DefaultBackend> {
    inverse: Diagonal<B>,
}

impl<B: AutodiffBackend> Jacobi<B> {
    /// (diag(d) + λI)⁻¹
    ///
    /// # Errors
    /// See [`Jacobi`].
    pub fn new(diagonal: &ParamVector<B>, damping: f64) -> Result<Self, Error> {
        Self::with_exponent(diagonal, damping, 1.0)
    }

    /// (diag(d) + λI)^−ξ; an exponent below 1 trusts the diagonal less.
    ///
    /// # Errors
    /// See [`Jacobi`].
    pub fn with_exponent(
        diagonal: &ParamVector<B>,
        damping: f64,
        exponent: f64,
    ) -> Result<Self, Error> {
        if !damping.is_finite() || damping < 0.0 {
            return Err(OperatorError::Damping { found: damping }.into());
        }
        if !(exponent > 0.0 && exponent <= 1.0) {
            return Err(ConfigError {
                config: "Jacobi",
                field: "exponent",
                found: exponent,
                expected: "a number above 0 and at most 1",
            }
            .into());
        }
        let damped: Vec<f64> = diagonal.to_vec()?.iter().map(|d| d + damping).collect();
        // The reciprocal must be within the range of the vector's format, too.
        let least = diagonal.precision().smallest_normal();
        let good = |entry: f64| entry >= least && entry.is_finite();
        let mut faults = damped.iter().enumerate().filter(|(_, entry)| !good(**entry));
        if let Some((position, found)) = faults.next() {
            return Err(SolverError::Diagonal {
                block: diagonal.layout().block_at(position).to_string(),
                found: *found,
                count: 1 + faults.count(),
            }
            .into());
        }
        let inverse: Vec<f64> = damped.iter().map(|entry| entry.powf(-exponent)).collect();
        Ok(Self { inverse: Diagonal::new(diagonal.space().vector(&inverse)?)? })
    }

    /// The diagonal of M⁻¹.
    pub fn inverse(&self) -> &ParamVector<B> {
        self.inverse.diagonal()
    }
}

impl<B: AutodiffBackend> LinearOperator<B> for Jacobi<B> {
    fn domain(&self) -> &ParamSpace<B> {
        self.inverse.domain()
    }

    fn apply(&self, vector: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        self.inverse.apply(vector)
    }
}

impl<B: AutodiffBackend> SelfAdjoint<B> for Jacobi<B> {}
