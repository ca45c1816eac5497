//! The one error type of the public interface; each room adds its own kind.

use crate::{bridge::BridgeError, execute::ExecuteError, graph::GraphError, trace::ImportError};

/// Everything that can go wrong.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program is not well formed.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A tensor lives on another backend.
    #[error(transparent)]
    Bridge(#[from] BridgeError),
    /// A program could not be run.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// A recording could not be imported.
    #[error(transparent)]
    Import(#[from] ImportError),
}
