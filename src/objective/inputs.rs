//! Derivatives in the float tensors of a batch, along a direction of the parameters.

use burn::tensor::{Bool, Int, Tensor};
use burn_backend::{AutodiffBackend, Backend};

use super::{Objective, ObjectiveError, Part, samples::Use};
use crate::{
    capture::{Batch, BatchMapper, Guards, Recording},
    derive::{Parameters, Product},
    error::Error,
    graph::{Graph, Kind, ValueId},
    space::ParamVector,
    tensor::{Operand, TensorBridge},
};

type Operands<B> = Vec<Operand<<B as AutodiffBackend>::InnerBackend>>;

impl<B: AutodiffBackend> Objective<B> {
    /// ∂/∂x Σₙ ∇ℓₙᵀs for the float tensors x of the first batch, in their order, by one program for each s.
    ///
    /// # Errors
    /// [`ObjectiveError::NoFloats`] for a batch of integers and truth values only.
    #[inline(never)]
    pub(crate) fn input_gradients(
        &self,
        vectors: &[ParamVector<B>],
    ) -> Result<Vec<Operands<B>>, Error> {
        self.of_first(|part| {
            self.expect_same_way(part)?;
            let programs = part.programs.used(Use::Differentiated)?;
            let (floats, others) = self.split_batch(part);
            let own = self.parameters().blocks().len();
            let product = programs.product(Product::HessianBlock {
                rows: Parameters { start: own, end: own + floats.len() },
                columns: Parameters { start: 0, end: own },
            })?;
            let parameters = self.parameters().blocks().iter().cloned().map(Operand::Float);
            let inputs = parameters.chain(floats).chain(others);
            let kept = product.prepare.run(inputs.collect())?;
            let mut gradients = Vec::with_capacity(vectors.len());
            for vector in vectors {
                self.expect_compatible(vector)?;
                let own = vector.blocks().iter().cloned().map(Operand::Float);
                let inputs = kept.iter().cloned().chain(own).collect();
                gradients.push(product.finish.run(inputs)?);
            }
            Ok(gradients)
        })
    }

    /// The float tensors of a batch, and then all else that is no parameter.
    fn split_batch(&self, part: &Part<B>) -> (Operands<B>, Operands<B>) {
        let (floats, others): (Vec<_>, Vec<_>) =
            part.batch.operands.iter().cloned().partition(|operand| operand.kind() == Kind::Float);
        let buffers = self.values.data(&[]).collect::<Vec<_>>();
        (floats, others.into_iter().chain(buffers).collect())
    }
}

/// The recording with the float tensors of the batch as further parameters, after the others.
pub(super) fn with_float_inputs(recording: &Recording) -> Result<Recording, Error> {
    let Recording { parameters, buffers, .. } = *recording;
    let graph = &recording.graph;
    let inputs = graph.inputs();
    let of_batch = parameters..inputs.len().saturating_sub(buffers);
    let is_float = |position: &usize| graph.value(inputs[*position]).kind() == Kind::Float;
    let floats: Vec<usize> = of_batch.clone().filter(is_float).collect();
    if floats.is_empty() {
        return Err(ObjectiveError::NoFloats.into());
    }
    let others = of_batch.filter(|position| !floats.contains(position));
    let order = (0..parameters).chain(floats.iter().copied()).chain(others);
    let order: Vec<ValueId> = order
        .chain(inputs.len() - buffers..inputs.len())
        .map(|position| inputs[position])
        .collect();
    Ok(Recording {
        graph: graph.clone().taking(order),
        parameters: parameters + floats.len(),
        // What must be so for the recording to apply was checked when the batch was taken.
        guards: Guards { graph: Graph::default(), expected: Vec::new() },
        ..recording.clone()
    })
}

/// A batch with other float tensors in the places of its own, in order.
pub(crate) fn with_floats<X: Batch, I: TensorBridge>(batch: X, floats: Vec<Operand<I>>) -> X {
    batch.map_tensors(&mut PlaceFloats { floats: floats.into_iter() })
}

struct PlaceFloats<I: Backend> {
    floats: std::vec::IntoIter<Operand<I>>,
}

impl<I: TensorBridge> BatchMapper for PlaceFloats<I> {
    fn map_float<const D: usize>(&mut self, tensor: Tensor<D>) -> Tensor<D> {
        self.floats.next().map_or(tensor, |float| Tensor::from_dispatch(I::into_dispatch(float)))
    }

    fn map_int<const D: usize>(&mut self, tensor: Tensor<D, Int>) -> Tensor<D, Int> {
        tensor
    }

    fn map_bool<const D: usize>(&mut self, tensor: Tensor<D, Bool>) -> Tensor<D, Bool> {
        tensor
    }
}
