//! Multilayer perceptrons.

use burn_curvature::Likelihood;

use crate::{
    networks::perceptrons::{Guide, Regression},
    stranger::{as_given, device, evaluated, labels, normal},
};

#[test]
fn guide() {
    let batch = (normal([12, 6, 6], 1), labels([12], 10, 2));
    evaluated(Guide::new([36, 16, 10], &device()), batch, Guide::loss)
        .mean()
        .with(Likelihood::Categorical)
        .passes();
}

#[test]
fn regression() {
    let batch = (normal([16, 8], 1), normal([16], 2));
    as_given(Regression::new([8, 16], &device()), batch, Regression::loss)
        .mean()
        .with(Likelihood::Gaussian { variance: 0.5 })
        .passes();
}
