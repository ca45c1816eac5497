//! Finds the operands at which a closure stopped gradients, from the backward pass that Burn ran for it.

use std::collections::{HashMap, HashSet};

use super::{
    many::{self, Decision},
    numbering::{Number, Numbering, Numbers},
    ways::{Probed, Way, float_operands},
};
use crate::graph::{Binary, Graph, Op, ValueId};

/// From how many ways on from one value the right ones are found by trying all choices.
const MOST_WAYS: usize = 8;

/// An operand of a node: node and position.
pub(super) type Operand = (usize, usize);

/// A search through a loss program, from the loss to the parameters.
///
/// With a probe on every operand and every result of the program, Burn's backward pass gives the cotangent of each as
/// a function of those after it. Going backwards, the cotangent that the closure's own backward pass has at a value is
/// the sum over those ways on from it that were not stopped: the largest such sum that occurs in the closure's pass.
pub(super) struct Search<'a> {
    loss: &'a Graph,
    probed: &'a Graph,
    cotangents: HashMap<Way, ValueId>,
    writers: HashMap<ValueId, usize>,
    /// Numbers of the probed pass, as the closure has them.
    numbers: Numbers,
    /// All numbers that occur in the closure's pass.
    occurring: HashSet<Number>,
    numbering: &'a mut Numbering,
    /// What reaches a value from the operations after it.
    reaching: HashMap<ValueId, Vec<(Operand, Number)>>,
    stopped: Vec<Operand>,
}

impl<'a> Search<'a> {
    pub fn new(
        loss: &'a Graph,
        probed: &'a Probed,
        numbering: &'a mut Numbering,
        occurring: HashSet<Number>,
    ) -> Self {
        let graph = &probed.graph;
        let mut numbers = Numbers::new(graph);
        numbering.begin(graph, &mut numbers);
        let probes: HashSet<_> = graph.inputs.iter().skip(loss.inputs.len()).copied().collect();
        let backward = graph.dependents(&graph.outputs);
        for node in &graph.nodes {
            if node.outputs.iter().any(|output| backward.contains(output)) {
                continue;
            }
            let inputs: Option<Vec<_>> =
                node.inputs.iter().map(|&input| numbers.get(input)).collect();
            let Some(inputs) = inputs else { continue };
            let results = match node.inputs.last() {
                Some(last) if probes.contains(last) => vec![inputs[0]],
                _ => numbering.results(graph, node, &inputs),
            };
            for (&output, number) in node.outputs.iter().zip(results) {
                numbers.set(output, number);
            }
        }
        let nodes = graph.nodes.iter().enumerate();
        let writers =
            nodes.flat_map(|(at, node)| node.outputs.iter().map(move |&output| (output, at)));
        Self {
            loss,
            probed: graph,
            cotangents: probed.ways.iter().copied().zip(graph.outputs.iter().copied()).collect(),
            writers: writers.collect(),
            numbers,
            occurring,
            numbering,
            reaching: HashMap::new(),
            stopped: Vec::new(),
        }
    }

    /// The stopped operands, if the gradients by the parameters can be the given ones.
    pub fn run(mut self, gradients: &[Number]) -> Option<Vec<Operand>> {
        let loss = *self.loss.outputs.first()?;
        for index in (0..self.loss.nodes.len()).rev() {
            self.node(index, loss)?;
        }
        let parameters = self.loss.inputs.iter().copied();
        for (parameter, &gradient) in parameters.zip(gradients) {
            let reaching = self.reaching.remove(&parameter).unwrap_or_default();
            let ty = self.loss.value(parameter).clone();
            let chosen = if reaching.len() > MOST_WAYS {
                self.decide(&reaching, &[gradient], |_, _| true)?
            } else {
                self.choose(&reaching, &ty, |_, number| number == gradient)?
            };
            if self.numbering.sum(&numbers_of(&chosen), &ty) != gradient {
                return None;
            }
            self.stop(reaching, &chosen);
        }
        Some(self.stopped)
    }

