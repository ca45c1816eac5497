//! Serializes recordings. Burn numbers recorded tensors from one counter in the process: a recording that must predict
//! the numbers takes an exclusive lock, all others share it.

use std::{
    cell::Cell,
    sync::{PoisonError, RwLock},
};

static COUNTER: RwLock<()> = RwLock::new(());

thread_local! {
    /// How many recordings this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Whether this thread is inside a recording, that is, in a closure which is being captured.
pub(crate) fn is_recording() -> bool {
    DEPTH.get() > 0
}

/// Records while others may record too.
pub(super) fn shared<T>(work: impl FnOnce() -> T) -> T {
    locked(|| COUNTER.read().unwrap_or_else(PoisonError::into_inner), work)
}

/// Records while no other thread does in this library, unless this thread is in a recording already.
pub(super) fn exclusive<T>(work: impl FnOnce() -> T) -> T {
    locked(|| COUNTER.write().unwrap_or_else(PoisonError::into_inner), work)
}

fn locked<Held, T>(lock: impl FnOnce() -> Held, work: impl FnOnce() -> T) -> T {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get().saturating_sub(1));
        }
    }
    // A recording inside a recording, of a loss that captures another one, would wait for itself.
    let _held = (!is_recording()).then(lock);
    DEPTH.set(DEPTH.get() + 1);
    let _leave = Leave;
    work()
}
