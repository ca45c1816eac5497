//! The same work on several things, by all threads where the crate has them at hand. Knows nothing of the work.

/// `work` of every item, in order. Those that cost most are begun first, so that no thread waits long for the last.
pub(crate) fn map_each<T: Sync, R: Send>(
    items: &[T],
    cost: impl Fn(&T) -> usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let mut order: Vec<(usize, &T)> = items.iter().enumerate().collect();
    order.sort_by_key(|(_, item)| std::cmp::Reverse(cost(item)));
    let each = |(position, item): (usize, &T)| (position, work(item));
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
    use super::map_each;

    #[test]
    fn results_stand_where_their_items_do() {
        let items: Vec<usize> = (0..100).collect();
        let squares = map_each(&items, |item| item % 7, |item| item * item);
        assert!(squares.iter().enumerate().all(|(i, square)| *square == i * i));
    }
}
