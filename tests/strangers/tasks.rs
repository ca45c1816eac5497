//! Several tasks, several networks, several layouts.

use burn::{
    module::{Module, Param},
    nn::{
        Embedding, EmbeddingConfig, Linear, PaddingConfig2d,
        attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig},
        conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig},
        gru::{Gru, GruConfig},
        loss::{BinaryCrossEntropyLossConfig, CrossEntropyLossConfig, HuberLossConfig, Reduction},
    },
    prelude::*,
    tensor::activation::{log_softmax, relu, silu},
};
use burn_curvature::{Likelihood, check::Check};

use crate::{
    parts::linear,
    stranger::{OF_OUTPUTS, as_given, device, labels, normal, unit},
};

/// Three criteria, weighed by learned uncertainties.
#[derive(Module, Debug)]
struct Tasks {
    trunk: Linear,
    classes: Linear,
    value: Linear,
    flag: Linear,
    uncertainty: Param<Tensor<1>>,
}

#[test]
fn several_criteria() {
    let model = Tasks {
        trunk: linear(5, 8),
        classes: linear(8, 3),
        value: linear(8, 1),
        flag: linear(8, 1),
        uncertainty: Param::from_tensor(Tensor::zeros([3], &device())),
    };
    let batch = (normal([9, 5], 1), labels([9], 3, 2), normal([9, 1], 3), labels([9, 1], 2, 4));
    type Labels = (Tensor<2>, Tensor<1, Int>, Tensor<2>, Tensor<2, Int>);
    as_given(model, batch, |model, (x, class, value, flag): Labels| {
        let hidden = silu(model.trunk.forward(x));
        let device = hidden.device();
        let one = CrossEntropyLossConfig::new().init(&device);
        let one = one.forward(model.classes.forward(hidden.clone()), class);
        let two = HuberLossConfig::new(1.0).init();
        let two = two.forward(model.value.forward(hidden.clone()), value, Reduction::Mean);
        let three = BinaryCrossEntropyLossConfig::new().with_logits(true).init(&device);
        let three = three.forward(model.flag.forward(hidden), flag);
        let weighed = |at, loss: Tensor<1>| {
            let uncertainty = model.uncertainty.val().narrow(0, at, 1);
            loss * (-uncertainty.clone()).exp() + uncertainty
        };
        weighed(0, one) + weighed(1, two) + weighed(2, three)
    })
    .mean()
    .without(&OF_OUTPUTS)
    .passes();
}

/// A class for every pixel, with weights of the classes.
#[derive(Module, Debug)]
struct Segments {
    down: Conv2d,
    up: ConvTranspose2d,
    head: Conv2d,
}

impl Segments {
    fn new() -> Self {
        let down = Conv2dConfig::new([1, 4], [3, 3]).with_stride([2, 2]);
        let up = ConvTranspose2dConfig::new([4, 3], [2, 2]).with_stride([2, 2]);
        Self {
            down: down.with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)).init(&device()),
            up: up.init(&device()),
            head: Conv2dConfig::new([3, 3], [1, 1]).init(&device()),
        }
    }

    /// Logits of the pixels, `[pixels, classes]`.
    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let z = self.head.forward(relu(self.up.forward(silu(self.down.forward(x)))));
        let [n, classes, height, width] = z.dims();
        z.permute([0, 2, 3, 1]).reshape([n * height * width, classes])
    }
}

type Segmented = (Tensor<4>, Tensor<3, Int>);

#[test]
fn segmentation_with_class_weights() {
    let batch = (normal([3, 1, 4, 4], 1), labels([3, 4, 4], 3, 2));
    as_given(Segments::new(), batch, |model, (x, y): Segmented| {
        let z = model.forward(x);
        let loss = CrossEntropyLossConfig::new().with_weights(Some(vec![0.2, 1.0, 3.0]));
        (z.clone(), loss.init(&z.device()).forward(z, y.flatten(0, 2)))
    })
    .passes();
}

/// A transformer layer over `[time, batch, width]`, turned around for Burn's attention.
#[derive(Module, Debug)]
struct TimeFirst {
    words: Embedding,
    attention: MultiHeadAttention,
    head: Linear,
}

#[test]
fn attention_with_time_first() {
    let model = TimeFirst {
        words: EmbeddingConfig::new(11, 8).init(&device()),
        attention: MultiHeadAttentionConfig::new(8, 2).with_dropout(0.0).init(&device()),
        head: linear(8, 3),
    };
    let batch = (labels([5, 4], 11, 1), labels([4], 3, 2));
    as_given(model, batch, |model, (words, y): (Tensor<2, Int>, Tensor<1, Int>)| {
        let x = model.words.forward(words); // [time, batch, width]
        let attended = model.attention.forward(MhaInput::self_attn(x.swap_dims(0, 1)));
        let x = attended.context.swap_dims(0, 1);
        let z = model.head.forward(x.mean_dim(0).squeeze_dim::<2>(0));
        let loss = CrossEntropyLossConfig::new().init(&z.device());
        (z.clone(), loss.forward(z, y))
    })
    .mean()
    .with(Likelihood::Categorical)
    .passes();
}

