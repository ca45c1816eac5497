//! Exact second-order information for models written in [Burn](burn), exactly as they are written for training.
//!
//! ```text
//! Hv = ∇²ℒ(θ)·v        (H + λI) x = b
//! ```
//!
//! A loss is recorded once; Burn's own autodiff differentiates the recording twice; what does not depend on v is
//! evaluated once, and only the rest runs again for every product. The recorded program runs on any Burn backend, in
//! f32 or f64. Public objects carry one type parameter, `B: AutodiffBackend`: the backend the model trains on, or
//! `Autodiff<Dispatch>` for 'whatever device my tensors are on', which nobody has to write down.
//!
//! # A tour
//!
//! **[`Objective`]** is ℒ(θ) on one batch: its value, gradient and Hessian-vector products.
//! [`Objective::over`] and [`Objective::over_stream`] extend it to a data set, with a memory budget and an observer of
//! its progress. [`Objective::capture`] makes one from a model, a [`Batch`] and a closure; [`CaptureConfig`] chooses the mode, the
//! [`Engine`] and a typed backend. Capturing compares the recorded gradient with Burn's `backward()` and refuses what it
//! cannot record faithfully with a [`CaptureError`].
//!
//! **[`ParamVector`]** is a vector shaped like the trainable parameters: arithmetic, from and to modules, gradients and
//! flat tensors. Its [`ParamSpace`] ([`ParamLayout`], device and [`Precision`]) makes vectors, random ones too, and
//! [`ParamSubset`] selects parameters.
//!
//! **[`LinearOperator`]** is a linear map known by its products; [`SelfAdjoint`] marks the symmetric ones.
//! [`Hessian`], [`GaussNewton`], [`Fisher`] (exact or by sampled targets), [`EmpiricalFisher`] and [`Jacobian`] are those
//! of an objective; [`Damped`], [`Scaled`], [`Sum`], [`Chain`], [`Restricted`], [`BlockDiagonal`], [`LowRank`],
//! [`Kronecker`], [`Dense`], [`Diagonal`] and others compose them, [`materialize`] computes the dense matrix of one, and
//! [`check_operator`] and [`check_self_adjoint`] test whether one is linear, deterministic and symmetric.
//!
//! **[`Kfac`]** approximates the Fisher matrix by a Kronecker product for every layer, which it finds in the recorded
//! program: factors, exact and factored damped inverses, and a [`KfacCoverage`] of what is made of each parameter.
//! [`Ekfac`] corrects the diagonal in its eigenbases.
//!
//! **[`LinearSolver`]** solves A x = b for a self-adjoint A: [`ConjugateGradient`], [`Minres`], [`Neumann`] and [`Nystrom`]
//! matrix-free, [`Lissa`] over mini-batches, [`Woodbury`] for low rank, [`Direct`] on the dense matrix.
//! A [`Solution`] comes with a [`SolveReport`]: why it stopped, the true
//! residual, estimates of the extreme eigenvalues, and one sentence of advice.
//!
//! **Spectra** of operators too large to write down: [`Lanczos`] finds eigenpairs at the ends, [`TraceEstimator`],
//! [`DiagonalEstimator`] and [`FrobeniusNorm`] estimate with a standard error, and a [`SpectralDensity`] says how all
//! eigenvalues are distributed, with log det(A + λI) and tr f(A) for any f.
//!
//! **[`KfacOptimizer`]** trains with it: the algorithm of Martens & Grosse, and a light mode for mini-batches with learning
//! rates, momentum and clipping; its natural gradient also goes into Burn's own optimizers. Its state, and that of [`Kfac`]
//! and [`Ekfac`], is saved to files of Burn's format.
//!
//! **[`Graph`]** is a recorded program; [`Objective::hessian_programs`] shows the derived ones, as a listing or for
//! Graphviz.
//!
//! # Example
//!
//! A damped Newton step on least squares lands close to the solution:
//!
//! ```
//! use burn::{module::Param, prelude::*};
//! use burn_curvature::{ConjugateGradientConfig, Hessian, LinearOperator, LinearSolver, Objective, StopReason};
//!
//! #[derive(Module, Debug)]
//! struct Line {
//!     w: Param<Tensor<2>>,
//! }
//!
//! # fn main() -> Result<(), burn_curvature::Error> {
//! let device = Device::default().autodiff();
//! let model = Line { w: Param::from_tensor(Tensor::zeros([2, 1], &device)) };
//! let x = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0], [-1.0, 1.0]], &device);
//! let y = Tensor::<2>::from_floats([[5.0], [11.0], [1.0]], &device); // y = x·(1, 2)
//!
//! let objective = Objective::capture(&model, (x, y), |model, (x, y)| {
//!     (x.matmul(model.w.val()) - y).powf_scalar(2.0).mean()
//! })?;
//! let hessian = Hessian::new(&objective)?.damped(1e-6)?;
//! let solution = ConjugateGradientConfig::new().init()?.solve(&hessian, &objective.gradient()?)?;
//! assert_eq!(solution.report.stop, StopReason::Converged);
//!
//! let model = solution.x.add_to(&model, -1.0)?; // θ − H⁻¹∇ℒ, a Burn module again
//! let w = model.w.val().into_data();
//! assert!(w.iter::<f64>().zip([1.0, 2.0]).all(|(w, truth)| (w - truth).abs() < 1e-3));
//! # Ok(())
//! # }
//! ```
//!
//! # How the crate is built
//!
//! A room (a folder of `src/`) imports from floors below its own only; `tests/house.rs` reads the imports and holds this
//! table.
//!
//! | floor | rooms | they hold |
//! |---|---|---|
//! | 0 | `error`, `panics` | one opaque error; panics caught |
//! | 1 | `config`, `seeds`, `tensor`, `state` | ranges of configurations; seeds derived from a seed; tensors of a typed backend and Burn's `Tensor<D>`; saved states |
//! | 2 | `graph`, `space` | the program as data, with its table of operations; θ-space: layouts, vectors, subsets |
//! | 3 | `execute`, `operator` | runs a program on any backend; linear maps between spaces |
//! | 4 | `capture`, `krylov` | from a Burn closure to a program; bases, tridiagonal matrices, counted products |
//! | 5 | `derive`, `spectrum` | programs of derivatives, likelihoods; eigenvalues |
//! | 6 | `objective`, `solver` | ℒ(θ) over batches and its products; A x = b |
//! | 7 | `curvature` | Hessian, Gauss-Newton, Fisher, Jacobian |
//! | 8 | `kfac` | layers, factors, inverses |
//! | 9 | `optim` | what A⁻¹b is wanted for |

