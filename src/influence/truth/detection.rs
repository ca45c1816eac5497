//! Whether scores find samples that are known to be wrong, such as labels flipped on purpose.

use serde::{Deserialize, Serialize};

use super::TruthError;

/// The share of the wrong samples that is found when samples are checked in the order of a score, the largest first.
///
/// Samples with equal scores are checked in random order; the share is the expected one.
///
/// # Example
/// Two of four samples are wrong. The largest score is that of one of them; then two are equal.
///
/// ```
/// use burn_curvature::influence::truth::Detection;
///
/// # fn main() -> Result<(), burn_curvature::Error> {
/// let detection = Detection::new(&[9.0, 5.0, 5.0, 1.0], &[true, true, false, false])?;
/// assert_eq!((detection.found_after(1), detection.found_after(2)), (0.5, 0.75));
/// assert_eq!(detection.auroc(), 0.875); // of 4 pairs 3 are in order, and one is even
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Saved")]
pub struct Detection {
    /// Share found after checking k samples, k from 0.
    found: Vec<f64>,
    /// Number of wrong samples.
    wrong: usize,
}

/// A detection as a file has it.
#[derive(Deserialize)]
struct Saved {
    found: Vec<f64>,
    wrong: usize,
}

impl TryFrom<Saved> for Detection {
    type Error = TruthError;

    fn try_from(Saved { found, wrong }: Saved) -> Result<Self, TruthError> {
        let samples = found.len().saturating_sub(1);
        if wrong == 0 || wrong >= samples {
            return Err(TruthError::NothingToFind { wrong, samples });
        }
        TruthError::expect_finite("the shares found", &found)?;
        Ok(Self { found, wrong })
    }
}

impl Detection {
    /// From a score for each sample and whether the sample is wrong.
    ///
    /// # Errors
    /// [`TruthError::Count`], [`TruthError::NotFinite`]; [`TruthError::NothingToFind`] if all or none are wrong.
    pub fn new(scores: &[f64], wrong: &[bool]) -> Result<Self, TruthError> {
        TruthError::expect_count("marks of wrong samples", scores.len(), wrong.len())?;
        TruthError::expect_finite("scores", scores)?;
        let count = wrong.iter().filter(|wrong| **wrong).count();
        if count == 0 || count == wrong.len() {
            return Err(TruthError::NothingToFind { wrong: count, samples: wrong.len() });
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let mut found = vec![0.0];
        let mut before = 0;
        for group in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
            let within = group.iter().filter(|&&index| wrong[index]).count();
            let share = within as f64 / group.len() as f64;
            found.extend(
                (1..=group.len()).map(|k| (before as f64 + share * k as f64) / count as f64),
            );
            before += within;
        }
        Ok(Self { found, wrong: count })
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.found.len() - 1
    }

    /// Number of wrong samples.
    pub fn wrong(&self) -> usize {
        self.wrong
    }

    /// Share of the wrong samples among the first `checked`; 1 beyond the last sample.
    pub fn found_after(&self, checked: usize) -> f64 {
        self.found.get(checked).copied().unwrap_or(1.0)
    }

    /// Share of the wrong samples found when a fraction of all samples is checked, rounded to whole samples.
    pub fn found_at(&self, fraction: f64) -> f64 {
        self.found_after((fraction * self.samples() as f64).round() as usize)
    }

    /// The curve: the fraction checked and the share found, both from 0 to 1.
    pub fn curve(&self) -> impl Iterator<Item = (f64, f64)> {
        let samples = self.samples() as f64;
        self.found.iter().enumerate().map(move |(k, &found)| (k as f64 / samples, found))
    }

    /// The area under the [`curve`](Self::curve): ½ for a random order, 1 − p/2 for a perfect one with a share p of wrong
    /// samples.
    pub fn area(&self) -> f64 {
        let pairs = self.found.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0);
        pairs.sum::<f64>() / self.samples() as f64
    }

    /// The area under the receiver operating characteristic: the probability that a wrong sample has a larger score than a
    /// right one. ½ for a random order, 1 for a perfect one.
    pub fn auroc(&self) -> f64 {
        let share = self.wrong as f64 / self.samples() as f64;
        (self.area() - share / 2.0) / (1.0 - share)
    }
}
