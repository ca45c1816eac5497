//! The trace of an operator from products with random vectors.

mod config;
mod hutch_plus_plus;
mod hutchinson;
mod xtrace;

pub use config::{TraceEstimatorConfig, TraceMethod};

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    krylov::{Products, finite_dot},
    operator::LinearOperator,
};

use super::Estimate;

/// Estimates tr A = Σ Aᵢᵢ.
///
/// | method | estimate | error falls as |
/// |---|---|---|
/// | Hutchinson | mean of zᵀA z over random signs z | 1/√products |
/// | Hutch++ | exact on a basis Q of A S with random S, Hutchinson on the rest | 1/products |
/// | XTrace | Hutch++ with every vector used for both, averaged over leaving one out | 1/products, faster for falling eigenvalues |
///
/// All are unbiased, and come with a standard error from the scatter of their samples. Since XTrace's samples share their
/// vectors, its error bar is widened by √2, slightly more than necessary on most spectra. With as many products as
/// there are unit vectors, the trace is exact.
///
/// XTrace and Hutch++ pay off where a few eigenvalues hold most of the trace, as for Hessians and Gauss-Newton matrices of
/// networks; on a flat spectrum Hutchinson is as good and needs no memory.
///
/// # Cost
/// At most as many products as configured. Hutchinson keeps 32 vectors at a time, Hutch++ two vectors for every three
/// products, XTrace two per product.
///
/// # Requirements
/// A square A, self-adjoint or not.
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
/// use burn_curvature::{ParamSpace, TraceEstimatorConfig, operator::Diagonal, spectrum::TraceMethod};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(100)?;
/// let values: Vec<f64> = (0..100).map(f64::from).collect();
/// let d = space.vector(&values)?;
/// // Random signs see the diagonal of a matrix exactly.
/// let hutchinson = TraceEstimatorConfig::new().with_method(TraceMethod::Hutchinson).with_products(10).init()?;
/// let trace = hutchinson.estimate(&Diagonal::new(d)?)?;
/// assert_eq!((trace.estimate, trace.standard_error, trace.products), (4950.0, 0.0, 10));
/// # Ok::<(), burn_curvature::Error>(())
/// ```
///
/// # References
/// Hutchinson (1990), A stochastic estimator of the trace of the influence matrix; Meyer, Musco, Musco & Woodruff (2021),
/// Hutch++: Optimal stochastic trace estimation, algorithm 1; Epperly, Tropp & Webber (2024), XTrace: Making the most of
/// every sample in stochastic trace estimation, sections 1.2 and 2.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceEstimator {
    config: TraceEstimatorConfig,
}

impl TraceEstimator {
    /// The configuration.
    pub fn config(&self) -> &TraceEstimatorConfig {
        &self.config
    }

    /// The trace, with a standard error.
    ///
    /// # Errors
    /// See [`TraceEstimator`].
    #[inline(never)]
    pub fn estimate<B: AutodiffBackend>(
        &self,
        operator: &dyn LinearOperator<B>,
    ) -> Result<Estimate, Error> {
        let products = Products::<B, dyn LinearOperator<B>>::square(operator)?;
        let (budget, seed) = (self.config.products, self.config.seed);
        if budget >= products.space().len() {
            let diagonal = products.exhaust(|unit, product| finite_dot(&unit, &product))?;
            return Ok(Estimate::exact(diagonal.iter().sum(), products.count()));
        }
        match self.config.method {
            TraceMethod::Hutchinson => hutchinson::estimate(&products, budget, seed),
            TraceMethod::HutchPlusPlus => hutch_plus_plus::estimate(&products, budget, seed),
            TraceMethod::XTrace => xtrace::estimate(&products, budget, seed),
        }
    }
}
