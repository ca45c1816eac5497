//! Solvers, on every backend of the default features.
#![allow(clippy::unwrap_used, clippy::panic, deprecated)]

mod common;

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
);
