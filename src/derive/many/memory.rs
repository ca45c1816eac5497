//! What a program costs for each vector: memory while it runs, and work.

use std::collections::HashSet;

use crate::graph::{Graph, Op, ValueId};

/// What a program costs for one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Working {
    /// Bytes: the most that is alive at one time of what depends on the vector, itself and the result included.
    pub peak: usize,
    /// Multiply-adds and elements written, counted together.
    pub work: usize,
}

impl Working {
    /// Of a program whose last `varying` inputs are the vector.
    pub fn of(program: &Graph, varying: usize) -> Self {
        let fixed = program.inputs.len().saturating_sub(varying);
        let vector = &program.inputs[fixed..];
        let dependents = program.dependents(vector);
        let bytes = |value: &ValueId| {
            let ty = program.value(*value);
            ty.shape.num_elements() * ty.dtype.size()
        };
        let mut alive: HashSet<ValueId> = vector.iter().copied().collect();
        let mut now: usize = vector.iter().map(bytes).sum();
        let (mut peak, mut work) = (now, program.multiply_adds());
        for (node, last_uses) in program.nodes().iter().zip(program.last_uses()) {
            let made = node.outputs.iter().filter(|output| dependents.contains(output));
            for output in made.filter(|_| !is_view(&node.op)) {
                alive.insert(*output);
                now += bytes(output);
                work += program.value(*output).shape.num_elements();
            }
            peak = peak.max(now);
            for (input, last) in node.inputs.iter().zip(last_uses) {
                if last && alive.remove(input) {
                    now -= bytes(input);
                }
            }
        }
        Self { peak, work }
    }
}

fn is_view(op: &Op) -> bool {
    matches!(op, Op::Reshape | Op::SwapDims(..) | Op::Permute(_) | Op::Expand | Op::Slice(_))
}
