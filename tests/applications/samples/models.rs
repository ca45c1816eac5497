//! Networks: dense, convolutional, recurrent in time, with norms, tied weights and broadcasts.

use burn::{
    module::{Module, Param},
    nn::{self, conv},
    prelude::*,
    tensor::activation::{relu, softmax, tanh},
};
use burn_curvature::{CaptureConfig, Loss, Objective, Reduction, kfac::SampleGradients};

use super::{
    B, Case, check_inner_products, check_quadratic_forms, cross_entropy, device, in_f64, indices,
    mean_cross_entropy, operators, random,
};

const CLASSES: usize = 3;

#[derive(Module, Debug)]
struct Stack {
    layers: Vec<nn::Linear>,
}

fn stack(widths: &[usize], bias: bool) -> Stack {
    let layer =
        |pair: &[usize]| nn::LinearConfig::new(pair[0], pair[1]).with_bias(bias).init(&device());
    in_f64(Stack { layers: widths.windows(2).map(layer).collect() }, 1)
}

impl Stack {
    fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let layers = self.layers.iter().enumerate();
        layers.fold(x, |x, (at, layer)| layer.forward(if at == 0 { x } else { tanh(x) }))
    }
}

type Pair<const D: usize> = (Tensor<D>, Tensor<1, Int>);

fn pair<const D: usize>(shape: [usize; D], seed: u64) -> Pair<D> {
    (random(shape, seed), indices([shape[0]], CLASSES, seed + 1))
}

fn one_of<const D: usize>((x, y): &Pair<D>, n: usize) -> Pair<D> {
    (x.clone().narrow(0, n, 1), y.clone().narrow(0, n, 1))
}

fn dense(bias: bool) -> Case<Stack, Pair<2>> {
    Case {
        model: stack(&[4, 6, 5, CLASSES], bias),
        batch: pair([7, 4], 2),
        samples: 7,
        one: one_of,
        loss: |model, (x, y)| mean_cross_entropy(model.forward(x), y),
    }
}

#[test]
fn a_dense_network_with_and_without_biases() {
    dense(true).check();
    dense(false).check();
}

#[test]
fn places_of_a_sequence_are_summed() {
    let case = Case {
        model: stack(&[4, 6, 2, CLASSES], true),
        batch: pair([5, 4, 4], 3),
        samples: 5,
        one: one_of,
        loss: |model, (x, y)| mean_cross_entropy(model.forward(x).mean_dim(1).squeeze_dim(1), y),
    };
    case.check();
}

/// Wide layers at few places: a Gram matrix is smaller than a gradient; narrow ones at many: the other way round.
#[test]
fn few_places_and_many() {
    for (places, width) in [(2, 20), (9, 2)] {
        let case = Case {
            model: stack(&[width, width, CLASSES], true),
            batch: pair([3, places, width], 4),
            samples: 3,
            one: one_of,
            loss: |model, (x, y)| {
                mean_cross_entropy(model.forward(x).mean_dim(1).squeeze_dim(1), y)
            },
        };
        case.check();
    }
}

#[test]
fn samples_behind_time() {
    let case = Case {
        model: stack(&[4, 6, CLASSES], true),
        batch: (random([6, 5, 4], 5), indices([5], CLASSES, 6)),
        samples: 5,
        one: |(x, y): &Pair<3>, n| (x.clone().narrow(1, n, 1), y.clone().narrow(0, n, 1)),
        loss: |model, (x, y)| mean_cross_entropy(model.forward(x).mean_dim(0).squeeze_dim(0), y),
    };
    case.check_gradients(); // influences count samples along the first dimension
}

#[derive(Module, Debug)]
struct Images {
    first: conv::Conv2d,
    second: conv::Conv2d,
    last: nn::Linear,
}

#[test]
fn convolutions_with_groups() {
    let groups = conv::Conv2dConfig::new([4, 6], [2, 2]).with_groups(2).with_stride([2, 2]);
    let model = Images {
        first: conv::Conv2dConfig::new([2, 4], [3, 3]).init(&device()),
        second: groups.init(&device()),
        last: nn::LinearConfig::new(6, CLASSES).init(&device()),
    };
    let case = Case {
        model: in_f64(model, 3),
        batch: pair([4, 2, 6, 6], 7),
        samples: 4,
        one: one_of,
        loss: |model: &Images, (x, y): Pair<4>| {
            let x = model.second.forward(tanh(model.first.forward(x)));
            let x: Tensor<2> = relu(x).mean_dim(3).mean_dim(2).flatten(1, 3);
            mean_cross_entropy(model.last.forward(x), y)
        },
    };
    case.check();
}

#[derive(Module, Debug)]
struct Attention {
    tokens: nn::Embedding,
    places: nn::Embedding,
    query: nn::Linear,
    key: nn::Linear,
    value: nn::Linear,
    norm: nn::LayerNorm,
    last: nn::Linear,
}

type Words = (Tensor<2, Int>, Tensor<1, Int>);

fn one_of_words((x, y): &Words, n: usize) -> Words {
    (x.clone().narrow(0, n, 1), y.clone().narrow(0, n, 1))
}

