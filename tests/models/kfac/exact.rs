//! Where K-FAC is exact.

use burn::{module::Module, nn, prelude::*};
use burn_curvature::{
    CaptureConfig, Fisher, KfacConfig, Likelihood, LinearOperator, Objective, Reduction,
    errors::KfacError,
    kfac::{KfacApproximation, KfacFisher},
    materialize,
};

use super::{
    super::{B, classifier, matrix_error, relative_error, rows, samples, without_draws},
    Deep, GAUSSIAN, device, random, squared, weight, worst,
};

#[test]
fn it_is_exact_for_deep_linear_networks() {
    for bias in [false, true] {
        let model = Deep::new(&[3, 4, 2, 3], bias);
        for reduction in [Reduction::Sum, Reduction::Mean] {
            for samples in [1, 2, 7] {
                let x = random([samples, 3], 99);
                let objective = squared(&model, x, reduction, |model, x| model.forward(x));
                let error = worst(&objective, GAUSSIAN, &without_draws());
                assert!(error < 1e-12, "{reduction:?}, {samples} samples, bias {bias}: {error}");
                // The likelihood's own scale.
                let error =
                    worst(&objective, Likelihood::Gaussian { variance: 0.3 }, &without_draws());
                assert!(error < 1e-12, "{error}");
            }
        }
    }
}

#[test]
fn it_is_exact_for_one_sample_and_not_for_several() {
    for seed in 0..3 {
        let one = classifier(seed, 1);
        let error = worst(&one, Likelihood::Categorical, &without_draws());
        assert!(error < 1e-12, "{error}");
        let several = classifier(seed, 6);
        let error = worst(&several, Likelihood::Categorical, &without_draws());
        assert!(error > 1e-3, "{error}");
    }
}

/// Whatever stands between the last layer and the outputs: for one sample every block is exact.
#[test]
fn what_follows_the_last_layer_counts() {
    type After = fn(Tensor<2>, Tensor<2>) -> Tensor<2>;
    let cases: [(&str, After); 6] = [
        ("nothing", |z, _| z),
        ("a sum with a constant", |z, x| z + x.sum_dim(1)),
        ("a sum with a function of it", |z, _| z.clone() + z.tanh()),
        ("a sum with itself", |z, _| z.clone() + z),
        ("a factor", |z, _| z * 3.0),
        ("a function", |z, _| z.tanh()),
    ];
    let likelihoods =
        [Likelihood::Categorical, Likelihood::Bernoulli, Likelihood::Poisson, GAUSSIAN];
    for (name, after) in cases {
        let model = Deep::new(&[3, 4, 3], true);
        let objective =
            squared(&model, random([1, 3], 5), Reduction::Sum, move |model: &Deep, x| {
                after(model.forward(x.clone()), x)
            });
        for likelihood in likelihoods {
            let error = worst(&objective, likelihood, &without_draws());
            assert!(error < 1e-12, "{name}, {likelihood:?}: {error}");
        }
    }
}

/// Counts with the outputs for log-rates.
fn poisson(widths: &[usize], samples: usize) -> Objective<B> {
    let model = Deep::new(widths, true);
    let counts = random([samples, widths[widths.len() - 1]], 4).add_scalar(1.0);
    let batch = (random([samples, widths[0]], 99), counts);
    let objective = Objective::<B>::capture_with(
        &CaptureConfig::new(),
        &model,
        batch,
        |model: &Deep, (x, y): (Tensor<2>, Tensor<2>)| {
            let z = model.forward(x);
            (z.clone(), (z.clone().exp() - y * z).sum())
        },
    );
    objective.unwrap().in_f64().unwrap().reduced_by(Reduction::Sum).unwrap()
}

