//! Weights that are made of others: tied, normalized, generated, anchored, penalized.

use burn::{
    module::{Module, Param},
    nn::{Embedding, EmbeddingConfig, Linear},
    prelude::*,
    tensor::activation::{gelu, log_softmax, softmax},
};
use burn_curvature::{Likelihood, check::Check};

use crate::{
    parts::{classified, linear, weights},
    stranger::{DIFFERENTIATED, OF_OUTPUTS, as_given, device, labels, normal},
};

type Labeled = (Tensor<2>, Tensor<1, Int>);

fn labeled() -> Labeled {
    (normal([8, 4], 1), labels([8], 3, 2))
}

/// An equilibrium by twelve iterations of one layer.
#[test]
fn deep_equilibrium() {
    let model = (linear(4, 5), linear(5, 5), linear(5, 3));
    as_given(model, labeled(), |(input, shared, output), (x, y): Labeled| {
        let input = input.forward(x);
        let mut state = input.clone().tanh();
        for _ in 0..12 {
            state = (input.clone() + shared.forward(state) * 0.3).tanh();
        }
        classified(output.forward(state), y)
    })
    .mean()
    .with(Likelihood::Categorical)
    .passes();
}

/// One matrix as encoder, and transposed as decoder.
#[test]
fn tied_autoencoder() {
    let model = (weights([5, 3], 1), weights([3], 2), weights([5], 3));
    as_given(model, normal([7, 5], 4), |(weight, bias, output), x: Tensor<2>| {
        let code = gelu(x.clone().matmul(weight.val()) + bias.val().unsqueeze());
        let z = code.matmul(weight.val().transpose()) + output.val().unsqueeze();
        let loss = (z.clone() - x).square().sum_dim(1).mean() * 0.5;
        (z, loss)
    })
    .mean()
    .with(Likelihood::Gaussian { variance: 1.0 })
    .without_layers()
    .passes();
}

/// A network whose weights another one computes from a code.
#[test]
fn hypernetwork() {
    let model = (linear(2, 6), linear(6, 12));
    let batch = (normal([2], 1), normal([8, 4], 2), labels([8], 3, 3));
    as_given(model, batch, |(hidden, weights), (code, x, y): (Tensor<1>, Tensor<2>, _)| {
        let weights = weights.forward(hidden.forward(code.unsqueeze::<2>()).tanh());
        classified(x.matmul(weights.reshape([4, 3])), y)
    })
    .mean()
    .passes();
}

/// Directions and lengths of the columns as separate parameters.
#[derive(Module, Debug)]
struct Normalized {
    direction: Param<Tensor<2>>,
    length: Param<Tensor<1>>,
    output: Linear,
}

#[test]
fn weight_normalization() {
    let model = Normalized {
        direction: Param::from_tensor(normal([4, 5], 1)),
        length: Param::from_tensor(Tensor::ones([5], &device())),
        output: linear(5, 3),
    };
    as_given(model, labeled(), |model, (x, y): Labeled| {
        let v = model.direction.val();
        let norms = v.clone().square().sum_dim(0).sqrt();
        let weight = v / norms * (model.length.val() + 1.0).unsqueeze();
        classified(model.output.forward(x.matmul(weight).tanh()), y)
    })
    .mean()
    .passes();
}

/// Division by the largest singular value, by stopped power iterations.
#[test]
fn spectral_normalization() {
    let batch = (normal([8, 4], 1), labels([8], 3, 2), normal([4, 1], 3));
    as_given(
        (linear(4, 5), linear(5, 3)),
        batch,
        |(inner, output), (x, y, start): (Tensor<2>, _, Tensor<2>)| {
            let weight = inner.weight.val();
            let unit = |t: Tensor<2>| t.clone() / t.square().sum().sqrt().unsqueeze();
            let mut left = unit(start);
            let mut right = unit(weight.clone().transpose().matmul(left.clone()));
            for _ in 0..3 {
                left = unit(weight.clone().matmul(right));
                right = unit(weight.clone().transpose().matmul(left.clone()));
            }
            let (left, right) = (left.detach(), right.detach());
            let sigma = left.transpose().matmul(weight.clone()).matmul(right);
            classified(output.forward(x.matmul(weight / sigma).tanh()), y)
        },
    )
    .mean()
    .without(&DIFFERENTIATED)
    .without(&[Check::Jacobian])
    .passes();
}

/// A quadratic penalty around the weights of an earlier task, which are frozen.
#[test]
fn elastic_weight_consolidation() {
    let (model, anchor) = (linear(4, 3), linear(4, 3).no_grad());
    as_given((model, anchor), labeled(), |(model, anchor), (x, y): Labeled| {
        let (_, loss) = classified(model.forward(x), y);
        let moved = model.weight.val() - anchor.weight.val();
        loss + moved.square().sum() * 0.5
    })
    .mean()
    .without(&OF_OUTPUTS)
    .passes();
}

