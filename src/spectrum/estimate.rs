//! A number with an error bar. Knows nothing of how it came about.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A number estimated from random vectors, with its standard error.
///
/// The estimate has no bias unless its maker says otherwise. The truth lies within two standard errors in about 95 % of
/// all cases for many samples, in fewer for few: 90 % for 6 samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The number.
    pub estimate: f64,
    /// The standard deviation of the estimate, itself estimated from the samples; 0 for an exact number.
    pub standard_error: f64,
    /// Number of samples; 0 for an exact number.
    pub samples: usize,
    /// Products with the operator.
    pub products: usize,
}

impl Estimate {
    /// The mean of independent samples, plus a number that is known.
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

    /// A number without an error but rounding.
    pub(super) fn exact(value: f64, products: usize) -> Self {
        Self { estimate: value, standard_error: 0.0, samples: 0, products }
    }

    /// Whether there is no error but rounding: the products sufficed for every unit vector.
    pub fn is_exact(&self) -> bool {
        self.samples == 0
    }

    /// Distance from a number in standard errors; ∞ from any number but itself for an exact one.
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
