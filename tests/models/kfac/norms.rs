//! Parameters that are broadcast to the samples: norms, class tokens, scales; weights used with and without a bias.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use burn::{
    module::{Module, Param},
    nn,
    prelude::*,
    tensor::activation::tanh,
};
use burn_curvature::{
    EmpiricalFisher, Fisher, KfacConfig, LinearOperator, Objective, Reduction, SelfAdjoint,
    kfac::{KfacFisher, UncoveredPolicy},
    materialize,
};

use super::{super::B, Deep, GAUSSIAN, device, random, squared, weight};
use crate::without_draws;

const FISHERS: [KfacFisher; 4] = [
    KfacFisher::Exact,
    KfacFisher::MonteCarlo { draws: 2, seed: 3 },
    KfacFisher::Empirical,
    KfacFisher::ForwardOnly,
];

pub(super) fn truth(objective: &Objective<B>, fisher: KfacFisher) -> Box<dyn SelfAdjoint<B>> {
    match fisher {
        KfacFisher::Exact | KfacFisher::ForwardOnly => {
            Box::new(Fisher::exact(objective, GAUSSIAN).unwrap())
        }
        KfacFisher::MonteCarlo { draws, seed } => {
            Box::new(Fisher::monte_carlo(objective, GAUSSIAN, draws, seed).unwrap())
        }
        KfacFisher::Empirical => Box::new(EmpiricalFisher::new(objective).unwrap()),
        KfacFisher::ExactWhereCheap { .. } => panic!("either of the two"),
    }
}

/// Passes over the batch that K-FAC takes.
fn passes(objective: &Objective<B>, config: &KfacConfig) -> usize {
    let count = Arc::new(AtomicUsize::new(0));
    let own = Arc::clone(&count);
    let watched = objective.with_progress(move |_| {
        own.fetch_add(1, Ordering::Relaxed);
    });
    config.init(&watched, GAUSSIAN).unwrap();
    count.load(Ordering::Relaxed)
}

/// Every uncovered block is the exact one, in so few passes that its size does not matter.
#[track_caller]
pub(super) fn blocks_are_exact(objective: &Objective<B>, expected: &[&str], most: usize) {
    for fisher in FISHERS {
        let config = KfacConfig::new().with_fisher(fisher);
        let kfac = config.init(objective, GAUSSIAN).unwrap();
        let names: Vec<&str> = kfac.uncovered().map(|(name, _)| name).collect();
        assert_eq!(names, expected, "{}", kfac.coverage());
        for (name, factor) in kfac.uncovered() {
            let subset = objective.layout().select_by(|block| block.name() == name).unwrap();
            let truth = truth(objective, fisher);
            let truth = materialize(&truth.as_ref().restricted(subset).unwrap()).unwrap();
            let largest = truth.values().iter().fold(0.0_f64, |most, x| most.max(x.abs()));
            assert!(largest > 0.0, "{name}");
            let pairs = factor.values().unwrap().iter().zip(truth.values());
            let error = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest;
            assert!(error < 1e-11, "{fisher:?} {name}: {error}");
        }
        let passes = passes(objective, &config);
        assert!(passes <= most, "{fisher:?}: {passes} passes");
    }
}

#[derive(Module, Debug)]
struct Layered {
    first: nn::Linear,
    norm: nn::LayerNorm,
    second: nn::Linear,
}

pub(super) fn layer(widths: &[usize]) -> nn::Linear {
    Deep::new(widths, true).layers.remove(0)
}

fn layer_norm(width: usize) -> nn::LayerNorm {
    let mut norm = nn::LayerNormConfig::new(width).init(&device());
    norm.gamma = weight([width], 21);
    norm.beta = Some(weight([width], 22));
    norm
}

#[test]
fn layer_norms_have_exact_blocks_from_the_same_pass() {
    for [b, s, w] in [[4, 5, 6], [4, 5, 12], [3, 1, 4], [1, 4, 4]] {
        let model = Layered { first: layer(&[3, w]), norm: layer_norm(w), second: layer(&[w, 2]) };
        for time in [1, 0] {
            let x = random([b, s, 3], 4);
            let objective = squared(&model, x, Reduction::Mean, move |model: &Layered, x| {
                let x = if time == 1 { x } else { x.swap_dims(0, 1) };
                let hidden = tanh(model.norm.forward(model.first.forward::<3>(x)));
                let z: Tensor<2> = model.second.forward(hidden).mean_dim(time).squeeze_dim(time);
                z
            });
            blocks_are_exact(&objective, &["norm.gamma", "norm.beta"], 2);
        }
        // A loss at every place.
        let x = random([b, s, 3], 4);
        let objective = squared(&model, x, Reduction::Mean, move |model: &Layered, x| {
            model.second.forward(tanh(model.norm.forward(model.first.forward::<3>(x))))
        });
        blocks_are_exact(&objective, &["norm.gamma", "norm.beta"], 2);
    }
}

#[derive(Module, Debug)]
struct Convolved {
    conv: nn::conv::Conv2d,
    batch: nn::BatchNorm,
    group: nn::GroupNorm,
    output: nn::Linear,
}

