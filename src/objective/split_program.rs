//! A product's program in two parts, and the second part for several vectors.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use burn_backend::{AutodiffBackend, Backend};

use crate::{
    derive::{Many, Working, many, with_only},
    error::Error,
    execute::Program,
    graph::Graph,
    parallel::{map_each, threads},
    space::{stacked, unstacked},
    tensor::Operand,
};

type Inner<B> = <B as AutodiffBackend>::InnerBackend;
type Operands<B> = Vec<Operand<Inner<B>>>;

/// Vectors that one run of a program takes at most: more gain nothing.
const MOST: usize = 32;

/// Bytes that the vectors of one run may take on a CPU, so that what one operation writes is still in its caches when the
/// next one reads it.
const CACHE: usize = 3 << 17;

/// Multiply-adds, or elements written, from which on it is worth another thread.
const WORTH_A_THREAD: usize = 1 << 18;

/// Runs begun by each thread before the results of all are passed on: threads wait for each other then.
const WAVE: usize = 4;

/// A program in two parts: what runs once per (θ, batch), and what runs per vector.
pub(crate) struct SplitProgram<B: AutodiffBackend> {
    pub prepare: Program<Inner<B>>,
    pub finish: Program<Inner<B>>,
    /// Bytes of the results of `prepare`.
    kept_bytes: usize,
    /// What the second part costs for each vector.
    working: Working,
    /// Whether it runs on this machine's processor.
    on_host: bool,
    /// The second part for several vectors, by their number, and by the only part of them that is not zero.
    many: Mutex<HashMap<ManyKey, Arc<ManyProgram<B>>>>,
    /// The second part for vectors of which only one part is not zero, and what it costs.
    only: Mutex<HashMap<usize, Arc<(Graph, Working)>>>,
}

/// The only part of the vectors that is not zero, if there is one, and their number.
type ManyKey = (Option<usize>, usize);

