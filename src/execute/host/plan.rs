//! In which steps a program is run: operations element by element are put off until what they compute is needed, and then
//! run together with those that lead to it.

use std::collections::HashSet;

use burn_backend::DType;

use super::{
    absorb::{Products, products},
    chain::{self, Chain},
    lifetimes,
    product::Product,
};
use crate::graph::{Graph, Op, Reduction, ValueId};

/// One step of a program.
pub(super) struct Step {
    /// The operation that messages name.
    pub node: usize,
    pub work: Work,
    /// Values that no later step reads and that this one does not hand over.
    pub ends: Vec<ValueId>,
    /// Bytes alive while it runs, its results among them.
    pub alive: usize,
}

/// What a step does.
pub(super) enum Work {
    /// An operation, by the backend. Per operand: whether it is handed over, since nothing reads it later.
    Operation(Vec<bool>),
    /// Several operations at once.
    Chain(Chain),
    /// A matrix product, perhaps with a sum.
    Product(Product),
}

/// The steps of a graph, which must be valid, and the bytes that are enough for their results.
pub(super) fn steps(graph: &Graph) -> (Vec<Step>, usize) {
    let mut planner = Planner::new(graph);
    for position in 0..graph.nodes.len() {
        match planner.steps_of_nodes[position] {
            _ if planner.products.later.contains_key(&position) => {}
            _ if planner.products.at.contains_key(&position) => planner.product(position),
            Some(step) if planner.may_wait(position, step) => planner.waiting[position] = true,
            Some(_) => planner.flush(position),
            None => {
                planner.flush_operands(position);
                planner.operation(position);
            }
        }
    }
    let mut steps = planner.steps;
    let enough = lifetimes::find(graph, &mut steps);
    (steps, enough)
}

struct Planner<'a> {
    graph: &'a Graph,
    /// How each operation is run in a chain.
    steps_of_nodes: Vec<Option<chain::Step>>,
    /// Per value: the operation that writes it.
    writer: Vec<Option<usize>>,
    /// Per value: the operations that read it.
    readers: Vec<Vec<usize>>,
    returned: HashSet<ValueId>,
    products: Products,
    /// Per operation: whether it has been put off.
    waiting: Vec<bool>,
    steps: Vec<Step>,
}

impl<'a> Planner<'a> {
    fn new(graph: &'a Graph) -> Self {
        let mut writer = vec![None; graph.values.len()];
        let mut readers = vec![Vec::new(); graph.values.len()];
        for (position, node) in graph.nodes.iter().enumerate() {
            node.outputs.iter().for_each(|value| writer[value.index()] = Some(position));
            node.inputs.iter().for_each(|value| readers[value.index()].push(position));
        }
        let returned = graph.outputs.iter().copied().collect();
        let products = products(graph, &readers, &returned);
        let steps = graph.nodes.iter().enumerate().map(|(position, node)| {
            let other = products.at.contains_key(&position);
            chain::step(graph, node).filter(|_| !other)
        });
        let mut steps: Vec<Option<chain::Step>> = steps.collect();
        for (position, node) in graph.nodes.iter().enumerate() {
            let only = node.outputs.iter().flat_map(|value| &readers[value.index()]);
            let kept = node.outputs.iter().any(|value| returned.contains(value));
            if let &[reader] = &only.copied().collect::<Vec<usize>>()[..]
                && !kept
                && let Some(pair) = chain::mask(graph, node, &graph.nodes[reader])
            {
                [steps[position], steps[reader]] = pair.map(Some);
            }
        }
        Self {
            graph,
            steps_of_nodes: steps,
            writer,
            readers,
            returned,
            products,
            waiting: vec![false; graph.nodes.len()],
            steps: Vec::new(),
        }
    }

    /// Number and type of the elements that an operation of a chain writes. A comparison writes numbers there.
    fn size(&self, position: usize) -> Option<(usize, DType)> {
        let node = &self.graph.nodes[position];
        let compares = matches!(node.op, Op::CompareScalar(..));
        let values = if compares { &node.inputs } else { &node.outputs };
        let ty = self.graph.value(*values.first()?);
        Some((ty.shape.num_elements(), ty.dtype))
    }

    /// Whether an operation can be run in a chain with one that reads its result. Another shape of a tensor is a chain's
    /// matter only if the chain writes that tensor.
    fn may_wait(&self, position: usize, step: chain::Step) -> bool {
        let node = &self.graph.nodes[position];
        if step == chain::Step::Reshape && !node.inputs.iter().any(|&value| self.is_waiting(value))
        {
            return false;
        }
        let readers = node.outputs.iter().flat_map(|value| &self.readers[value.index()]);
        let mut readers = readers.copied();
        readers.any(|reader| {
            self.steps_of_nodes[reader].is_some() && self.size(reader) == self.size(position)
        })
    }

