//! Factors and gradient by one program.

use burn_curvature::{
    CaptureConfig, KfacConfig, Likelihood, LinearOperator, Objective, Reduction,
    errors::ObjectiveError,
    kfac::{KfacApproximation, KfacFisher},
};

use super::{
    super::{B, classifier, models::cnn, relative_error, samples, without_draws},
    Deep, GAUSSIAN, device, random, squared,
};

const FISHERS: [KfacFisher; 4] = [
    KfacFisher::Exact,
    KfacFisher::MonteCarlo { draws: 3, seed: 7 },
    KfacFisher::Empirical,
    KfacFisher::ForwardOnly,
];

/// Gradient and loss are the objective's, the factors those of `KfacConfig::init`.
fn check(objective: &Objective<B>, likelihood: Likelihood, bound: f64) {
    let expected = objective.value_and_gradient().unwrap();
    let v = objective.parameters().space().normal(5);
    for fisher in FISHERS {
        for approximation in [KfacApproximation::Expand, KfacApproximation::Reduce] {
            let config = KfacConfig::new().with_fisher(fisher).with_approximation(approximation);
            let alone = config.init(objective, likelihood).unwrap();
            let (kfac, at) = config.init_with_gradient(objective, likelihood).unwrap();
            let error = (at.value - expected.value).abs() / expected.value.abs();
            assert!(error < bound, "{config:?}: {error}");
            let error = relative_error(&at.gradient, &expected.gradient);
            assert!(error < bound, "{config:?}: {error}");
            let error = relative_error(&kfac.apply(&v).unwrap(), &alone.apply(&v).unwrap());
            assert!(error < bound, "{config:?}: {error}");
        }
    }
}

#[test]
fn gradient_and_factors_of_one_program_are_those_of_two() {
    for seed in 0..3 {
        check(&classifier(seed, 6), Likelihood::Categorical, 1e-13);
    }
    let model = Deep::new(&[3, 4, 2], true);
    let objective = squared(&model, random([5, 3], 1), Reduction::Sum, |model, x| model.forward(x));
    check(&objective, GAUSSIAN, 1e-13);
    let case = cnn::case(&device());
    let objective =
        Objective::<B>::capture_with(&CaptureConfig::new(), &case.model, case.batch, case.loss)
            .unwrap();
    let objective = objective.reduced_by(Reduction::Mean).unwrap();
    check(&objective, Likelihood::Categorical, 1e-5);
}

#[test]
fn over_a_data_set_they_are_those_of_all_batches() {
    let objective = classifier(1, 4);
    let (x, y) = samples(9, 5, &device());
    let parts = [0..4, 4..8, 8..9].map(|range: std::ops::Range<usize>| {
        (x.clone().slice([range.clone()]), y.clone().slice([range]))
    });
    let risk = objective.over(parts, Reduction::Mean).unwrap();
    check(&risk, Likelihood::Categorical, 1e-13);
}

#[test]
fn a_loss_that_is_not_finite_is_refused() {
    let objective = classifier(1, 4);
    let infinite = objective.parameters().space().full(f64::NAN);
    let found = without_draws()
        .init_with_gradient(&objective.at(&infinite).unwrap(), Likelihood::Categorical);
    assert!(matches!(
        found.unwrap_err().downcast_ref(),
        Some(ObjectiveError::NotFiniteLoss { .. })
    ));
}
