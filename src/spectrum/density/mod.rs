//! The density of eigenvalues by stochastic Lanczos quadrature, and the traces of functions that follow from it.

mod config;
mod curve;
mod run;

pub use config::DensityEstimatorConfig;
pub use curve::{DensityCurve, QuadratureRule, SpectralDensity};

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    krylov::Products,
    operator::{LinearOperator, SelfAdjoint},
};

/// Estimates how the eigenvalues of a self-adjoint A are distributed, by stochastic Lanczos quadrature (SLQ).
///
/// ```text
/// 1/n Σₖ f(λₖ)  ≈  mean over probes z of  Σⱼ τⱼ f(θⱼ)
/// ```
///
/// From each probe z, a vector of random signs, Lanczos' process with full reorthogonalization makes a matrix T; its
/// eigenvalues θⱼ are the nodes and the squared first entries of its eigenvectors the weights τⱼ of a quadrature rule
/// for the eigenvalues of A as z sees them, exact for polynomials f up to degree 2·steps − 1. One estimate serves the
/// density on a grid, tr f(A) for any f, and log det(A + λI): see [`SpectralDensity`].
///
/// The weight that the probes give a single eigenvalue scatters widely (as χ² with one degree of freedom), so that the
/// error bar at a lone outlier means little with fewer than about twenty probes. The outlier's position is accurate all
/// the same; for outliers use [`Lanczos`](crate::spectrum::Lanczos).
///
/// # Cost
/// `probes` × `steps` products. Memory: `steps` vectors for each of the probes that run together, at most 256 MiB
/// unless a single probe needs more.
///
/// # Requirements
/// A self-adjoint A, definite or not.
///
/// # Errors
/// [`VectorError::NonFinite`](crate::errors::VectorError::NonFinite) if a product holds NaN or infinity;
/// [`KrylovError::Range`](crate::errors::KrylovError::Range),
/// [`VectorError::LayoutMismatch`](crate::errors::VectorError::LayoutMismatch),
/// [`OperatorError::NotSquare`](crate::errors::OperatorError::NotSquare).
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{ParamSpace, operator::Diagonal, spectrum::DensityEstimatorConfig};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(4)?;
/// let d = space.vector(&[1., 1., 2., 4.])?;
/// let density = DensityEstimatorConfig::new().init()?.estimate(&Diagonal::new(d)?)?;
/// // Random signs see a diagonal matrix exactly: det(A) = 8.
/// assert!((density.log_determinant(0.0)?.estimate - 8f64.ln()).abs() < 1e-12);
/// let above = density.trace_of(|x| if x > 1.5 { 1.0 } else { 0.0 })?;
/// assert!((above.estimate - 2.0).abs() < 1e-12); // two eigenvalues above 1.5
/// # Ok::<(), burn_curvature::Error>(())
/// ```
///
/// # References
/// Golub & Meurant (2010), Matrices, moments and quadrature, chapter 6; Ubaru, Chen & Saad (2017), Fast estimation of
/// tr(f(A)) via stochastic Lanczos quadrature, section 3; Ghorbani, Krishnan & Xiao (2019), An investigation into neural
/// net optimization via Hessian eigenvalue density, section 2.
#[derive(Debug, Clone, PartialEq)]
pub struct DensityEstimator {
    config: DensityEstimatorConfig,
}

impl DensityEstimator {
    /// The configuration.
    pub fn config(&self) -> &DensityEstimatorConfig {
        &self.config
    }

    /// The density, as one quadrature rule for each probe.
    ///
    /// # Errors
    /// See [`DensityEstimator`].
    #[inline(never)]
    pub fn estimate<B: AutodiffBackend>(
        &self,
        operator: &dyn SelfAdjoint<B>,
    ) -> Result<SpectralDensity, Error> {
        let products = Products::<B, dyn LinearOperator<B>>::square(operator)?;
        let rules = run::quadrature_rules(&products, &self.config)?;
        Ok(SpectralDensity { unknowns: products.space().len(), rules, products: products.count() })
    }
}