#[test]
fn counts_have_the_kronecker_product_of_their_rates() {
    let one = poisson(&[3, 4, 2], 1);
    let error = worst(&one, Likelihood::Poisson, &without_draws());
    assert!(error < 1e-12, "{error}");

    // One layer: A = mean x̄ x̄ᵀ, G = Σ diag(eᶻ), from the numbers themselves.
    const SAMPLES: usize = 5;
    let objective = poisson(&[3, 2], SAMPLES);
    let x: Vec<f64> = random([SAMPLES, 3], 99).into_data().iter::<f64>().collect();
    let inputs: Vec<Vec<f64>> =
        x.chunks(3).map(|row| row.iter().copied().chain([1.0]).collect()).collect();
    let theta = objective.parameters().to_vec().unwrap();
    let rate = |sample: &[f64], j: usize| -> f64 {
        sample.iter().enumerate().map(|(i, x)| x * theta[2 * i + j]).sum::<f64>().exp()
    };
    let kfac = without_draws().init(&objective, Likelihood::Poisson);
    let found = rows(&kfac.unwrap());
    for (row, found) in found.iter().enumerate() {
        for (column, found) in found.iter().enumerate() {
            let a = inputs.iter().map(|x| x[row / 2] * x[column / 2]).sum::<f64>();
            let g = inputs.iter().map(|x| rate(x, row % 2)).sum::<f64>();
            let same = row % 2 == column % 2;
            let expected = if same { a / SAMPLES as f64 * g } else { 0.0 };
            assert!((found - expected).abs() < 1e-12 * g, "{row}, {column}: {found} {expected}");
        }
    }

    // Drawn counts tend to it.
    let exact = without_draws().init(&objective, Likelihood::Poisson);
    let exact = rows(&exact.unwrap());
    for seed in 0..4 {
        let sampled = KfacConfig::new().with_fisher(KfacFisher::MonteCarlo { draws: 2000, seed });
        let kfac = sampled.init(&objective, Likelihood::Poisson).unwrap();
        let found = materialize(&kfac).unwrap();
        let error = matrix_error(&found, &exact);
        assert!(error > 1e-6 && error < 0.1, "seed {seed}: {error}");
    }
}

#[test]
fn a_data_set_has_the_factors_of_one_large_batch() {
    let objective = classifier(1, 4);
    let device = device();
    let (x, y) = samples(9, 5, &device);
    let whole = objective.on((x.clone(), y.clone())).unwrap();
    let parts = [0..4, 4..8, 8..9].map(|range: std::ops::Range<usize>| {
        (x.clone().slice([range.clone()]), y.clone().slice([range]))
    });
    let risk = objective.over(parts, Reduction::Mean).unwrap();
    let v = objective.parameters().space().normal(1);
    for fisher in [KfacFisher::Exact, KfacFisher::Empirical, KfacFisher::ForwardOnly] {
        let config = KfacConfig::new().with_fisher(fisher);
        let product = |objective: &Objective<B>| {
            let kfac = config.init(objective, Likelihood::Categorical).unwrap();
            kfac.apply(&v).unwrap()
        };
        let error = relative_error(&product(&risk), &product(&whole));
        assert!(error < 1e-12, "{fisher:?}: {error}");
    }
}

#[derive(Module, Debug)]
struct Convolved {
    conv: nn::conv::Conv2d,
}

fn convolved(config: nn::conv::Conv2dConfig, shape: [usize; 4]) -> Convolved {
    let mut conv = config.init(&device());
    conv.weight = weight(shape, 1);
    conv.bias = Some(weight([shape[0]], 2));
    Convolved { conv }
}

