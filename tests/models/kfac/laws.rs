//! Laws that hold whatever the numbers are: scales, re-parametrizations, precision, one-hot inputs.

use burn::{module::Module, nn, prelude::*};
use burn_curvature::{
    CaptureConfig, Fisher, Kfac, KfacConfig, Likelihood, LinearOperator, Objective, Precision,
    Reduction,
    kfac::{KfacFisher, Treatment},
};

use super::{
    super::{B, classifier, relative_error, rows, without_draws},
    Deep, GAUSSIAN, device, random, squared, weight,
};

fn kfac(objective: &Objective<B>, likelihood: Likelihood) -> Kfac<B> {
    // The laws are those of the outputs alone.
    without_draws().init(&objective.without_loss_check(), likelihood).unwrap()
}

/// Least squares ½‖x W + b − y‖²: the step with λ = 0 lands on the solution from everywhere.
#[test]
fn a_step_without_damping_solves_linear_least_squares() {
    for (seed, reduction) in [(1, Reduction::Mean), (2, Reduction::Sum), (3, Reduction::Mean)] {
        let model = Deep::new(&[3, 2], true);
        let batch = (random([9, 3], seed), random([9, 2], seed + 10));
        let objective = Objective::<B>::capture_with(
            &CaptureConfig::new(),
            &model,
            batch,
            move |model: &Deep, (x, y): (Tensor<2>, Tensor<2>)| {
                let z = model.forward(x);
                let sum = (z.clone() - y).powf_scalar(2.0).sum() * 0.5;
                let loss = match reduction {
                    Reduction::Sum => sum,
                    Reduction::Mean => sum / z.dims()[0] as f64,
                };
                (z, loss)
            },
        );
        let objective = objective.unwrap().in_f64().unwrap().reduced_by(reduction).unwrap();
        let gradient = objective.gradient().unwrap();
        let inverse = kfac(&objective, GAUSSIAN).inverse(0.0).unwrap();
        let step = inverse.apply(&gradient).unwrap();
        let landed = objective.parameters().clone().sub(&step).unwrap();
        let left = objective.at(&landed).unwrap().gradient().unwrap();
        let left = left.norm().unwrap() / gradient.norm().unwrap();
        assert!(left < 1e-11, "{left}");
    }
}

/// Loss × c, here by the likelihood's variance 1/c, with damping × c.
#[test]
fn a_loss_and_a_damping_times_a_number_give_the_same_step() {
    let objective = classifier(1, 8);
    let gradient = objective.gradient().unwrap();
    let step = |factor: f64, factored: bool| {
        let variance = factor.recip();
        let kfac = kfac(&objective, Likelihood::Gaussian { variance });
        let damping = 0.01 * factor;
        let inverse = if factored { kfac.factored_inverse(damping) } else { kfac.inverse(damping) };
        inverse.unwrap().apply(&gradient.clone().scale(factor)).unwrap()
    };
    for factored in [false, true] {
        let expected = step(1.0, factored);
        for factor in [1e-3, 7.0, 1e4] {
            let error = relative_error(&step(factor, factored), &expected);
            assert!(error < 1e-10, "{factor}: {error}");
        }
    }
}

/// Fisher matrices whose squares f64 does not hold: norms and errors are those of the matrix times a number.
#[test]
fn norms_are_those_of_a_multiple_where_squares_overflow_or_vanish() {
    let objective = classifier(1, 8).without_loss_check();
    let found = |factor: f64| {
        let likelihood = Likelihood::Gaussian { variance: factor.recip() };
        let kfac = kfac(&objective, likelihood);
        let ekfac = without_draws().init_ekfac(&objective, likelihood).unwrap();
        let exact = Fisher::exact(&objective, likelihood).unwrap();
        let norms = [kfac.frobenius_norm().unwrap(), ekfac.frobenius_norm().unwrap()];
        let errors = kfac.compare_with(&exact).unwrap();
        (norms.map(|norm| norm / factor), errors)
    };
    let (norms, errors) = found(1.0);
    assert!(errors[0].relative_error > 1e-3);
    for factor in [1e-200, 1e200] {
        let (others, compared) = found(factor);
        for (other, norm) in others.iter().zip(norms) {
            assert!((other - norm).abs() < 1e-12 * norm, "{factor}: {other}, {norm}");
        }
        for (other, error) in compared.iter().zip(&errors) {
            let (other, error) = (other.relative_error, error.relative_error);
            assert!((other - error).abs() < 1e-12, "{factor}: {other}, {error}");
        }
    }
}

