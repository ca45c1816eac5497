//! Reinforcement learning.

use burn::{
    module::Module,
    nn::{Linear, LinearConfig},
    prelude::*,
    tensor::activation::{log_softmax, relu, softmax},
};

use crate::stranger::{OF_OUTPUTS, as_given, device, labels, normal, unit};

/// An action value per action.
#[derive(Module, Debug)]
struct Values {
    hidden: Linear,
    output: Linear,
}

impl Values {
    fn new() -> Self {
        Self {
            hidden: LinearConfig::new(4, 10).init(&device()),
            output: LinearConfig::new(10, 3).init(&device()),
        }
    }

    fn forward(&self, states: Tensor<2>) -> Tensor<2> {
        self.output.forward(relu(self.hidden.forward(states)))
    }
}

/// The temporal difference against a target network that is frozen.
#[test]
fn dqn() {
    let model = (Values::new(), Values::new().no_grad());
    let batch = (
        normal([8, 4], 1),
        labels([8, 1], 3, 2),
        unit([8, 1], 3),
        normal([8, 4], 4),
        labels([8, 1], 2, 5),
    );
    type Transitions = (Tensor<2>, Tensor<2, Int>, Tensor<2>, Tensor<2>, Tensor<2, Int>);
    as_given(model, batch, |(policy, target), batch: Transitions| {
        let (states, actions, rewards, next, done) = batch;
        let best = target.forward(next).max_dim(1);
        let expected = rewards + best * (done.float() * -1.0 + 1.0) * 0.99;
        let found = policy.forward(states).gather(1, actions);
        (found.clone(), (found - expected).square().mean())
    })
    .mean()
    .passes();
}

/// The clipped objective of proximal policy optimization, with the value's error and the entropy.
#[derive(Module, Debug)]
struct ActorCritic {
    shared: Linear,
    actor: Linear,
    critic: Linear,
}

#[test]
fn ppo() {
    let model = ActorCritic {
        shared: LinearConfig::new(4, 8).init(&device()),
        actor: LinearConfig::new(8, 3).init(&device()),
        critic: LinearConfig::new(8, 1).init(&device()),
    };
    let batch = (normal([8, 4], 1), labels([8, 1], 3, 2), unit([8, 1], 3), normal([8, 1], 4));
    type Rollout = (Tensor<2>, Tensor<2, Int>, Tensor<2>, Tensor<2>);
    as_given(model, batch, |model, (states, actions, old, advantages): Rollout| {
        let hidden = model.shared.forward(states).tanh();
        let (logits, value) = (model.actor.forward(hidden.clone()), model.critic.forward(hidden));
        let logs = log_softmax(logits.clone(), 1);
        let ratio = (logs.clone().gather(1, actions) - (old + 0.3).log()).exp();
        let clipped = ratio.clone().clamp(0.8, 1.2) * advantages.clone();
        let gain = (ratio * advantages.clone()).min_pair(clipped).mean();
        let entropy = (softmax(logits, 1) * logs).sum_dim(1).mean().neg();
        (value - advantages).square().mean() * 0.5 - gain - entropy * 0.01
    })
    .mean()
    .without(&OF_OUTPUTS)
    .passes();
}
