//! Eigenpairs at the ends of the spectrum, by Lanczos' process with full reorthogonalization and thick restart.

mod config;
mod end;
mod report;
mod run;

pub use config::LanczosConfig;
pub use end::SpectrumEnd;
pub use report::{Eigenpairs, EigenpairsReport, EigenpairsStop};

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    krylov::Products,
    operator::{LinearOperator, SelfAdjoint},
};

use super::SpectrumError;

/// Lanczos' process for the eigenpairs at the ends of the spectrum of a self-adjoint A.
///
/// ```text
/// A y = θ y        converged if ‖A y − θ y‖ ≤ tolerance · max|θ|
/// ```
///
/// The error of θ is at most the residual, and about the square of the residual over the distance to the next eigenvalue.
///
/// The start is random: a start of all ones can be orthogonal to the largest eigenvectors, exactly so for the Hessian
/// of a softmax layer. One random start finds one copy of an eigenvalue of multiplicity two or more; with
/// [`confirm_copies`](LanczosConfig::confirm_copies) a second random start, orthogonal to the pairs found, looks for
/// further copies until it finds none.
///
/// # Cost
/// Products: a few dozen for λmax, and more the closer the eigenvalues are; about as many again to confirm that no copy is
/// missing; and one per pair at the end for its true residual. An eigenvalue with many copies costs a start for each copy.
/// Memory: as many vectors as the subspace holds. Per product about 4 n operations for every vector in the subspace: on
/// Flex, for a network of 670,000 parameters, they take as long as the product for 25 vectors, and 1.7 times as long for 40.
///
/// # Requirements
/// A self-adjoint A, definite or not.
///
/// # Errors
/// [`SpectrumError::TooManyPairs`]; [`KrylovError::Range`](crate::errors::KrylovError::Range);
/// [`VectorError::NonFinite`](crate::errors::VectorError::NonFinite) if a product holds NaN or infinity;
/// [`VectorError::LayoutMismatch`](crate::errors::VectorError::LayoutMismatch),
/// [`OperatorError::NotSquare`](crate::errors::OperatorError::NotSquare). Running out of products is not an error but an
/// [`EigenpairsStop`].
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{LanczosConfig, ParamSpace, operator::Diagonal, spectrum::{EigenpairsStop, SpectrumEnd}};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(4)?;
/// let d = space.vector(&[3., -5., 2., 8.])?;
/// let lanczos = LanczosConfig::new().with_end(SpectrumEnd::Both).init()?;
/// let found = lanczos.eigenpairs(&Diagonal::new(d)?)?;
/// assert_eq!(found.report.stop, EigenpairsStop::Converged);
/// assert!((found.report.largest() - 8.0).abs() < 1e-9);
/// assert!((found.report.smallest() + 5.0).abs() < 1e-9);
/// let top = found.vectors[0].to_vec()?; // ±(0, 0, 0, 1)
/// assert!((top[3].abs() - 1.0).abs() < 1e-9);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
///
/// # References
/// Lanczos (1950), An iteration method for the solution of the eigenvalue problem; Wu & Simon (2000), Thick-restart
/// Lanczos method for large symmetric eigenvalue problems, section 3; Parlett (1998), The symmetric eigenvalue problem,
/// chapter 13.
#[derive(Debug, Clone, PartialEq)]
pub struct Lanczos {
    config: LanczosConfig,
}

impl Lanczos {
    /// The configuration.
    pub fn config(&self) -> &LanczosConfig {
        &self.config
    }

    /// The requested eigenpairs, or as close to them as the products allow.
    ///
    /// # Errors
    /// See [`Lanczos`].
    #[inline(never)]
    pub fn eigenpairs<B: AutodiffBackend>(
        &self,
        operator: &dyn SelfAdjoint<B>,
    ) -> Result<Eigenpairs<B>, Error> {
        let products = Products::<B, dyn LinearOperator<B>>::square(operator)?;
        let unknowns = products.space().len();
        if self.config.pairs > unknowns {
            let wanted = self.config.pairs;
            return Err(SpectrumError::TooManyPairs { wanted, unknowns }.into());
        }
        run::Run::new(&self.config, &products)?.solve()
    }
}