/// x' = x T and W' = T⁻¹ W are the same network: the step without damping moves its outputs by the same amount. The
/// plain gradient does not.
#[test]
fn a_step_does_not_depend_on_how_inputs_are_written() {
    let model = Deep::new(&[3, 3], true);
    let x = random([12, 3], 4);
    let t =
        Tensor::<2>::from_floats([[2.0, 0.0, 0.0], [0.5, 0.25, 0.0], [0.0, -1.0, 4.0]], &device());
    let inverse = Tensor::<2>::from_floats(
        [[0.5, 0.0, 0.0], [-1.0, 4.0, 0.0], [-0.25, 1.0, 0.25]],
        &device(),
    );
    let mut other = model.clone();
    let weight = inverse.matmul(other.layers[0].weight.val()).into_data();
    other.layers[0].weight = burn::module::Param::from_data(weight, &device());
    let forward = |model: &Deep, x: Tensor<2>| model.forward(x).tanh();
    let one = squared(&model, x.clone(), Reduction::Mean, forward);
    let two = squared(&other, x.matmul(t), Reduction::Mean, forward);
    let moved = |objective: &Objective<B>, natural: bool| -> Vec<f64> {
        let gradient = objective.gradient().unwrap();
        let step = if natural {
            kfac(objective, GAUSSIAN).inverse(0.0).unwrap().apply(&gradient).unwrap()
        } else {
            gradient
        };
        let jacobian = burn_curvature::Jacobian::new(objective).unwrap();
        jacobian.apply(&step).unwrap().to_vec().unwrap()
    };
    let distance = |natural: bool| {
        let (one, two) = (moved(&one, natural), moved(&two, natural));
        let difference: f64 = one.iter().zip(&two).map(|(x, y)| (x - y).powi(2)).sum();
        (difference / one.iter().map(|x| x * x).sum::<f64>()).sqrt()
    };
    // The inputs are made in f32.
    assert!(distance(true) < 1e-3, "{}", distance(true));
    assert!(distance(false) > 1e-2, "{}", distance(false));
}

/// Twice the samples, each of them twice: the mean is the same, the sum twice.
#[test]
fn the_number_of_samples_leaves_no_trace() {
    let model = Deep::new(&[3, 4, 2], true);
    for samples in [1, 3, 8] {
        let x = random([samples, 3], 6);
        let twice = Tensor::cat(vec![x.clone(), x.clone()], 0);
        for (reduction, factor) in [(Reduction::Mean, 1.0), (Reduction::Sum, 2.0)] {
            let product = |x: Tensor<2>| {
                let objective =
                    squared(&model, x, reduction, |model: &Deep, x| model.forward(x.tanh()));
                let v = objective.parameters().space().normal(2);
                let kfac = kfac(&objective, Likelihood::Bernoulli);
                kfac.apply(&v).unwrap().to_vec().unwrap()
            };
            let (one, two) = (product(x.clone()), product(twice.clone()));
            for (one, two) in one.iter().zip(two) {
                assert!((factor * one - two).abs() < 1e-12, "{reduction:?}, {samples}");
            }
        }
    }
}

