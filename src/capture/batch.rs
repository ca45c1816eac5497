//! The data a model is evaluated on: the tensors of one batch, whatever their kinds, ranks and grouping.

use std::fmt::Display;

use burn::tensor::{Bool, Int, Tensor};

/// Receives every tensor of a [`Batch`] and puts another of the same kind and rank in its place.
pub trait BatchMapper {
    /// Records what a batch holds besides tensors: which variant, how many parts, a plain value.
    ///
    /// Batches with different notes are recorded separately. Your own batch types need it only for fields that are
    /// neither tensors nor of types that implement [`Batch`].
    fn note(&mut self, _part: &dyn Display) {}

    /// Replaces a float tensor.
    fn map_float<const D: usize>(&mut self, tensor: Tensor<D>) -> Tensor<D>;
    /// Replaces an int tensor.
    fn map_int<const D: usize>(&mut self, tensor: Tensor<D, Int>) -> Tensor<D, Int>;
    /// Replaces a bool tensor.
    fn map_bool<const D: usize>(&mut self, tensor: Tensor<D, Bool>) -> Tensor<D, Bool>;
}

/// The tensors a loss is evaluated on besides the parameters.
///
/// Implemented for tensors of any kind and rank, for tuples of up to twelve, arrays, `Vec`, `Option` and `()`, and for plain
/// values: `bool`, integers, floats and `String`. For a batch type of your own, map each field in a fixed order.
///
/// A recording is specific to the sizes of the tensors and to everything that is not a tensor: which options are present,
/// how long lists are, plain values. A batch that differs in any of these is recorded on first use. So put values that vary
/// from batch to batch into tensors. For a variant of your own enum, call [`BatchMapper::note`] with its name. A field that
/// is neither mapped nor noted must be the same in all batches.
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
            `burn_curvature::Batch` by calling `map_tensors` on each field"
)]
pub trait Batch: Clone + Send + 'static {
    /// The same batch with every tensor replaced by the mapper's, in a fixed order.
    #[must_use]
    fn map_tensors<M: BatchMapper>(self, mapper: &mut M) -> Self;

    /// The number of samples, if it is not the size of the first dimension of the first tensor: for batches that
    /// begin with a mask or put time first. Over a data set it is checked against what the loss divides by.
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
        mapper.note(&format_args!("list of {}", self.len()));
        self.into_iter().map(|part| part.map_tensors(mapper)).collect()
    }
}

impl<X: Batch> Batch for Option<X> {
    fn map_tensors<M: BatchMapper>(self, mapper: &mut M) -> Self {
        mapper.note(&if self.is_some() { "Some" } else { "None" });
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
batch_of_tuple!(A, B, C, D, E, F, G);
batch_of_tuple!(A, B, C, D, E, F, G, H);
batch_of_tuple!(A, B, C, D, E, F, G, H, I);
batch_of_tuple!(A, B, C, D, E, F, G, H, I, J);
batch_of_tuple!(A, B, C, D, E, F, G, H, I, J, K);
batch_of_tuple!(A, B, C, D, E, F, G, H, I, J, K, L);

/// Values that are not tensors are recorded as they are: another value is another recording.
macro_rules! batch_of_value {
    ($($value:ty),*) => {
        $(impl Batch for $value {
            fn map_tensors<M: BatchMapper>(self, mapper: &mut M) -> Self {
                mapper.note(&format_args!("{self:?}"));
                self
            }
        })*
    };
}

batch_of_value!(bool, i32, i64, u32, u64, usize, f32, f64, String);
