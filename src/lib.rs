//! Second-order information for models written in Burn.
#![forbid(unsafe_code)]

mod bridge;
mod error;
mod execute;
mod graph;

pub use bridge::{BridgeError, TensorBridge};
pub use error::Error;
pub use execute::{ExecuteError, Operand};
pub use graph::{Graph, GraphError};
