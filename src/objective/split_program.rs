//! A product's program in two parts, and the second part for several vectors.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use burn_backend::AutodiffBackend;

use crate::{
    derive::{Working, many},
    error::Error,
    execute::Program,
    space::{stacked, unstacked},
    tensor::Operand,
};

type Inner<B> = <B as AutodiffBackend>::InnerBackend;
type Operands<B> = Vec<Operand<Inner<B>>>;

/// Vectors that are multiplied together at most: more gain nothing.
const MOST: usize = 32;

/// A program in two parts: what runs once per (θ, batch), and what runs per vector.
pub(crate) struct SplitProgram<B: AutodiffBackend> {
    pub prepare: Program<Inner<B>>,
    pub finish: Program<Inner<B>>,
    /// Memory of the second part for each vector.
    working: Working,
    /// The second part for several vectors, by their number.
    many: Mutex<HashMap<usize, Arc<Program<Inner<B>>>>>,
}

impl<B: AutodiffBackend> SplitProgram<B> {
    pub fn new(prepare: Program<Inner<B>>, finish: Program<Inner<B>>) -> Self {
        let varying = finish.graph().inputs().len() - prepare.graph().outputs().len();
        let working = Working::of(finish.graph(), varying);
        Self { prepare, finish, working, many: Mutex::default() }
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

    /// How many vectors may be multiplied together within a number of bytes.
    pub fn together(&self, bytes: usize) -> usize {
        (bytes / self.working.peak.max(1)).clamp(1, MOST)
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

    /// The products with several vectors, each given by its parts.
    pub fn run_many(
        &self,
        prepared: &Operands<B>,
        vectors: Vec<Operands<B>>,
    ) -> Result<Vec<Operands<B>>, Error> {
        let count = vectors.len();
        let program = self.many(count)?;
        let mut inputs = prepared.clone();
        for part in transposed(vectors, self.varying()) {
            let part = part.into_iter().map(Operand::into_float);
            inputs.push(Operand::Float(stacked::<Inner<B>>(part.collect::<Result<_, _>>()?)));
        }
        let results = program.run(inputs)?.into_iter();
        let parts = results.map(|result| {
            let parts = unstacked::<Inner<B>>(result.into_float()?);
            Ok(parts.into_iter().map(Operand::Float).collect())
        });
        let parts: Vec<Operands<B>> = parts.collect::<Result<_, Error>>()?;
        Ok(transposed(parts, count))
    }

    fn varying(&self) -> usize {
        self.finish.graph().inputs().len() - self.prepare.graph().outputs().len()
    }
}

/// Lists of equal lengths, read across.
fn transposed<T>(lists: Vec<Vec<T>>, length: usize) -> Vec<Vec<T>> {
    let mut across: Vec<Vec<T>> = (0..length).map(|_| Vec::with_capacity(lists.len())).collect();
    for list in lists {
        for (across, item) in across.iter_mut().zip(list) {
            across.push(item);
        }
    }
    across
}
