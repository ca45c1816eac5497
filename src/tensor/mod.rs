//! Tensors of a typed backend, and the bridge to Burn's run-time `Tensor<D>`. Depends on Burn alone.

mod bridge;
mod error;
#[cfg(feature = "flex")]
pub(crate) mod flex;
mod kind;
mod operand;
mod precision;
mod shape;
#[cfg(feature = "flex")]
pub(crate) mod spare;

pub use bridge::TensorBridge;
pub use error::TensorError;
pub use kind::{Kind, ValueType};
pub use operand::Operand;
pub use precision::Precision;
pub(crate) use shape::{has_shape, reshape};

use burn::backend::{Autodiff, Dispatch};

/// The backend of public types that name none: whatever device the tensors are on.
pub type DefaultBackend = Autodiff<Dispatch>;
