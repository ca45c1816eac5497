//! Fisher matrices: the exact one against the Gauss-Newton matrix of its likelihood, sampled ones against the exact one,
//! the empirical one against gradients of single samples.

use burn::{
    nn::{self, loss::PoissonNllLossConfig},
    prelude::*,
};
use burn_curvature::{
    CaptureConfig, EmpiricalFisher, Engine, Fisher, GaussNewton, Likelihood, LinearOperator,
    Objective, Reduction,
};

use crate::{
    B, Classifier, classifier, cross_entropy, relative_error, rows, samples, summed_cross_entropy,
};

/// The classifier's three outputs with another loss.
fn with_loss(
    loss: impl Fn(Tensor<2>, Tensor<1, Int>) -> Tensor<1> + Send + 'static,
) -> Objective<B> {
    let device = Device::flex().autodiff();
    let model = Classifier::new(5, &device);
    let objective = Objective::<B>::capture_with(
        &CaptureConfig::new(),
        &model,
        samples(6, 1, &device),
        move |model: &Classifier, (x, y)| {
            let z = model.forward(x);
            (z.clone(), loss(z, y))
        },
    );
    objective.unwrap().in_f64().unwrap()
}

fn check(objective: &Objective<B>, likelihood: Likelihood, reduction: Reduction) {
    for engine in [Engine::Compiled, Engine::Eager] {
        let objective = objective.with_engine(engine).reduced_by(reduction).unwrap();
        let fisher = Fisher::exact(&objective, likelihood).unwrap();
        let newton = GaussNewton::new(&objective).unwrap();
        for seed in 0..3 {
            let v = objective.parameters().space().normal(seed);
            let error = relative_error(&fisher.apply(&v).unwrap(), &newton.apply(&v).unwrap());
            assert!(error < 1e-7, "{likelihood:?} {reduction:?}: {error}");
        }
    }
}

#[test]
fn the_exact_fisher_matrix_is_the_gauss_newton_matrix_of_the_likelihood() {
    use burn::tensor::activation::{log_softmax, softplus};
    check(&classifier(1, 6), Likelihood::Categorical, Reduction::Mean);
    let sum = with_loss(|z, y| {
        let picked = log_softmax(z, 1).gather(1, y.unsqueeze_dim(1));
        picked.sum().neg()
    });
    check(&sum, Likelihood::Categorical, Reduction::Sum);
    let bernoulli = with_loss(|z, y| {
        let target = y.float().unsqueeze_dim::<2>(1).clamp(0.0, 1.0);
        (softplus(z.clone(), 1.0) - z * target).sum()
    });
    check(&bernoulli, Likelihood::Bernoulli, Reduction::Sum);
    let poisson = with_loss(|z, y| {
        let counts = y.float().unsqueeze_dim::<2>(1).expand(z.dims());
        // eᶻ − y z, with the outputs for log-rates.
        let loss = PoissonNllLossConfig::new().with_log_input(true).with_full(false).init();
        loss.forward(z, counts, nn::loss::Reduction::Sum)
    });
    check(&poisson, Likelihood::Poisson, Reduction::Sum);
    for variance in [0.5, 3.0] {
        let gaussian = with_loss(move |z, y| {
            let target = y.float().unsqueeze_dim::<2>(1);
            let rows = z.dims()[0] as f64;
            (z - target).powf_scalar(2.0).sum() * (0.5 / variance / rows)
        });
        check(&gaussian, Likelihood::Gaussian { variance }, Reduction::Mean);
    }
}

#[test]
fn sampled_targets_tend_to_the_exact_matrix() {
    let objective = classifier(2, 6).without_loss_check();
    let likelihoods = [
        Likelihood::Categorical,
        Likelihood::Bernoulli,
        Likelihood::Gaussian { variance: 2.0 },
        Likelihood::Poisson,
    ];
    for likelihood in likelihoods {
        let exact = Fisher::exact(&objective, likelihood).unwrap();
        let exact = rows(&exact);
        let error = |draws: usize| {
            let errors = (0..8).map(|seed| {
                let sampled = Fisher::monte_carlo(&objective, likelihood, draws, seed).unwrap();
                crate::compare::relative_error(&rows(&sampled).concat(), &exact.concat()).powi(2)
            });
            (errors.sum::<f64>() / 8.0).sqrt()
        };
        let (few, many) = (error(16), error(16 * 64));
        // An eighth, as 1/√draws says.
        assert!((6.0..10.7).contains(&(few / many)), "{likelihood:?}: {few}, {many}");
        assert!(many < 0.1, "{likelihood:?}: {many}");
    }
}

#[test]
fn a_seed_draws_the_same_targets_and_another_others() {
    let objective = classifier(2, 6);
    let v = objective.parameters().space().normal(0);
    let sampled = |seed| {
        let fisher = Fisher::monte_carlo(&objective, Likelihood::Categorical, 2, seed);
        fisher.unwrap().apply(&v).unwrap().to_vec().unwrap()
    };
    assert_eq!(sampled(1), sampled(1));
    assert_ne!(sampled(1), sampled(2));
}

#[test]
fn the_empirical_fisher_matrix_is_the_second_moment_of_gradients() {
    let device = Device::flex().autodiff();
    let model = Classifier::new(4, &device);
    let (x, y) = samples(5, 9, &device);
    for reduction in [Reduction::Mean, Reduction::Sum] {
        let loss = match reduction {
            Reduction::Mean => cross_entropy,
            Reduction::Sum => summed_cross_entropy,
        };
        let objective = Objective::<B>::capture_with(
            &CaptureConfig::new(),
            &model,
            (x.clone(), y.clone()),
            loss,
        );
        let objective = objective.unwrap().in_f64().unwrap().reduced_by(reduction).unwrap();
        let v = objective.parameters().space().normal(3);
        let mut expected = objective.parameters().space().zeros();
        for n in 0..5 {
            let one = (x.clone().narrow(0, n, 1), y.clone().narrow(0, n, 1));
            let gradient = objective.on(one).unwrap().gradient().unwrap();
            expected = expected.axpy(gradient.dot(&v).unwrap(), &gradient).unwrap();
        }
        if reduction == Reduction::Mean {
            expected = expected.scale(0.2);
        }
        for engine in [Engine::Compiled, Engine::Eager] {
            let empirical = EmpiricalFisher::new(&objective.with_engine(engine)).unwrap();
            let error = relative_error(&empirical.apply(&v).unwrap(), &expected);
            assert!(error < 1e-12, "{reduction:?}: {error}");
        }
    }
}
