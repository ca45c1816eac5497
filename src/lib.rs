//! Second-order information for models written in Burn.
#![forbid(unsafe_code)]

mod bridge;
mod curvature;
mod derive;
mod error;
mod execute;
mod graph;
mod objective;
mod operator;
mod params;
mod solver;
mod trace;

pub use bridge::{BridgeError, TensorBridge};
pub use curvature::Hessian;
pub use derive::DeriveError;
pub use error::Error;
pub use execute::{ExecuteError, Operand};
pub use graph::{
    Binary, Comparison, Constant, Convolution, ConvolutionTranspose, Cumulative, Graph, GraphError, GridPadding,
    Interpolation, Kind, Literal, Node, Op, PoolWindow, Reduction, Softmax, SortOutputs, Split, Unary, ValueId,
    ValueType, WithRespectTo,
};
pub use objective::{Engine, Mode, Objective, ObjectiveError, TraceConfig, ValueAndGradient};
pub use trace::{Batch, BatchMapper, ImportError, TraceError, Traced};
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