mod capture;
mod config;
mod curvature;
mod derive;
mod error;
mod execute;
mod graph;
mod kfac;
mod krylov;
mod objective;
mod operator;
mod optim;
mod panics;
mod seeds;
mod solver;
mod space;
mod spectrum;
mod state;
mod tensor;

pub use capture::{Batch, BatchMapper, CaptureError, Captured, ImportError};
pub use config::ConfigError;
pub use curvature::{EmpiricalFisher, Fisher, GaussNewton, Hessian, Jacobian};
pub use derive::{DeriveError, Likelihood, LikelihoodError};
pub use error::Error;
pub use execute::ExecuteError;
pub use graph::{Graph, GraphError};
pub use kfac::{
    BlockComparison, CoverageEntry, Ekfac, EkfacLayer, EkfacState, EmbeddingPolicy, FactorSpectrum,
    Kfac, KfacApproximation, KfacConfig, KfacCoverage, KfacError, KfacFisher, KfacLayer, KfacState,
    KroneckerFactor, Treatment, UncoveredPolicy, WeightSharing,
};
pub use krylov::KrylovError;
pub use objective::{
    BatchError, CaptureConfig, Engine, FaithfulnessError, Mode, Objective, ObjectiveError,
    Progress, Reduction, ValueAndGradient,
};
pub use operator::{
    Adjoint, AssumeSelfAdjoint, BlockDamping, BlockDiagonal, Chain, Congruence, Counted,
    DEFAULT_SIZE_LIMIT, Damped, Damping, Dense, DenseMatrix, Diagonal, FiniteSum, FromFn, Identity,
    Kronecker, LinearOperator, LowRank, Mean, OperatorError, Restricted, Scaled, SelfAdjoint, Sum,
    SymmetricDense, Transposed, WithAdjoint, check_adjoint, check_operator, check_self_adjoint,
    diagonal, materialize, materialize_up_to,
};
pub use optim::{
    KfacInverse, KfacOptimizer, KfacOptimizerConfig, KfacOptimizerState, KfacStep, OptimizerError,
    StepRule,
};
pub use solver::{
    ConjugateGradient, ConjugateGradientConfig, Direct, DirectConfig, DirectMethod,
    ExtremeEigenvalues, Inverse, Iteration, Jacobi, LinearSolver, Lissa, LissaConfig, Method,
    MethodDetail, Minres, MinresConfig, NegativeCurvature, Neumann, NeumannConfig, NeumannScale,
    Nystrom, NystromApproximation, NystromConfig, OnFailedSolve, OnNegativeCurvature, Solution,
    SolveOptions, SolveReport, SolverError, StopReason, UnusedOption, Woodbury,
};
pub use space::{
    BlockDifference, DeviceScalar, ParamBlock, ParamError, ParamLayout, ParamSpace, ParamSubset,
    ParamVector, VectorError,
};
pub use spectrum::{
    DensityCurve, DensityEstimator, DensityEstimatorConfig, DiagonalEstimate, DiagonalEstimator,
    DiagonalEstimatorConfig, DiagonalMethod, Eigenpairs, EigenpairsReport, EigenpairsStop,
    Estimate, FrobeniusNorm, FrobeniusNormConfig, Lanczos, LanczosConfig, QuadratureRule,
    SpectralDensity, SpectrumEnd, SpectrumError, TraceEstimator, TraceEstimatorConfig, TraceMethod,
};
pub use state::SavedStateError;
pub use tensor::{Operand, Precision, TensorBridge, TensorError};

/// The code of the README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    #[test]
    fn the_readme_shows_the_example_as_it_is() {
        let example = include_str!("../examples/hessian_vector_product.rs");
        let code = example.split_once("\n\n").expect("a first line, then code").1;
        assert!(include_str!("../README.md").contains(code));
    }
}
