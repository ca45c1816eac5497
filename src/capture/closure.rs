//! A user's closure without its types, so that what records it is compiled once, with this crate.

use burn::{backend::DispatchTensor, module::Module, tensor::Device};

use super::{Batch, Captured, Loss, place::PlaceBatch};
use crate::space::{Replace, replace};

/// A closure that can be run on the model and the batch it was given for, with other tensors in both.
pub(crate) trait Run {
    /// Runs the closure, with the tensors of the batch and of the model replaced, those of the model by one after the other; the
    /// model is moved to a device after the first. Returns the outputs, if there are any, and the loss.
    fn run(
        &self,
        batch: PlaceBatch,
        device: &Device,
        model: &mut [&mut dyn Replace],
    ) -> (Option<DispatchTensor>, Loss);
}

/// A closure with the model and batch it is run on.
pub(crate) struct Closure<'a, M, X, L> {
    pub model: &'a M,
    pub batch: &'a X,
    pub loss: &'a L,
}

impl<M: Module, X: Batch, O: Captured, L: Fn(&M, X) -> O> Run for Closure<'_, M, X, L> {
    fn run(
        &self,
        mut batch: PlaceBatch,
        device: &Device,
        places: &mut [&mut dyn Replace],
    ) -> (Option<DispatchTensor>, Loss) {
        let batch = self.batch.clone().map_tensors(&mut batch);
        // `valid`, not `clone`: clones share their running statistics, and recording replaces them.
        let mut model = self.model.valid();
        for (position, place) in places.iter_mut().enumerate() {
            model = replace(model, &mut **place);
            if position == 0 {
                model = model.to_device(device);
            }
        }
        (self.loss)(&model, batch).into_parts()
    }
}
