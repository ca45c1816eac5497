//! The one error type of the public interface; each room adds its own kind.

use crate::{
    application::ApplicationError,
    bridge::BridgeError,
    burnpack::SavedStateError,
    derive::DeriveError,
    execute::ExecuteError,
    graph::GraphError,
    objective::ObjectiveError,
    operator::OperatorError,
    params::{ParamError, VectorError},
    solver::{ConfigError, SolverError},
    spectrum::SpectrumError,
    trace::TraceError,
};

/// Everything that can go wrong.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A model or loss cannot be recorded.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// A program is not well formed.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A program has no second derivative.
    #[error(transparent)]
    Derive(#[from] DeriveError),
    /// A tensor lives on another backend.
    #[error(transparent)]
    Bridge(#[from] BridgeError),
    /// A program could not be run.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// A model and a vector do not fit.
    #[error(transparent)]
    Param(#[from] ParamError),
    /// Vectors do not fit, or hold what they must not.
    #[error(transparent)]
    Vector(#[from] VectorError),
    /// An objective has numbers that cannot be worked with.
    #[error(transparent)]
    Objective(#[from] ObjectiveError),
    /// An operator was built or used against its contract.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// A configuration is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A system of equations cannot be solved as asked.
    #[error(transparent)]
    Solver(#[from] SolverError),
    /// A spectrum cannot be estimated as asked.
    #[error(transparent)]
    Spectrum(#[from] SpectrumError),
    /// An application cannot work as asked.
    #[error(transparent)]
    Application(#[from] ApplicationError),
    /// A saved state cannot be written or read.
    #[error(transparent)]
    SavedState(#[from] SavedStateError),
}
