//! What a program costs for each vector: memory while it runs, and work.

use crate::graph::{Graph, ValueId};

/// What a program costs for one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Working {
    /// Bytes: the most that is alive at one time, and the vector itself.
    pub peak: usize,
    /// Multiply-adds and elements written, counted together.
    pub work: usize,
}

impl Working {
    /// Of a program whose last `varying` inputs are the vector. All but uniform values depend on it there.
    pub fn of(program: &Graph, varying: usize) -> Self {
        let fixed = program.inputs.len().saturating_sub(varying);
        let elements = |value: &ValueId| program.value(*value).shape.num_elements();
        let bytes = |value: &ValueId| elements(value) * program.value(*value).dtype.size();
        let written = program.nodes().iter().flat_map(|node| &node.outputs).map(elements);
        Self {
            peak: program.peak_bytes() + program.inputs[fixed..].iter().map(bytes).sum::<usize>(),
            work: program.multiply_adds() + written.sum::<usize>(),
        }
    }
}