    fn is_waiting(&self, value: ValueId) -> bool {
        self.writer[value.index()].is_some_and(|position| self.waiting[position])
    }

    /// Runs a matrix product with what is added to it.
    fn product(&mut self, position: usize) {
        let Some(product) = self.products.at.get(&position).cloned() else { return };
        let reads = [Some(product.first), Some(product.second), product.onto];
        self.flush_values(reads.into_iter().flatten());
        self.push(position, Work::Product(product));
    }

    /// Runs what the operands of an operation wait for.
    fn flush_operands(&mut self, position: usize) {
        let graph = self.graph;
        self.flush_values(graph.nodes[position].inputs.iter().copied());
    }

    fn flush_values(&mut self, values: impl Iterator<Item = ValueId>) {
        for value in values {
            if let Some(writer) = self.writer[value.index()].filter(|&writer| self.waiting[writer])
            {
                self.flush(writer);
            }
        }
    }

    /// Runs an operation and all that it waits for, those of its size as one chain.
    fn flush(&mut self, position: usize) {
        let members = self.members(position);
        if let [only] = members[..]
            && !self.is_worth_a_chain(only)
        {
            return self.operation(only);
        }
        let with_steps: Vec<(usize, chain::Step)> = members
            .iter()
            .filter_map(|&member| Some((member, self.steps_of_nodes[member]?)))
            .collect();
        let is_needed = |value: ValueId| {
            let mut readers = self.readers[value.index()].iter();
            self.returned.contains(&value)
                || readers.any(|reader| members.binary_search(reader).is_err())
        };
        match Chain::new(self.graph, &with_steps, is_needed) {
            Some(chain) => self.push(position, Work::Chain(chain)),
            None => members.iter().for_each(|&member| self.operation(member)),
        }
    }

    /// The operation and those of its size that it waits for, in order. Runs others that it waits for: they are smaller, and
    /// so wait for none of these.
    fn members(&mut self, position: usize) -> Vec<usize> {
        let size = self.size(position);
        let (mut members, mut others) = (Vec::new(), Vec::new());
        self.waiting[position] = false;
        let mut next = vec![position];
        while let Some(member) = next.pop() {
            members.push(member);
            for &value in &self.graph.nodes[member].inputs {
                let Some(writer) = self.writer[value.index()] else { continue };
                if self.waiting[writer] && self.size(writer) == size {
                    self.waiting[writer] = false;
                    next.push(writer);
                } else if self.waiting[writer] {
                    others.push(writer);
                }
            }
        }
        for other in others {
            if self.waiting[other] {
                self.flush(other);
            }
        }
        members.sort_unstable();
        self.without_leading_reshapes(members)
    }

    /// Runs the members that give another shape to what is no member's result.
    fn without_leading_reshapes(&mut self, members: Vec<usize>) -> Vec<usize> {
        let mut kept: Vec<usize> = Vec::with_capacity(members.len());
        for member in members {
            let operand = self.graph.nodes[member].inputs.first();
            let writer = operand.and_then(|value| self.writer[value.index()]);
            let within = writer.is_some_and(|writer| kept.binary_search(&writer).is_ok());
            if self.steps_of_nodes[member] == Some(chain::Step::Reshape) && !within {
                self.operation(member);
            } else {
                kept.push(member);
            }
        }
        kept
    }

    /// Whether a chain of one operation is faster than the backend.
    fn is_worth_a_chain(&self, position: usize) -> bool {
        self.steps_of_nodes[position] != Some(chain::Step::Reshape)
    }

    fn operation(&mut self, position: usize) {
        let operands = self.graph.nodes[position].inputs.len();
        self.push(position, Work::Operation(vec![false; operands]));
    }

    fn push(&mut self, node: usize, work: Work) {
        self.steps.push(Step { node, work, ends: Vec::new(), alive: 0 });
    }
}

impl Step {
    /// Bytes of each result that is written into memory of this process by the functions here.
    pub fn own_results(&self, graph: &Graph) -> Vec<usize> {
        let bytes = |value: &ValueId| graph.value(*value).bytes();
        match &self.work {
            Work::Operation(_) => {
                let node = &graph.nodes[self.node];
                let own = matches!(
                    node.op,
                    Op::Reshape
                        | Op::Zeros
                        | Op::Gather(_)
                        | Op::MaxPool { .. }
                        | Op::Unfold4d { .. }
                        | Op::Conv { .. }
                        | Op::ConvBackward(..)
                        | Op::ReduceDim(Reduction::Sum | Reduction::Mean, _)
                );
                node.outputs.iter().filter(|_| own).map(bytes).collect()
            }
            Work::Chain(chain) => vec![chain.len * chain.dtype.size()],
            Work::Product(product) => vec![bytes(&product.result)],
        }
    }
}
