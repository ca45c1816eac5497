//! Threads of one process as ranks.

mod group;

use std::{fmt, panic::AssertUnwindSafe, sync::Arc, thread};

use super::{Communicator, CommunicatorError};
use crate::panics::caught;
use group::{Group, Numbers};

/// Threads of this process, each with its own objective.
///
/// For tests without MPI, and for several devices in one machine: each thread captures the loss on its own device.
/// Numbers are added in the order of ranks. A member that is dropped, by a return or a panic, ends the sums of all
/// others with [`CommunicatorError::Left`], so that no rank waits forever.
///
/// # Example
/// ```
/// use burn_curvature::communicator::{Communicator, CommunicatorError, Threads};
///
/// let sums = Threads::run(3, |ranks| {
///     let mut numbers = [1.0, ranks.rank() as f64];
///     ranks.sum_f64(&mut numbers)?;
///     Ok::<_, CommunicatorError>(numbers)
/// });
/// assert!(sums.into_iter().all(|sum| sum == Ok([3.0, 3.0])));
/// ```
pub struct Threads {
    rank: usize,
    group: Arc<Group>,
}

impl Threads {
    /// The members of a group of `size` ranks, in order. Move each into a thread of its own.
    pub fn group(size: usize) -> Vec<Self> {
        let group = Arc::new(Group::new(size));
        (0..size).map(|rank| Self { rank, group: Arc::clone(&group) }).collect()
    }

    /// Runs `work` on `size` threads and waits for all of them. A panic becomes [`CommunicatorError::Panicked`]. A rank
    /// whose work has returned no longer takes part, even if its communicator is kept.
    ///
    /// # Errors
    /// Those of `work`, by rank.
    pub fn run<T: Send, E: Send + From<CommunicatorError>>(
        size: usize,
        work: impl Fn(Arc<Self>) -> Result<T, E> + Sync,
    ) -> Vec<Result<T, E>> {
        let work = &work;
        thread::scope(|scope| {
            let start = |member: Self| {
                let (rank, group) = (member.rank, Arc::clone(&member.group));
                let run = move || {
                    let worked = caught(AssertUnwindSafe(|| work(Arc::new(member))));
                    group.leave(rank, worked.is_err());
                    worked.unwrap_or_else(|message| {
                        Err(CommunicatorError::Panicked { rank, message }.into())
                    })
                };
                (rank, thread::Builder::new().stack_size(STACK).spawn_scoped(scope, run))
            };
            let started: Vec<_> = Self::group(size).into_iter().map(start).collect();
            let ended = started.into_iter().map(|(rank, handle)| {
                let message = match handle.map(thread::ScopedJoinHandle::join) {
                    Ok(Ok(outcome)) => return outcome,
                    Ok(Err(_)) => "its thread ended".to_string(),
                    Err(error) => format!("no thread could be started: {error}"),
                };
                Err(CommunicatorError::Panicked { rank, message }.into())
            });
            ended.collect()
        })
    }
}

/// Stack of a thread: that of a main thread on most systems.
const STACK: usize = 8 << 20;

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Threads(rank {} of {})", self.rank, self.group.size())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.group.leave(self.rank, thread::panicking());
    }
}