/// The second part for several vectors.
pub(crate) struct ManyProgram<B: AutodiffBackend> {
    pub program: Program<Inner<B>>,
    /// Where the vectors' axis is in each of their parts, the last inputs.
    pub inputs: Vec<usize>,
    /// Where it is in each output.
    pub outputs: Vec<usize>,
}

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
    fn of(working: Working, host_threads: Option<usize>, vectors: usize, bytes: usize) -> Self {
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

impl<B: AutodiffBackend> SplitProgram<B> {
    pub fn new(prepare: Program<Inner<B>>, finish: Program<Inner<B>>) -> Self {
        let varying = finish.graph().inputs().len() - prepare.graph().outputs().len();
        let working = Working::of(finish.graph(), varying);
        let on_host = is_host(&Inner::<B>::name(finish.device()));
        Self {
            kept_bytes: bytes_made(prepare.graph()),
            prepare,
            finish,
            working,
            on_host,
            many: Mutex::default(),
            only: Mutex::default(),
        }
    }

    /// Memory of the results of `prepare`, without what they share with its inputs.
    pub fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    /// How a number of vectors is multiplied within a number of bytes.
    pub fn together(&self, vectors: usize, bytes: usize) -> Together {
        Together::of(self.working, self.on_host.then(threads), vectors, bytes)
    }

    /// Multiplies several vectors, each given by its parts, and passes each product with the index of its vector to
    /// `take`.
    pub fn each(
        &self,
        (prepared, together): (&Operands<B>, Together),
        mut vectors: impl ExactSizeIterator<Item = Operands<B>>,
        mut take: impl FnMut(usize, Operands<B>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if vectors.len() == 1 {
            let vector = vectors.next().unwrap_or_default();
            return take(0, self.finish.run_beside(prepared, vector)?);
        }
        let Together { run, wave: most, .. } = together;
        let mut index = 0;
        while vectors.len() > 0 {
            let mut wave = Vec::new();
            while vectors.len() > 0 && wave.len() < most {
                let count = power_of_two_up_to(vectors.len().min(run));
                wave.push(vectors.by_ref().take(count).collect::<Vec<_>>());
            }
            let products = match &wave[..] {
                [alone] => vec![self.run(prepared, alone)],
                wave => map_each(wave, |_| 1, |vectors| self.run(prepared, vectors)),
            };
            for product in products.into_iter().flat_map(unzipped) {
                take(index, product?)?;
                index += 1;
            }
        }
        Ok(())
    }

    /// The second part for several vectors; derived when first asked for.
    pub fn many(&self, count: usize) -> Result<Arc<ManyProgram<B>>, Error> {
        self.derived((None, count), || many(self.finish.graph(), self.varying(), count))
    }

    /// The second part for several vectors that are zero but in one of their parts, which is its last input.
    pub fn many_of(&self, part: usize, count: usize) -> Result<Arc<ManyProgram<B>>, Error> {
        self.derived((Some(part), count), || many(&self.only(part).0, 1, count))
    }

    /// How a number of vectors that are zero but in one of their parts is multiplied within a number of bytes.
    pub fn together_of(&self, part: usize, vectors: usize, bytes: usize) -> Together {
        Together::of(self.only(part).1, self.on_host.then(threads), vectors, bytes)
    }

    fn only(&self, part: usize) -> Arc<(Graph, Working)> {
        let mut found = self.only.lock().unwrap_or_else(PoisonError::into_inner);
        let made = found.entry(part).or_insert_with(|| {
            let graph = with_only(self.finish.graph(), self.varying(), part);
            let working = Working::of(&graph, 1);
            Arc::new((graph, working))
        });
        Arc::clone(made)
    }

    fn derived(
        &self,
        key: ManyKey,
        make: impl FnOnce() -> Many,
    ) -> Result<Arc<ManyProgram<B>>, Error> {
        let mut found = self.many.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = found.get(&key) {
            return Ok(Arc::clone(found));
        }
        let Many { graph, inputs, outputs } = make();
        let program = self.finish.with_graph(graph)?;
        let made = Arc::new(ManyProgram { program, inputs, outputs });
        found.insert(key, Arc::clone(&made));
        Ok(made)
    }

    /// The products with the vectors of one run.
    fn run(
        &self,
        prepared: &Operands<B>,
        vectors: &[Operands<B>],
    ) -> Result<Vec<Operands<B>>, Error> {
        if let [vector] = vectors {
            return Ok(vec![self.finish.run_beside(prepared, vector.clone())?]);
        }
        let mut inputs = Vec::new();
        let many = self.many(vectors.len())?;
        for (place, &axis) in many.inputs.iter().enumerate() {
            let parts = vectors.iter().filter_map(|vector| match vector.get(place) {
                Some(Operand::Float(part)) => Some(part),
                _ => None,
            });
            inputs.push(Operand::Float(stacked::<Inner<B>>(&parts.collect::<Vec<_>>(), axis)));
        }
        let mut products = vec![Vec::new(); vectors.len()];
        for (result, &axis) in
            many.program.run_beside(prepared, inputs)?.into_iter().zip(&many.outputs)
        {
            let parts = unstacked::<Inner<B>>(result.into_float()?, axis);
            for (product, part) in products.iter_mut().zip(parts) {
                product.push(Operand::Float(part));
            }
        }
        Ok(products)
    }

    fn varying(&self) -> usize {
        self.finish.graph().inputs().len() - self.prepare.graph().outputs().len()
    }
}

/// Memory of the results of a program, without what they share with its inputs.
fn bytes_made(graph: &Graph) -> usize {
    let mut counted: HashSet<_> = graph.inputs().iter().copied().collect();
    let made = graph.outputs().iter().filter(|&&value| counted.insert(value));
    made.map(|&value| graph.value(value).bytes()).sum()
}

/// Each of the results, or the error.
fn unzipped<T>(results: Result<Vec<T>, Error>) -> Vec<Result<T, Error>> {
    match results {
        Ok(results) => results.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    }
}

/// The largest power of two up to a number, which is at least 1: few numbers, so that few programs are made.
fn power_of_two_up_to(number: usize) -> usize {
    1 << number.max(1).ilog2()
}

/// Whether a backend of this name, possibly behind another, runs on this machine's processor.
fn is_host(backend: &str) -> bool {
    ["flex", "ndarray"].iter().any(|host| backend.contains(host))
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
