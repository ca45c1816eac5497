//! Whether the indices in a batch, such as labels, are within the tensors that they pick from. Flex and ndarray find that out
//! when they pick; a GPU picks something else without a word.

use burn_backend::{AutodiffBackend, ops::IntTensorOps, tensor::Device};

use super::BatchError;
use crate::{
    capture::Recording,
    derive::Kernels,
    error::Error,
    execute::{Program, in_precision},
    graph::{Graph, Node, Op, ValueId},
    space::{Inner, is_processor},
    tensor::{Operand, Precision},
};

/// A program of all indices that do not depend on the values of the model.
pub(super) struct IndexCheck<B: AutodiffBackend> {
    program: Program<B::InnerBackend>,
    /// Of each: the operation that picks, and from how many.
    uses: Vec<(String, usize)>,
}

impl<B: AutodiffBackend> IndexCheck<B> {
    /// `None` where the device finds out itself, or nothing is picked.
    pub fn new(
        recording: &Recording,
        precision: Precision,
        device: &Device<B>,
        kernels: Kernels<B::InnerBackend>,
    ) -> Result<Option<Self>, Error> {
        if is_processor::<Inner<B>>(device) {
            return Ok(None);
        }
        let graph = &recording.graph;
        let inputs = graph.inputs.iter().copied();
        let buffers = inputs.clone().rev().take(recording.buffers);
        let of_model: Vec<_> = inputs.take(recording.parameters).chain(buffers).collect();
        let dependent = graph.dependents(&of_model);
        let (mut indices, mut uses) = (Vec::new(), Vec::new());
        for node in &graph.nodes {
            if let Some((index, limit)) =
                picked(graph, node).filter(|(it, _)| !dependent.contains(it))
            {
                indices.push(index);
                uses.push((node.op.name(), limit));
            }
        }
        if indices.is_empty() {
            return Ok(None);
        }
        let graph = in_precision(graph.returning(indices), precision.dtype())?;
        Ok(Some(Self { program: Program::new(graph, device, kernels.apply)?, uses }))
    }

    /// Refuses a batch with an index that is out of range. Two reductions for each tensor of indices, and one read for all.
    pub fn expect(&self, inputs: Vec<Operand<B::InnerBackend>>) -> Result<(), Error> {
        let mut ends = Vec::with_capacity(2 * self.uses.len());
        for operand in self.program.run(inputs)? {
            let indices = operand.into_int()?;
            let one = |tensor| Inner::<B>::int_reshape(tensor, [1].into());
            ends.push(one(Inner::<B>::int_min(indices.clone())));
            ends.push(one(Inner::<B>::int_max(indices)));
        }
        let ends = Operand::<Inner<B>>::Int(Inner::<B>::int_cat(ends, 0)).into_data()?;
        let ends: Vec<i64> = ends.iter::<i64>().collect();
        for (range, (operation, limit)) in ends.chunks(2).zip(&self.uses) {
            let outside = |index: &&i64| usize::try_from(**index).map_or(true, |at| at >= *limit);
            if let Some(&found) = range.iter().find(outside) {
                let (operation, limit) = (operation.clone(), *limit);
                return Err(BatchError::Index { operation, found, limit }.into());
            }
        }
        Ok(())
    }
}

/// The indices by which an operation picks along a dimension, and the size of that dimension.
fn picked(graph: &Graph, node: &Node) -> Option<(ValueId, usize)> {
    let dim = match node.op {
        Op::Gather(dim) | Op::Scatter(dim, _) | Op::Select(dim) | Op::SelectAssign(dim, _) => dim,
        Op::Embedding => 0,
        _ => return None,
    };
    let (from, indices) = (*node.inputs.first()?, *node.inputs.get(1)?);
    let size = graph.value(from).shape.get(dim).copied()?;
    (graph.value(indices).shape.num_elements() > 0).then_some((indices, size))
}
