//! Tensors of a typed backend, and the bridge to Burn's run-time `Tensor<D>`. Depends on Burn alone.

mod bridge;
mod error;
mod kind;
mod operand;
mod precision;

pub use bridge::TensorBridge;
pub use error::TensorError;
pub use kind::{Kind, ValueType};
pub use operand::Operand;
pub use precision::Precision;

use burn::backend::{Autodiff, Dispatch};

/// The backend of public types that name none: whatever device the tensors are on.
pub type DefaultBackend = Autodiff<Dispatch>;
