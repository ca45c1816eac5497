//! Correlations between predictions and the truth.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::TruthError;

/// Pearson's correlation coefficient, from −1 to 1.
///
/// ```text
/// r = Σ (xᵢ − x̄)(yᵢ − ȳ) / √(Σ (xᵢ − x̄)² Σ (yᵢ − ȳ)²)
/// ```
///
/// # Errors
/// [`TruthError::Count`], [`TruthError::TooFew`], [`TruthError::NotFinite`], [`TruthError::Constant`].
///
/// # Example
/// ```
/// use burn_curvature::influence::truth::pearson;
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// assert!((pearson(&[1.0, 2.0, 3.0], &[5.0, 3.0, 1.0])? + 1.0).abs() < 1e-15);
/// # Ok(())
/// # }
/// ```
pub fn pearson(x: &[f64], y: &[f64]) -> Result<f64, TruthError> {
    expect_pairs(x, y)?;
    Ok(Moments::of(x, y).correlation())
}

/// Spearman's rank correlation: Pearson's of the ranks, in which equal values share their mean rank.
///
/// # Errors
/// As [`pearson`].
///
/// # Example
/// Ranks 1, 2½, 2½, 4 and 1, 2, 3, 4.
///
/// ```
/// use burn_curvature::influence::truth::spearman;
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let rho = spearman(&[0.0, 7.0, 7.0, 9.0], &[-1.0, 2.0, 30.0, 400.0])?;
/// assert!((rho - 0.9_f64.sqrt()).abs() < 1e-15);
/// # Ok(())
/// # }
/// ```
pub fn spearman(x: &[f64], y: &[f64]) -> Result<f64, TruthError> {
    expect_pairs(x, y)?;
    Ok(Moments::of(&ranks(x), &ranks(y)).correlation())
}

/// How well predictions agree with the truth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Pearson's correlation.
    pub pearson: f64,
    /// Spearman's rank correlation.
    pub spearman: f64,
    /// The slope of the predictions against the truth, by least squares: 1 if they are on the right scale, below 1 if
    /// they are too small.
    pub slope: f64,
    /// Number of pairs.
    pub pairs: usize,
}

impl Agreement {
    /// Compares predictions with the truth.
    ///
    /// # Errors
    /// As [`pearson`].
    pub fn of(predicted: &[f64], truth: &[f64]) -> Result<Self, TruthError> {
        expect_pairs(predicted, truth)?;
        let moments = Moments::of(predicted, truth);
        Ok(Self {
            pearson: moments.correlation(),
            spearman: Moments::of(&ranks(predicted), &ranks(truth)).correlation(),
            slope: moments.xy / moments.yy,
            pairs: truth.len(),
        })
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pearson, spearman, slope, pairs } = self;
        write!(f, "Pearson {pearson:.4}, Spearman {spearman:.4}, slope {slope:.3} ({pairs} pairs)")
    }
}

/// Centered second moments.
struct Moments {
    xx: f64,
    xy: f64,
    yy: f64,
}

impl Moments {
    fn of(x: &[f64], y: &[f64]) -> Self {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (x_mean, y_mean) = (mean(x), mean(y));
        let mut moments = Self { xx: 0.0, xy: 0.0, yy: 0.0 };
        for (x, y) in x.iter().zip(y) {
            let (x, y) = (x - x_mean, y - y_mean);
            moments.xx += x * x;
            moments.xy += x * y;
            moments.yy += y * y;
        }
        moments
    }

    fn correlation(&self) -> f64 {
        (self.xy / (self.xx.sqrt() * self.yy.sqrt())).clamp(-1.0, 1.0)
    }
}

/// Ranks from 1; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for group in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let shared = first as f64 + (group.len() + 1) as f64 / 2.0;
        group.iter().for_each(|&index| ranks[index] = shared);
        first += group.len();
    }
    ranks
}

fn expect_pairs(x: &[f64], y: &[f64]) -> Result<(), TruthError> {
    TruthError::expect_count("a correlation", x.len(), y.len())?;
    if x.len() < 2 {
        return Err(TruthError::TooFew { found: x.len() });
    }
    for (what, values) in [("the first list", x), ("the second list", y)] {
        TruthError::expect_finite(what, values)?;
        if values.iter().all(|value| *value == values[0]) {
            return Err(TruthError::Constant { what, count: values.len(), value: values[0] });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::ranks;

    #[test]
    fn equal_values_share_their_mean_rank() {
        assert_eq!(ranks(&[3.0, -1.0, 3.0, 3.0, 9.0]), [3.0, 1.0, 3.0, 3.0, 5.0]);
        assert_eq!(ranks(&[0.0, -0.0, 1.0]), [1.5, 1.5, 3.0]); // equal, whatever their signs
    }
}
