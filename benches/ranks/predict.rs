//! Efficiencies over networks, computed from a model of an all-reduce.
//!
//! ```text
//! t = 2·⌈log₂ p⌉·α + 2(p − 1)/p·bytes/β
//! ```
//!
//! Thakur, Rabenseifner & Gropp 2005, *Optimization of collective communication operations in MPICH*, section 4.5: recursive
//! halving and doubling, the arithmetic of the sum left out. α is the time of a message without content, β the rate of the
//! line.

use std::collections::BTreeMap;

use crate::{jobs::Table, measure::BATCHES, quartiles};

/// Sizes of the sums that α and β are measured by.
pub const SIZES: [usize; 4] = [1, 67_000, 670_000, 1_670_000];

/// Latency that is assumed of a network, in seconds.
const LATENCY: f64 = 20e-6;

/// A line between two ranks.
pub struct Line {
    /// Seconds.
    pub alpha: f64,
    /// Bytes per second.
    pub beta: f64,
}

/// One kind of work on a rank with all its batches.
pub struct Work {
    /// Seconds outside of the communicator.
    pub own: f64,
    pub bytes: f64,
    pub messages: f64,
}

/// The line between the two ranks of this machine.
pub fn measured(samples: &Table) -> Option<Line> {
    let seconds = |elements: usize| {
        samples
            .get(&format!("sums.f32_{elements}_ms"))
            .map(|values| 1e-3 * quartiles(values).median)
    };
    let (none, much) = (seconds(SIZES[0])?, seconds(SIZES[3])?);
    let bytes = 4.0 * (SIZES[3] - SIZES[0]) as f64;
    Some(Line { alpha: none / 2.0, beta: bytes / (much - none) })
}

/// Prints the share of the time that is own work, by network, ranks and batches a rank.
pub fn print(works: &BTreeMap<&str, Work>) {
    for (name, work) in works {
        for (network, beta) in [("1gbit", 0.125e9), ("10gbit", 1.25e9), ("100gbit", 12.5e9)] {
            for ranks in [2_u32, 16, 128, 1024] {
                for batches in [BATCHES, 5 * BATCHES] {
                    let own = work.own * (batches / BATCHES) as f64;
                    let p = f64::from(ranks);
                    let steps = 2.0 * p.log2().ceil();
                    let moving =
                        work.messages * steps * LATENCY + 2.0 * (p - 1.0) / p * work.bytes / beta;
                    let efficiency = own / (own + moving);
                    println!(
                        "{name}.predicted.{network}.ranks{ranks}.batches{batches} = {efficiency:.3}"
                    );
                }
            }
        }
    }
}
