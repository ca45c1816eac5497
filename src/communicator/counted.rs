//! A communicator that counts what another one does.

use std::{
    ops::Sub,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Communicator, CommunicatorError};

/// Counts the messages of a communicator, their bytes and the time spent in them.
///
/// # Example
/// ```
/// use std::sync::Arc;
/// use burn_curvature::communicator::{Communicator, CommunicatorError, Counted, Threads};
///
/// let counts = Threads::run(2, |ranks| {
///     let counted = Counted::new(ranks);
///     counted.sum_f32(&mut [1.0; 100])?;
///     Ok::<_, CommunicatorError>(counted.traffic())
/// });
/// let traffic = counts[0].clone().unwrap();
/// assert_eq!((traffic.sums, traffic.bytes), (1, 400));
/// assert_eq!(traffic.sent(2), 400.0); // 2(p − 1)/p · bytes
/// ```
#[derive(Debug)]
pub struct Counted<C: Communicator> {
    inner: Arc<C>,
    traffic: Mutex<Traffic>,
}

/// What has gone through a communicator.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Sums made.
    pub sums: u64,
    /// Bytes of the numbers summed.
    pub bytes: u64,
    /// Time within the communicator: waiting for other ranks, and moving.
    pub time: Duration,
}

impl Traffic {
    /// The least number of bytes that each of p = `ranks` ranks sends: 2(p − 1)/p of those summed, as a ring reduction does.
    pub fn sent(&self, ranks: usize) -> f64 {
        let ranks = ranks.max(1) as f64;
        2.0 * (ranks - 1.0) / ranks * self.bytes as f64
    }
}

impl Sub for Traffic {
    type Output = Self;

    /// What was added since `earlier`.
    fn sub(self, earlier: Self) -> Self {
        Self {
            sums: self.sums - earlier.sums,
            bytes: self.bytes - earlier.bytes,
            time: self.time - earlier.time,
        }
    }
}

impl<C: Communicator> Counted<C> {
    /// Counts what goes through `inner` from now on.
    pub fn new(inner: Arc<C>) -> Self {
        Self { inner, traffic: Mutex::default() }
    }

    /// The counts so far.
    pub fn traffic(&self) -> Traffic {
        *self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count<N>(
        &self,
        numbers: &mut [N],
        sum: impl FnOnce(&mut [N]) -> Result<(), CommunicatorError>,
    ) -> Result<(), CommunicatorError> {
        let bytes = size_of_val(numbers) as u64;
        let start = Instant::now();
        let outcome = sum(numbers);
        let mut traffic = self.traffic.lock().unwrap_or_else(PoisonError::into_inner);
        traffic.sums += 1;
        traffic.bytes += bytes;
        traffic.time += start.elapsed();
        outcome
    }
}

impl<C: Communicator> Communicator for Counted<C> {
    fn rank(&self) -> usize {
        self.inner.rank()
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn sum_f32(&self, numbers: &mut [f32]) -> Result<(), CommunicatorError> {
        self.count(numbers, |numbers| self.inner.sum_f32(numbers))
    }

    fn sum_f64(&self, numbers: &mut [f64]) -> Result<(), CommunicatorError> {
        self.count(numbers, |numbers| self.inner.sum_f64(numbers))
    }
}
