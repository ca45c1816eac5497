//! A number with an error bar.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A quantity estimated from random vectors, with its standard error.
///
/// The estimate is unbiased unless the estimator states otherwise. The truth lies within two standard errors in about 95 % of
/// all cases for many samples, in fewer for few: 90 % for 6 samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The estimated value.
    pub estimate: f64,
    /// The standard deviation of the estimate, itself estimated from the samples; 0 for an exact value.
    pub standard_error: f64,
    /// Number of samples; 0 for an exact value.
    pub samples: usize,
    /// Products with the operator.
    pub products: usize,
}

impl Estimate {
    /// The mean of independent samples, plus a known value.
    pub(super) fn of_samples(known: f64, samples: &[f64], products: usize) -> Self {
        let count = samples.len() as f64;
        let mean = samples.iter().sum::<f64>() / count;
        let squares: f64 = samples.iter().map(|x| (x - mean) * (x - mean)).sum();
        Self {
            estimate: known + mean,
            standard_error: (squares / (count * (count - 1.0))).sqrt(),
            samples: samples.len(),
            products,
        }
    }

    /// A value that is exact up to rounding.
    pub(super) fn exact(value: f64, products: usize) -> Self {
        Self { estimate: value, standard_error: 0.0, samples: 0, products }
    }

    /// Whether rounding is the only error: the products sufficed for every unit vector.
    pub fn is_exact(&self) -> bool {
        self.samples == 0
    }

    /// Distance from a value in standard errors; for an exact estimate, ∞ from any other value.
    pub fn deviations_from(&self, number: f64) -> f64 {
        let distance = (self.estimate - number).abs();
        if distance == 0.0 {
            return 0.0;
        }
        distance / self.standard_error
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6e}", self.estimate)?;
        if self.is_exact() {
            return write!(f, " exactly ({} products)", self.products);
        }
        write!(
            f,
            " ± {:.1e} (standard error of {} samples, {} products)",
            self.standard_error, self.samples, self.products
        )
    }
}
