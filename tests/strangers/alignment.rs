//! Losses over sequences that sum over alignments or paths.

use burn::{
    module::{Module, Param},
    nn::{
        Linear, LinearConfig, PaddingConfig1d,
        conv::{Conv1d, Conv1dConfig},
        loss::{CTCLossConfig, Reduction},
    },
    prelude::*,
    tensor::activation::{log_softmax, relu},
};

use crate::stranger::{as_given, device, labels, normal};

/// Speech recognition: a convolution over frames, and connectionist temporal classification.
#[derive(Module, Debug)]
struct Speech {
    conv: Conv1d,
    head: Linear,
}

#[test]
fn ctc() {
    let conv = Conv1dConfig::new(3, 6, 3).with_padding(PaddingConfig1d::Same);
    let model =
        Speech { conv: conv.init(&device()), head: LinearConfig::new(6, 5).init(&device()) };
    let device = device();
    let targets = Tensor::<2, Int>::from_ints([[1, 2, 2], [3, 1, 0]], &device);
    let lengths = Tensor::<1, Int>::from_ints([8, 7], &device);
    let target_lengths = Tensor::<1, Int>::from_ints([3, 2], &device);
    let batch = (normal([2, 3, 8], 1), targets, lengths, target_lengths);
    as_given(
        model,
        batch,
        |model, (frames, targets, lengths, target_lengths): (Tensor<3>, _, _, _)| {
            let features = relu(model.conv.forward(frames)).permute([2, 0, 1]);
            let scores = log_softmax(model.head.forward(features), 2);
            let loss = CTCLossConfig::new().init().forward_with_reduction(
                scores.clone(),
                targets,
                lengths,
                target_lengths,
                Reduction::Mean,
            );
            (scores, loss)
        },
    )
    .passes();
}

/// Tagging with a conditional random field: the score of the path less the logarithm of the sum over all paths.
#[derive(Module, Debug)]
struct Tagger {
    emit: Linear,
    transitions: Param<Tensor<2>>,
}

const TAGS: usize = 4;

impl Tagger {
    /// log Σ over paths of exp(score), `[batch]`.
    fn partition(&self, emissions: &Tensor<3>) -> Tensor<1> {
        let [batch, length, _] = emissions.dims();
        let mut alpha: Tensor<2> = emissions.clone().narrow(1, 0, 1).squeeze_dim(1);
        for step in 1..length {
            let scores = alpha.unsqueeze_dim::<3>(2)
                + self.transitions.val().unsqueeze()
                + emissions.clone().narrow(1, step, 1);
            alpha = log_sum_exp(scores);
        }
        log_sum_exp(alpha.unsqueeze_dim::<3>(2)).reshape([batch])
    }

    /// The score of the given tags, `[batch]`.
    fn score(&self, emissions: Tensor<3>, tags: Tensor<2, Int>) -> Tensor<1> {
        let [batch, length, _] = emissions.dims();
        let emitted = emissions.gather(2, tags.clone().unsqueeze_dim(2)).sum_dim(1);
        let steps =
            tags.clone().narrow(1, 0, length - 1) * TAGS as i32 + tags.narrow(1, 1, length - 1);
        let moved = self.transitions.val().reshape([TAGS * TAGS]).select(0, steps.flatten(0, 1));
        let moved = moved.reshape([batch, length - 1]).sum_dim(1);
        emitted.reshape([batch]) + moved.reshape([batch])
    }
}

/// Over the second dimension of three.
fn log_sum_exp(scores: Tensor<3>) -> Tensor<2> {
    let largest = scores.clone().max_dim(1);
    let sum = (scores - largest.clone()).exp().sum_dim(1).log() + largest;
    sum.squeeze_dim(1)
}

#[test]
fn crf() {
    let model = Tagger {
        emit: LinearConfig::new(5, TAGS).init(&device()),
        transitions: Param::from_tensor(Tensor::zeros([TAGS, TAGS], &device())),
    };
    let batch = (normal([4, 5, 5], 1), labels([4, 5], TAGS, 2));
    as_given(model, batch, |model, (words, tags): (Tensor<3>, Tensor<2, Int>)| {
        let emissions = model.emit.forward(words).tanh();
        (model.partition(&emissions) - model.score(emissions, tags)).mean()
    })
    .mean()
    .without(&crate::stranger::OF_OUTPUTS)
    .passes();
}