    /// Decides which ways on from the results of a node were stopped, and passes on what reaches its operands.
    fn node(&mut self, index: usize, loss: ValueId) -> Option<()> {
        let (graph, probed) = (self.loss, self.probed);
        let node = &graph.nodes[index];
        let mut reached = false;
        for (at, &output) in node.outputs.iter().enumerate() {
            let Some(&cotangent) = self.cotangents.get(&Way::OutOf(index, at)) else { continue };
            let ty = graph.value(output);
            let reaching = self.reaching.remove(&output).unwrap_or_default();
            let occurs = |search: &mut Self, sum| {
                search.occurring.contains(&sum) && search.goes_on(index, cotangent, sum)
            };
            let chosen = if reaching.len() > MOST_WAYS {
                let sums = many::sums(self.numbering, &reaching, &self.occurring)?;
                self.decide(&reaching, &sums, occurs)?
            } else {
                self.choose(&reaching, ty, occurs)?
            };
            let number = if output == loss {
                let seed = &probed.nodes[*self.writers.get(&cotangent)?];
                self.numbering.results(probed, seed, &[]).first().copied()?
            } else {
                self.numbering.sum(&numbers_of(&chosen), ty)
            };
            self.numbers.set(cotangent, number);
            reached |= output == loss || !chosen.is_empty();
            self.stop(reaching, &chosen);
        }
        if reached {
            for (at, value) in float_operands(graph, node) {
                let number = self.operand(index, at, &mut HashMap::new());
                if let Some(number) = number.filter(|number| !self.numbering.is_zero(*number)) {
                    self.reaching.entry(value).or_default().push(((index, at), number));
                }
            }
        }
        Some(())
    }

    /// Remembers the ways that were not chosen; those that were are in the same order.
    fn stop(&mut self, reaching: Vec<(Operand, Number)>, chosen: &[(Operand, Number)]) {
        let mut chosen = chosen.iter().peekable();
        let all = reaching.into_iter().filter(|way| chosen.next_if(|next| *next == way).is_none());
        self.stopped.extend(all.map(|(operand, _)| operand));
    }

    /// Whether a cotangent of a node's result would occur further down as well.
    fn goes_on(&mut self, index: usize, cotangent: ValueId, number: Number) -> bool {
        let graph = self.loss;
        float_operands(graph, &graph.nodes[index]).any(|(at, _)| {
            let mut known = HashMap::from([(cotangent, number)]);
            let passed = self.operand(index, at, &mut known);
            let passed = passed.filter(|passed| !self.numbering.is_zero(*passed));
            passed.is_some_and(|passed| self.occurring.contains(&passed))
        })
    }

    /// What a node passes to an operand.
    fn operand(
        &mut self,
        index: usize,
        at: usize,
        known: &mut HashMap<ValueId, Number>,
    ) -> Option<Number> {
        let value = *self.cotangents.get(&Way::Into(index, at))?;
        self.value(value, known)
    }

    /// The number of a value of the probed pass.
    fn value(&mut self, value: ValueId, known: &mut HashMap<ValueId, Number>) -> Option<Number> {
        if let Some(&number) = known.get(&value) {
            return Some(number);
        }
        if let Some(number) = self.numbers.get(value) {
            return Some(number);
        }
        let probed = self.probed;
        let node = &probed.nodes[*self.writers.get(&value)?];
        let inputs = node.inputs.iter().map(|&input| self.value(input, known));
        let inputs = inputs.collect::<Option<Vec<_>>>()?;
        let results = self.numbering.results(probed, node, &inputs);
        known.extend(node.outputs.iter().copied().zip(results));
        known.get(&value).copied()
    }

    /// The most ways whose sum is wanted; none if there is no such sum. `None` if several choices are as good.
    fn choose(
        &mut self,
        ways: &[(Operand, Number)],
        ty: &crate::graph::ValueType,
        mut wanted: impl FnMut(&mut Self, Number) -> bool,
    ) -> Option<Vec<(Operand, Number)>> {
        for left_out in 0..ways.len() {
            let mut found: Vec<Vec<(Operand, Number)>> = Vec::new();
            for subset in choices(ways, left_out) {
                let sum = self.numbering.sum(&numbers_of(&subset), ty);
                if wanted(self, sum) {
                    found.push(subset);
                }
            }
            let mut found = found.into_iter();
            if let Some(first) = found.next() {
                return found.all(|other| self.exchangeable(&first, &other)).then_some(first);
            }
        }
        Some(Vec::new())
    }