/// A loss with ‖WᵀW − I‖².
#[test]
fn orthogonality_penalty() {
    as_given((linear(4, 4), linear(4, 3)), labeled(), |(inner, output), (x, y): Labeled| {
        let weight = inner.weight.val();
        let gram = weight.clone().transpose().matmul(weight);
        let identity = Tensor::<2>::eye(4, &gram.device());
        let (_, loss) = classified(output.forward(inner.forward(x).tanh()), y);
        loss + (gram - identity).square().sum() * 0.1
    })
    .mean()
    .without(&OF_OUTPUTS)
    .passes();
}

/// Conditioned by an embedding that scales and shifts, and heads that are picked by a soft tree.
#[derive(Module, Debug)]
struct Tree {
    hidden: Linear,
    film: Embedding,
    gates: Linear,
    leaves: Param<Tensor<2>>,
}

#[test]
fn conditioned_soft_tree() {
    let model = Tree {
        hidden: linear(4, 5),
        film: EmbeddingConfig::new(3, 10).init(&device()),
        gates: linear(5, 3),
        leaves: Param::from_tensor(normal([4, 3], 1)),
    };
    let batch = (normal([8, 4], 1), labels([8], 3, 2), labels([8], 3, 3));
    type Conditioned = (Tensor<2>, Tensor<1, Int>, Tensor<1, Int>);
    as_given(model, batch, |model, (x, condition, y): Conditioned| {
        let film = model.film.forward(condition.unsqueeze_dim(1)).squeeze_dim::<2>(1);
        let (scale, shift) = (film.clone().narrow(1, 0, 5), film.narrow(1, 5, 5));
        let hidden = (model.hidden.forward(x) * (scale + 1.0) + shift).tanh();
        let right = burn::tensor::activation::sigmoid(model.gates.forward(hidden));
        let left = right.clone() * -1.0 + 1.0;
        let node = |t: &Tensor<2>, at| t.clone().narrow(1, at, 1);
        let paths =
            [(&left, &left, 1), (&left, &right, 1), (&right, &left, 2), (&right, &right, 2)];
        let paths = paths.map(|(first, second, at)| node(first, 0) * node(second, at));
        let p = Tensor::cat(paths.to_vec(), 1).matmul(softmax(model.leaves.val(), 1));
        p.log().gather(1, y.unsqueeze_dim(1)).mean().neg()
    })
    .mean()
    .without(&OF_OUTPUTS)
    .passes();
}

/// Words and contexts in two tables, with words that are no contexts.
#[test]
fn negative_sampling() {
    let table = || EmbeddingConfig::new(12, 4).init(&device());
    let batch = (labels([6, 1], 12, 1), labels([6, 1], 12, 2), labels([6, 3], 12, 3));
    type Words = (Tensor<2, Int>, Tensor<2, Int>, Tensor<2, Int>);
    as_given((table(), table()), batch, |(words, contexts), (word, right, wrong): Words| {
        let word = words.forward(word);
        let score = |at: Tensor<2, Int>| (contexts.forward(at) * word.clone()).sum_dim(2);
        let log_sigmoid = burn::tensor::activation::log_sigmoid;
        let found = log_sigmoid(score(right)).sum_dim(1);
        let others = log_sigmoid(-score(wrong)).sum_dim(1);
        (found + others).mean().neg()
    })
    .mean()
    .without(&OF_OUTPUTS)
    .passes();
}

/// Users and items, ranked in pairs, with biases of the items.
#[test]
fn pairwise_ranking() {
    let table = |rows, width| EmbeddingConfig::new(rows, width).init(&device());
    let model = (table(5, 3), table(7, 3), table(7, 1));
    let batch = (labels([8, 1], 5, 1), labels([8, 1], 7, 2), labels([8, 1], 7, 3));
    type Triples = (Tensor<2, Int>, Tensor<2, Int>, Tensor<2, Int>);
    as_given(model, batch, |(users, items, biases), (user, better, worse): Triples| {
        let user = users.forward(user);
        let score = |item: Tensor<2, Int>| {
            let product = (items.forward(item.clone()) * user.clone()).sum_dim(2);
            (product + biases.forward(item)).squeeze_dim::<2>(2)
        };
        let both = Tensor::cat(vec![score(better), score(worse)], 1);
        let losses = log_softmax(both.clone(), 1).narrow(1, 0, 1);
        (both, losses.mean().neg())
    })
    .mean()
    .passes();
}
