//! How long values are kept: where each is read last, and how much memory they need.

use std::collections::{HashMap, HashSet};

use super::plan::{Step, Work};
use crate::graph::{Graph, ValueId};

/// Finds where each value is read last, and how much is alive at each step. Returns the bytes that are enough for the results of
/// all steps if memory serves only values of its own size: for each size as much as is alive of it at most.
pub(super) fn find(graph: &Graph, steps: &mut [Step]) -> usize {
    let mut read_later: HashSet<ValueId> = graph.outputs.iter().copied().collect();
    let mut ended: Vec<Vec<ValueId>> = vec![Vec::new(); steps.len()];
    for (step, ended) in steps.iter_mut().zip(&mut ended).rev() {
        let (reads, writes) = step.values(graph);
        // What nothing reads ends where it is written.
        ended.extend(writes.iter().filter(|&&value| !read_later.contains(&value)));
        step.ends.clone_from(ended);
        for (position, &value) in reads.iter().enumerate().rev() {
            if read_later.insert(value) {
                ended.push(value);
                match &mut step.work {
                    Work::Operation(handed) => handed[position] = true,
                    Work::Chain(_) | Work::Product(_) => step.ends.push(value),
                }
            }
        }
    }
    let given = graph.inputs.iter().copied().chain(graph.constants.iter().map(|one| one.value));
    let given: HashSet<ValueId> = given.collect();
    let own = |values: &[ValueId]| -> Vec<usize> {
        let own = values.iter().copied().filter(|value| !given.contains(value));
        own.map(|value| graph.value(value).bytes()).collect()
    };
    let mut alive: usize = 0;
    let mut sizes: HashMap<usize, Count> = HashMap::new();
    for (step, ended) in steps.iter_mut().zip(&ended) {
        for bytes in own(&step.values(graph).1) {
            alive += bytes;
            sizes.entry(bytes).or_default().add();
        }
        step.alive = alive;
        for bytes in own(ended) {
            alive = alive.saturating_sub(bytes);
            sizes.entry(bytes).or_default().remove();
        }
    }
    sizes.iter().map(|(bytes, count)| bytes * count.most).sum()
}

/// How many values of a size are alive, and were at most.
#[derive(Default)]
struct Count {
    now: usize,
    most: usize,
}

impl Count {
    fn add(&mut self) {
        self.now += 1;
        self.most = self.most.max(self.now);
    }

    fn remove(&mut self) {
        self.now = self.now.saturating_sub(1);
    }
}

impl Step {
    /// Values it reads and writes.
    fn values(&self, graph: &Graph) -> (Vec<ValueId>, Vec<ValueId>) {
        match &self.work {
            Work::Operation(_) => {
                let node = &graph.nodes[self.node];
                (node.inputs.clone(), node.outputs.clone())
            }
            Work::Chain(chain) => (
                chain.inputs.iter().map(|input| input.value).collect(),
                chain.outputs.iter().map(|output| output.value).collect(),
            ),
            Work::Product(product) => {
                let reads = [Some(product.first), Some(product.second), product.onto];
                (reads.into_iter().flatten().collect(), vec![product.result])
            }
        }
    }
}
