//! The same work on several items, on all threads if the crate is built with threads. Independent of the work.

#[cfg(feature = "flex")]
use std::sync::atomic::{AtomicBool, Ordering};
use std::{cell::Cell, thread::LocalKey};

thread_local! {
    static BUSY: Cell<bool> = const { Cell::new(false) };
    /// Whether this thread runs [`on_threads`], or watches for others that do.
    #[cfg(feature = "flex")]
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

/// Whether the other threads have items of [`map_each`] to work on: what this one does for an item is then not shared.
#[cfg(feature = "flex")]
pub(crate) fn are_busy() -> bool {
    BUSY.get()
}

/// A flag of this thread that is raised as long as this lives.
struct Flag {
    flag: &'static LocalKey<Cell<bool>>,
    before: bool,
}

impl Flag {
    fn raise(flag: &'static LocalKey<Cell<bool>>) -> Self {
        Self { flag, before: flag.replace(true) }
    }
}

impl Drop for Flag {
    fn drop(&mut self) {
        self.flag.set(self.before);
    }
}

/// `work` of every item, in order. Those that cost most are begun first, so that no thread waits long for the last.
pub(crate) fn map_each<T: Sync, R: Send>(
    items: &[T],
    cost: impl Fn(&T) -> usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let mut order: Vec<(usize, &T)> = items.iter().enumerate().collect();
    order.sort_by_key(|(_, item)| std::cmp::Reverse(cost(item)));
    let enough = items.len() >= threads();
    let each = |(position, item): (usize, &T)| {
        let _busy = enough.then(|| Flag::raise(&BUSY));
        (position, work(item))
    };
    #[cfg(feature = "flex")]
    let mut results: Vec<(usize, R)> = {
        use rayon::prelude::*;
        order.into_iter().par_bridge().map(each).collect()
    };
    #[cfg(not(feature = "flex"))]
    let mut results: Vec<(usize, R)> = order.into_iter().map(each).collect();
    results.sort_by_key(|(position, _)| *position);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Runs work that shares parts of itself among the threads again and again, such as a program of many operations. Meanwhile the
/// other threads stay awake and look for these parts, unless they find none for long: to wake one takes longer than many
/// operations take.
#[cfg(feature = "flex")]
pub(crate) fn on_threads<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    if are_busy() {
        return work();
    }
    let done = AtomicBool::new(false);
    rayon::scope(|scope| {
        for _ in 1..rayon::current_num_threads() {
            scope.spawn(|_| watch(&done));
        }
        let _watched = Flag::raise(&WATCHED);
        let _done = Done(&done);
        work()
    })
}

#[cfg(not(feature = "flex"))]
pub(crate) fn on_threads<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// Notifies watching threads that the work is done, also where it has panicked.
#[cfg(feature = "flex")]
struct Done<'a>(&'a AtomicBool);

#[cfg(feature = "flex")]
impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// How often a thread looks for work in vain before it sleeps after all. It may have begun to watch while it waited for another
/// thread's part of the same work, which is not done before it returns.
#[cfg(feature = "flex")]
const IDLE: usize = 1 << 10;

/// Runs parts of the work of others until it is done.
#[cfg(feature = "flex")]
fn watch(done: &AtomicBool) {
    if WATCHED.get() {
        return; // This thread has such work itself, and only waits for a part of it.
    }
    let _watched = Flag::raise(&WATCHED);
    let mut idle = 0;
    while !done.load(Ordering::Acquire) && idle < IDLE {
        if rayon::yield_now() == Some(rayon::Yield::Executed) {
            idle = 0;
        } else {
            std::thread::yield_now();
            idle += 1;
        }
    }
}

/// How many threads [`map_each`] works with.
pub(crate) fn threads() -> usize {
    #[cfg(feature = "flex")]
    let threads = rayon::current_num_threads();
    #[cfg(not(feature = "flex"))]
    let threads = 1;
    threads
}

#[cfg(test)]
mod tests {
    use super::{are_busy, map_each, on_threads, threads};

    #[test]
    fn results_stand_where_their_items_do() {
        let items: Vec<usize> = (0..100).collect();
        let squares = map_each(&items, |item| item % 7, |item| item * item);
        assert!(squares.iter().enumerate().all(|(i, square)| *square == i * i));
    }

    #[test]
    fn threads_are_busy_while_there_are_items_for_all() {
        let items: Vec<usize> = (0..2 * threads()).collect();
        assert!(map_each(&items, |_| 1, |_| are_busy()).into_iter().all(|busy| busy));
        assert!(!are_busy());
        let few = &items[..1];
        assert_eq!(map_each(few, |_| 1, |_| are_busy()), [threads() == 1]);
    }

    /// Shared work within shared work, from several threads at once, on which each waits for the others.
    #[test]
    fn work_within_work_comes_to_an_end() {
        let items: Vec<u64> = (0..16).collect();
        let sum = |from: u64| {
            on_threads(|| {
                let sums = map_each(
                    &items,
                    |_| 1,
                    |&item| {
                        on_threads(|| map_each(&items, |_| 1, |&x| from + item * x)).len() as u64
                    },
                );
                sums.into_iter().sum::<u64>()
            })
        };
        std::thread::scope(|scope| {
            let started: Vec<_> = (0..8).map(|from| scope.spawn(move || sum(from))).collect();
            for one in started {
                assert_eq!(one.join().ok(), Some(256));
            }
        });
        let failed = std::panic::catch_unwind(|| on_threads(|| assert!(threads() == 0)));
        assert!(failed.is_err());
        assert_eq!(sum(1), 256);
    }
}
