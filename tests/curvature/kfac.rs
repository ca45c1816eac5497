//! K-FAC against the exact Fisher matrix where theory says that they agree, and its algebra against dense matrices.

use burn::{
    module::{Module, Param},
    nn,
    prelude::*,
    tensor::activation::{sigmoid, tanh},
};
use burn_curvature::{
    BesidePolicy, ConjugateGradientConfig, Error, Fisher, GaussNewton, Kfac, KfacApproximation,
    KfacConfig, KfacFisher, KfacState, Likelihood, LinearOperator, Objective, OperatorError,
    ParamVector, Reduction, SolveOptions, StopReason, TraceConfig, Treatment,
};

use super::{
    B, Classifier, classifier, relative_error, rows, samples,
    support::{models::transformer, random::SplitMix64},
};

const GAUSSIAN: Likelihood = Likelihood::Gaussian { variance: 1.0 };

fn device() -> Device {
    Device::flex().autodiff()
}

fn random<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    let mut numbers = SplitMix64::new(seed);
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| numbers.symmetric(1.0))
        .collect();
    Tensor::from_data(TensorData::new(values, shape), &device())
}

fn weight<const D: usize>(shape: [usize; D], seed: u64) -> Param<Tensor<D>> {
    Param::from_tensor(random(shape, seed))
}

/// A model with any forward function, on a batch, with the sum or mean of ½‖z‖² over the first dimension.
fn squared<M: Module + 'static, X, const D: usize>(
    model: &M,
    x: X,
    reduction: Reduction,
    forward: impl Fn(&M, X) -> Tensor<D> + Send + 'static,
) -> Objective<B>
where
    X: burn_curvature::Batch + Send + 'static,
{
    let objective = Objective::<B>::trace_with(&TraceConfig::new(), model, x, move |model, x| {
        let z = forward(model, x);
        let samples = z.dims()[0] as f64;
        let sum = z.clone().powf_scalar(2.0).sum() * 0.5;
        let loss = match reduction {
            Reduction::Sum => sum,
            Reduction::Mean => sum / samples,
        };
        (z, loss)
    });
    objective.unwrap().in_f64().unwrap()
}

/// The largest relative error of a layer's block against the exact Fisher matrix.
fn worst(
    objective: &Objective<B>,
    likelihood: Likelihood,
    reduction: Reduction,
    config: &KfacConfig,
) -> f64 {
    let kfac = Kfac::new(objective, likelihood, reduction, config).unwrap();
    let exact = Fisher::exact(objective, likelihood, reduction).unwrap();
    let blocks = kfac.compare_with(&exact).unwrap();
    assert!(!blocks.is_empty());
    blocks
        .iter()
        .map(|block| block.relative_error)
        .fold(0.0, f64::max)
}

#[derive(Module, Debug)]
struct Deep {
    layers: Vec<nn::Linear>,
}

impl Deep {
    fn new(widths: &[usize], bias: bool) -> Self {
        let layers = widths.windows(2).enumerate().map(|(index, pair)| {
            let mut layer = nn::LinearConfig::new(pair[0], pair[1])
                .with_bias(bias)
                .init(&device());
            layer.weight = weight([pair[0], pair[1]], index as u64);
            layer.bias = bias.then(|| weight([pair[1]], 10 + index as u64));
            layer
        });
        Self {
            layers: layers.collect(),
        }
    }

    fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.layers.iter().fold(x, |x, layer| layer.forward(x))
    }
}

#[test]
fn it_is_exact_for_deep_linear_networks() {
    for bias in [false, true] {
        let model = Deep::new(&[3, 4, 2, 3], bias);
        for reduction in [Reduction::Sum, Reduction::Mean] {
            for samples in [1, 2, 7] {
                let x = random([samples, 3], 99);
                let objective = squared(&model, x, reduction, |model, x| model.forward(x));
                let error = worst(&objective, GAUSSIAN, reduction, &KfacConfig::new());
                assert!(
                    error < 1e-12,
                    "{reduction:?}, {samples} samples, bias {bias}: {error}"
                );
                // The likelihood's own scale.
                let error = worst(
                    &objective,
                    Likelihood::Gaussian { variance: 0.3 },
                    reduction,
                    &KfacConfig::new(),
                );
                assert!(error < 1e-12, "{error}");
            }
        }
    }
}