    /// The ways whose sum is the first of some that is wanted; none if there is no such sum. `None` if several choices
    /// have it, or if another sum of as many terms is wanted too.
    fn decide(
        &mut self,
        ways: &[(Operand, Number)],
        sums: &[Number],
        mut wanted: impl FnMut(&mut Self, Number) -> bool,
    ) -> Option<Vec<(Operand, Number)>> {
        let mut found: Option<(Number, Vec<(Operand, Number)>)> = None;
        for &sum in sums {
            if found
                .as_ref()
                .is_some_and(|(first, _)| self.numbering.count(*first) != self.numbering.count(sum))
            {
                break;
            }
            let commute = |operands: &[Operand]| {
                operands.iter().all(|(node, _)| *node == operands[0].0)
                    && operands.iter().all(|(node, _)| self.commutes(*node))
            };
            match many::decide(self.numbering, ways, sum, commute) {
                Decision::Impossible => continue,
                _ if !wanted(self, sum) => continue,
                Decision::Ways(ways) if found.is_none() => found = Some((sum, ways)),
                Decision::Ways(_) | Decision::Ambiguous => return None,
            }
        }
        Some(found.map(|(_, ways)| ways).unwrap_or_default())
    }

    fn commutes(&self, node: usize) -> bool {
        matches!(self.loss.nodes[node].op, Op::Binary(Binary::Add | Binary::Mul))
    }

    /// Whether two choices differ by operands of one operation that may be exchanged.
    fn exchangeable(&self, a: &[(Operand, Number)], b: &[(Operand, Number)]) -> bool {
        let only = |a: &[(Operand, Number)], b: &[(Operand, Number)]| {
            let differing = a.iter().filter(|way| !b.contains(way));
            differing.map(|((node, _), _)| *node).collect::<Vec<_>>()
        };
        let nodes: HashSet<_> = only(a, b).into_iter().chain(only(b, a)).collect();
        nodes.len() == 1 && nodes.iter().all(|&node| self.commutes(node))
    }
}

fn numbers_of(ways: &[(Operand, Number)]) -> Vec<Number> {
    ways.iter().map(|(_, number)| *number).collect()
}

/// All choices of all elements but some, in order, of at most [`MOST_WAYS`] elements.
fn choices<T: Clone>(of: &[T], left_out: usize) -> Box<dyn Iterator<Item = Vec<T>> + '_> {
    match left_out {
        0 => Box::new(std::iter::once(of.to_vec())),
        1 => Box::new((0..of.len()).rev().map(|out| [&of[..out], &of[out + 1..]].concat())),
        _ => {
            // The bits of those that are chosen, the first element's the highest.
            let size = of.len() - left_out;
            let masks = (0..1_u32 << of.len()).rev();
            let masks = masks.filter(move |mask| mask.count_ones() as usize == size);
            let chosen = move |mask: u32| {
                let is_chosen = |at: &usize| mask >> (of.len() - 1 - at) & 1 == 1;
                (0..of.len()).filter(is_chosen).map(|at| of[at].clone()).collect()
            };
            Box::new(masks.map(chosen))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::choices;

    #[test]
    fn choices_come_in_order() {
        let all = |left_out| choices(&[1, 2, 3, 4], left_out).collect::<Vec<_>>();
        assert_eq!(all(0), [[1, 2, 3, 4]]);
        assert_eq!(all(1), [[1, 2, 3], [1, 2, 4], [1, 3, 4], [2, 3, 4]]);
        assert_eq!(all(2), [[1, 2], [1, 3], [1, 4], [2, 3], [2, 4], [3, 4]]);
        assert_eq!(all(3), [[1], [2], [3], [4]]);
    }
}