/// Embeddings of tokens and of places (which serve all samples), attention, a norm.
#[test]
fn attention_with_embeddings_and_norms() {
    let linear = |to| nn::LinearConfig::new(4, to).init(&device());
    let model = Attention {
        tokens: nn::EmbeddingConfig::new(6, 4).init(&device()),
        places: nn::EmbeddingConfig::new(5, 4).init(&device()),
        query: linear(4),
        key: linear(4),
        value: linear(4),
        norm: nn::LayerNormConfig::new(4).init(&device()),
        last: linear(CLASSES),
    };
    let case = Case {
        model: in_f64(model, 4),
        batch: (indices([4, 5], 6, 8), indices([4], CLASSES, 9)),
        samples: 4,
        one: one_of_words,
        loss: |model: &Attention, (x, y): Words| {
            let places = Tensor::<1, Int>::arange(0..5, &x.device()).unsqueeze::<2>();
            let x = model.tokens.forward(x) + model.places.forward(places);
            let x = model.norm.forward(x);
            let (q, k, v) = (
                model.query.forward(x.clone()),
                model.key.forward(x.clone()),
                model.value.forward(x),
            );
            let x: Tensor<2> =
                softmax(q.matmul(k.swap_dims(1, 2)), 2).matmul(v).mean_dim(1).squeeze_dim(1);
            mean_cross_entropy(model.last.forward(x), y)
        },
    };
    case.check();
}

#[derive(Module, Debug)]
struct Tied {
    table: Param<Tensor<2>>,
    layer: nn::Linear,
}

/// An embedding that is the output projection too: no layer, but its gradients are known.
#[test]
fn a_tied_embedding_has_its_whole_gradient() {
    let model = Tied {
        table: Param::from_tensor(Tensor::zeros([CLASSES, 4], &device())),
        layer: nn::LinearConfig::new(4, 4).init(&device()),
    };
    let case = Case {
        model: in_f64(model, 5),
        batch: (indices([6, 2], CLASSES, 10), indices([6], CLASSES, 11)),
        samples: 6,
        one: one_of_words,
        loss: |model: &Tied, (x, y): Words| {
            let [samples, places] = x.dims();
            let rows = model.table.val().select(0, x.flatten::<1>(0, 1));
            let rows = rows.reshape([samples, places, 4]);
            let x: Tensor<2> = tanh(model.layer.forward(rows)).mean_dim(1).squeeze_dim(1);
            mean_cross_entropy(x.matmul(model.table.val().transpose()), y)
        },
    };
    case.check();
}

/// A scalar mean is divided by the number of samples, a sum is not: the gradients are those of single samples either way.
#[test]
fn means_and_sums_have_the_same_gradients() {
    let Case { model, batch, one, .. } = dense(true);
    let truth = dense(true);
    let truth = truth.gradients(&truth.objective());
    for reduction in [Reduction::Mean, Reduction::Sum] {
        let objective = Objective::<B>::capture_with(
            &CaptureConfig::new(),
            &model,
            batch.clone(),
            move |model: &Stack, (x, y): Pair<2>| {
                let (z, losses) = cross_entropy(model.forward(x), y);
                let loss = match reduction {
                    Reduction::Mean => losses.mean(),
                    Reduction::Sum => losses.sum(),
                };
                (z, loss)
            },
        );
        let objective = objective.unwrap().reduced_by(reduction).unwrap();
        let objective = objective.without_loss_check();
        let gradients = SampleGradients::new(&objective).unwrap();
        let truth: Vec<_> = truth
            .iter()
            .map(|gradient| gradient.clone().with_layout(objective.layout()).unwrap())
            .collect();
        check_inner_products(&objective, &gradients, &truth);
        for operator in operators(&objective) {
            check_quadratic_forms(&objective, &gradients, &truth, &operator);
        }
        // A data set in ragged batches.
        let pieces = [0..3, 3..6, 6..7].map(|range| {
            let (x, y) = &batch;
            let (start, count) = (range.start, range.len());
            (x.clone().narrow(0, start, count), y.clone().narrow(0, start, count))
        });
        let data = objective.over(pieces, reduction).unwrap();
        check_inner_products(&data, &gradients, &truth);
        let mut sizes = Vec::new();
        let vectors = [data.parameters().space().ones()];
        let count = |scores: burn_curvature::kfac::SampleScores| {
            sizes.push(scores.samples());
            Ok(())
        };
        gradients.inner_products_by_batch(&data, &vectors, count).unwrap();
        assert_eq!(sizes, [3, 3, 1]);
        // A single sample.
        let alone = objective.on(one(&batch, 2)).unwrap();
        check_inner_products(&alone, &gradients, &truth[2..3]);
    }
}

/// A closure that returns losses alone has them as outputs.
#[test]
fn losses_as_outputs() {
    let Case { model, batch, .. } = dense(true);
    let truth = dense(true);
    let truth = truth.gradients(&truth.objective());
    let objective = Objective::<B>::capture_with(
        &CaptureConfig::new(),
        &model,
        batch,
        |model: &Stack, (x, y): Pair<2>| {
            let losses = cross_entropy(model.forward(x), y).1;
            (losses.clone(), Loss::mean_of(losses))
        },
    );
    let objective = objective.unwrap();
    let gradients = SampleGradients::new(&objective).unwrap();
    let truth: Vec<_> = truth
        .iter()
        .map(|gradient| gradient.clone().with_layout(objective.layout()).unwrap())
        .collect();
    check_inner_products(&objective, &gradients, &truth);
}
