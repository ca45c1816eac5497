//! Spectra, on every backend of the default features.
#![allow(clippy::unwrap_used, clippy::panic, deprecated)]

mod common;

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
);
