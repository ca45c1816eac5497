//! Generative models.

use burn::{
    module::Module,
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig},
    prelude::*,
    tensor::activation::{leaky_relu, relu},
};
use burn_curvature::{Likelihood, check::Check};

use crate::{
    networks::convolutions::Denoiser,
    stranger::{OF_OUTPUTS, as_given, device, evaluated, labels, normal, unit},
};

#[derive(Module, Debug)]
struct Critic {
    fc1: Linear,
    fc2: Linear,
}

impl Critic {
    fn new() -> Self {
        Self {
            fc1: LinearConfig::new(16, 12).init(&device()),
            fc2: LinearConfig::new(12, 1).init(&device()),
        }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.fc2.forward(leaky_relu(self.fc1.forward(images.flatten(1, 3)), 0.2))
    }
}

#[derive(Module, Debug)]
struct Generator {
    fc1: Linear,
    norm: BatchNorm,
    fc2: Linear,
}

impl Generator {
    fn new() -> Self {
        Self {
            fc1: LinearConfig::new(5, 10).init(&device()),
            norm: BatchNormConfig::new(10).init(&device()),
            fc2: LinearConfig::new(10, 16).init(&device()),
        }
    }

    fn forward(&self, noise: Tensor<2>) -> Tensor<4> {
        let [batch, _] = noise.dims();
        let hidden = leaky_relu(self.norm.forward(self.fc1.forward(noise)), 0.2);
        self.fc2.forward(hidden).tanh().reshape([batch, 1, 4, 4])
    }
}

/// The critic's step, on images that the generator has made before.
#[test]
fn wgan_critic() {
    let batch = (normal([6, 1, 4, 4], 1), unit([6, 1, 4, 4], 2));
    as_given(Critic::new(), batch, |critic, (real, fake)| {
        critic.forward(fake).mean() - critic.forward(real).mean()
    })
    .mean()
    .without(&OF_OUTPUTS)
    .passes();
}

/// The generator's step, against a critic that is frozen.
#[test]
fn wgan_generator() {
    let model = (Generator::new(), Critic::new().no_grad());
    evaluated(model, normal([6, 5], 1), |(generator, critic), noise| {
        critic.forward(generator.forward(noise)).mean().neg()
    })
    .mean()
    .without(&OF_OUTPUTS)
    .passes();
}

/// Noise and time steps come with the batch.
#[test]
fn ddpm() {
    let batch = (normal([5, 1, 4, 4], 1), normal([5, 1, 4, 4], 2), labels([5], 20, 3));
    as_given(Denoiser::new([5, 1], &device()), batch, Denoiser::loss)
        .mean()
        .with(Likelihood::Gaussian { variance: 0.5 })
        .passes();
}

#[derive(Module, Debug)]
struct Vae {
    encoder: Linear,
    mean: Linear,
    log_variance: Linear,
    decoder: Linear,
    output: Linear,
}

/// Reconstruction and the divergence from the prior; the noise comes with the batch. What the loss reads of the
/// parameters goes through one output.
#[test]
fn vae() {
    let linear = |i, o| LinearConfig::new(i, o).init(&device());
    let model = Vae {
        encoder: linear(8, 6),
        mean: linear(6, 2),
        log_variance: linear(6, 2),
        decoder: linear(2, 6),
        output: linear(6, 8),
    };
    let batch = (unit([6, 8], 1), normal([6, 2], 2));
    as_given(model, batch, |model, (x, noise): (Tensor<2>, Tensor<2>)| {
        let hidden = relu(model.encoder.forward(x.clone()));
        let (mean, log_variance) =
            (model.mean.forward(hidden.clone()), model.log_variance.forward(hidden));
        let z = mean.clone() + (log_variance.clone() * 0.5).exp() * noise;
        let logits = model.output.forward(relu(model.decoder.forward(z)));
        let outputs = Tensor::cat(vec![logits, mean, log_variance], 1);
        let part = |start, length| outputs.clone().narrow(1, start, length);
        let (logits, mean, log_variance) = (part(0, 8), part(8, 2), part(10, 2));
        let unlikely = (logits.clone().exp() + 1.0).log() - logits * x;
        let divergence = (log_variance.clone().exp() + mean.square() - log_variance - 1.0) * 0.5;
        (outputs, (unlikely.sum() + divergence.sum()) / 6.0)
    })
    .passes();
}

/// A loss that reads more of the parameters than the outputs is refused for Gauss-Newton, by the parameters' names.
#[test]
fn a_vae_that_returns_its_logits_only() {
    let linear = |i, o| LinearConfig::new(i, o).init(&device());
    let model = (linear(4, 2), linear(4, 2), linear(2, 4));
    let batch = (normal([5, 4], 1), normal([5, 2], 2));
    as_given(model, batch, |(mean, spread, decoder), (x, noise): (Tensor<2>, Tensor<2>)| {
        let (mean, spread) = (mean.forward(x.clone()), spread.forward(x.clone()));
        let output = decoder.forward(mean.clone() + spread.clone().exp() * noise);
        let divergence = (spread.clone().exp().square() + mean.square()) * 0.5 - spread;
        (output.clone(), (output - x).square().mean() + divergence.mean())
    })
    .without(&[Check::Jacobian, Check::Adjoint])
    .refuses(Check::GaussNewton, "besides the outputs");
}
