//! Second-order information for models written in Burn.

mod bridge;
mod derive;
mod error;
mod execute;
mod graph;
mod trace;

pub use bridge::{BridgeError, TensorBridge};
pub use error::Error;
pub use execute::{ExecuteError, Operand};
pub use graph::{Graph, GraphError};
pub use trace::ImportError;