#[test]
fn batch_and_group_norms_have_exact_blocks_from_the_same_pass() {
    let mut conv = nn::conv::Conv2dConfig::new([2, 4], [3, 3]).init(&device());
    conv.weight = weight([4, 2, 3, 3], 1);
    conv.bias = Some(weight([4], 2));
    let mut batch = nn::BatchNormConfig::new(4).init(&device());
    (batch.gamma, batch.beta) = (weight([4], 3), weight([4], 4));
    let mut group = nn::GroupNormConfig::new(2, 4).init(&device());
    (group.gamma, group.beta) = (Some(weight([4], 5)), Some(weight([4], 6)));
    let model = Convolved { conv, batch, group, output: layer(&[4, 2]) };
    let config = burn_curvature::CaptureConfig::new().evaluation();
    let objective = Objective::<B>::capture_with(
        &config,
        &model,
        random([5, 2, 6, 5], 7),
        |model: &Convolved, x: Tensor<4>| {
            let hidden = tanh(model.batch.forward(model.conv.forward(x)));
            let hidden: Tensor<4> = tanh(model.group.forward(hidden));
            let [samples, channels, ..] = hidden.dims();
            let z =
                model.output.forward(hidden.mean_dim(3).mean_dim(2).reshape([samples, channels]));
            (z.clone(), z.powf_scalar(2.0).sum() * 0.5 / samples as f64)
        },
    );
    let objective = objective.unwrap().in_f64().unwrap().reduced_by(Reduction::Mean).unwrap();
    let expected = ["batch.gamma", "batch.beta", "group.gamma", "group.beta"];
    blocks_are_exact(&objective, &expected, 2);
}

#[derive(Module, Debug)]
struct Broadcast {
    class: Param<Tensor<3>>,
    positions: Param<Tensor<3>>,
    scale: Param<Tensor<1>>,
    slope: Param<Tensor<1>>,
    output: nn::Linear,
}

/// A class token, a table of positions, a divisor and a slope: whatever broadcasts them.
#[test]
fn all_that_is_broadcast_has_its_exact_block() {
    let model = Broadcast {
        class: weight([1, 1, 3], 1),
        positions: weight([1, 5, 3], 2),
        scale: Param::from_tensor(random([3], 3) + 3.0),
        slope: weight([1], 4),
        output: layer(&[3, 2]),
    };
    let x = random([4, 4, 3], 5);
    let objective = squared(&model, x, Reduction::Mean, |model: &Broadcast, x| {
        let class = model.class.val().expand([4, 1, 3]);
        let x = Tensor::cat(vec![class, x], 1) + model.positions.val();
        let x = x / model.scale.val().unsqueeze();
        let x = tanh(x.clone()) + x * model.slope.val().unsqueeze();
        let z: Tensor<2> = model.output.forward(x).mean_dim(1).squeeze_dim(1);
        z
    });
    blocks_are_exact(&objective, &["class", "positions", "scale", "slope"], 2);
}

#[derive(Module, Debug)]
struct Logarithms {
    rates: Param<Tensor<2>>,
    scale: Param<Tensor<1>>,
    output: nn::Linear,
}

/// Functions of a parameter, element by element, are broadcast in its place: −exp of a table, used twice, and a softplus.
#[test]
fn a_function_of_a_parameter_that_is_broadcast_leaves_its_block_exact() {
    let model =
        Logarithms { rates: weight([4, 3], 1), scale: weight([3], 2), output: layer(&[3, 2]) };
    let x = random([5, 4, 3], 3);
    let objective = squared(&model, x, Reduction::Mean, |model: &Logarithms, x: Tensor<3>| {
        let rates = -model.rates.val().exp();
        let decay = (x.clone() * rates.unsqueeze()).exp();
        let x = decay * model.rates.val().unsqueeze() + x;
        let scale = (model.scale.val().exp() + 1.0).log();
        let z: Tensor<2> = model.output.forward(x * scale.unsqueeze()).mean_dim(1).squeeze_dim(1);
        z
    });
    blocks_are_exact(&objective, &["rates", "scale"], 2);
}

/// A weight that is used in two ways: its gradients are summed, in the same pass.
#[test]
fn a_tied_weight_has_its_exact_block_from_the_same_pass() {
    #[derive(Module, Debug)]
    struct Tied {
        embedding: nn::Embedding,
    }
    let mut embedding = nn::EmbeddingConfig::new(5, 3).init(&device());
    embedding.weight = weight([5, 3], 1);
    let tokens = Tensor::<2, Int>::from_ints([[1, 2], [4, 4], [1, 0]], &device());
    let model = Tied { embedding };
    let objective = squared(&model, tokens, Reduction::Mean, |model: &Tied, tokens| {
        let hidden = tanh(model.embedding.forward(tokens));
        let z = hidden.matmul(model.embedding.weight.val().transpose().unsqueeze());
        let z: Tensor<2> = z.mean_dim(1).squeeze_dim(1);
        z
    });
    blocks_are_exact(&objective, &["embedding.weight"], 2);
}

/// Too large for an exact block: refused by name, as before.
#[test]
fn large_norms_are_refused_or_estimated() {
    let model = Layered { first: layer(&[3, 6]), norm: layer_norm(6), second: layer(&[6, 2]) };
    let objective = squared(&model, random([4, 3], 4), Reduction::Mean, |model: &Layered, x| {
        model.second.forward(tanh(model.norm.forward(model.first.forward::<2>(x))))
    });
    let limited = without_draws().with_uncovered(UncoveredPolicy::ExactBlock { limit: 5 });
    let message = limited.init(&objective, GAUSSIAN).unwrap_err().to_string();
    assert!(message.contains("norm.gamma"), "{message}");
    let policy = UncoveredPolicy::Diagonal { probes: 512, seed: 1 };
    let estimated = without_draws().with_uncovered(policy).init(&objective, GAUSSIAN).unwrap();
    let exact = without_draws().init(&objective, GAUSSIAN).unwrap();
    let traces = [estimated, exact]
        .map(|kfac| kfac.uncovered().map(|(_, factor)| factor.trace().unwrap()).sum::<f64>());
    assert!((traces[0] - traces[1]).abs() < 0.2 * traces[1], "{traces:?}");
}
