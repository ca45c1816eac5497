//! A product's program in two parts, and the second part for several vectors.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use burn_backend::{AutodiffBackend, Backend};

use crate::{
    derive::{Working, many},
    error::Error,
    execute::Program,
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
const CACHE: usize = 1 << 20;

/// Multiply-adds, or elements written, from which on it is worth another thread.
const WORTH_A_THREAD: usize = 1 << 18;

/// A program in two parts: what runs once per (θ, batch), and what runs per vector.
pub(crate) struct SplitProgram<B: AutodiffBackend> {
    pub prepare: Program<Inner<B>>,
    pub finish: Program<Inner<B>>,
    /// What the second part costs for each vector.
    working: Working,
    /// Whether it runs on this machine's processor.
    on_host: bool,
    /// The second part for several vectors, by their number.
    many: Mutex<HashMap<usize, Arc<Program<Inner<B>>>>>,
}

/// How vectors are multiplied together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Together {
    /// Vectors in one run of a program, at most.
    run: usize,
    /// Runs at a time, each on a thread.
    threads: usize,
}

impl<B: AutodiffBackend> SplitProgram<B> {
    pub fn new(prepare: Program<Inner<B>>, finish: Program<Inner<B>>) -> Self {
        let varying = finish.graph().inputs().len() - prepare.graph().outputs().len();
        let working = Working::of(finish.graph(), varying);
        let on_host = is_host(&Inner::<B>::name(finish.device()));
        Self { prepare, finish, working, on_host, many: Mutex::default() }
    }

    /// Memory of the results of `prepare`, without what they share with its inputs.
    pub fn kept_bytes(&self) -> usize {
        let graph = self.prepare.graph();
        let mut counted: HashSet<_> = graph.inputs().iter().copied().collect();
        let mut bytes = 0;
        for &value in graph.outputs() {
            if counted.insert(value) {
                let ty = graph.value(value);
                bytes += ty.shape.num_elements() * ty.dtype.size();
            }
        }
        bytes
    }

    /// How a number of vectors is multiplied within a number of bytes. On a CPU several runs of few vectors share the
    /// threads and the caches; elsewhere one run takes as many vectors as the bytes allow.
    pub fn together(&self, vectors: usize, bytes: usize) -> Together {
        let peak = self.working.peak.max(1);
        let allowed = (bytes / peak).max(1);
        if !self.on_host {
            return Together { run: allowed.min(MOST), threads: 1 };
        }
        let run = allowed.min(CACHE / peak).clamp(1, MOST);
        let worth = vectors.saturating_mul(self.working.work) / WORTH_A_THREAD;
        let threads = threads().min(worth).min(allowed).clamp(1, vectors.max(1));
        Together { run: run.min(vectors.div_ceil(threads)).max(1), threads }
    }

    /// Multiplies several vectors, each given by its parts, and passes each product with the index of its vector to
    /// `take`.
    pub fn each(
        &self,
        (prepared, together): (&Operands<B>, Together),
        mut vectors: impl ExactSizeIterator<Item = Operands<B>>,
        mut take: impl FnMut(usize, Operands<B>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Together { run, threads } = together;
        let mut index = 0;
        while vectors.len() > 0 {
            let mut wave = Vec::with_capacity(threads);
            while vectors.len() > 0 && wave.len() < threads {
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
    pub fn many(&self, count: usize) -> Result<Arc<Program<Inner<B>>>, Error> {
        let mut found = self.many.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = found.get(&count) {
            return Ok(Arc::clone(found));
        }
        let graph = many(self.finish.graph(), self.varying(), count);
        let made = Arc::new(self.finish.with_graph(graph)?);
        found.insert(count, Arc::clone(&made));
        Ok(made)
    }

    /// The products with the vectors of one run.
    fn run(
        &self,
        prepared: &Operands<B>,
        vectors: &[Operands<B>],
    ) -> Result<Vec<Operands<B>>, Error> {
        let mut inputs = prepared.clone();
        if let [vector] = vectors {
            inputs.extend(vector.iter().cloned());
            return Ok(vec![self.finish.run(inputs)?]);
        }
        let program = self.many(vectors.len())?;
        for place in 0..self.varying() {
            let parts = vectors.iter().filter_map(|vector| vector.get(place).cloned());
            let parts = parts.map(Operand::into_float).collect::<Result<_, _>>()?;
            inputs.push(Operand::Float(stacked::<Inner<B>>(parts)));
        }
        let mut products = vec![Vec::new(); vectors.len()];
        for result in program.run(inputs)? {
            let parts = unstacked::<Inner<B>>(result.into_float()?);
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
