//! Checks that all ranks are about to sum equally many numbers, before MPI is asked to: MPI would end the job with a
//! message of its own, or add what does not belong together.
//!
//! Ranks agree when the length of their message is not that of the one before. In round k each rank sends to the one 2ᵏ
//! after it and waits for the one 2ᵏ before it; after ⌈log₂ p⌉ rounds it has heard, through others, from all (a
//! dissemination barrier: Hensgen, Finkel & Manber 1988, *Two algorithms for barrier synchronization*). A rank that
//! does not wait here sums as many numbers as before, and learns of the difference while it waits for its sum.

use std::{iter, thread};

use mpi::topology::SimpleCommunicator;

use super::watch::{ASKS, Call, DIFFERS, Watch};
use crate::communicator::CommunicatorError;

/// Why ranks cannot sum.
pub(super) enum Parted {
    /// All of them learn of it from here, and can go on.
    Everywhere(CommunicatorError),
    /// A rank cannot be reached any more, or already waits for its sum: the job must end.
    Ends(String),
}

impl From<String> for Parted {
    fn from(why: String) -> Self {
        Parted::Ends(why)
    }
}

/// What a rank has announced of the sum that it is about to make.
pub(super) struct Question {
    pub from: usize,
    /// The number of the sum.
    pub sums: u64,
    pub call: Call,
    /// Whether it knows that ranks differ. It says so to all of them.
    pub differs: bool,
}

impl Watch {
    /// Agrees with all ranks on what is summed, unless it is as much as before.
    pub fn agree(&mut self, world: &SimpleCommunicator, call: Call) -> Result<(), Parted> {
        if self.agreed == Some(call) {
            return Ok(());
        }
        self.agreed = None;
        self.begin();
        let at = self.sums;
        self.questions.retain(|question| question.sums >= at);
        let size = self.size();
        for distance in iter::successors(Some(1), |distance| Some(2 * distance)) {
            if distance >= size {
                break;
            }
            self.tell([(self.rank + distance) % size], world, self.question(ASKS, call));
            let from = (self.rank + size - distance) % size;
            loop {
                let mut now = self.questions.iter().filter(|question| question.sums == at);
                if now.any(|question| question.differs || question.call != call) {
                    return Err(self.difference(world, call));
                }
                let mut now = self.questions.iter().filter(|question| question.sums == at);
                if now.any(|question| question.from == from) {
                    break;
                }
                self.hear(world, Some(call))?;
                thread::yield_now();
            }
        }
        self.agreed = Some(call);
        Ok(())
    }

    /// Notifies all ranks that they differ, waits for the same from all, and finds the first one that differs from rank 0.
    fn difference(&mut self, world: &SimpleCommunicator, call: Call) -> Parted {
        let (size, own, at) = (self.size(), self.rank, self.sums);
        self.tell_all(world, self.question(DIFFERS, call));
        let of = |watch: &Self, rank: usize| {
            if rank == own {
                return Some(call);
            }
            let mut told = watch.questions.iter().filter(|it| it.differs && it.sums == at);
            told.find(|question| question.from == rank).map(|question| question.call)
        };
        loop {
            let all: Option<Vec<Call>> = (0..size).map(|rank| of(self, rank)).collect();
            if let Some(all) = all {
                let mut others = all.iter().enumerate();
                let (rank, found) =
                    others.find(|(_, found)| **found != all[0]).unwrap_or((own, &call));
                return Parted::Everywhere(CommunicatorError::OtherCall {
                    rank,
                    expected: all[0].to_string(),
                    found: found.to_string(),
                });
            }
            if let Err(why) = self.hear(world, Some(call)) {
                return Parted::Ends(why);
            }
            thread::yield_now();
        }
    }

    fn question(&self, kind: u64, call: Call) -> [u64; 4] {
        [kind, self.sums, call.elements as u64, call.bits()]
    }
}
