//! Threads that wait for each other's numbers. Independent of how they were started.

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::communicator::CommunicatorError;

/// What a rank adds.
#[derive(Clone)]
pub(super) enum Numbers {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Numbers::F32(numbers) => write!(f, "{} numbers in f32", numbers.len()),
            Numbers::F64(numbers) => write!(f, "{} numbers in f64", numbers.len()),
        }
    }
}

/// A sum, or why there is none.
type Outcome = Result<Arc<Numbers>, CommunicatorError>;

/// Ranks that sum together.
pub(super) struct Group {
    size: usize,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// What each rank has given to the current sum, until it has taken the outcome.
    given: Vec<Option<Numbers>>,
    /// The outcome of the current sum, until all have taken it.
    outcome: Option<Outcome>,
    /// Ranks that no longer take part, in the order in which they left, and whether they panicked.
    gone: Vec<(usize, bool)>,
}

impl Group {
    pub fn new(size: usize) -> Self {
        let state = State { given: vec![None; size], outcome: None, gone: Vec::new() };
        Self { size, state: Mutex::new(state), changed: Condvar::new() }
    }

    pub fn size(&self) -> usize {
        self.size
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A rank leaves.
    pub fn leave(&self, rank: usize, panicked: bool) {
        let mut state = self.lock();
        if state.gone.iter().all(|gone| gone.0 != rank) {
            state.gone.push((rank, panicked));
        }
        drop(state);
        self.changed.notify_all();
    }

    /// The sum of what all ranks give; waits until they have.
    pub fn sum(&self, rank: usize, numbers: Numbers) -> Outcome {
        let mut state = self.lock();
        // The sum before may still be taken by others.
        while state.outcome.is_some() {
            state = self.wait(state);
        }
        state.given[rank] = Some(numbers);
        if state.given.iter().all(Option::is_some) {
            state.outcome = Some(added(state.given.iter().flatten()).map(Arc::new));
            self.changed.notify_all();
        }
        loop {
            if let Some(outcome) = state.outcome.clone() {
                state.given[rank] = None;
                if state.given.iter().all(Option::is_none) {
                    state.outcome = None;
                    self.changed.notify_all();
                }
                return outcome;
            }
            if let Some(error) = state.missing() {
                state.given[rank] = None;
                return Err(error);
            }
            state = self.wait(state);
        }
    }

    fn wait<'a>(&'a self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The error of the first rank that left: it is why others may have left since.
    fn missing(&self) -> Option<CommunicatorError> {
        let &(rank, panicked) = self.gone.first()?;
        Some(CommunicatorError::Left { rank, panicked })
    }
}

/// The sum in the order of ranks.
fn added<'a>(mut all: impl Iterator<Item = &'a Numbers>) -> Result<Numbers, CommunicatorError> {
    let first = all.next().cloned().unwrap_or(Numbers::F64(Vec::new()));
    all.enumerate().try_fold(first, |sum, (before, next)| match (sum, next) {
        (Numbers::F32(sum), Numbers::F32(next)) if sum.len() == next.len() => {
            Ok(Numbers::F32(sum.into_iter().zip(next).map(|(a, b)| a + b).collect()))
        }
        (Numbers::F64(sum), Numbers::F64(next)) if sum.len() == next.len() => {
            Ok(Numbers::F64(sum.into_iter().zip(next).map(|(a, b)| a + b).collect()))
        }
        (sum, next) => Err(CommunicatorError::OtherCall {
            rank: before + 1,
            expected: sum.to_string(),
            found: next.to_string(),
        }),
    })
}
