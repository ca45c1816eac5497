//! Operators, on every backend of the default features.
#![allow(clippy::unwrap_used, clippy::panic, deprecated)]

mod common;
#[path = "failure/mod.rs"]
mod failure;

use burn::backend::{Autodiff, Flex, NdArray};
use proptest::prelude::*;

macro_rules! on_every_backend {
    ($($body:ident),* $(,)?) => {
        run_on!(ndarray = Autodiff<NdArray>, operators: $($body),*);
        run_on!(flex = Autodiff<Flex>, operators: $($body),*);
        run_on!(dispatch = Autodiff<Dispatch>, operators: $($body),*);
    };
}

on_every_backend!(
    dense_products,
    laws,
    composition,
    rectangular,
    refusals,
    counting,
    host_matrices,
    transposes,
    damping_by_parts,
    rectangular_chains,
    block_diagonals,
    kronecker,
    finite_sums,
    low_rank,
    low_rank_ill_conditioned,
    low_rank_refusals,
    checks_on_demand,
    adjoints_behind_pointers,
    quadratic_forms,
);

fn square_and_vector() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    (1usize..6).prop_flat_map(|n| {
        let numbers = -1e3..1e3f64;
        (prop::collection::vec(numbers.clone(), n * n), prop::collection::vec(numbers, n))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damping_and_sums((entries, vector) in square_and_vector(), damping in 0.0..1e3f64) {
        common::operators::damping_and_sums::<Autodiff<Flex>>(&entries, &vector, damping);
        common::operators::damping_and_sums::<Autodiff<NdArray>>(&entries, &vector, damping);
    }
}
