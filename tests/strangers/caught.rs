//! Closures as they are in training loops: modules and criteria from outside, stopped gradients, noise, layers in
//! training mode.

use burn::{
    module::Module,
    nn::{
        BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig,
        loss::CrossEntropyLossConfig,
    },
    prelude::*,
    tensor::{
        Distribution,
        activation::{relu, sigmoid, softmax},
    },
};
use burn_curvature::{CaptureConfig, check::Check};

use crate::stranger::{
    DIFFERENTIATED, OF_OUTPUTS, as_given, captured, device, drawn, labels, normal, not_captured,
    unit,
};

#[derive(Module, Debug)]
struct Net {
    hidden: Linear,
    output: Linear,
}

impl Net {
    fn new(output: usize) -> Self {
        Self {
            hidden: LinearConfig::new(4, 6).init(&device()),
            output: LinearConfig::new(6, output).init(&device()),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.output.forward(self.hidden.forward(x).tanh())
    }
}

type Labeled = (Tensor<2>, Tensor<1, Int>);

fn labeled() -> Labeled {
    (normal([8, 4], 1), labels([8], 3, 2))
}

/// A target network from outside is refused with the ways out; moved in the closure, it passes.
#[test]
fn dqn_with_a_captured_target() {
    let batch = (normal([8, 4], 1), labels([8, 1], 3, 2), unit([8, 1], 3), normal([8, 4], 4));
    type Transitions = (Tensor<2>, Tensor<2, Int>, Tensor<2>, Tensor<2>);
    let error = |policy: &Net, target: &Net, (states, actions, rewards, next): Transitions| {
        let expected = rewards + target.forward(next).max_dim(1) * 0.99;
        let found = policy.forward(states).gather(1, actions);
        (found.clone(), (found - expected).square().mean())
    };
    let target = drawn(Net::new(3)).no_grad();
    let outside = target.clone();
    not_captured(
        Net::new(3),
        batch.clone(),
        move |policy, batch| error(policy, &outside, batch),
        "capture the tuple `(model, other.no_grad())`",
    );
    as_given(Net::new(3), batch, move |policy, batch: Transitions| {
        let target = target.valid().to_device(&batch.0.device());
        error(policy, &target, batch)
    })
    .mean()
    .passes();
}

/// A criterion that was built before the loop belongs into the tuple.
#[test]
fn a_criterion_with_class_weights() {
    let criterion =
        CrossEntropyLossConfig::new().with_weights(Some(vec![0.5, 2.0, 1.0])).init(&device());
    let outside = criterion.clone();
    not_captured(
        Net::new(3),
        labeled(),
        move |model, (x, y): Labeled| outside.forward(model.forward(x), y),
        "build it in the closure, or capture it in the tuple",
    );
    as_given((Net::new(3), criterion), labeled(), |(model, criterion), (x, y): Labeled| {
        let logits = model.forward(x);
        (logits.clone(), criterion.forward(logits, y))
    })
    .passes();
}

/// Overlap of soft masks. `one_hot` moves its indices through the host, which is recorded; classes by comparison do the same.
#[test]
fn dice() {
    let overlap = |found: Tensor<2>, wanted: Tensor<2>| {
        let overlap = (found.clone() * wanted.clone()).sum_dim(0) * 2.0 + 1.0;
        let sizes = found.sum_dim(0) + wanted.sum_dim(0) + 1.0;
        (overlap / sizes).mean() * -1.0 + 1.0
    };
    as_given(Net::new(3), labeled(), move |model, (x, y): Labeled| {
        overlap(softmax(model.forward(x), 1), y.one_hot::<2>(3).float())
    })
    .without(&OF_OUTPUTS)
    .passes();
    as_given(Net::new(3), labeled(), move |model, (x, y): Labeled| {
        let classes: Tensor<2, Int> = Tensor::arange(0..3, &y.device()).unsqueeze();
        let wanted = classes.equal(y.unsqueeze_dim(1)).float();
        overlap(softmax(model.forward(x), 1), wanted)
    })
    .without(&OF_OUTPUTS)
    .passes();
}

/// Two views predict each other's stopped projections.
#[test]
fn byol() {
    let model = (Net::new(3), LinearConfig::new(3, 3).init(&device()));
    let batch = (normal([6, 4], 1), normal([6, 4], 2));
    as_given(model, batch, |(encoder, predictor), (one, two): (Tensor<2>, Tensor<2>)| {
        let unit = |z: Tensor<2>| z.clone() / z.square().sum_dim(1).sqrt();
        let (one, two) = (encoder.forward(one), encoder.forward(two));
        let loss = |found: Tensor<2>, target: Tensor<2>| {
            let (found, target) = (unit(predictor.forward(found)), unit(target.detach()));
            (found * target).sum_dim(1).mean() * -2.0 + 2.0
        };
        loss(one.clone(), two.clone()) + loss(two, one)
    })
    .mean()
    .without(&DIFFERENTIATED)
    .without(&OF_OUTPUTS)
    .passes();
}

/// Noise that is drawn in the closure, once per objective.
#[test]
fn a_denoising_autoencoder_that_draws_its_noise() {
    let config = CaptureConfig::new().draw_once(3);
    captured(config, Net::new(4), unit([6, 4], 1), |model, x: Tensor<2>| {
        let noise = x.random_like(Distribution::Normal(0.0, 0.3));
        let found = sigmoid(model.forward(x.clone() + noise));
        (found.clone(), (found - x).square().mean())
    })
    .without(&[Check::BurnGradient])
    .passes();
}

#[derive(Module, Debug)]
struct Trained {
    first: Linear,
    norm: BatchNorm,
    dropout: Dropout,
    second: Linear,
}

/// Batch statistics in the program, and one mask.
#[test]
fn batch_norm_and_dropout_in_training_mode() {
    let model = Trained {
        first: LinearConfig::new(4, 6).init(&device()),
        norm: BatchNormConfig::new(6).init(&device()),
        dropout: DropoutConfig::new(0.3).init(),
        second: LinearConfig::new(6, 3).init(&device()),
    };
    let config = CaptureConfig::new().training(5);
    captured(config, model, labeled(), |model, (x, y): Labeled| {
        let hidden = relu(model.norm.forward(model.first.forward(x)));
        let logits = model.second.forward(model.dropout.forward(hidden));
        let loss = CrossEntropyLossConfig::new().init(&logits.device());
        (logits.clone(), loss.forward(logits, y))
    })
    .without(&[Check::BurnGradient])
    .passes();
}
