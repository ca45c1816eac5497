//! Spectra, on every backend of the default features.
#![allow(clippy::unwrap_used, clippy::panic, deprecated)]

mod common;
#[path = "failure/mod.rs"]
mod failure;

macro_rules! on_every_backend {
    ($($body:ident),* $(,)?) => {
        run_on!(ndarray = Autodiff<NdArray>, spectrum: $($body),*);
        run_on!(flex = Autodiff<Flex>, spectrum: $($body),*);
        run_on!(dispatch = Autodiff<Dispatch>, spectrum: $($body),*);
    };
}

on_every_backend!(
    ends_of_the_spectrum,
    largest_magnitude,
    multiple_eigenvalues,
    whole_spectrum,
    smallest_problems,
    small_subspace,
    start_is_random,
    eigenpairs_stop,
    eigenpairs_of_bad_input,
    lanczos_configurations,
    traces_are_near,
    exact_traces,
    traces_of_bad_input,
    frobenius_norms,
    diagonals_are_near,
    exact_diagonals,
    diagonals_of_bad_input,
    quadrature_rules,
    exact_densities,
    log_determinants,
    densities_of_bad_input,
    several_vectors_at_once,
);

// What hundreds of estimates say is the same on every backend.
run_on!(statistics = Autodiff<Flex>, spectrum:
    trace_error_bars,
    trace_methods_compared,
    diagonal_error_bars,
    density_curves,
    log_determinant_error_bars,
);
