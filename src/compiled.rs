//! The functions that programs call, compiled for `Dispatch` with this crate.
//!
//! A function that is generic over the backend is compiled in the crate that calls it: a program that captures one loss would
//! compile half of this crate again. But a generic function that is never inlined (`#[inline(never)]`) is taken from a crate
//! that has compiled it before. So the functions that lead into the rooms are never inlined, and those that are named here, with
//! all that they call, are compiled for [`DefaultBackend`] here. For other backends, and by compilers that do not share such
//! functions, they are compiled where they are called; nothing else changes.
//!
//! Functions that are generic over a model, batch or closure only pass it on; they are named for one of each kind, for the sake
//! of what they call.

#![allow(
    dead_code,
    reason = "nothing calls these functions; they are compiled because a static refers to them"
)]

use std::hint::black_box;

#[cfg(feature = "ndarray")]
use burn::backend::Autodiff;
use burn::{
    module::Param,
    tensor::{Bool, Int, Tensor},
};
use burn_backend::AutodiffBackend;

use crate::{
    check::CurvatureCheck,
    curvature::{EmpiricalFisher, Fisher, GaussNewton, Hessian, Jacobian},
    derive::ProgramBackend,
    implicit::{ImplicitConfig, ImplicitFunction},
    influence::{Influence, InfluenceConfig},
    kfac::{Ekfac, Kfac, KfacConfig},
    objective::{Objective, Reduction},
    operator::{Adjoint, FiniteSum, LinearOperator},
    optim::{KfacOptimizer, NewtonOptimizer, NewtonOptimizerConfig},
    solver::{ConjugateGradient, Direct, LinearSolver, Lissa, Minres, Neumann, Nystrom, Woodbury},
    space::{DeviceScalar, ParamSpace, ParamSubset, ParamVector},
    spectrum::{DensityEstimator, DiagonalEstimator, FrobeniusNorm, Lanczos, TraceEstimator},
    tensor::DefaultBackend,
};

/// Builds with `ndarray` compare backends, as the tests do: there the typed ones are compiled here too.
#[allow(deprecated, reason = "NdArray is deprecated in Burn 0.22, not gone")]
static _COMPILED: &[fn()] = &[
    functions::<DefaultBackend>,
    #[cfg(feature = "ndarray")]
    functions::<Autodiff<burn::backend::NdArray>>,
    #[cfg(all(feature = "ndarray", feature = "flex"))]
    functions::<Autodiff<burn::backend::Flex>>,
];

type Model = Param<Tensor<1>>;
type Batch = (Floats, Ints, Bools);
type Floats = (Tensor<1>, Tensor<2>, Tensor<3>, Tensor<4>);
type Ints = (Tensor<1, Int>, Tensor<2, Int>, Tensor<3, Int>);
type Bools = (Tensor<1, Bool>, Tensor<2, Bool>, Tensor<3, Bool>);
type Closure = fn(&Model, Batch) -> Tensor<1>;

/// Functions that are generic over the backend alone, by their types.
macro_rules! addresses {
    ($($owner:ty: $($function:ident $(::<$($of:ty),+>)?)+;)+) => {
        black_box([$($(<$owner>::$function$(::<$($of),+>)? as *const (),)+)+])
    };
}

fn functions<B: AutodiffBackend>()
where
    B::InnerBackend: ProgramBackend,
{
    vectors::<B>();
    objectives::<B>();
    solvers_and_factors::<B>();
    applications::<B>();
}

fn vectors<B: AutodiffBackend>()
where
    B::InnerBackend: ProgramBackend,
{
    addresses! {
        ParamVector<B>:
            add sub mul neg scale axpy scale_device axpy_device aypx_device dot_device dot norm largest
            expect_finite from_blocks with_layout to_vec cast to_tensor from_tensor into_gradients;
        ParamSpace<B>:
            new flat cast with_layout restricted full vector from_blocks rademacher normal;
        DeviceScalar<B>: new add sub mul div neg sqrt read read_many;
    };
    black_box([
        ParamSubset::restrict::<B> as *const (),
        ParamSubset::embed::<B> as *const (),
        ParamVector::<B>::from_module::<Model> as *const (),
        ParamVector::<B>::write_to::<Model> as *const (),
        ParamVector::<B>::add_to::<Model> as *const (),
        ParamVector::<B>::from_gradients::<Model> as *const (),
        ParamVector::<B>::from_backward::<Model> as *const (),
    ]);
}

