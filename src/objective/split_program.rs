//! A product's program in two parts, and the second part for several vectors.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use burn_backend::{AutodiffBackend, Backend};

use super::together::{Together, in_waves};
use crate::{
    derive::{Many, Working, many, with_only},
    error::Error,
    execute::Program,
    graph::Graph,
    parallel::threads,
    space::{ParamSpace, ParamVector, stacked, stacked_vectors, unstacked, unstacked_vectors},
    tensor::Operand,
};

type Inner<B> = <B as AutodiffBackend>::InnerBackend;
type Operands<B> = Vec<Operand<Inner<B>>>;

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
        in_waves(together, vectors, |vectors| self.run(prepared, vectors), take)
    }

    /// The same for a product that maps a space to itself.
    pub fn each_of_space(
        &self,
        (prepared, together): (&Operands<B>, Together),
        (space, vectors): (&ParamSpace<B>, &[ParamVector<B>]),
        take: impl FnMut(usize, ParamVector<B>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let run = |vectors: &[&ParamVector<B>]| self.run_in_space(prepared, (space, vectors));
        in_waves(together, vectors.iter(), run, take)
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

    /// The same for a product that maps a space to itself.
    fn run_in_space(
        &self,
        prepared: &Operands<B>,
        (space, vectors): (&ParamSpace<B>, &[&ParamVector<B>]),
    ) -> Result<Vec<ParamVector<B>>, Error> {
        let mut inputs = Vec::with_capacity(space.layout().blocks().len());
        if let [vector] = vectors {
            inputs.extend(vector.blocks().iter().cloned().map(Operand::Float));
            let product = self.finish.run_beside(prepared, inputs)?.into_iter();
            let blocks = product.map(Operand::into_float).collect::<Result<_, _>>()?;
            return Ok(vec![space.from_blocks(blocks)?]);
        }
        let many = self.many(vectors.len())?;
        let stacks = stacked_vectors(space, vectors, &many.inputs);
        inputs.extend(stacks.into_iter().map(Operand::Float));
        let products = many.program.run_beside(prepared, inputs)?.into_iter();
        let stacks =
            products.zip(&many.outputs).map(|(stack, &axis)| Ok((stack.into_float()?, axis)));
        let stacks = stacks.collect::<Result<Vec<_>, Error>>()?;
        Ok(unstacked_vectors(space, stacks, vectors.len())?)
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

/// Whether a backend of this name, possibly behind another, runs on this machine's processor.
fn is_host(backend: &str) -> bool {
    ["flex", "ndarray"].iter().any(|host| backend.contains(host))
}