#[test]
fn expansion_is_exact_for_a_convolution_with_a_loss_at_every_position() {
    use nn::{PaddingConfig2d, conv::Conv2dConfig};
    let plain = Conv2dConfig::new([2, 4], [3, 2]);
    let cases = [
        (plain.clone(), [4, 2, 3, 2]),
        (plain.clone().with_stride([2, 1]), [4, 2, 3, 2]),
        (plain.clone().with_padding(PaddingConfig2d::Explicit(1, 2, 1, 2)), [4, 2, 3, 2]),
        (plain.clone().with_dilation([1, 2]), [4, 2, 3, 2]),
        (plain.with_groups(2), [4, 1, 3, 2]),
    ];
    for (config, shape) in cases {
        let model = convolved(config.clone(), shape);
        let objective = squared(&model, random([2, 2, 6, 5], 3), Reduction::Mean, |model, x| {
            model.conv.forward(x)
        });
        let config = KfacConfig::new().with_fisher(KfacFisher::ForwardOnly);
        let kfac = config.init(&objective, GAUSSIAN).unwrap();
        // G of one layer with a Gaussian likelihood is the identity times what the sum over positions leaves.
        let exact = Fisher::exact(&objective, GAUSSIAN).unwrap();
        let positions: usize =
            objective.outputs().unwrap().layout().blocks()[0].shape()[2..].iter().product();
        let v = objective.parameters().space().normal(4);
        let found = kfac.apply(&v).unwrap().scale(positions as f64);
        let error = relative_error(&found, &exact.apply(&v).unwrap());
        assert!(error < 1e-12, "{config:?}: {error}");
    }
}

#[test]
fn reduction_is_exact_for_pooled_outputs_where_expansion_is_not() {
    let model = convolved(nn::conv::Conv2dConfig::new([2, 3], [2, 2]), [3, 2, 2, 2]);
    let x = random([4, 2, 4, 4], 3);
    let objective = squared(&model, x, Reduction::Mean, |model, x| {
        let y = model.conv.forward(x);
        let [samples, channels, ..] = y.dims();
        y.mean_dim(3).mean_dim(2).reshape([samples, channels])
    });
    let config = without_draws();
    let reduce = config.with_approximation(KfacApproximation::Reduce);
    let error = worst(&objective, GAUSSIAN, &reduce);
    assert!(error < 1e-12, "{error}");
    assert!(worst(&objective, GAUSSIAN, &config) > 1e-2);
}

#[test]
fn shared_positions_of_a_linear_layer_are_rows_or_are_reduced() {
    let model = Deep::new(&[3, 4, 2], true);
    let pooled = squared(&model, random([5, 6, 3], 8), Reduction::Sum, |model, x: Tensor<3>| {
        let z: Tensor<2> = model.forward(x).mean_dim(1).squeeze_dim(1);
        z
    });
    let reduce = without_draws().with_approximation(KfacApproximation::Reduce);
    let error = worst(&pooled, GAUSSIAN, &reduce);
    assert!(error < 1e-12, "{error}");
    assert!(worst(&pooled, GAUSSIAN, &without_draws()) > 1e-2);
}

#[derive(Module, Debug)]
struct Embedded {
    embedding: nn::Embedding,
    linear: nn::Linear,
}

#[test]
fn an_embedding_has_a_diagonal_of_frequencies() {
    let mut embedding = nn::EmbeddingConfig::new(5, 3).init(&device());
    embedding.weight = weight([5, 3], 1);
    let mut linear = nn::LinearConfig::new(3, 2).init(&device());
    linear.weight = weight([3, 2], 2);
    linear.bias = Some(weight([2], 3));
    let model = Embedded { embedding, linear };
    let tokens = Tensor::<2, Int>::from_ints([[1], [4], [1], [0], [2], [1]], &device());
    let objective = squared(&model, tokens, Reduction::Mean, |model: &Embedded, tokens| {
        let [samples, _] = tokens.dims();
        model.linear.forward(model.embedding.forward(tokens)).reshape([samples, 2])
    });
    let error = worst(&objective, GAUSSIAN, &without_draws());
    assert!(error < 1e-12, "{error}");
    // Token 3 is never seen: its rows are zero, exactly.
    let kfac = without_draws().init(&objective, GAUSSIAN).unwrap();
    let error = kfac.inverse(0.0).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&KfacError::Singular { damping: 0.0 }));
}