fn objectives<B: AutodiffBackend>()
where
    B::InnerBackend: ProgramBackend,
{
    addresses! {
        Objective<B>:
            value value_and_gradient hessian_vector_product prepare outputs without_loss_check with_engine
            with_memory_budget at at_keeping_buffers loss_program gradient_program hessian_programs
            gauss_newton_programs hessian_program_for gauss_newton_program_for in_precision;
        GaussNewton<B>: new;
        Fisher<B>: exact monte_carlo;
        EmpiricalFisher<B>: new;
        Jacobian<B>: new;
    };
    black_box([
        <Hessian<B> as LinearOperator<B>>::apply_many as *const (),
        <Hessian<B> as FiniteSum<B>>::apply_term as *const (),
        <Jacobian<B> as LinearOperator<B>>::apply_many as *const (),
        <Jacobian<B> as Adjoint<B>>::apply_adjoint_many as *const (),
        Objective::<B>::capture_with::<Model, Batch, Tensor<1>, Closure> as *const (),
        Objective::<B>::at_model::<Model> as *const (),
        Objective::<B>::on::<Batch> as *const (),
        over::<B> as *const (),
    ]);
}

fn solvers_and_factors<B: AutodiffBackend>()
where
    B::InnerBackend: ProgramBackend,
{
    addresses! {
        KfacConfig: init::<B> init_with_gradient::<B> init_ekfac::<B>;
        Kfac<B>: inverse factored_inverse square_root trace frobenius_norm log_determinant;
        Ekfac<B>: from_kfac updated inverse square_root trace frobenius_norm log_determinant;
        Woodbury<B>: solve;
        Lissa: solve_with::<B>;
    };
    black_box([
        <ConjugateGradient as LinearSolver<B>>::solve_with as *const (),
        <ConjugateGradient as LinearSolver<B>>::solve_many_with as *const (),
        <Minres as LinearSolver<B>>::solve_with as *const (),
        <Neumann as LinearSolver<B>>::solve_with as *const (),
        <Neumann as LinearSolver<B>>::solve_many_with as *const (),
        <Nystrom as LinearSolver<B>>::solve_with as *const (),
        <Nystrom as LinearSolver<B>>::solve_many_with as *const (),
        <Direct as LinearSolver<B>>::solve_with as *const (),
        <Direct as LinearSolver<B>>::solve_many_with as *const (),
    ]);
}

fn applications<B: AutodiffBackend>()
where
    B::InnerBackend: ProgramBackend,
{
    addresses! {
        Lanczos: eigenpairs::<B>;
        TraceEstimator: estimate::<B>;
        DiagonalEstimator: estimate::<B>;
        DensityEstimator: estimate::<B>;
        FrobeniusNorm: estimate_square::<B>;
        CurvatureCheck: run::<B>;
        NewtonOptimizerConfig: init::<B>;
        InfluenceConfig: init::<B>;
        Influence<B>: training_losses self_influence influence_step newton_step;
        ImplicitConfig: init::<B>;
        ImplicitFunction<B>: tangent tangents adjoint adjoints;
    };
    black_box([
        KfacOptimizer::<B>::step::<Model, Batch> as *const (),
        KfacOptimizer::<B>::transform::<Model, Batch> as *const (),
        NewtonOptimizer::<B>::step::<Model, Batch> as *const (),
        scores::<B> as *const (),
    ]);
}

fn scores<B: AutodiffBackend>(influence: &Influence<B>, query: &Objective<B>) -> bool {
    influence.scores(query).is_ok()
}

fn over<B: AutodiffBackend>(objective: &Objective<B>, batches: Vec<Batch>) -> bool
where
    B::InnerBackend: ProgramBackend,
{
    let kept = objective.over(batches.clone(), Reduction::Mean);
    let streamed = objective
        .over_stream(Reduction::Mean, move |visit| batches.iter().cloned().try_for_each(visit));
    kept.and(streamed).and_then(|objective| objective.reduced_by(Reduction::Mean)).is_ok()
}
