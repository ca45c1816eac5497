//! How long values are kept: where each is read last, and how many bytes are alive at each step.

use std::collections::HashSet;

use super::plan::{Step, Work};
use crate::graph::{Graph, ValueId};

/// Finds where each value is read last, and how much is alive at each step.
pub(super) fn find(graph: &Graph, steps: &mut [Step]) {
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
    let own = |values: &[ValueId]| -> usize {
        let own = values.iter().copied().filter(|value| !given.contains(value));
        own.map(|value| graph.value(value).bytes()).sum()
    };
    let mut alive: usize = 0;
    for (step, ended) in steps.iter_mut().zip(&ended) {
        alive += own(&step.values(graph).1);
        step.alive = alive;
        alive = alive.saturating_sub(own(ended));
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