#[test]
fn it_is_exact_for_one_sample_and_not_for_several() {
    for seed in 0..3 {
        let one = classifier(seed, 1);
        let error = worst(
            &one,
            Likelihood::Categorical,
            Reduction::Mean,
            &KfacConfig::new(),
        );
        assert!(error < 1e-12, "{error}");
        let several = classifier(seed, 6);
        let error = worst(
            &several,
            Likelihood::Categorical,
            Reduction::Mean,
            &KfacConfig::new(),
        );
        assert!(error > 1e-3, "{error}");
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
    let v = objective.parameters().normal_like(1).unwrap();
    for fisher in [
        KfacFisher::Exact,
        KfacFisher::Empirical,
        KfacFisher::ForwardOnly,
    ] {
        let config = KfacConfig::new().with_fisher(fisher);
        let product = |objective: &Objective<B>| {
            let kfac =
                Kfac::new(objective, Likelihood::Categorical, Reduction::Mean, &config).unwrap();
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
        (
            plain
                .clone()
                .with_padding(PaddingConfig2d::Explicit(1, 2, 1, 2)),
            [4, 2, 3, 2],
        ),
        (plain.clone().with_dilation([1, 2]), [4, 2, 3, 2]),
        (plain.with_groups(2), [4, 1, 3, 2]),
    ];
    for (config, shape) in cases {
        let model = convolved(config.clone(), shape);
        let objective = squared(
            &model,
            random([2, 2, 6, 5], 3),
            Reduction::Mean,
            |model, x| model.conv.forward(x),
        );
        let config = KfacConfig::new().with_fisher(KfacFisher::ForwardOnly);
        let kfac = Kfac::new(&objective, GAUSSIAN, Reduction::Mean, &config).unwrap();
        // G of one layer with a Gaussian likelihood is the identity times what the sum over positions leaves.
        let exact = Fisher::exact(&objective, GAUSSIAN, Reduction::Mean).unwrap();
        let positions: usize = objective.outputs().unwrap().layout().blocks()[0].shape()[2..]
            .iter()
            .product();
        let v = objective.parameters().normal_like(4).unwrap();
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
    let config = KfacConfig::new();
    let reduce = config.with_approximation(KfacApproximation::Reduce);
    let error = worst(&objective, GAUSSIAN, Reduction::Mean, &reduce);
    assert!(error < 1e-12, "{error}");
    assert!(worst(&objective, GAUSSIAN, Reduction::Mean, &config) > 1e-2);
}

#[test]
fn shared_positions_of_a_linear_layer_are_rows_or_are_reduced() {
    let model = Deep::new(&[3, 4, 2], true);
    let pooled = squared(
        &model,
        random([5, 6, 3], 8),
        Reduction::Sum,
        |model, x: Tensor<3>| {
            let z: Tensor<2> = model.forward(x).mean_dim(1).squeeze_dim(1);
            z
        },
    );
    let reduce = KfacConfig::new().with_approximation(KfacApproximation::Reduce);
    let error = worst(&pooled, GAUSSIAN, Reduction::Sum, &reduce);
    assert!(error < 1e-12, "{error}");
    assert!(worst(&pooled, GAUSSIAN, Reduction::Sum, &KfacConfig::new()) > 1e-2);
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
    let objective = squared(
        &model,
        tokens,
        Reduction::Mean,
        |model: &Embedded, tokens| {
            let [samples, _] = tokens.dims();
            model
                .linear
                .forward(model.embedding.forward(tokens))
                .reshape([samples, 2])
        },
    );
    let error = worst(&objective, GAUSSIAN, Reduction::Mean, &KfacConfig::new());
    assert!(error < 1e-12, "{error}");
}

#[derive(Module, Debug)]
struct Twice {
    first: nn::Linear,
    second: nn::Linear,
}

#[test]
fn a_weight_used_twice_has_the_moments_of_both_uses() {
    let deep = Deep::new(&[3, 3], true).layers.remove(0);
    let tied = Twice {
        first: deep.clone(),
        second: deep.clone(),
    };
    let apart = Deep {
        layers: vec![
            deep.clone(),
            nn::Linear {
                weight: weight([3, 3], 0),
                bias: Some(weight([3], 10)),
            },
        ],
    };
    let x = random([4, 3], 5);
    let forward = |x: Tensor<2>, first: &nn::Linear, second: &nn::Linear| {
        second.forward(tanh(first.forward(x)))
    };
    let one = squared(
        &tied,
        x.clone(),
        Reduction::Mean,
        move |model: &Twice, x| forward(x, &model.first, &model.second),
    );
    let two = squared(&apart, x, Reduction::Mean, move |model: &Deep, x| {
        forward(x, &model.layers[0], &model.layers[1])
    });
    assert_eq!(one.layout().len(), 12);
    assert_eq!(two.layout().len(), 24);
    assert!((one.value().unwrap() - two.value().unwrap()).abs() < 1e-14);
    let config = KfacConfig::new();
    let [one, two] = [&one, &two].map(|objective| {
        let kfac = Kfac::new(objective, GAUSSIAN, Reduction::Mean, &config).unwrap();
        serde_json::to_value(kfac.state()).unwrap()
    });
    let numbers = |state: &serde_json::Value, layer: usize, factor: &str| -> Vec<f64> {
        let values = &state["layers"][layer][factor]["Dense"]["values"];
        values
            .as_array()
            .unwrap()
            .iter()
            .map(|x| x.as_f64().unwrap())
            .collect()
    };
    for (factor, share) in [("a", 0.5), ("g", 1.0)] {
        let (first, second) = (numbers(&two, 0, factor), numbers(&two, 1, factor));
        for ((found, a), b) in numbers(&one, 0, factor).iter().zip(first).zip(second) {
            assert!((found - share * (a + b)).abs() < 1e-14, "{factor}");
        }
    }
}

#[test]
fn sampled_targets_tend_to_the_exact_factors() {
    let objective = classifier(3, 6);
    let product = |fisher| {
        let config = KfacConfig::new().with_fisher(fisher);
        let kfac = Kfac::new(
            &objective,
            Likelihood::Categorical,
            Reduction::Mean,
            &config,
        );
        kfac.unwrap()
            .apply(&objective.parameters().ones_like())
            .unwrap()
    };
    let exact = product(KfacFisher::Exact);
    let error = |draws| {
        let squares = (0..6).map(|seed| {
            relative_error(&product(KfacFisher::MonteCarlo { draws, seed }), &exact).powi(2)
        });
        (squares.sum::<f64>() / 6.0).sqrt()
    };
    let (few, many) = (error(4), error(256));
    assert!(
        many < 0.1 && (3.5..20.0).contains(&(few / many)),
        "{few}, {many}"
    );
}

#[test]
fn every_projection_of_a_transformer_is_found() {
    let case = transformer::case(&device());
    let objective =
        Objective::<B>::trace_with(&TraceConfig::new(), &case.model, case.batch, case.loss)
            .unwrap();
    let config = KfacConfig::new().with_fisher(KfacFisher::MonteCarlo { draws: 1, seed: 1 });
    let kfac = Kfac::new(
        &objective,
        Likelihood::Categorical,
        Reduction::Mean,
        &config,
    )
    .unwrap();
    let coverage = kfac.coverage();
    let mut normalisations = 0;
    for entry in &coverage.entries {
        match &entry.treatment {
            Treatment::Kronecker { .. } => {}
            Treatment::ExactBlock { .. } => {
                normalisations += 1;
                assert!(entry.parameter.contains("norm"), "{coverage}");
            }
            Treatment::Unused => panic!("{coverage}"),
        }
    }
    assert_eq!(normalisations, 8, "{coverage}");
    assert!(coverage.kronecker_fraction() > 0.98);
    let v = objective.parameters().normal_like(1).unwrap();
    assert!(v.dot(&kfac.apply(&v).unwrap()).unwrap() > 0.0);
    // Rows of these outputs are places of a sequence that attention mixes.
    let exact = Kfac::new(
        &objective,
        Likelihood::Categorical,
        Reduction::Mean,
        &KfacConfig::new(),
    );
    assert_eq!(exact.unwrap_err(), OperatorError::KfacPlaces.into());
}

#[derive(Module, Debug)]
struct Recurrent {
    lstm: nn::Lstm,
    output: nn::Linear,
}

#[test]
fn recurrent_weights_are_shared_over_time() {
    let model = Recurrent {
        lstm: nn::LstmConfig::new(3, 4, true).init(&device()),
        output: nn::LinearConfig::new(4, 2).init(&device()),
    };
    let objective = squared(
        &model,
        random([5, 6, 3], 2),
        Reduction::Mean,
        |model: &Recurrent, x| {
            let (hidden, _) = model.lstm.forward(x, None);
            let last: Tensor<2> = hidden.slice([0..5, 5..6]).squeeze_dim(1);
            model.output.forward(last)
        },
    );
    let config = KfacConfig::new().with_fisher(KfacFisher::MonteCarlo { draws: 2, seed: 1 });
    let kfac = Kfac::new(&objective, GAUSSIAN, Reduction::Mean, &config).unwrap();
    let recurrent = kfac
        .coverage()
        .entries
        .iter()
        .filter(|entry| entry.parameter.starts_with("lstm"));
    for entry in recurrent {
        let Treatment::Kronecker { uses, .. } = entry.treatment else {
            panic!("{}", kfac.coverage());
        };
        assert_eq!(uses, 6, "{}", kfac.coverage());
    }
}

/// Its dense matrix.
fn dense(objective: &Objective<B>) -> (Kfac<B>, Vec<Vec<f64>>) {
    let kfac = Kfac::new(
        objective,
        Likelihood::Categorical,
        Reduction::Mean,
        &KfacConfig::new(),
    )
    .unwrap();
    let matrix = rows(&kfac, objective.parameters());
    (kfac, matrix)
}

#[test]
fn inverses_undo_the_damped_operator() {
    let objective = classifier(1, 8);
    let (kfac, matrix) = dense(&objective);
    let v = objective.parameters().normal_like(2).unwrap();
    for damping in [1e-3, 0.1, 10.0] {
        let inverse = kfac.inverse(damping).unwrap();
        let back = inverse
            .apply(&kfac.apply(&v).unwrap().axpy(damping, &v).unwrap())
            .unwrap();
        assert!(relative_error(&back, &v) < 1e-10);
        let determinant = kfac.log_determinant(damping).unwrap();
        let eigenvalues = burn_curvature::DenseMatrix::from_rows(&matrix)
            .unwrap()
            .eigenvalues()
            .unwrap();
        let expected: f64 = eigenvalues.iter().map(|value| (value + damping).ln()).sum();
        assert!(
            (determinant - expected).abs() < 1e-8,
            "{determinant}, {expected}"
        );
    }
    let root = kfac.square_root().unwrap();
    let twice = root.apply(&root.apply(&v).unwrap()).unwrap();
    assert!(relative_error(&twice, &kfac.apply(&v).unwrap()) < 1e-10);
    let trace: f64 = (0..matrix.len()).map(|i| matrix[i][i]).sum();
    assert!((kfac.trace() - trace).abs() < 1e-12);
    let square: f64 = matrix.iter().flatten().map(|x| x * x).sum();
    assert!((kfac.frobenius_norm() - square.sqrt()).abs() < 1e-12);
}

/// (A + π√λ I) V (G + √λ/π I) undoes the factored inverse, by A and G from the saved state.
#[test]
fn factored_damping_is_the_paper_s() {
    let model = Deep::new(&[3, 2], false);
    let objective = squared(&model, random([5, 3], 1), Reduction::Mean, |model, x| {
        model.forward(x)
    });
    let kfac = Kfac::new(&objective, GAUSSIAN, Reduction::Mean, &KfacConfig::new()).unwrap();
    let state = serde_json::to_value(kfac.state()).unwrap();
    let matrix = |factor: &str, size: usize| -> Vec<Vec<f64>> {
        let values = state["layers"][0][factor]["Dense"]["values"]
            .as_array()
            .unwrap();
        let values: Vec<f64> = values.iter().map(|x| x.as_f64().unwrap()).collect();
        values.chunks(size).map(<[f64]>::to_vec).collect()
    };
    let (mut a, mut g) = (matrix("a", 3), matrix("g", 2));
    let trace = |m: &[Vec<f64>]| (0..m.len()).map(|i| m[i][i]).sum::<f64>() / m.len() as f64;
    let (damping, pi) = (0.3_f64, (trace(&a) / trace(&g)).sqrt());
    assert!(
        (pi - 1.0).abs() > 0.05,
        "this test needs unequal traces: {pi}"
    );
    (0..3).for_each(|i| a[i][i] += pi * damping.sqrt());
    (0..2).for_each(|i| g[i][i] += damping.sqrt() / pi);
    let v = objective.parameters().normal_like(3).unwrap();
    let w = kfac
        .factored_inverse(damping)
        .unwrap()
        .apply(&v)
        .unwrap()
        .to_vec()
        .unwrap();
    let w: Vec<Vec<f64>> = w.chunks(2).map(<[f64]>::to_vec).collect();
    let back = super::product(&super::product(&a, &w), &g).concat();
    let back = v.from_vec_like(&back).unwrap();
    assert!(relative_error(&back, &v) < 1e-12);
}

#[test]
fn the_balance_of_damping_helps_badly_scaled_factors() {
    let model = Deep::new(&[4, 3], false);
    // G a thousandth of A: the likelihood's variance.
    let likelihood = Likelihood::Gaussian { variance: 1e3 };
    let objective = squared(&model, random([6, 4], 1), Reduction::Mean, |model, x| {
        model.forward(x)
    });
    let kfac = Kfac::new(&objective, likelihood, Reduction::Mean, &KfacConfig::new()).unwrap();
    let v = objective.parameters().normal_like(3).unwrap();
    let damping = 1e-4;
    let exact = kfac.inverse(damping).unwrap().apply(&v).unwrap();
    let factored = kfac.factored_inverse(damping).unwrap().apply(&v).unwrap();
    // Without the balance: (A + √λ I)⁻¹ ⊗ (G + √λ I)⁻¹, where G = 1e-3 I.
    let state = serde_json::to_value(kfac.state()).unwrap();
    let values = state["layers"][0]["a"]["Dense"]["values"]
        .as_array()
        .unwrap()
        .clone();
    let a: Vec<Vec<f64>> = values
        .chunks(4)
        .map(|row| row.iter().map(|x| x.as_f64().unwrap()).collect())
        .collect();
    let root = f64::sqrt(damping);
    let numbers = v.to_vec().unwrap();
    let damped: Vec<Vec<f64>> = (0..4)
        .map(|i| {
            (0..4)
                .map(|j| a[i][j] + if i == j { root } else { 0.0 })
                .collect()
        })
        .collect();
    let columns = (0..3).map(|column| {
        let rhs: Vec<f64> = (0..4).map(|row| numbers[3 * row + column]).collect();
        solve(&damped, &rhs)
    });
    let columns: Vec<Vec<f64>> = columns.collect();
    let plain: Vec<f64> = (0..12)
        .map(|at| columns[at % 3][at / 3] / (1e-3 + root))
        .collect();
    let plain = v.from_vec_like(&plain).unwrap();
    let (with, without) = (
        relative_error(&factored, &exact),
        relative_error(&plain, &exact),
    );
    assert!(with < 0.7 * without, "{with} with, {without} without");
}

/// A x = b by Gaussian elimination, for a positive definite A.
fn solve(a: &[Vec<f64>], b: &[f64]) -> Vec<f64> {
    let n = b.len();
    let mut rows: Vec<Vec<f64>> = a
        .iter()
        .zip(b)
        .map(|(row, b)| row.iter().copied().chain([*b]).collect())
        .collect();
    for k in 0..n {
        for i in 0..n {
            if i != k {
                let factor = rows[i][k] / rows[k][k];
                let pivot = rows[k].clone();
                rows[i]
                    .iter_mut()
                    .zip(pivot)
                    .for_each(|(x, p)| *x -= factor * p);
            }
        }
    }
    (0..n).map(|i| rows[i][n] / rows[i][i]).collect()
}

#[test]
fn a_sigmoid_may_be_written_as_a_hyperbolic_tangent() {
    let model = Deep::new(&[3, 4, 2], true);
    let x = random([5, 3], 1);
    let one = squared(&model, x.clone(), Reduction::Mean, |model: &Deep, x| {
        model.layers[1].forward(sigmoid(model.layers[0].forward(x)))
    });
    let other = squared(&model, x, Reduction::Mean, |model: &Deep, x| {
        let half = tanh(model.layers[0].forward(x) * 0.5);
        model.layers[1].forward((half + 1.0) * 0.5)
    });
    let step = |objective: &Objective<B>| -> ParamVector<B> {
        let kfac = Kfac::new(objective, GAUSSIAN, Reduction::Mean, &KfacConfig::new()).unwrap();
        kfac.inverse(1e-2)
            .unwrap()
            .apply(&objective.gradient().unwrap())
            .unwrap()
    };
    assert!(relative_error(&step(&one), &step(&other)) < 1e-9);
}

#[test]
fn it_preconditions_conjugate_gradients() {
    let damping = 1e-3;
    let (mut plain, mut helped) = (0, 0);
    for seed in 0..4 {
        let objective = classifier(seed, 40);
        let newton = GaussNewton::new(&objective)
            .unwrap()
            .damped(damping)
            .unwrap();
        let gradient = objective.gradient().unwrap();
        let solver = ConjugateGradientConfig::new()
            .with_relative_tolerance(1e-8)
            .init()
            .unwrap();
        let solution = solver.solve(&newton, &gradient).unwrap();
        assert_eq!(solution.report.stop, StopReason::Converged);
        plain += solution.report.iterations;
        let inverse = dense(&objective).0.inverse(damping).unwrap();
        let options = SolveOptions::new().with_preconditioner(&inverse);
        let solution = solver.solve_with(&newton, &gradient, options).unwrap();
        assert_eq!(solution.report.stop, StopReason::Converged);
        helped += solution.report.iterations;
    }
    assert!(helped < plain, "{helped} and {plain}");
}

#[test]
fn factors_are_saved_loaded_and_averaged() {
    let objective = classifier(1, 5);
    let (kfac, _) = dense(&objective);
    let saved = serde_json::to_string(&kfac.state()).unwrap();
    let state: KfacState = serde_json::from_str(&saved).unwrap();
    let loaded = Kfac::from_state(&objective, &state).unwrap();
    let v = objective.parameters().normal_like(2).unwrap();
    assert!(relative_error(&loaded.apply(&v).unwrap(), &kfac.apply(&v).unwrap()) < 1e-14);
    assert_eq!(loaded.coverage(), kfac.coverage());

    let (other, _) = dense(&objective.on(samples(9, 6, &device())).unwrap());
    let averaged = state.averaged(&other.state(), 0.25).unwrap();
    let averaged = Kfac::from_state(&objective, &averaged).unwrap();
    // Traces of the factors are averaged; that of their product is not.
    assert!(relative_error(&averaged.apply(&v).unwrap(), &other.apply(&v).unwrap()) > 1e-3);
    let kept = state.averaged(&other.state(), 1.0).unwrap();
    assert_eq!(kept, state);
    assert_eq!(state.averaged(&other.state(), 0.0).unwrap(), other.state());
    assert!(state.averaged(&other.state(), 1.5).is_err());

    let model = Deep::new(&[3, 2], false);
    let foreign = squared(&model, random([5, 3], 1), Reduction::Mean, |model, x| {
        model.forward(x)
    });
    assert_eq!(
        Kfac::from_state(&foreign, &state).unwrap_err(),
        OperatorError::KfacState.into()
    );
}

#[derive(Module, Debug)]
struct Normalised {
    linear: nn::Linear,
    norm: nn::LayerNorm,
}

#[test]
fn what_is_no_layer_has_its_exact_block_or_is_refused() {
    let model = Normalised {
        linear: Deep::new(&[3, 4], true).layers.remove(0),
        norm: nn::LayerNormConfig::new(4).init(&device()),
    };
    let objective = squared(
        &model,
        random([5, 3], 1),
        Reduction::Mean,
        |model: &Normalised, x| model.norm.forward(model.linear.forward(x)),
    );
    let kfac = Kfac::new(&objective, GAUSSIAN, Reduction::Mean, &KfacConfig::new()).unwrap();
    let exact = Fisher::exact(&objective, GAUSSIAN, Reduction::Mean).unwrap();
    for name in ["norm.gamma", "norm.beta"] {
        let subset = objective.layout().select(name).unwrap();
        let v = ParamVector::normal(
            subset.layout(),
            3,
            &Default::default(),
            objective.precision(),
        )
        .unwrap();
        let v = subset.embed(&v).unwrap();
        let found = subset.restrict(&kfac.apply(&v).unwrap()).unwrap();
        let truth = subset.restrict(&exact.apply(&v).unwrap()).unwrap();
        assert!(relative_error(&found, &truth) < 1e-12, "{name}");
    }
    for policy in [BesidePolicy::Refuse, BesidePolicy::ExactBlock { limit: 3 }] {
        let config = KfacConfig::new().with_beside(policy);
        let error = Kfac::new(&objective, GAUSSIAN, Reduction::Mean, &config).unwrap_err();
        assert!(error.to_string().contains("norm.gamma"), "{error}");
    }
}

#[test]
fn bad_settings_are_refused() {
    let objective = classifier(1, 4);
    let none = KfacConfig::new().with_fisher(KfacFisher::MonteCarlo { draws: 0, seed: 1 });
    let error = Kfac::new(&objective, Likelihood::Categorical, Reduction::Mean, &none).unwrap_err();
    assert_eq!(error, OperatorError::NoDraws.into());
    let (kfac, _) = dense(&objective);
    for damping in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(
            kfac.inverse(damping).unwrap_err(),
            Error::Operator(OperatorError::Damping { .. })
        ));
        assert!(kfac.factored_inverse(damping).is_err());
    }
    // Four samples leave factors of five and six rows singular; rounding may hide it in the smallest eigenvalues.
    let softmax = kfac.inverse(0.0);
    assert!(
        matches!(
            softmax,
            Err(Error::Operator(OperatorError::KfacSingular { .. }))
        ) || softmax.is_ok()
    );
    let other = Objective::<B>::trace_with(
        &TraceConfig::new(),
        &Classifier::new(1, &device()),
        samples(3, 1, &device()),
        super::cross_entropy,
    )
    .unwrap();
    let wrong = other.parameters().ones_like();
    assert!(kfac.apply(&wrong).is_err()); // f32 against f64
}
