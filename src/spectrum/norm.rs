//! The Frobenius norm of an operator from products with random vectors.

use burn::config::Config;
use burn_backend::AutodiffBackend;

use crate::{
    config::{ConfigError, Field},
    error::Error,
    krylov::{Products, finite_dot},
    operator::LinearOperator,
    seeds::Seeds,
    space::ParamVector,
};

use super::Estimate;

/// Configuration of [`FrobeniusNorm`].
///
/// | field | default | range | purpose |
/// |---|---|---|---|
/// | `products` | 60 | ≥ 2 | largest number of products with A |
/// | `seed` | 0 | | of the random vectors |
#[derive(Config, Debug, PartialEq)]
pub struct FrobeniusNormConfig {
    /// Largest number of products with A.
    #[config(default = 60)]
    pub products: usize,
    /// Seed of the random vectors.
    #[config(default = 0)]
    pub seed: u64,
}

impl FrobeniusNormConfig {
    /// Checks the ranges and builds the estimator.
    ///
    /// # Errors
    /// [`ConfigError`] for the first field out of range.
    pub fn init(&self) -> Result<FrobeniusNorm, ConfigError> {
        let field = Field { config: "FrobeniusNormConfig", name: "products" };
        field.check(self.products as f64, self.products >= 2, "at least 2")?;
        Ok(FrobeniusNorm { config: self.clone() })
    }
}

impl Default for FrobeniusNormConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Estimates the Frobenius norm, whose square is unbiased.
///
/// ```text
/// ‖A‖_F² = Σ Aᵢⱼ² = E ‖A z‖²        z: random signs
/// ```
///
/// With at least n products the norm is exact.
///
/// # Cost
/// At most as many products as configured; 32 vectors at a time.
///
/// # Requirements
/// Any linear map, square or not.
///
/// # Errors
/// [`VectorError::NonFinite`](crate::errors::VectorError::NonFinite) if a product holds NaN or infinity;
/// [`KrylovError::Range`](crate::errors::KrylovError::Range) if a square does;
/// [`VectorError::LayoutMismatch`](crate::errors::VectorError::LayoutMismatch).
///
/// # Example
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn_curvature::{ParamSpace, operator::Diagonal, spectrum::FrobeniusNormConfig};
///
/// let space = ParamSpace::<Autodiff<Flex>>::flat(2)?;
/// let d = space.vector(&[3., 4.])?;
/// let norm = FrobeniusNormConfig::new().init()?.estimate(&Diagonal::new(d)?)?;
/// assert_eq!(norm.estimate, 5.0);
/// # Ok::<(), burn_curvature::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FrobeniusNorm {
    config: FrobeniusNormConfig,
}

impl FrobeniusNorm {
    /// The configuration.
    pub fn config(&self) -> &FrobeniusNormConfig {
        &self.config
    }

    /// ‖A‖_F², with a standard error.
    ///
    /// # Errors
    /// See [`FrobeniusNorm`].
    #[inline(never)]
    pub fn estimate_square<B: AutodiffBackend>(
        &self,
        operator: &dyn LinearOperator<B>,
    ) -> Result<Estimate, Error> {
        let products = Products::<B, dyn LinearOperator<B>>::new(operator);
        let square = |_, product: ParamVector<B>| finite_dot(&product, &product);
        if self.config.products >= products.space().len() {
            let squares = products.exhaust(square)?;
            return Ok(Estimate::exact(squares.iter().sum(), products.count()));
        }
        let mut seeds = Seeds::new(self.config.seed);
        let draw = || Ok(products.space().rademacher(seeds.next()));
        let samples = products.sample(self.config.products, draw, square)?;
        Ok(Estimate::of_samples(0.0, &samples, products.count()))
    }

    /// ‖A‖_F, with a standard error to first order. Taking the root of [`estimate_square`](Self::estimate_square) biases it
    /// downwards by about half its standard error squared over the norm.
    ///
    /// # Errors
    /// See [`FrobeniusNorm`].
    pub fn estimate<B: AutodiffBackend>(
        &self,
        operator: &dyn LinearOperator<B>,
    ) -> Result<Estimate, Error> {
        let square = self.estimate_square(operator)?;
        let norm = square.estimate.sqrt();
        let standard_error = match square.standard_error {
            0.0 => 0.0,
            error => error / (2.0 * norm),
        };
        Ok(Estimate { estimate: norm, standard_error, ..square })
    }
}
