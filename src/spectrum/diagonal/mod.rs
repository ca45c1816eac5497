//! The diagonal of an operator from products with random vectors.

mod bekas;
mod config;
mod moments;
mod xdiag;

pub use config::{DiagonalEstimatorConfig, DiagonalMethod};

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    krylov::{Products, finite_dot},
    operator::{LinearOperator, SelfAdjoint},
    space::ParamVector,
    tensor::DefaultBackend,
};

use super::sketch::SHARED_VECTORS;

/// A diagonal estimated from random vectors, with a standard error for each entry.
#[derive(Debug, Clone)]
pub struct DiagonalEstimate<B: AutodiffBackend = DefaultBackend> {
    /// The diagonal.
    pub estimate: ParamVector<B>,
    /// The standard deviation of each entry, itself estimated from the samples; 0 for an exact diagonal.
    pub standard_error: ParamVector<B>,
    /// Number of samples; 0 for an exact diagonal.
    pub samples: usize,
    /// Products with the operator.
    pub products: usize,
}

impl<B: AutodiffBackend> DiagonalEstimate<B> {
    /// Whether rounding is the only error: the products sufficed for every unit vector.
    pub fn is_exact(&self) -> bool {
        self.samples == 0
    }
}

/// Estimates the diagonal of a self-adjoint A.
///
/// | method | estimate of Aᵢᵢ | error falls as |
/// |---|---|---|
/// | Bekas | mean of zᵢ (A z)ᵢ over random signs z | √(Σⱼ≠ᵢ Aᵢⱼ²) / √products |
/// | XDiag | exact on a basis of A Ω with random Ω, Bekas on the rest, averaged over leaving one vector out | faster for falling eigenvalues |
///
/// Both are unbiased, and come with a standard error for each entry from the scatter of their samples. Since XDiag's
/// samples share their vectors, its error bar is widened by √2, slightly more than necessary on most spectra. With as many
/// products as there are unit vectors, the diagonal is exact.
///
/// # Cost
/// At most as many products as configured. Bekas keeps 32 vectors at a time, XDiag three per product.
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
/// use burn_curvature::{ParamSpace, operator::{DenseMatrix, SymmetricDense}, spectrum::DiagonalEstimatorConfig};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
/// let a = SymmetricDense::new(&DenseMatrix::from_rows(&[[2.0, 1.0], [1.0, 5.0]])?, &space)?;
/// let diagonal = DiagonalEstimatorConfig::new().init()?.estimate(&a)?;
/// assert!(diagonal.is_exact()); // 60 products suffice for 2 unit vectors
/// assert_eq!(diagonal.estimate.to_vec()?, [2.0, 5.0]);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
///
/// # References
/// Bekas, Kokiopoulou & Saad (2007), An estimator for the diagonal of a matrix; Epperly, Tropp & Webber (2024), XTrace:
/// Making the most of every sample in stochastic trace estimation, section 2.4 (XDiag).
#[derive(Debug, Clone, PartialEq)]
pub struct DiagonalEstimator {
    config: DiagonalEstimatorConfig,
}

impl DiagonalEstimator {
    /// The configuration.
    pub fn config(&self) -> &DiagonalEstimatorConfig {
        &self.config
    }

    /// The diagonal, with standard errors.
    ///
    /// # Errors
    /// See [`DiagonalEstimator`].
    #[inline(never)]
    pub fn estimate<B: AutodiffBackend>(
        &self,
        operator: &dyn SelfAdjoint<B>,
    ) -> Result<DiagonalEstimate<B>, Error> {
        let products = Products::<B, dyn LinearOperator<B>>::square(operator)?;
        let (budget, seed) = (self.config.products, self.config.seed);
        if budget >= products.space().len() {
            let diagonal = products.exhaust(|unit, product| finite_dot(&unit, &product))?;
            return Ok(DiagonalEstimate {
                estimate: products.space().vector(&diagonal)?,
                standard_error: products.space().zeros(),
                samples: 0,
                products: products.count(),
            });
        }
        let (moments, factor) = match self.config.method {
            DiagonalMethod::Bekas => (bekas::estimate(&products, budget, seed)?, 1.0),
            DiagonalMethod::XDiag => (xdiag::estimate(&products, budget, seed)?, SHARED_VECTORS),
        };
        Ok(DiagonalEstimate {
            standard_error: moments.standard_error(factor)?,
            samples: moments.count(),
            estimate: moments.into_mean(),
            products: products.count(),
        })
    }
}
