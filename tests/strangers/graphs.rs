//! Networks that choose: mixtures of experts, and attention over graphs.

use burn_curvature::Likelihood;

use crate::{
    networks::graphs::{Gat, Mixture},
    stranger::{as_given, device, labels, normal},
};

#[test]
fn mixture_of_experts() {
    let batch = (normal([8, 6], 1), labels([8], 3, 2));
    as_given(Mixture::new([6, 8, 4, 3], &device()), batch, Mixture::loss)
        .mean()
        .with(Likelihood::Categorical)
        .passes();
}

/// Nodes depend on each other, so that no reduction is stated.
#[test]
fn graph_attention() {
    let batch = (normal([7, 5], 1), Gat::row(7, &device()), labels([7], 3, 2));
    as_given(Gat::new([5, 6, 3], &device()), batch, Gat::loss).passes();
}
