//! Batches that show what the first one does not.

use burn::{prelude::*, tensor::activation::tanh};
use burn_curvature::{
    Error, KfacConfig, Objective, Reduction,
    errors::KfacError,
    kfac::{KfacApproximation, KfacFisher, SampleGradients},
};

use super::{super::B, Deep, GAUSSIAN, random, squared};
use crate::failure::failure;

/// Deviations of a layer's outputs from their mean over one dimension, on batches of one index of it and of several.
fn deviations(dim: usize) -> [Objective<B>; 3] {
    let model = Deep::new(&[3, 4, 2], true);
    let [one, several] = [1, 5].map(|count| random([5, 5, 3], 2).narrow(dim, 0, count));
    let objective =
        squared(&model, one.clone(), Reduction::Sum, move |model: &Deep, x: Tensor<3>| {
            let hidden = model.layers[0].forward(x);
            model.layers[1].forward(tanh(hidden.clone() - hidden.mean_dim(dim) * 0.5))
        });
    let both = objective.over([one, several.clone()], Reduction::Sum).unwrap();
    let several = objective.on(several).unwrap();
    [objective, both, several].map(|objective| objective.without_loss_check())
}

fn expect_places<T>(found: Result<T, Error>) {
    let parameter = "layers.0.weight";
    let error = failure::<_, KfacError>(&found);
    assert!(matches!(error, Some(KfacError::Places { parameter: name, .. }) if name == parameter));
}

/// In a batch of one sample none are mixed.
#[test]
fn samples_that_are_mixed_in_a_later_batch_are_refused() {
    let [one, both, several] = deviations(0);
    for fisher in [KfacFisher::Exact, KfacFisher::Empirical] {
        let config = KfacConfig::new().with_fisher(fisher);
        config.init(&one, GAUSSIAN).unwrap();
        expect_places(config.init(&both, GAUSSIAN));
    }
    let gradients = SampleGradients::new(&one).unwrap();
    let vector = one.parameters().space().ones();
    gradients.inner_products(&one, std::slice::from_ref(&vector)).unwrap();
    expect_places(gradients.inner_products(&several, &[vector]));

    // Independent targets keep the samples apart on average, but for what is summed over each.
    let drawn = KfacConfig::new().with_fisher(KfacFisher::MonteCarlo { draws: 2, seed: 1 });
    drawn.init(&both, GAUSSIAN).unwrap();
    let reduced = drawn.with_approximation(KfacApproximation::Reduce).init(&both, GAUSSIAN);
    assert!(matches!(failure(&reduced), Some(KfacError::Samples { .. })));
    let corrected = drawn.init_ekfac(&both, GAUSSIAN);
    assert!(matches!(failure(&corrected), Some(KfacError::Samples { .. })));
}

/// Nor are the rows of a sample where it has one.
#[test]
fn rows_that_are_mixed_in_a_later_batch_are_refused() {
    let [one, both, _] = deviations(1);
    let exact = KfacConfig::new().with_fisher(KfacFisher::Exact);
    exact.init(&one, GAUSSIAN).unwrap();
    expect_places(exact.init(&both, GAUSSIAN));
    exact.with_fisher(KfacFisher::Empirical).init(&both, GAUSSIAN).unwrap();
}
