//! Second-order information for models written in Burn.

mod bridge;
mod error;
mod execute;
mod graph;
mod operator;
mod params;
mod solver;

pub use bridge::{BridgeError, TensorBridge};
pub use error::Error;
pub use execute::{ExecuteError, Operand};
pub use graph::{Graph, GraphError};
pub use operator::{
    AssumeSelfAdjoint, Counted, DEFAULT_SIZE_LIMIT, Damped, Dense, DenseMatrix, Diagonal, FromFn,
    Identity, LinearOperator, OperatorError, Restricted, Scaled, SelfAdjoint, Sum, SymmetricDense,
    materialise, materialise_up_to,
};
pub use params::{
    BlockDifference, DeviceScalar, ParamBlock, ParamError, ParamLayout, ParamSubset, ParamVector,
    Precision, VectorError,
};
pub use solver::{
    ConfigError, ConjugateGradient, ConjugateGradientConfig, Direct, DirectConfig, DirectMethod,
    Iteration, LinearSolver, Method, NegativeCurvature, OnNegativeCurvature, Solution,
    SolveOptions, SolveReport, SolverError, Spectrum, StopReason,
};
