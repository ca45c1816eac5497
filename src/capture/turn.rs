//! Who records when. Burn numbers recorded tensors from one counter in the process: one who has to foresee numbers
//! records alone, all others beside each other.

use std::{
    cell::Cell,
    sync::{PoisonError, RwLock},
};

static NUMBERS: RwLock<()> = RwLock::new(());

thread_local! {
    /// How many recordings this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Whether this thread is inside a recording, that is, in a closure which is being traced.
pub(crate) fn is_recording() -> bool {
    DEPTH.get() > 0
}

/// Records while others may.
pub(super) fn beside_others<T>(work: impl FnOnce() -> T) -> T {
    turn(|| NUMBERS.read().unwrap_or_else(PoisonError::into_inner), work)
}

/// Records while nobody else does in this library, unless this thread is in a recording already.
pub(super) fn alone<T>(work: impl FnOnce() -> T) -> T {
    turn(|| NUMBERS.write().unwrap_or_else(PoisonError::into_inner), work)
}

fn turn<Held, T>(wait: impl FnOnce() -> Held, work: impl FnOnce() -> T) -> T {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get().saturating_sub(1));
        }
    }
    // A recording in a recording, of a loss that traces another one, would wait for itself.
    let _held = (!is_recording()).then(wait);
    DEPTH.set(DEPTH.get() + 1);
    let _leave = Leave;
    work()
}
