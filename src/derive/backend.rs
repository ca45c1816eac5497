//! The backends that programs run on, each with its table of operations.
//!
//! The tables are compiled here, once per backend, and reached through pointers: a program that uses this crate compiles
//! none of them again.

use burn::backend::Dispatch;
use burn_backend::{Backend, tensor::FloatTensor};

use super::{DeriveError, Product, ProductInputs, eager_product};
use crate::{
    error::Error,
    execute::{self, Apply},
    graph::Graph,
    tensor::TensorBridge,
};

/// A backend that recorded programs run on.
///
/// Implemented for each backend that a feature of this crate switches on, and always for `Dispatch`, which means
/// 'whatever device the tensor is on'.
pub trait ProgramBackend: TensorBridge + sealed::HasKernels {}

impl<B: TensorBridge + sealed::HasKernels> ProgramBackend for B {}

mod sealed {
    use burn_backend::Backend;

    pub trait HasKernels: Backend {
        fn kernels() -> super::Kernels<Self>;
    }
}

/// Computes a product at once, on the backend's tape.
type Eager<B> = fn(Product, &Graph, ProductInputs<'_, B>) -> Result<Vec<FloatTensor<B>>, Error>;

/// How a backend runs programs.
pub struct Kernels<B: Backend> {
    pub(crate) apply: Apply<B>,
    pub(crate) eager: Eager<B>,
}

impl<B: Backend> Clone for Kernels<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Kernels<B> {}

impl<B: Backend> Kernels<B> {
    /// Those of a backend.
    pub(crate) fn of() -> Self
    where
        B: ProgramBackend,
    {
        B::kernels()
    }
}

impl sealed::HasKernels for Dispatch {
    #[inline(never)] // An inlined body would have its functions compiled where it is inlined.
    fn kernels() -> Kernels<Self> {
        Kernels { apply: execute::apply::<Self>, eager: no_tape_over_another }
    }
}

/// Burn's tape over `Dispatch` cannot itself be put on a tape.
fn no_tape_over_another(
    _: Product,
    _: &Graph,
    _: ProductInputs<'_, Dispatch>,
) -> Result<Vec<FloatTensor<Dispatch>>, Error> {
    let message = "`Dispatch` does not support one tape over another".into();
    Err(DeriveError::Eager { message }.into())
}

/// Those of a backend whose tape can be put on another.
#[allow(dead_code, reason = "no backend is switched on in a build without their features")]
fn typed<B: TensorBridge>() -> Kernels<B> {
    Kernels { apply: execute::apply::<B>, eager: eager_product::<B> }
}

#[allow(unused_macros, reason = "as above")]
macro_rules! typed_kernels {
    ($backend:ty) => {
        #[allow(deprecated)] // NdArray is deprecated in Burn 0.22, not gone.
        impl sealed::HasKernels for $backend {
            #[inline(never)]
            fn kernels() -> Kernels<Self> {
                typed()
            }
        }
    };
}

#[cfg(feature = "flex")]
typed_kernels!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
typed_kernels!(burn::backend::NdArray);
#[cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm"))]
typed_kernels!(burn::backend::Cube);
