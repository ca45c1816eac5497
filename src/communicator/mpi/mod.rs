//! Processes of an MPI job as ranks.

mod agreement;
mod watch;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mpi::{
    Threading,
    collective::SystemOperation,
    datatype::Equivalence,
    environment, request,
    topology::SimpleCommunicator,
    traits::{Communicator as _, CommunicatorCollectives},
};

use super::{Communicator, CommunicatorError};
use agreement::Parted;
use watch::{Call, Watch};

/// Processes started by `mpirun` or `srun`. Feature `mpi`.
///
/// [`Mpi::run`] is the way in: it initializes MPI, and makes a rank that fails, panics or returns early end the job
/// with a message, where the others would wait for it forever. Without `mpirun` the program is a single rank.
///
/// The world communicator is used. A program may make MPI calls of its own between collective ones of this crate.
///
/// Sums are those of the MPI library, `MPI_Iallreduce`: the standard requires the same result on all ranks, and each
/// message of a shared objective checks that of the one before. Whenever a message has another length than the one
/// before, ranks agree on it first, by ⌈log₂ p⌉ messages of 32 bytes each: a rank with another length is
/// [`CommunicatorError::OtherCall`] on all of them. If other ranks already wait for their sum, the job ends with the
/// same message.
///
/// # Example
/// ```no_run
/// use burn_curvature::{Error, communicator::{Communicator, Mpi}};
///
/// fn main() -> Result<(), Error> {
///     Mpi::run(|ranks| {
///         let mut numbers = [1.0];
///         ranks.sum_f64(&mut numbers)?;
///         assert_eq!(numbers[0], ranks.size() as f64);
///         Ok(())
///     })
/// }
/// ```
pub struct Mpi {
    rank: usize,
    size: usize,
    watch: Mutex<Watch>,
}

impl Mpi {
    /// Initializes MPI, runs `work` and finalizes. If `work` fails or panics on one of several ranks, that rank prints
    /// why and ends the job with a code other than 0; a rank that returns while others still wait for its sums does so, too.
    ///
    /// All ranks return together: the first waits until the last is done.
    ///
    /// # Errors
    /// [`CommunicatorError::Mpi`] if MPI was initialized before, or allows calls from the first thread only; those of
    /// `work`, in a program of one rank.
    pub fn run<T, E: fmt::Display + From<CommunicatorError>>(
        work: impl FnOnce(Arc<Self>) -> Result<T, E>,
    ) -> Result<T, E> {
        let Some((universe, _)) = environment::initialize_with_threading(Threading::Serialized)
        else {
            return Err(CommunicatorError::Mpi {
                found: "was initialized before".into(),
                expected: "let `Mpi::run` do it, or use `Mpi::world`".into(),
            }
            .into());
        };
        let ranks = Arc::new(Self::world()?);
        let worked = catch_unwind(AssertUnwindSafe(|| work(Arc::clone(&ranks))));
        let outcome = match worked {
            Ok(Err(error)) if ranks.size > 1 => ranks.end(&format!("failed: {error}"), FAILED),
            Err(_) if ranks.size > 1 => ranks.end("panicked", PANICKED),
            Err(panic) => resume_unwind(panic),
            Ok(outcome) => outcome,
        };
        ranks.lock().leave(&SimpleCommunicator::world());
        drop(universe);
        outcome
    }

    /// For a program that has initialized MPI itself, with calls from any thread allowed one at a time
    /// (`MPI_THREAD_SERIALIZED`).
    ///
    /// Such a program ends the job itself when a rank fails: the others wait for it otherwise.
    ///
    /// # Errors
    /// [`CommunicatorError::Mpi`] before MPI is initialized, after it is finalized, or if it allows calls from the first
    /// thread only.
    pub fn world() -> Result<Self, CommunicatorError> {
        let refused = |found: &str, expected: &str| {
            Err(CommunicatorError::Mpi { found: found.into(), expected: expected.into() })
        };
        if !environment::is_initialized() {
            return refused("is not initialized", "start the work by `Mpi::run`");
        }
        if environment::is_finalized() {
            return refused("is finalized", "do all work within `Mpi::run`");
        }
        if environment::threading_support() < Threading::Serialized {
            return refused(
                "allows calls from its first thread only",
                "initialize it with `Threading::Serialized`, or let `Mpi::run` do it",
            );
        }
        let world = SimpleCommunicator::world();
        let (rank, size) = (world.rank() as usize, world.size() as usize);
        Ok(Self { rank, size, watch: Mutex::new(Watch::new(rank, size)) })
    }

    /// Prints why and ends the job.
    fn end(&self, why: &str, code: i32) -> ! {
        eprintln!("rank {} of {} {why}; this ends all ranks", self.rank, self.size);
        SimpleCommunicator::world().abort(code)
    }

    fn lock(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sum<N: Equivalence + Copy + Default>(
        &self,
        numbers: &mut [N],
        kind: &'static str,
    ) -> Result<(), CommunicatorError> {
        let mut watch = self.lock();
        if watch.has_left() {
            return Err(CommunicatorError::Left { rank: self.rank, panicked: false });
        }
        if self.size == 1 {
            return Ok(());
        }
        let world = SimpleCommunicator::world();
        let own = numbers.to_vec();
        let call = Call { elements: numbers.len(), kind };
        match watch.agree(&world, call) {
            Ok(()) => {}
            Err(Parted::Everywhere(error)) => return Err(error),
            Err(Parted::Ends(why)) => self.end(&why, FAILED),
        }
        // The count of a message is a C int.
        for (own, sums) in own.chunks(LONGEST).zip(numbers.chunks_mut(LONGEST)) {
            watch.begin();
            request::scope(|scope| {
                let sum = SystemOperation::sum();
                let mut request = world.immediate_all_reduce_into(scope, own, sums, sum);
                while let Err(unfinished) = request.test() {
                    request = unfinished;
                    if let Err(why) = watch.wait(&world, call) {
                        self.end(&why, FAILED);
                    }
                }
            });
        }
        Ok(())
    }
}

/// Exit codes of a job.
const FAILED: i32 = 1;
const PANICKED: i32 = 101;

/// Elements of one message at most.
const LONGEST: usize = 1 << 30;

impl fmt::Debug for Mpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mpi(rank {} of {})", self.rank, self.size)
    }
}

impl Communicator for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn sum_f32(&self, numbers: &mut [f32]) -> Result<(), CommunicatorError> {
        self.sum(numbers, "f32")
    }

    fn sum_f64(&self, numbers: &mut [f64]) -> Result<(), CommunicatorError> {
        self.sum(numbers, "f64")
    }
}
