//! LiSSA, the stochastic Neumann series: the public face. The recursion is in `run`.

mod config;
mod run;
mod terms;

pub use config::LissaConfig;

use burn_backend::AutodiffBackend;

use crate::{error::Error, operator::FiniteSum, space::ParamVector};

use super::{MethodDetail, Solution, SolveOptions, system::System};

/// LiSSA: A⁻¹b for an A that is a mean of terms, from products with one random term at a time.
///
/// ```text
/// h₀ = b      hⱼ = b + (I − Aᵢ/c) hⱼ₋₁,  i random      x = h/c, averaged over repeats      c: scale
/// ```
///
/// The mean of h/c tends to A⁻¹b. Damping belongs to the operator, as with every solver: pass
/// [`operator.damped(λ)`](crate::LinearOperator::damped) for (A + λI)⁻¹b. (In the code of Koh and Liang the effective
/// damping is damping·scale, and some of its descendants leave out the last division by the scale.)
///
/// The result has two errors, both reported. The influence of the start decays as exp(−depth·λmin/scale): if
/// depth·λmin/scale is below 3, the solve ends as [`StopReason::UnderConverged`](crate::StopReason::UnderConverged).
/// And the result scatters, by the `standard_error` of [`MethodDetail::Lissa`](crate::solver::MethodDetail::Lissa),
/// which falls as 1/√repeats and does *not* fall with the depth. A larger scale makes it scatter less, and needs more
/// depth.
///
/// # Cost
/// depth·repeats products with a term, and one product with A for the true residual; if no scale is given, up to
/// 160 more with terms. The host waits for the device only at every 64th step.
///
/// # Requirements
/// Every Aᵢ self-adjoint, with eigenvalues between 0 and the scale (2·scale at the very most, and positive ones on
/// average). If h grows beyond what such terms allow, the solve stops with
/// [`StopReason::Diverged`](crate::StopReason::Diverged), and the report gives a lower bound on the eigenvalue it met.
///
/// # Errors
/// [`SolverError::NoScale`](crate::errors::SolverError::NoScale) if every sampled term is zero;
/// [`SolverError::OptionRefused`](crate::errors::SolverError::OptionRefused) for a preconditioner; and those of every solver.
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LinearOperator, ParamSpace, StopReason, operator::{Diagonal, Mean}, solver::LissaConfig};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
/// let b = space.ones();
/// let terms = [[1.0, 3.0], [3.0, 1.0]].map(|d| Diagonal::new(space.vector(&d)?));
/// let mean = Mean::new(terms.into_iter().collect::<Result<Vec<_>, burn_curvature::Error>>()?)?;
///
/// // (diag(2, 2) + ½ I)⁻¹ (1, 1)
/// let solver = LissaConfig::new().with_scale(Some(25.0)).with_depth(300).with_repeats(20).init()?;
/// let solution = solver.solve(&mean.damped(0.5)?, &b)?;
/// assert_eq!(solution.report.stop, StopReason::Sampled);
/// let x = solution.x.to_vec()?;
/// assert!((x[0] - 0.4).abs() < 0.02);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
///
/// # References
/// Agarwal, Bullins & Hazan (2017), Second-order stochastic optimization for machine learning in linear time, section 3.
/// Koh & Liang (2017), Understanding black-box predictions via influence functions, section 3.
#[derive(Debug, Clone, PartialEq)]
pub struct Lissa {
    config: LissaConfig,
}

impl Lissa {
    /// Solves A x = b from h₀ = b.
    ///
    /// # Errors
    /// See [`Lissa`].
    pub fn solve<B: AutodiffBackend>(
        &self,
        operator: &dyn FiniteSum<B>,
        rhs: &ParamVector<B>,
    ) -> Result<Solution<B>, Error> {
        self.solve_with(operator, rhs, SolveOptions::new())
    }

    /// Solves A x = b from an initial guess x₀ (h₀ = scale·x₀) or under observation: the observer is called after every
    /// repeat with the average so far, which costs it one product with A.
    ///
    /// # Errors
    /// See [`Lissa`].
    #[inline(never)]
    pub fn solve_with<B: AutodiffBackend>(
        &self,
        operator: &dyn FiniteSum<B>,
        rhs: &ParamVector<B>,
        options: SolveOptions<'_, B>,
    ) -> Result<Solution<B>, Error> {
        options.expect_no_preconditioner("Lissa")?;
        let system = System::new(operator, rhs)?;
        run::solve(&self.config, operator, &system, options)
    }

    /// Solves A x = b for several b, with one choice of the scale. The terms drawn are the same for all.
    ///
    /// # Errors
    /// See [`Lissa`].
    pub fn solve_many<B: AutodiffBackend>(
        &self,
        operator: &dyn FiniteSum<B>,
        rhs: &[ParamVector<B>],
    ) -> Result<Vec<Solution<B>>, Error> {
        let mut config = self.config.clone();
        let solutions = rhs.iter().map(|rhs| {
            let system = System::new(operator, rhs)?;
            let solution = run::solve(&config, operator, &system, SolveOptions::new())?;
            if let Some(MethodDetail::Lissa { scale, .. }) = solution.report.detail {
                config.scale = Some(scale);
            }
            Ok(solution)
        });
        solutions.collect()
    }

    /// The configuration.
    pub fn config(&self) -> &LissaConfig {
        &self.config
    }
}
