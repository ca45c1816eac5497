//! Exact second-order information for models written in [Burn](burn), exactly as they are written for training.
//!
//! ```text
//! Hv = ∇²ℒ(θ)·v        (H + λI) x = b
//! ```
//!
//! A loss is recorded once, and Burn's own autodiff differentiates the recording twice. The part that does not depend on v
//! is evaluated once, and only the rest runs for every product. The recorded program runs on any Burn backend, in
//! f32 or f64. Public types carry one type parameter, `B: AutodiffBackend`, the backend the model trains on. Its default,
//! [`backend::DefaultBackend`], follows the device of the tensors, so that few programs need to name a backend.
//!
//! # A tour
//!
//! **[`Objective`]** is ℒ(θ) on one batch: its value, gradient and Hessian-vector products. [`Objective::over`] and
//! [`Objective::over_stream`] extend it to a data set, with a memory budget and an observer of its progress.
//! [`Objective::capture`] makes one from a model, a [`Batch`] and a closure; [`CaptureConfig`] chooses the mode, the
//! [`Engine`] and a typed backend. [`Objective::at_model`] takes parameters and running statistics from a model.
//! Capturing compares the recorded gradient with Burn's `backward()`, and returns a
//! [`CaptureError`](errors::CaptureError) for what it cannot record faithfully.
//!
//! **[`ParamVector`]** is a vector shaped like the trainable parameters: arithmetic, and conversion from and to
//! modules, gradients and flat tensors. Its [`ParamSpace`] ([`ParamLayout`], device and [`Precision`]) makes vectors,
//! including random ones; [`ParamSubset`] selects parameters.
//!
//! **[`LinearOperator`]** is a linear map defined by its products with vectors; [`SelfAdjoint`] marks the symmetric
//! ones. [`Hessian`], [`GaussNewton`], [`Fisher`] (exact or by sampled targets), [`EmpiricalFisher`] and [`Jacobian`]
//! are those of an objective; [`Damped`](operator::Damped), [`Scaled`](operator::Scaled), [`Sum`](operator::Sum),
//! [`Chain`](operator::Chain), [`Restricted`](operator::Restricted), [`BlockDiagonal`](operator::BlockDiagonal),
//! [`LowRank`](operator::LowRank), [`Kronecker`](operator::Kronecker), [`Dense`](operator::Dense),
//! [`Diagonal`](operator::Diagonal) and others combine them. [`materialize`] computes the dense matrix of an operator,
//! and [`check_operator`](operator::check_operator) and [`check_self_adjoint`](operator::check_self_adjoint) test
//! whether it is linear, deterministic and symmetric.
//!
//! **[`Kfac`]** approximates the Fisher matrix by a Kronecker product for each layer, which it finds in the recorded
//! program: factors, exact and factored damped inverses, and a [`KfacCoverage`](kfac::KfacCoverage) that lists how each
//! parameter is approximated.
//! [`Ekfac`] replaces the eigenvalues by the best diagonal in the same eigenbases.
//!
//! **[`LinearSolver`]** solves A x = b for a self-adjoint A: [`ConjugateGradient`](solver::ConjugateGradient),
//! [`Minres`](solver::Minres), [`Neumann`](solver::Neumann) and [`Nystrom`](solver::Nystrom) matrix-free,
//! [`Lissa`](solver::Lissa) on mini-batches, [`Woodbury`](solver::Woodbury) for a low rank, [`Direct`](solver::Direct)
//! on the dense matrix. A [`Solution`] comes with a [`SolveReport`]: why the solver stopped, the true residual,
//! estimates of the extreme eigenvalues, and one sentence of advice.
//!
//! **Spectra** of operators too large to write down: [`Lanczos`](spectrum::Lanczos) finds eigenpairs at the ends of the
//! spectrum; [`TraceEstimator`](spectrum::TraceEstimator), [`DiagonalEstimator`](spectrum::DiagonalEstimator) and
//! [`FrobeniusNorm`](spectrum::FrobeniusNorm) estimate traces, diagonals and norms with a standard error; a
//! [`SpectralDensity`](spectrum::SpectralDensity) says how all eigenvalues are distributed, with log det(A + λI) and tr
//! f(A) for any f.
//!
//! **[`KfacOptimizer`]** trains with K-FAC: the algorithm of Martens & Grosse, and a light mode for mini-batches with
//! learning rates, momentum and clipping; its natural gradient can also feed Burn's own optimizers. Its state, and that
//! of [`Kfac`] and [`Ekfac`], can be saved to files in Burn's format.
//!
//! **[`NewtonOptimizer`](optim::NewtonOptimizer)** combines a direction with a rule for the length of the step. Its
//! presets are [Newton-CG](optim::NewtonCgConfig), [trust regions](optim::TrustRegionNewtonConfig),
//! [LiSSA](optim::LissaNewtonConfig), [Hessian-free](optim::HessianFreeConfig) and
//! [Levenberg–Marquardt](optim::LevenbergMarquardtConfig). Every step reports its verdict, and a step that raises the
//! loss is never taken silently.
//!
//! **[`Influence`](influence::Influence)** functions predict how a prediction would change if a training sample were left
//! out, with any estimator of A⁻¹; [`truth`](influence::truth) compares scores with retrainings, and
//! [`store`](influence::store) writes scores that do not fit in memory to a file.
//!
//! **[`ImplicitFunction`](implicit::ImplicitFunction)** is θ*(η), the minimizer of an inner objective as a function of
//! hyperparameters, with its tangents and adjoints; a [`Hypergradient`](implicit::Hypergradient) is the derivative of an
//! outer objective through it, with a bound on its error.
//!
//! **[`CurvatureCheck`](check::CurvatureCheck)** checks all of this on your own model, batch and backend against finite
//! differences, Burn's gradient and the gradients of single samples, and prints a table of ✓ and ✗ with what each ✗
//! means.
//!
//! **[`communicator`]** connects threads or MPI processes: [`Objective::shared`] makes ℒ(θ) the loss over the batches of all
//! of them, and operators, solvers and optimizers work on it unchanged.
//!
//! **[`Graph`](program::Graph)** is a recorded program; [`Objective::hessian_programs`] shows the programs derived from
//! it, as a listing or for Graphviz.
//!
//! The [`guide`] goes through the choices one by one: matrix, solver, damping, memory, data sets, devices, errors, and
//! the names that PyTorch and JAX use.
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
//! | 0 | `error`, `guide`, `panics`, `parallel` | one opaque error; the guide, which is text; panics caught; work on all threads |
//! | 1 | `config`, `seeds`, `tensor`, `state`, `communicator` | ranges of configurations; seeds derived from a seed; tensors of a typed backend and Burn's `Tensor<D>`; saved states; sums over processes |
//! | 2 | `graph`, `space` | the program as data, with its table of operations; θ-space: layouts, vectors, subsets |
//! | 3 | `execute`, `operator` | runs a program on any backend; linear maps between spaces |
//! | 4 | `capture`, `krylov` | from a Burn closure to a program; bases, tridiagonal matrices, counted products |
//! | 5 | `derive`, `spectrum` | programs of derivatives, likelihoods; eigenvalues |
//! | 6 | `objective`, `solver` | ℒ(θ) over batches and its products; A x = b |
//! | 7 | `curvature` | Hessian, Gauss-Newton, Fisher, Jacobian |
//! | 8 | `kfac` | layers, factors, inverses |
//! | 9 | `check`, `implicit`, `influence`, `optim` | a check of all derivatives on a user's model; the uses of A⁻¹b |
//! | 10 | `compiled` | what is compiled once, with this crate |

