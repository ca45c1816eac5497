//! Whether every element of a value is computed from one sample of a batch only, for all parameters and all data.

use std::ops::Range;

use super::{SampleAxes, SampleAxis, strides};
use crate::graph::{Graph, ValueId};

/// The batch of a program: which of its inputs it is, its number of samples, and the dimension of each of its tensors that
/// counts them. Tensors without one are common to all samples.
#[derive(Clone, Debug)]
pub(crate) struct BatchAxes<'a> {
    pub inputs: Range<usize>,
    pub samples: usize,
    pub dims: &'a [Option<usize>],
}

impl BatchAxes<'_> {
    /// Whether the program shows that each element of a value depends on one sample only, and on which. What is not shown
    /// may hold all the same: as where rows are picked by computed indices.
    pub fn are_own(&self, graph: &Graph, value: ValueId) -> bool {
        let shape = &graph.value(value).shape[..];
        self.samples == 1
            || self.strides_in(shape).into_iter().any(|stride| self.reach_own(graph, value, stride))
    }

    /// Whether a value is computed without any tensor that is made of samples.
    pub fn are_common(&self, graph: &Graph, value: ValueId) -> bool {
        let tensors = graph.inputs().get(self.inputs.clone()).unwrap_or_default();
        let of_samples = tensors.iter().zip(self.dims).filter(|(_, dim)| dim.is_some());
        let of_samples: Vec<ValueId> = of_samples.map(|(&tensor, _)| tensor).collect();
        !graph.dependents(&of_samples).contains(&value)
    }

    /// Strides at which the samples may sit in a value: along a dimension of their number, or merged with others.
    fn strides_in(&self, shape: &[usize]) -> Vec<usize> {
        let mut found = Vec::new();
        for (dim, size) in shape.iter().enumerate() {
            if *size == 0 || !size.is_multiple_of(self.samples) {
                continue;
            }
            let inner = strides(shape, dim);
            for stride in [inner * size / self.samples, inner] {
                if !found.contains(&stride) {
                    found.push(stride);
                }
            }
        }
        found
    }

    fn reach_own(&self, graph: &Graph, value: ValueId, stride: usize) -> bool {
        let axes = SampleAxes::of_all_kinds(graph, self.samples, value, stride);
        let tensors = graph.inputs().get(self.inputs.clone()).unwrap_or_default();
        tensors.len() == self.dims.len()
            && tensors.iter().zip(self.dims).all(|(&tensor, dim)| {
                let Some(dim) = *dim else { return true };
                let expected = strides(&graph.value(tensor).shape, dim);
                match axes.of(tensor) {
                    None => true,
                    Some(SampleAxis::Samples { stride }) => stride == expected,
                    Some(SampleAxis::Shared | SampleAxis::Mixed { .. }) => false,
                }
            })
    }
}