impl Communicator for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.group.size()
    }

    fn sum_f32(&self, numbers: &mut [f32]) -> Result<(), CommunicatorError> {
        let sums = self.group.sum(self.rank, Numbers::F32(numbers.to_vec()))?;
        if let Numbers::F32(sums) = &*sums {
            numbers.copy_from_slice(sums);
        }
        Ok(())
    }

    fn sum_f64(&self, numbers: &mut [f64]) -> Result<(), CommunicatorError> {
        let sums = self.group.sum(self.rank, Numbers::F64(numbers.to_vec()))?;
        if let Numbers::F64(sums) = &*sums {
            numbers.copy_from_slice(sums);
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    /// The outcomes of a group, or a failure if it takes longer than ten seconds.
    fn run<T: Send + 'static>(
        size: usize,
        work: impl Fn(Arc<Threads>) -> Result<T, CommunicatorError> + Send + Sync + 'static,
    ) -> Vec<Result<T, CommunicatorError>> {
        let (send, receive) = mpsc::channel();
        thread::spawn(move || send.send(Threads::run(size, work)));
        receive.recv_timeout(Duration::from_secs(10)).expect("the ranks hang")
    }

    #[test]
    fn sums_follow_each_other_and_are_those_of_all_ranks() {
        for size in 1..5 {
            let found = run(size, |ranks| {
                let mut seen = Vec::new();
                for turn in 0..200 {
                    let mut numbers = [(ranks.rank() * turn) as f64, 1.0];
                    ranks.sum_f64(&mut numbers)?;
                    let mut single = [numbers[0] as f32];
                    ranks.sum_f32(&mut single)?;
                    seen.push((numbers, single[0] / ranks.size() as f32));
                }
                Ok(seen)
            });
            let triangle = (size * (size - 1) / 2) as f64;
            for rank in found {
                for (turn, (numbers, single)) in rank.unwrap().into_iter().enumerate() {
                    assert_eq!(numbers, [triangle * turn as f64, size as f64]);
                    assert_eq!(f64::from(single), numbers[0]);
                }
            }
        }
    }

    #[test]
    fn numbers_are_added_in_the_order_of_ranks() {
        let own = [0.1, 1e17, -1e17, 0.2];
        let found = run(4, move |ranks| {
            let mut numbers = [own[ranks.rank()]];
            ranks.sum_f64(&mut numbers)?;
            Ok(numbers[0])
        });
        let expected = ((own[0] + own[1]) + own[2]) + own[3];
        assert!(found.into_iter().all(|sum| sum == Ok(expected)));
    }

    #[test]
    fn another_number_of_elements_or_type_is_an_error_everywhere_and_sums_go_on() {
        let found = run(3, |ranks| {
            let mut numbers = vec![1.0; 1 + ranks.rank() / 2];
            let first = ranks.sum_f64(&mut numbers).unwrap_err();
            let second = if ranks.rank() == 1 {
                ranks.sum_f32(&mut [1.0]).unwrap_err()
            } else {
                ranks.sum_f64(&mut [1.0]).unwrap_err()
            };
            let mut one = [1.0];
            ranks.sum_f64(&mut one)?;
            Ok((first, second, one[0]))
        });
        let other = |rank, found: &str| CommunicatorError::OtherCall {
            rank,
            expected: "1 numbers in f64".into(),
            found: found.into(),
        };
        let expected = (other(2, "2 numbers in f64"), other(1, "1 numbers in f32"), 3.0);
        assert!(found.into_iter().all(|rank| rank.unwrap() == expected));
    }

    #[test]
    fn a_rank_that_returns_or_panics_wakes_the_others() {
        for panics in [false, true] {
            let found = run(3, move |ranks| {
                if ranks.rank() == 1 {
                    assert!(!panics, "out of memory");
                    return Ok(());
                }
                ranks.sum_f64(&mut [1.0])
            });
            let left = Err(CommunicatorError::Left { rank: 1, panicked: panics });
            assert_eq!((&found[0], &found[2]), (&left, &left));
            match &found[1] {
                Ok(()) => assert!(!panics),
                Err(CommunicatorError::Panicked { rank: 1, message }) => {
                    assert!(message.contains("out of memory"), "{message}");
                }
                Err(other) => panic!("{other}"),
            }
        }
    }

    #[test]
    fn a_member_that_is_dropped_has_left() {
        let mut members = Threads::group(2);
        drop(members.pop());
        let left = members[0].sum_f64(&mut [1.0]).unwrap_err();
        assert_eq!(left, CommunicatorError::Left { rank: 1, panicked: false });
        assert!(Threads::group(0).is_empty());
    }
}