/// Translation: a recurrent encoder and decoder, the words of the answer handed in, one table for input and output.
#[derive(Module, Debug)]
struct Translator {
    words: Embedding,
    encoder: Gru,
    decoder: Gru,
}

#[test]
fn recurrent_translation_with_a_tied_table() {
    let gru = || GruConfig::new(6, 6, true).init(&device());
    let words = EmbeddingConfig::new(9, 6).init(&device());
    let model = Translator { words, encoder: gru(), decoder: gru() };
    let batch = (labels([4, 5], 9, 1), labels([4, 4], 9, 2));
    as_given(model, batch, |model, (source, target): (Tensor<2, Int>, Tensor<2, Int>)| {
        let [n, length] = target.dims();
        let encoded = model.encoder.forward(model.words.forward(source), None);
        let state = encoded.narrow(1, 4, 1).squeeze_dim::<2>(1);
        let given = model.words.forward(target.clone().narrow(1, 0, length - 1));
        let hidden = model.decoder.forward(given, Some(state));
        let table = model.words.weight.val().transpose().unsqueeze::<3>();
        let z = hidden.matmul(table).reshape([n * (length - 1), 9]);
        let wanted = target.narrow(1, 1, length - 1).reshape([n * (length - 1), 1]);
        let losses = log_softmax(z.clone(), 1).gather(1, wanted);
        (z, losses.mean().neg())
    })
    .passes();
}

/// Two critics against the smaller of two frozen targets.
#[test]
fn twin_critics() {
    let model = ((linear(5, 7), linear(7, 1)), (linear(5, 7), linear(7, 1)));
    let target = (linear(5, 7).no_grad(), linear(7, 1).no_grad());
    type Critic = (Linear, Linear);
    let batch = (normal([8, 5], 1), unit([8, 1], 2), normal([8, 5], 3));
    as_given(
        (model, target),
        batch,
        |((one, two), target): &((Critic, Critic), Critic), batch: (Tensor<2>, Tensor<2>, _)| {
            let (now, reward, next): (Tensor<2>, Tensor<2>, Tensor<2>) = batch;
            let value = |critic: &Critic, x: Tensor<2>| critic.1.forward(relu(critic.0.forward(x)));
            let later = value(target, next.clone()).min_pair(value(target, -next));
            let wanted = reward + later * 0.9;
            let error = |critic| (value(critic, now.clone()) - wanted.clone()).square().mean();
            error(one) + error(two)
        },
    )
    .mean()
    .without(&OF_OUTPUTS)
    .passes();
}

/// A penalty on the slope of a critic between two samples, by differences.
#[test]
fn gradient_penalty_by_differences() {
    let model = (linear(4, 8), linear(8, 1));
    let batch = (normal([6, 4], 1), normal([6, 4], 2), unit([6, 1], 3));
    as_given(model, batch, |(hidden, output), (real, fake, mix): (Tensor<2>, Tensor<2>, _)| {
        let mix: Tensor<2> = mix;
        let score = |x: Tensor<2>| output.forward(hidden.forward(x).tanh());
        let between = real.clone() * mix.clone() + fake.clone() * (mix * -1.0 + 1.0);
        let slopes = (0..4).map(|axis| {
            let step = Tensor::<2>::eye(4, &between.device()).narrow(0, axis, 1) * 1e-1;
            (score(between.clone() + step.clone()) - score(between.clone() - step)) / 2e-1
        });
        let norm = (Tensor::cat(slopes.collect(), 1).square().sum_dim(1) + 1e-6).sqrt();
        score(fake).mean() - score(real).mean() + (norm - 1.0).square().mean() * 10.0
    })
    .mean()
    .without(&OF_OUTPUTS)
    .passes();
}

/// A reward model: pairs of answers, the better one first in the pair, through one network at once.
#[test]
fn preferences_in_pairs() {
    let model = (linear(4, 6), linear(6, 1));
    as_given(model, normal([7, 2, 4], 1), |(hidden, output), pairs: Tensor<3>| {
        let z = output.forward(hidden.forward(pairs).tanh()).squeeze_dim::<2>(2);
        let losses = log_softmax(z.clone(), 1).narrow(1, 0, 1);
        (z, losses.mean().neg())
    })
    .mean()
    .passes();
}

/// A mean over the words that are not padding divides by their number: no plain mean.
#[test]
fn padded_words_are_no_mean_over_samples() {
    let model = (EmbeddingConfig::new(7, 4).init(&device()), linear(4, 7));
    let batch = labels([4, 6], 7, 1);
    as_given(model, batch, |(words, head): &(Embedding, Linear), tokens: Tensor<2, Int>| {
        let given = tokens.clone().narrow(1, 0, 5);
        let z = head.forward(words.forward(given).cumsum(1).tanh()).flatten::<2>(0, 1);
        let loss = CrossEntropyLossConfig::new().with_pad_tokens(Some(vec![0]));
        (z.clone(), loss.init(&z.device()).forward(z, tokens.narrow(1, 1, 5).flatten(0, 1)))
    })
    .without(&[Check::BatchInvariance])
    .passes();
}
