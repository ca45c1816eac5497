//! Loss and gradient of models in training mode, as data-parallel training computes them.

use burn::module::Module;
use burn_backend::{AutodiffBackend, TensorMetadata, ops::FloatTensorOps};

use super::{Call, Extent, Found, Sent};
use crate::{
    capture::Batch,
    error::Error,
    objective::{Objective, ObjectiveError, ValueAndGradient},
    space::{Inner, InnerFloat},
    tensor::{Operand, TensorBridge},
};

impl<B: AutodiffBackend> Objective<B>
where
    B::InnerBackend: TensorBridge,
{
    /// The loss and gradient of Burn's own backward pass on a model as it is, on the batch that this objective has.
    ///
    /// Of a shared objective each rank runs its own batch, with the statistics of that batch and units that it drops by
    /// its own random numbers. Loss, gradient and the running statistics of the model are averaged with the weights of the
    /// batches, and the same on all ranks. On an error the running statistics are those from before. Collective: one
    /// message.
    ///
    /// # Errors
    /// As [`backward`](Self::backward); on all ranks if it failed on one.
    pub(crate) fn trained<M: Module + 'static, X: Batch + 'static>(
        &self,
        model: &M,
        batch: X,
    ) -> Result<ValueAndGradient<B>, Error> {
        if !self.is_shared() {
            return self.backward(model, batch);
        }
        let before = self.agreed(self.at_model(model))?;
        let own = before.backward(model, batch).and_then(|found| before.weighed_pass(model, found));
        let blocks = before.layout().blocks();
        let statistics = before.running_statistics();
        let sent = || {
            let gradient = blocks.iter().map(|block| block.shape().to_vec());
            let shapes = gradient.chain(statistics.iter().map(|it| it.shape().to_vec()));
            let extents = shapes.map(Extent::Whole).collect();
            Sent { call: Call::Gradient, vectors: &[], numbers: 2, extents }
        };
        let found = before.summed(sent, own).and_then(|found| before.mean_pass(model, found));
        if found.is_err() {
            before.values.buffers.give_running(model, &before.running_statistics())?;
        }
        found
    }

    /// The values of the running statistics.
    fn running_statistics(&self) -> Vec<InnerFloat<B>> {
        let values = self.values.buffers.values();
        let running = self.values.buffers.running().filter_map(|(at, _)| match values.get(at) {
            Some(Operand::Float(value)) => Some(value.clone()),
            _ => None,
        });
        running.collect()
    }

    /// What this rank's pass has found, times the weight of its batch: the loss and the weight, the gradient, and the running
    /// statistics that the model has now.
    fn weighed_pass<M: Module + 'static>(
        &self,
        model: &M,
        found: ValueAndGradient<B>,
    ) -> Result<Found<B>, Error> {
        let weight = self.of_first(|part| Ok(part.weight))?;
        let gradient = found.gradient.scale(weight).into_blocks();
        let statistics = self.at_model(model)?.running_statistics().into_iter();
        let statistics = statistics.map(|it| Inner::<B>::float_mul_scalar(it, weight.into()));
        let tensors = gradient.into_iter().chain(statistics).map(Some).collect();
        Ok(Found { numbers: vec![weight * found.value, weight], tensors })
    }

    /// The loss and gradient of all ranks; gives the model the mean of their running statistics.
    fn mean_pass<M: Module>(
        &self,
        model: &M,
        found: Found<B>,
    ) -> Result<ValueAndGradient<B>, Error> {
        let &[value, weight] = found.numbers.as_slice() else {
            return Err(ObjectiveError::NoBatches.into());
        };
        let mut gradient: Vec<_> = found.tensors.into_iter().flatten().collect();
        let statistics = gradient.split_off(self.layout().blocks().len());
        let gradient = self.parameters().space().from_blocks(gradient)?;
        gradient.expect_finite("the gradient")?;
        let mean = |sum| Inner::<B>::float_div_scalar(sum, weight.into());
        let statistics: Vec<_> = statistics.into_iter().map(mean).collect();
        self.values.buffers.give_running(model, &statistics)?;
        Ok(ValueAndGradient { value, gradient })
    }
}
