//! The same work on several items, on all threads if the crate is built with threads. Independent of the work.

use std::cell::Cell;

thread_local! {
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// Whether the other threads have items of [`map_each`] to work on: what this one does for an item is then not shared.
#[cfg(feature = "flex")]
pub(crate) fn are_busy() -> bool {
    BUSY.get()
}

/// Makes the other threads busy as long as it lives.
struct Busy {
    before: bool,
}

impl Busy {
    fn begin() -> Self {
        Self { before: BUSY.replace(true) }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        BUSY.set(self.before);
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
        let _busy = enough.then(Busy::begin);
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
    use super::{are_busy, map_each, threads};

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
}
