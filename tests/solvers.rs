//! Solvers, on every backend of the default features.
#![allow(clippy::unwrap_used, clippy::panic, deprecated)]

mod common;
#[path = "failure/mod.rs"]
mod failure;

macro_rules! on_every_backend {
    ($($body:ident),* $(,)?) => {
        run_on!(ndarray = Autodiff<NdArray>, solvers: $($body),*);
        run_on!(flex = Autodiff<Flex>, solvers: $($body),*);
        run_on!(dispatch = Autodiff<Dispatch>, solvers: $($body),*);
    };
}

on_every_backend!(
    positive_definite_systems,
    convergence_bound,
    few_eigenvalues,
    negative_curvature_stops,
    carried_through,
    small_networks,
    degenerate_systems,
    initial_guess,
    observed_objective,
    preconditioning,
    small_residual_large_error,
    stagnation,
    stagnation_window,
    breakdown,
    iteration_limit,
    relative_progress,
    residual_drift,
    residual_replacement,
    ritz_estimates,
    scale_invariance,
    bad_input,
    configurations,
    direct_solves,
    direct_singular,
    direct_many_and_limits,
    as_trait_objects,
    neumann_converges,
    neumann_terms,
    neumann_scaling,
    neumann_indefinite,
    neumann_preconditioned,
    neumann_edges,
    neumann_configurations,
    lissa_scatter,
    lissa_solves,
    lissa_depth,
    lissa_warns,
    lissa_diverges,
    lissa_edges,
    woodbury,
    nystrom_low_rank,
    nystrom_preconditioner,
    nystrom_approximates,
    nystrom_refuses,
    inverses,
    solvers_over_data,
    sample_gradients,
    direct_options,
    jacobi,
    lock_step,
    lock_step_contracts,
    trust_region_definite,
    trust_region_indefinite,
    trust_region_preconditioned,
    trust_region_contracts,
    minres_systems,
    minres_indefinite_diagonal,
    minres_small_networks,
    minres_bounds,
    minres_preconditioned,
    minres_degenerate,
    minres_scales,
    minres_stops,
    minres_stagnation_window,
    minres_small_residual_large_error,
    minres_bad_input,
    minres_singular,
    minres_singular_guess,
    minres_singular_ill_conditioned,
    minres_singular_preconditioned,
    minres_null_space,
);
