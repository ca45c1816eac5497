//! A communicator as the objectives of one program share it.

use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicU64, Ordering},
};

use super::{Communicator, CommunicatorError};

/// The ranks that share objectives.
#[derive(Debug)]
pub(crate) struct Ranks {
    communicator: Arc<dyn Communicator>,
    /// How many objectives have been shared.
    objectives: Arc<AtomicU64>,
}

/// A communicator in use, and how many objectives have been shared by it.
type Numbered = (Weak<dyn Communicator>, Arc<AtomicU64>);

/// Every communicator in use: all objectives shared by one are numbered together, for as long as it lives. How long the
/// objectives live may differ from rank to rank.
static ALL: Mutex<Vec<Numbered>> = Mutex::new(Vec::new());

impl Ranks {
    /// The ranks of a communicator.
    pub fn of(communicator: Arc<dyn Communicator>) -> Arc<Self> {
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(known, _)| known.strong_count() > 0);
        let address = Arc::as_ptr(&communicator).cast::<()>();
        let found = all.iter().find(|(known, _)| known.as_ptr().cast::<()>() == address);
        let objectives = match found {
            Some((_, objectives)) => Arc::clone(objectives),
            None => {
                let objectives = Arc::default();
                all.push((Arc::downgrade(&communicator), Arc::clone(&objectives)));
                objectives
            }
        };
        Arc::new(Self { communicator, objectives })
    }

    pub fn rank(&self) -> usize {
        self.communicator.rank()
    }

    pub fn size(&self) -> usize {
        self.communicator.size()
    }

    /// A number for a shared objective: the same on all ranks that share their objectives in the same order.
    pub fn number(&self) -> u64 {
        self.objectives.fetch_add(1, Ordering::Relaxed)
    }

    pub fn sum_f32(&self, numbers: &mut [f32]) -> Result<(), CommunicatorError> {
        self.communicator.sum_f32(numbers)
    }

    pub fn sum_f64(&self, numbers: &mut [f64]) -> Result<(), CommunicatorError> {
        self.communicator.sum_f64(numbers)
    }

    /// The words of every rank, in the order of ranks: each puts its own in its place among zeros. Equally many on all.
    pub fn gather(&self, own: &[u64]) -> Result<Vec<Vec<u64>>, CommunicatorError> {
        // Halves of 32 bits are exact in f64.
        let mut numbers = vec![0.0; 2 * own.len() * self.size()];
        let start = 2 * own.len() * self.rank();
        for (pair, word) in numbers[start..].chunks_exact_mut(2).zip(own) {
            pair.copy_from_slice(&[(word >> 32) as f64, (word & 0xffff_ffff) as f64]);
        }
        self.sum_f64(&mut numbers)?;
        let word = |pair: &[f64]| ((pair[0] as u64) << 32) | pair[1] as u64;
        let of_rank = |part: &[f64]| part.chunks_exact(2).map(word).collect();
        Ok(numbers.chunks_exact((2 * own.len()).max(1)).map(of_rank).collect())
    }

    /// The text of one rank on all of them, cut to a length.
    pub fn broadcast(&self, from: usize, text: &str) -> Result<String, CommunicatorError> {
        const LONGEST: usize = 600;
        let mut numbers = vec![0.0; LONGEST];
        if self.rank() == from {
            for (number, byte) in numbers.iter_mut().zip(text.bytes()) {
                *number = f64::from(byte);
            }
        }
        self.sum_f64(&mut numbers)?;
        let bytes = numbers.iter().map(|&number| number as u8).take_while(|&byte| byte != 0);
        Ok(String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::communicator::Threads;

    #[test]
    fn words_and_texts_reach_all_ranks_unchanged() {
        let found = Threads::run(3, |ranks| {
            let ranks = Ranks::of(ranks);
            let own = [u64::MAX - ranks.rank() as u64, 1 << 40, ranks.rank() as u64];
            let text = format!("rank {}: λ < 0", ranks.rank());
            Ok::<_, CommunicatorError>((ranks.gather(&own)?, ranks.broadcast(2, &text)?))
        });
        let expected: Vec<_> = (0..3).map(|rank| vec![u64::MAX - rank, 1 << 40, rank]).collect();
        for rank in found {
            assert_eq!(rank.unwrap(), (expected.clone(), "rank 2: λ < 0".to_string()));
        }
    }

    #[test]
    fn one_communicator_has_one_numbering() {
        let members: Vec<_> = Threads::group(2).into_iter().map(Arc::new).collect();
        let first = Ranks::of(members[0].clone());
        let (again, other) = (Ranks::of(members[0].clone()), Ranks::of(members[1].clone()));
        assert_eq!((first.number(), again.number(), other.number()), (0, 1, 0));
        drop((first, again));
        assert_eq!(Ranks::of(members[0].clone()).number(), 2);
    }
}