#[test]
fn factors_in_f32_are_those_in_f64_rounded() {
    let double = classifier(3, 12);
    let single = double.in_precision(Precision::F32).unwrap();
    let product = |objective: &Objective<B>| {
        let kfac = kfac(objective, Likelihood::Categorical);
        let v = objective.parameters().space().normal(1);
        let inverse = kfac.inverse(0.1).unwrap().apply(&v).unwrap();
        [kfac.apply(&v).unwrap(), inverse].map(|one| one.cast(Precision::F64).unwrap())
    };
    for (found, expected) in product(&single).iter().zip(&product(&double)) {
        let error = relative_error(found, expected);
        assert!(error < 1e-5 && error > 0.0, "{error}");
    }
}

#[derive(Module, Debug)]
struct Embedded {
    embedding: nn::Embedding,
    linear: nn::Linear,
}

#[derive(Module, Debug)]
struct OneHot {
    embedding: nn::Linear,
    linear: nn::Linear,
}

/// An embedding is a linear layer with one-hot inputs.
#[test]
fn an_embedding_has_the_factors_of_a_linear_layer_with_one_hot_inputs() {
    let mut embedding = nn::EmbeddingConfig::new(5, 3).init(&device());
    embedding.weight = weight([5, 3], 1);
    let linear = Deep::new(&[3, 2], true).layers.remove(0);
    let mut dense = nn::LinearConfig::new(5, 3).with_bias(false).init(&device());
    dense.weight = weight([5, 3], 1);
    let sparse = Embedded { embedding, linear: linear.clone() };
    let dense = OneHot { embedding: dense, linear };
    let tokens = Tensor::<2, Int>::from_ints([[1], [4], [1], [0], [2], [1]], &device());
    let hot = tokens.clone().reshape([6]).one_hot::<2>(5).float();
    let sparse = squared(&sparse, tokens, Reduction::Mean, |model: &Embedded, tokens| {
        let [samples, _] = tokens.dims();
        let hidden = model.embedding.forward(tokens).reshape([samples, 3]);
        model.linear.forward(hidden.tanh())
    });
    let dense = squared(&dense, hot, Reduction::Mean, |model: &OneHot, x| {
        model.linear.forward(model.embedding.forward(x).tanh())
    });
    let [sparse, dense] = [&sparse, &dense].map(|objective| {
        let kfac = kfac(objective, Likelihood::Categorical);
        rows(&kfac.inverse(0.1).unwrap()).concat()
    });
    assert_eq!(sparse.len(), dense.len());
    for (one, two) in sparse.iter().zip(&dense) {
        assert!((one - two).abs() < 1e-11, "{one}, {two}");
    }
}

#[derive(Module, Debug)]
struct Gated {
    gru: nn::Gru,
    output: nn::Linear,
}

#[test]
fn the_projections_of_a_gated_cell_are_found() {
    let model = Gated {
        gru: nn::GruConfig::new(3, 4, true).init(&device()),
        output: Deep::new(&[4, 2], true).layers.remove(0),
    };
    let objective = squared(&model, random([5, 6, 3], 2), Reduction::Mean, |model: &Gated, x| {
        let hidden = model.gru.forward(x, None);
        let last: Tensor<2> = hidden.slice([0..5, 5..6]).squeeze_dim(1);
        model.output.forward(last)
    });
    let config = KfacConfig::new().with_fisher(KfacFisher::MonteCarlo { draws: 2, seed: 1 });
    let kfac = config.init(&objective, GAUSSIAN).unwrap();
    for entry in &kfac.coverage().entries {
        let kronecker = matches!(entry.treatment, Treatment::Kronecker { .. });
        assert!(kronecker || entry.elements <= 1024, "{}", kfac.coverage());
    }
    assert!(kfac.coverage().kronecker_fraction() > 0.9, "{}", kfac.coverage());
    let v = objective.parameters().space().normal(1);
    assert!(v.dot(&kfac.apply(&v).unwrap()).unwrap() > 0.0);
}
