//! What a model is evaluated on: the tensors of one batch, whatever their kinds, ranks and grouping.

use burn::tensor::{Bool, Int, Tensor};

/// Receives every tensor of a [`Batch`] and puts another of the same kind and rank in its place.
pub trait BatchMapper {
    /// Replaces a float tensor.
    fn map_float<const D: usize>(&mut self, tensor: Tensor<D>) -> Tensor<D>;
    /// Replaces an int tensor.
    fn map_int<const D: usize>(&mut self, tensor: Tensor<D, Int>) -> Tensor<D, Int>;
    /// Replaces a bool tensor.
    fn map_bool<const D: usize>(&mut self, tensor: Tensor<D, Bool>) -> Tensor<D, Bool>;
}

/// The tensors a loss is evaluated on besides the parameters.
///
/// Implemented for tensors of any kind and rank, for tuples, arrays, `Vec`, `Option` and `()`. For a batch type of
/// your own, map each tensor field. Fields that are not tensors are part of the recording: a later batch is evaluated
/// with those of the batch that was captured, so put values that vary into tensors.
///
/// ```
/// use burn::prelude::*;
/// use burn_curvature::{Batch, BatchMapper};
///
/// #[derive(Clone)]
/// struct Images {
///     pixels: Tensor<3>,
///     labels: Tensor<1, Int>,
/// }
///
/// impl Batch for Images {
///     fn map_tensors<M: BatchMapper>(self, mapper: &mut M) -> Self {
///         Self { pixels: self.pixels.map_tensors(mapper), labels: self.labels.map_tensors(mapper) }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a batch of tensors",
    label = "not a `Batch`",
    note = "hand tensors over by value, alone or in tuples, arrays, `Vec` or `Option`; for a type of your own, implement \
            `burn_curvature::Batch` by calling `map_tensors` on each field that holds tensors"
)]
pub trait Batch: Clone {
    /// The same batch with every tensor replaced by the mapper's, in a fixed order.
    #[must_use]
    fn map_tensors<M: BatchMapper>(self, mapper: &mut M) -> Self;

    /// The number of samples, if it is not the size of the first dimension of the first tensor: for batches that
    /// begin with a mask or put time first. It weighs the batches of a data set, and is not checked.
    fn samples(&self) -> Option<usize> {
        None
    }
}

impl<const D: usize> Batch for Tensor<D> {
    fn map_tensors<M: BatchMapper>(self, mapper: &mut M) -> Self {
        mapper.map_float(self)
    }
}

impl<const D: usize> Batch for Tensor<D, Int> {
    fn map_tensors<M: BatchMapper>(self, mapper: &mut M) -> Self {
        mapper.map_int(self)
    }
}

impl<const D: usize> Batch for Tensor<D, Bool> {
    fn map_tensors<M: BatchMapper>(self, mapper: &mut M) -> Self {
        mapper.map_bool(self)
    }
}

impl<X: Batch> Batch for Vec<X> {
    fn map_tensors<M: BatchMapper>(self, mapper: &mut M) -> Self {
        self.into_iter().map(|part| part.map_tensors(mapper)).collect()
    }
}

impl<X: Batch> Batch for Option<X> {
    fn map_tensors<M: BatchMapper>(self, mapper: &mut M) -> Self {
        self.map(|part| part.map_tensors(mapper))
    }
}

impl<X: Batch, const N: usize> Batch for [X; N] {
    fn map_tensors<M: BatchMapper>(self, mapper: &mut M) -> Self {
        self.map(|part| part.map_tensors(mapper))
    }
}

macro_rules! batch_of_tuple {
    ($($part:ident),*) => {
        impl<$($part: Batch),*> Batch for ($($part,)*) {
            #[allow(non_snake_case, unused_variables, clippy::unused_unit)]
            fn map_tensors<M: BatchMapper>(self, mapper: &mut M) -> Self {
                let ($($part,)*) = self;
                ($($part.map_tensors(mapper),)*)
            }
        }
    };
}

batch_of_tuple!();
batch_of_tuple!(A);
batch_of_tuple!(A, B);
batch_of_tuple!(A, B, C);
batch_of_tuple!(A, B, C, D);
batch_of_tuple!(A, B, C, D, E);
batch_of_tuple!(A, B, C, D, E, F);

/// What a captured closure returns: the loss alone, or `(outputs, loss)`.
///
/// The outputs z are recorded so that Gauss-Newton products know where the model ends and the loss begins; a Hessian
/// does not need them.
#[diagnostic::on_unimplemented(
    message = "a captured closure cannot return `{Self}`",
    note = "return the loss, a `Tensor<1>`, or the model's outputs and then the loss: `(outputs, loss)`"
)]
pub trait Captured {
    /// The outputs, if there are any, and the loss.
    fn into_parts(self) -> (Option<burn::backend::DispatchTensor>, Tensor<1>);
}

impl Captured for Tensor<1> {
    fn into_parts(self) -> (Option<burn::backend::DispatchTensor>, Tensor<1>) {
        (None, self)
    }
}

impl<const D: usize> Captured for (Tensor<D>, Tensor<1>) {
    fn into_parts(self) -> (Option<burn::backend::DispatchTensor>, Tensor<1>) {
        (Some(self.0.into_dispatch()), self.1)
    }
}
