//! Whether all ranks are about to sum equally many numbers, found out before MPI is asked to: it would end the job in words of
//! its own, or add what does not belong together.
//!
//! Ranks agree when the length of their message is not that of the one before. In round k each tells the rank 2ᵏ after it and
//! waits for the one 2ᵏ before it; after ⌈log₂ p⌉ rounds it has heard, through others, of all (a dissemination barrier:
//! Hensgen, Finkel & Manber 1988, *Two algorithms for barrier synchronization*). A rank that does not wait here sums as many
//! numbers as before, and learns of the difference while it waits for its sum.

use std::{iter, thread};

use mpi::topology::SimpleCommunicator;

use super::watch::{ASKS, Call, Watch};
use crate::communicator::CommunicatorError;

/// Why ranks cannot sum.
pub(super) enum Parted {
    /// All of them learn of it from here, and can go on.
    Everywhere(CommunicatorError),
    /// A rank cannot be told any more, or waits for its sum already: the job must end.
    Ends(String),
}

impl From<String> for Parted {
    fn from(why: String) -> Self {
        Parted::Ends(why)
    }
}

impl Watch {
    /// Agrees with all ranks on what is summed, unless it is as much as before.
    pub fn agree(&mut self, world: &SimpleCommunicator, call: Call) -> Result<(), Parted> {
        if self.agreed == Some(call) {
            return Ok(());
        }
        self.agreed = None;
        self.begin();
        let size = self.size();
        for distance in iter::successors(Some(1), |distance| Some(2 * distance)) {
            if distance >= size {
                break;
            }
            self.tell([(self.rank + distance) % size], world, self.question(call));
            let from = (self.rank + size - distance) % size;
            while self.asked(from).is_none() {
                if self.differs(call) {
                    return Err(self.difference(world, call));
                }
                self.hear(world, Some(call))?;
                thread::yield_now();
            }
        }
        if self.differs(call) {
            return Err(self.difference(world, call));
        }
        self.agreed = Some(call);
        Ok(())
    }

    /// Whether a rank has asked for another sum.
    fn differs(&self, call: Call) -> bool {
        (0..self.size()).any(|rank| self.asked(rank).is_some_and(|asked| asked != call))
    }

    /// Tells all ranks, waits for the questions of all, and finds the first one that differs from that of rank 0.
    fn difference(&mut self, world: &SimpleCommunicator, call: Call) -> Parted {
        let (size, own) = (self.size(), self.rank);
        self.tell((0..size).filter(|&rank| rank != own), world, self.question(call));
        let of = |watch: &Self, rank| if rank == own { Some(call) } else { watch.asked(rank) };
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

    fn question(&self, call: Call) -> [u64; 4] {
        [ASKS, self.sums, call.elements as u64, call.bits()]
    }
}
