//! θ-space: vectors shaped like a model's trainable parameters. Depends on Burn's modules, tensors and gradients;
//! independent of losses, operators and solvers.
//!
//! [`ParamLayout`] lists the parameters with their names, shapes and order. [`ParamSpace`] is a layout on a device in a
//! precision, and makes vectors. [`ParamVector`] holds one number per element of them, with the arithmetic of a vector;
//! `elements` says in which tensors.
//! [`DeviceScalar`] is a number that stays on the device. [`ParamSubset`] selects some of the parameters.

mod algebra;
mod changes;
mod compare;
mod elements;
mod error;
mod expect;
mod flat;
mod gradients;
mod host;
mod layout;
mod model;
mod norms;
mod param_space;
mod random;
mod scalar;
mod stacked;
mod subset;
mod sums;
mod vector;

pub use compare::BlockDifference;
pub use error::{ParamError, VectorError};
pub use layout::{ParamBlock, ParamLayout};
pub use param_space::ParamSpace;
pub use scalar::DeviceScalar;
pub use subset::ParamSubset;
pub use vector::ParamVector;

pub(crate) use host::is_processor;
pub(crate) use model::{
    Buffers, LocatedTensor, Place, Replace, Visit, any_rank, float_places, replace, visit,
};
pub(crate) use scalar::read_tensor;
pub(crate) use stacked::{stacked, stacked_vectors, unstacked, unstacked_vectors};
pub(crate) use sums::sum;

use burn_backend::{AutodiffBackend, BackendTypes};

use crate::tensor::Precision;

/// The backend on which the values of `B` live, without autodiff.
pub(crate) type Inner<B> = <B as AutodiffBackend>::InnerBackend;

/// A tensor of floats on [`Inner`].
pub(crate) type InnerFloat<B> = <Inner<B> as BackendTypes>::FloatTensorPrimitive;