mod capture;
pub mod check;
pub mod communicator;
#[cfg(not(test))]
mod compiled;
mod config;
mod curvature;
mod derive;
mod error;
mod execute;
mod graph;
pub mod guide;
pub mod implicit;
pub mod influence;
pub mod kfac;
mod krylov;
mod objective;
pub mod operator;
pub mod optim;
mod panics;
mod parallel;
mod seeds;
pub mod solver;
mod space;
pub mod spectrum;
mod state;
mod tensor;

pub use capture::{Batch, BatchMapper, Captured, Loss};
pub use curvature::{EmpiricalFisher, Fisher, GaussNewton, Hessian, Jacobian};
pub use derive::Likelihood;
pub use error::Error;
pub use kfac::{Ekfac, Kfac, KfacConfig};
pub use objective::{
    CaptureConfig, Engine, Mode, Objective, Progress, Reduction, ValueAndGradient,
};
pub use operator::{Adjoint, FiniteSum, LinearOperator, SelfAdjoint, materialize};
pub use optim::{KfacOptimizer, KfacOptimizerConfig};
pub use solver::{
    ConjugateGradientConfig, DirectConfig, LinearSolver, MinresConfig, NeumannConfig, Solution,
    SolveOptions, SolveReport, StopReason,
};
pub use space::{DeviceScalar, ParamBlock, ParamLayout, ParamSpace, ParamSubset, ParamVector};
pub use spectrum::{LanczosConfig, TraceEstimatorConfig};
pub use tensor::Precision;

/// The backends that programs run on.
pub mod backend {
    pub use crate::{
        derive::ProgramBackend,
        tensor::{DefaultBackend, Operand, TensorBridge},
    };
}

/// The kinds of [`Error`], for [`Error::downcast_ref`].
pub mod errors {
    pub use crate::{
        capture::{CaptureError, ImportError},
        communicator::CommunicatorError,
        config::ConfigError,
        derive::{DeriveError, LikelihoodError},
        execute::ExecuteError,
        graph::GraphError,
        implicit::ImplicitError,
        influence::{InfluenceError, store::StoreError, truth::TruthError},
        kfac::KfacError,
        krylov::KrylovError,
        objective::{BatchError, FaithfulnessError, ObjectiveError, SharedError},
        operator::OperatorError,
        optim::OptimizerError,
        solver::SolverError,
        space::{BlockDifference, ParamError, VectorError},
        spectrum::SpectrumError,
        state::SavedStateError,
        tensor::TensorError,
    };
}

/// Recorded programs, to be read.
pub mod program {
    pub use crate::graph::Graph;
}

/// What most programs need: `use burn_curvature::prelude::*;`
pub mod prelude {
    pub use crate::{
        Adjoint, Error, FiniteSum, LinearOperator, LinearSolver, Objective, ParamVector,
        SelfAdjoint,
    };
}

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
