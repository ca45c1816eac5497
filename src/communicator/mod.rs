//! Sums over the processes or threads that share one objective. Depends on the ground alone; independent of what is summed.
//!
//! [`Communicator`] is the trait: a rank, a size, and sums in f32 and f64. [`Threads`] are threads of one process, for tests
//! and for several devices in one machine. `Mpi` ([MPI](https://www.mpi-forum.org)) is for many machines (feature `mpi`).
//! [`Counted`] counts the messages and bytes of another communicator and measures how long it waits. To use another engine,
//! implement the trait.
//!
//! # An objective over several machines
//!
//! [`Objective::shared`](crate::Objective::shared) makes ℒ(θ) the loss over the batches of all ranks. Each rank holds its
//! share of the batches; all ranks hold θ, the vectors and the solver, and run the same program. A value, a gradient or a
//! product costs one message, whatever the number of batches; everything else is computed by every rank, with the same bits.
//! Operators, solvers, spectra, [`Kfac`](crate::Kfac) and [`KfacOptimizer`](crate::KfacOptimizer) work on a shared
//! objective as on any other.
//!
//! Methods that are *collective* say so: all ranks call them, in the same order. They are the methods of
//! [`Objective`](crate::Objective) that evaluate, and everything built on them. Every message carries a fingerprint of
//! the call, of θ and of the vectors, so that ranks that diverge get an error and not a wrong number. A rank that fails
//! still takes part in its message, so that all ranks return an error from the same call.
//!
//! The [guide](crate::guide::ranks) shows how to start ranks with `mpirun` and `srun`, and covers GPUs, training mode and
//! restarts.
//!
//! # What it does not do
//!
//! Models that do not fit on one device: every rank holds all of θ and of the vectors. Sums in f32 depend on the number of
//! ranks in the last bits, as sums over batches depend on the number of batches; f64 objectives agree to about 1e-15. No
//! compression, no stale gradients: every message is waited for. No recovery within a job.

mod counted;
mod error;
#[cfg(feature = "mpi")]
mod mpi;
mod ranks;
mod threads;

pub use counted::{Counted, Traffic};
pub use error::CommunicatorError;
#[cfg(feature = "mpi")]
pub use mpi::Mpi;
pub(crate) use ranks::Ranks;
pub use threads::Threads;

/// Sums over the ranks that share one objective.
///
/// A rank is a process or a thread. All ranks make the same calls in the same order, with the same number of elements.
///
/// # Example
/// A communicator of a single process:
///
/// ```
/// use burn_curvature::communicator::{Communicator, CommunicatorError};
///
/// #[derive(Debug)]
/// struct Alone;
///
/// impl Communicator for Alone {
///     fn rank(&self) -> usize {
///         0
///     }
///
///     fn size(&self) -> usize {
///         1
///     }
///
///     fn sum_f32(&self, _: &mut [f32]) -> Result<(), CommunicatorError> {
///         Ok(())
///     }
///
///     fn sum_f64(&self, _: &mut [f64]) -> Result<(), CommunicatorError> {
///         Ok(())
///     }
/// }
/// ```
pub trait Communicator: std::fmt::Debug + Send + Sync {
    /// The number of this rank, from 0.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn size(&self) -> usize;

    /// Replaces each number by its sum over all ranks: the same bits on every rank. Collective.
    ///
    /// # Errors
    /// A rank that has left, or was called with a different number of elements; a failure of the engine. The numbers are
    /// then unspecified.
    fn sum_f32(&self, numbers: &mut [f32]) -> Result<(), CommunicatorError>;

    /// The same in f64.
    ///
    /// # Errors
    /// As [`sum_f32`](Self::sum_f32).
    fn sum_f64(&self, numbers: &mut [f64]) -> Result<(), CommunicatorError>;
}
