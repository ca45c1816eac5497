//! Loss and gradient of models in training mode, as data-parallel training computes them.

use burn::module::Module;
use burn_backend::{AutodiffBackend, TensorMetadata, ops::FloatTensorOps};

use super::{Call, Contribution, Extent, Sent};
use crate::{
    capture::Batch,
    error::Error,
    objective::{Objective, ObjectiveError, ValueAndGradient, batches::Stated},
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
        let own = before.backward(model, batch);
        let own = own.and_then(|found| Ok((found, before.at_model(model)?)));
        let (found, statistics) = before.mean_pass(own);
        before.values.buffers.give_running(model, statistics)?;
        found
    }

    /// The loss and gradient of all ranks and the mean of their running statistics; those from before, if there is an error.
    /// Takes what this rank's pass has found, and the objective at the values that the model has after it.
    #[inline(never)]
    fn mean_pass(
        &self,
        own: Result<(ValueAndGradient<B>, Self), Error>,
    ) -> (Result<ValueAndGradient<B>, Error>, Vec<InnerFloat<B>>) {
        let (blocks, before) = (self.layout().blocks(), self.running_statistics());
        let sent = || {
            let gradient = blocks.iter().map(|block| block.shape().to_vec());
            let shapes = gradient.chain(before.iter().map(|it| it.shape().to_vec()));
            let extents = shapes.map(Extent::Whole).collect();
            Sent { call: Call::Gradient, vectors: &[], numbers: 2, extents }
        };
        let own = own.and_then(|(found, after)| self.weighed_pass(found, &after));
        match self.summed(sent, own).and_then(|found| self.divided_pass(found)) {
            Ok((found, statistics)) => (Ok(found), statistics),
            Err(error) => (Err(error), before),
        }
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
    /// statistics after it.
    fn weighed_pass(
        &self,
        found: ValueAndGradient<B>,
        after: &Self,
    ) -> Result<Contribution<B>, Error> {
        // Burn's loss is divided by what the closure stated; that of a part is not.
        let weight = self.of_first(|part| match part.stated {
            Stated::Mean { divisor } => Ok(part.weight * divisor),
            Stated::Nothing | Stated::Sum => Ok(part.weight),
        })?;
        let gradient = found.gradient.scale(weight).into_blocks();
        let statistics = after.running_statistics().into_iter();
        let statistics = statistics.map(|it| Inner::<B>::float_mul_scalar(it, weight.into()));
        let tensors = gradient.into_iter().chain(statistics).map(Some).collect();
        Ok(Contribution { numbers: vec![weight * found.value, weight], tensors })
    }

    /// The loss and gradient of all ranks, and the mean of their running statistics.
    fn divided_pass(
        &self,
        found: Contribution<B>,
    ) -> Result<(ValueAndGradient<B>, Vec<InnerFloat<B>>), Error> {
        let &[value, weight] = found.numbers.as_slice() else {
            return Err(ObjectiveError::NoBatches.into());
        };
        let mut gradient: Vec<_> = found.tensors.into_iter().flatten().collect();
        let statistics = gradient.split_off(self.layout().blocks().len()).into_iter();
        let gradient = self.parameters().space().from_blocks(gradient)?;
        gradient.expect_finite("the gradient")?;
        let mean = |sum| Inner::<B>::float_div_scalar(sum, weight.into());
        Ok((ValueAndGradient { value, gradient }, statistics.map(mean).collect()))
    }
}
