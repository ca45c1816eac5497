//! Sums over the processes or threads that share one objective. Depends on the ground alone; independent of what is summed.
//!
//! [`Communicator`] is the trait: a rank, a size, and sums in f32 and f64. [`Threads`] are threads of one process, for tests
//! and for several devices in one machine. [`Mpi`](https://www.mpi-forum.org) is for many machines (feature `mpi`).
//! [`Counted`] counts the messages and bytes of another communicator and measures how long it waits. An engine of your own
//! implements the trait.
//!
//! # An objective over several machines
//!
//! [`Objective::shared`](crate::Objective::shared) makes ℒ(θ) the loss over the batches of all ranks. Each rank holds its
//! share of the batches; all ranks hold θ, the vectors and the solver, and run the same program. A value, a gradient or a
//! product costs one message, whatever the number of batches; everything else is computed by every rank, with the same bits.
//! Operators, solvers, spectra, [`Kfac`](crate::Kfac) and [`KfacOptimizer`](crate::KfacOptimizer) work on a shared
//! objective as on any other.
//!
//! ```ignore
//! fn main() -> Result<(), Error> {
//!     Mpi::run(|ranks| {
//!         let mine = batches().skip(ranks.rank()).step_by(ranks.size());
//!         let risk = objective()?.shared(ranks)?.over(mine, Reduction::Mean)?; // the one line more: `.shared(ranks)?`
//!         let solution = solver.solve(&Hessian::new(&risk)?.damped(1.0)?, &risk.gradient()?)?;
//!         Ok(()) // the same θ, gradient, solution and report on every rank
//!     })
//! }
//! ```
//!
//! Methods that are *collective* say so: all ranks call them, in the same order. They are those of [`Objective`](crate::Objective)
//! that evaluate, and what is built on them. Every message carries a fingerprint of the call, of θ and of the vectors, so
//! that ranks that part ways get an error and no wrong number. A rank that fails takes part in its message all the same, so
//! that all ranks return an error from the same call.
//!
//! # How to start it
//!
//! ```sh
//! apt-get install openmpi-bin libopenmpi-dev libclang-dev    # or the site's module: an MPI library, mpicc, libclang
//! cargo build --release --features mpi
//! mpirun -n 4 target/release/program                         # four ranks on this machine
//! mpirun -n 8 --host a:4,b:4 target/release/program          # on two
//! srun -n 64 --cpus-per-task 16 target/release/program       # by Slurm
//! ```
//!
//! Without `mpirun` the program runs as one process. One rank per machine or socket is the sensible layout, since threads
//! already use the cores of one: `mpirun --map-by socket:PE=16 --bind-to core -x RAYON_NUM_THREADS=16`. More ranks and
//! threads than cores slow all of them down, since MPI waits by polling. The program is bound to the MPI library it was
//! built with: build it where it runs.
//!
//! **GPUs.** One rank per GPU: choose the device by the rank on the machine, which the launcher passes in the environment
//! (`OMPI_COMM_WORLD_LOCAL_RANK`, `SLURM_LOCALID`), as in `Device::cuda(local)`. Sums go through host memory: a transfer of
//! the vector each way per product. Several devices within one process: [`Threads`], one device per thread.
//!
//! **Unlike machines.** What every rank computes for itself must be the same to the bit. Ranks on machines or devices of
//! different kinds have the same values, gradients, products and factors, which are sums; a solver on them whose vectors part
//! ways in the last bit ends with [`SharedError::Differs`](crate::errors::SharedError::Differs).
//!
//! **Restarts.** There is no recovery within a job: a rank that fails, panics or is killed ends it. Save the model and the
//! state of the optimizer ([`KfacOptimizer::state`](crate::KfacOptimizer::state)) on rank 0 every so often, and start again
//! from them on any number of ranks. A network that is cut without a word is noticed by nobody: use the scheduler's time limit, or
//! `mpirun --timeout`.
//!
//! # What it does not do
//!
//! Models that do not fit on one device: θ and vectors are whole on every rank. Sums in f32 depend on the number of ranks in
//! the last bits, as those of batches do on their number; f64 objectives agree to about 1e-15. No compression, no stale
//! gradients: every message is waited for.

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
/// A rank is a process or a thread. All ranks make the same calls in the same order, with equally many numbers.
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
    /// A rank that is gone, or called with another number of elements; a failure of the engine. The numbers are of no use
    /// then.
    fn sum_f32(&self, numbers: &mut [f32]) -> Result<(), CommunicatorError>;

    /// The same in f64.
    ///
    /// # Errors
    /// As [`sum_f32`](Self::sum_f32).
    fn sum_f64(&self, numbers: &mut [f64]) -> Result<(), CommunicatorError>;
}
