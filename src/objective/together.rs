//! How many vectors are multiplied by one run of a program, and how many runs share the threads.

use crate::{derive::Working, error::Error, parallel::map_each};

/// Vectors that one run of a program takes at most: more gain nothing.
const MOST: usize = 32;

/// Bytes that the vectors of one run may take on a CPU, so that what one operation writes is still in its caches when the
/// next one reads it.
const CACHE: usize = 3 << 17;

/// Multiply-adds, or elements written, from which on it is worth another thread.
const WORTH_A_THREAD: usize = 1 << 18;

/// Runs begun by each thread before the results of all are passed on: threads wait for each other then.
const WAVE: usize = 4;

/// How vectors are multiplied together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Together {
    /// Vectors in one run of a program, at most.
    pub run: usize,
    /// Runs at a time, each on a thread.
    pub threads: usize,
    /// Runs whose results are held before they are passed on.
    pub wave: usize,
}

impl Together {
    /// On a CPU of some threads several runs of few vectors share the threads and the caches; on another device one run takes
    /// as many vectors as the bytes allow.
    pub fn of(working: Working, host_threads: Option<usize>, vectors: usize, bytes: usize) -> Self {
        let peak = working.peak.max(1);
        let allowed = (bytes / peak).max(1);
        let Some(threads) = host_threads else {
            return Self { run: allowed.min(MOST), threads: 1, wave: 1 };
        };
        let run = allowed.min(CACHE / peak).clamp(1, MOST);
        let worth = vectors.saturating_mul(working.work) / WORTH_A_THREAD;
        let threads = threads.min(worth).min(allowed).clamp(1, vectors.max(1));
        let run = run.min(allowed / threads).min(vectors.div_ceil(threads)).max(1);
        let most = if threads == 1 { 1 } else { WAVE * threads };
        Self { run, threads, wave: (allowed / run).clamp(threads, most) }
    }
}

/// Multiplies several vectors, some of them in each run, and passes each product with the index of its vector to `take`.
pub(super) fn in_waves<V: Send + Sync, P: Send>(
    together: Together,
    mut vectors: impl ExactSizeIterator<Item = V>,
    run: impl Fn(&[V]) -> Result<Vec<P>, Error> + Sync,
    mut take: impl FnMut(usize, P) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut index = 0;
    while vectors.len() > 0 {
        let mut wave = Vec::new();
        while vectors.len() > 0 && wave.len() < together.wave {
            let count = power_of_two_up_to(vectors.len().min(together.run));
            wave.push(vectors.by_ref().take(count).collect::<Vec<V>>());
        }
        let products = match &wave[..] {
            [alone] => vec![run(alone)],
            wave => map_each(wave, |_| 1, |vectors| run(vectors)),
        };
        for products in products {
            for product in products? {
                take(index, product)?;
                index += 1;
            }
        }
    }
    Ok(())
}

/// The largest power of two up to a number, which is at least 1: few numbers, so that few programs are made.
fn power_of_two_up_to(number: usize) -> usize {
    1 << number.max(1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::{CACHE, MOST, Together, Working};

    const LARGE: usize = 1 << 30;

    fn working(peak: usize, work: usize) -> Working {
        Working { peak, work }
    }

    #[test]
    fn small_products_run_together_on_one_thread() {
        let found = Together::of(working(2_000, 1_000), Some(8), 16, LARGE);
        assert_eq!((found.run, found.threads), (16, 1));
        let found = Together::of(working(2_000, 1_000), Some(8), 500, LARGE);
        assert_eq!((found.run, found.threads), (MOST, 1));
    }

    #[test]
    fn large_products_run_one_by_one_on_all_threads() {
        let found = Together::of(working(CACHE, 1 << 30), Some(4), 16, LARGE);
        assert_eq!((found.run, found.threads), (1, 4));
        let found = Together::of(working(CACHE / 16, 1 << 30), Some(4), 16, LARGE);
        assert_eq!((found.run, found.threads), (4, 4));
        let found = Together::of(working(CACHE, 1 << 30), Some(4), 2, LARGE);
        assert_eq!((found.run, found.threads), (1, 2));
    }

    #[test]
    fn another_device_takes_what_fits() {
        let found = Together::of(working(LARGE / 20, 1 << 30), None, 64, LARGE);
        assert_eq!((found.run, found.threads), (20, 1));
    }

    /// Runs on all threads take no more than the bytes together.
    #[test]
    fn the_bytes_bound_all_runs_together() {
        for bytes in [0, 100, 1_000, 10_000, 100_000] {
            for host in [None, Some(1), Some(2), Some(8)] {
                let Together { run, threads, wave } =
                    Together::of(working(300, 1 << 20), host, 40, bytes);
                assert!(wave >= threads);
                assert!(run * wave == 1 || run * wave * 300 <= bytes, "{bytes} {host:?}");
            }
        }
    }
}
