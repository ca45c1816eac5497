//! What is kept between runs: [`KEPT`], or what the largest program needs that still exists, as far as [`MOST`].
//!
//! A page that a run touches first costs the system more than most operations: half of a product's time where tensors have
//! tens of megabytes.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::memory::Memory;

/// Bytes that may be kept between runs, whatever programs there are.
pub(super) const KEPT: usize = 1 << 26;

/// Bytes kept between runs for a large program, at most.
const MOST: usize = 1 << 30;

/// Runs whose memory is kept, at most.
const RUNS: usize = 8;

static BETWEEN_RUNS: Mutex<Store> = Mutex::new(Store::new());

/// The memory of runs that have ended.
pub(super) struct Store {
    memories: Vec<Memory>,
    /// What the large programs need that exist, and how many need as much.
    large: BTreeMap<usize, usize>,
    /// Bytes that may be kept.
    room: usize,
}

impl Store {
    const fn new() -> Self {
        Self { memories: Vec::new(), large: BTreeMap::new(), room: KEPT }
    }

    pub fn locked() -> MutexGuard<'static, Self> {
        BETWEEN_RUNS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memory for a run.
    pub fn claim(&mut self) -> Memory {
        let mut memory = self.memories.pop().unwrap_or_default();
        (memory.left, memory.room) = (memory.bytes, self.room);
        memory
    }

    /// Takes the memory of a run, as far as there is room.
    pub fn keep(&mut self, mut memory: Memory) {
        memory.shrink(self.room.saturating_sub(self.bytes()));
        if self.memories.len() < RUNS {
            self.memories.push(memory);
        }
    }

    fn bytes(&self) -> usize {
        self.memories.iter().map(|memory| memory.bytes).sum()
    }

    /// Notes that a large program has come.
    fn enter(&mut self, needed: usize) {
        *self.large.entry(needed).or_default() += 1;
        self.resize();
    }

    /// Notes that a large program has gone.
    fn exit(&mut self, needed: usize) {
        if let Some(count) = self.large.get_mut(&needed) {
            *count -= 1;
            if *count == 0 {
                self.large.remove(&needed);
            }
        }
        self.resize();
    }

    fn resize(&mut self) {
        self.room = self.large.keys().next_back().copied().unwrap_or(KEPT);
        let mut room = self.room;
        for memory in &mut self.memories {
            memory.shrink(room);
            room -= memory.bytes;
        }
    }
}

/// Room between runs for what a program needs, as long as this exists: its runs find the memory of those before.
pub(super) struct Room(usize);

impl Room {
    /// Nothing, if the program needs no more than is kept in any case.
    pub fn of(needed: usize) -> Option<Self> {
        (needed > KEPT).then(|| {
            let room = Self(needed.min(MOST));
            Store::locked().enter(room.0);
            room
        })
    }

    pub fn bytes(&self) -> usize {
        self.0
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        Store::locked().exit(self.0);
    }
}

#[cfg(test)]
mod tests {
    use burn_backend::{DType, Shape};

    use super::{KEPT, MOST, Room, Store};

    #[test]
    fn memory_of_a_large_program_is_kept_as_long_as_there_is_one() {
        fn run(store: &mut Store, bytes: usize) {
            let mut memory = store.claim();
            let tensor = memory.tensor(&Shape::from(vec![bytes / 4]), DType::F32, usize::MAX);
            memory.take(tensor, usize::MAX);
            store.keep(memory);
        }
        let mut store = Store::new();
        run(&mut store, 3 * KEPT);
        assert_eq!((store.room, store.bytes()), (KEPT, 0));
        for peak in [3 * KEPT, 2 * KEPT, 2 * KEPT] {
            store.enter(peak);
            assert_eq!(store.room, 3 * KEPT);
        }
        run(&mut store, 5 * KEPT / 2);
        assert_eq!(store.bytes(), 5 * KEPT / 2);
        assert_eq!(store.claim().left, 5 * KEPT / 2);
        run(&mut store, 3 * KEPT / 2);
        for (peak, room) in [(3 * KEPT, 2 * KEPT), (2 * KEPT, 2 * KEPT)] {
            store.exit(peak);
            assert_eq!((store.room, store.bytes()), (room, 3 * KEPT / 2));
        }
        store.exit(2 * KEPT);
        assert_eq!((store.room, store.bytes()), (KEPT, 0));
        assert!(Room::of(KEPT).is_none());
        assert_eq!(Room::of(2 * MOST).map(|room| room.bytes()), Some(MOST));
    }
}
