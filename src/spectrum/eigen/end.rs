//! Which end of the spectrum is wanted, and the order this puts eigenvalues in.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

/// Which eigenvalues are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SpectrumEnd {
    /// The largest.
    Largest,
    /// The smallest: the most negative ones of an indefinite operator.
    Smallest,
    /// As many of the largest as of the smallest.
    Both,
    /// The largest absolute values; the first is the operator's norm ‖A‖₂.
    LargestMagnitude,
}

impl SpectrumEnd {
    /// Number of ends that are looked at separately.
    pub(super) fn ends(self) -> usize {
        match self {
            SpectrumEnd::Both => 2,
            _ => 1,
        }
    }

    /// The indices of the values, from the most to the least wanted.
    pub(super) fn ranking(self, values: &[f64]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..values.len()).collect();
        let value = |index: &usize| values.get(*index).copied().unwrap_or(f64::NAN);
        let ascending = |a: &usize, b: &usize| value(a).total_cmp(&value(b));
        let descending = |a: &usize, b: &usize| ascending(b, a);
        let by_magnitude =
            |a: &usize, b: &usize| -> Ordering { value(b).abs().total_cmp(&value(a).abs()) };
        match self {
            SpectrumEnd::Largest | SpectrumEnd::Both => order.sort_by(descending),
            SpectrumEnd::Smallest => order.sort_by(ascending),
            SpectrumEnd::LargestMagnitude => order.sort_by(by_magnitude),
        }
        if self != SpectrumEnd::Both {
            return order;
        }
        let from_below = order.iter().rev();
        let pairs = order.iter().zip(from_below);
        let alternating = pairs.flat_map(|(above, below)| [*above, *below]);
        alternating.take(values.len()).collect()
    }

    /// How far a value is from being wanted more than another of the same end.
    pub(super) fn distance(self, wanted: f64, other: f64) -> f64 {
        match self {
            SpectrumEnd::LargestMagnitude => (wanted.abs() - other.abs()).abs(),
            _ => (wanted - other).abs(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SpectrumEnd;

    #[test]
    fn the_most_wanted_come_first() {
        let values = [-7.0, -1.0, 2.0, 3.0, 5.0];
        let ranked = |end: SpectrumEnd| end.ranking(&values);
        assert_eq!(ranked(SpectrumEnd::Largest), [4, 3, 2, 1, 0]);
        assert_eq!(ranked(SpectrumEnd::Smallest), [0, 1, 2, 3, 4]);
        assert_eq!(ranked(SpectrumEnd::Both), [4, 0, 3, 1, 2]);
        assert_eq!(ranked(SpectrumEnd::LargestMagnitude), [0, 4, 3, 2, 1]);
    }
}
