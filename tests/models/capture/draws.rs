//! Random values in a closure: refused, or drawn once per objective.

use burn::{
    module::{Module, Param},
    nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig},
    prelude::*,
    tensor::{Distribution, activation::tanh},
};
use burn_curvature::{CaptureConfig, Objective};

use super::{Weights, batch, close, device, hessian, refused, small, weights};

fn noisy(m: &Weights<1>, x: Tensor<1>) -> Tensor<1> {
    let noise = x.random_like(Distribution::Normal(0.0, 1.0));
    (m.w.val() * x + noise).square().sum()
}

fn pair() -> (Weights<1>, Tensor<1>) {
    (weights([0.5, 0.25]), Tensor::from_data([1.0, 2.0], &device()))
}

#[test]
fn random_values_are_refused_whether_compared_or_not() {
    let (model, x) = pair();
    let begins = "the closure draws random values (operation";
    refused(Objective::capture(&model, x.clone(), noisy), begins);
    refused(CaptureConfig::new().unchecked().init(&model, x, noisy), begins);
}

#[test]
fn random_values_are_drawn_once() {
    let (model, x) = pair();
    let make = |seed| CaptureConfig::new().draw_once(seed).init(&model, x.clone(), noisy).unwrap();
    let objective = make(7);
    let value = objective.value().unwrap();
    assert_eq!(value, objective.value().unwrap());
    assert_eq!(value, make(7).value().unwrap());
    assert_ne!(value, make(8).value().unwrap());
    let exact = objective.in_f64().unwrap().value().unwrap();
    assert!((exact - value).abs() < 1e-5 * exact, "{exact} and {value}");
    close(&hessian(&objective), &[2.0, 0.0, 0.0, 8.0]);
    let again = objective.on(x.clone()).unwrap();
    assert_eq!(value, again.value().unwrap());
}

/// The gradient against differences of the value, and H v against differences of the gradient, in f64.
fn consistent(objective: &Objective) {
    let objective = objective.in_f64().unwrap();
    let v = objective.parameters().space().normal(5);
    let moved = |step: f64| {
        let theta = objective.parameters().clone().add(&v.clone().scale(step)).unwrap();
        let there = objective.at_keeping_buffers(&theta).unwrap().value_and_gradient().unwrap();
        (there.value, there.gradient.to_vec().unwrap())
    };
    let ((value_up, up), (value_down, down)) = (moved(1e-5), moved(-1e-5));
    let slope = objective.gradient().unwrap().dot(&v).unwrap();
    close(&[slope], &[(value_up - value_down) / 2e-5]);
    let differences: Vec<_> = up.iter().zip(&down).map(|(a, b)| (a - b) / 2e-5).collect();
    close(&objective.hessian_vector_product(&v).unwrap().to_vec().unwrap(), &differences);
}

#[derive(Module, Debug)]
struct Autoencoder {
    encoder: Linear,
    decoder: Linear,
}

#[test]
fn a_variational_autoencoder() {
    let model = Autoencoder {
        encoder: LinearConfig::new(3, 4).init(&device()),
        decoder: LinearConfig::new(2, 3).init(&device()),
    };
    let loss = |m: &Autoencoder, x: Tensor<2>| {
        let code = m.encoder.forward(x.clone());
        let (mean, log_variance) = (code.clone().slice([0..5, 0..2]), code.slice([0..5, 2..4]));
        let noise = mean.random_like(Distribution::Normal(0.0, 1.0));
        let z = mean.clone() + (log_variance.clone() * 0.5).exp() * noise;
        let divergence = (log_variance.clone().exp() + mean.square() - log_variance - 1.0) * 0.5;
        (m.decoder.forward(z) - x).square().mean() + divergence.mean()
    };
    consistent(&CaptureConfig::new().draw_once(7).init(&model, batch(5).0, loss).unwrap());
}

#[test]
fn a_diffusion_model() {
    // Time steps and noise are drawn in the step; the net sees the noisy sample and predicts the noise.
    let loss = |m: &super::Small, x: Tensor<2>| {
        let steps = Tensor::<1, Int>::random([5], Distribution::Uniform(0.0, 10.0), &x.device());
        let kept = ((steps.float() + 0.5) / 10.5).unsqueeze_dim::<2>(1);
        let noise = x.random_like(Distribution::Normal(0.0, 1.0));
        let noised = x * kept.clone().sqrt() + noise.clone() * (-kept + 1.0).sqrt();
        (tanh(m.linear.forward(noised)) - noise.slice([0..5, 0..2])).square().mean()
    };
    consistent(&CaptureConfig::new().draw_once(7).init(&small(), batch(5).0, loss).unwrap());
}

#[derive(Module, Debug)]
struct Normed {
    linear: Linear,
    norm: BatchNorm,
    dropout: Dropout,
}

fn normed(dropout: f64) -> Normed {
    Normed {
        linear: small().linear,
        norm: BatchNormConfig::new(2).init(&device()),
        dropout: DropoutConfig::new(dropout).init(),
    }
}

fn normed_loss(m: &Normed, (x, y): (Tensor<2>, Tensor<2>)) -> Tensor<1> {
    let z = m.norm.forward(m.linear.forward(x));
    (m.dropout.forward(tanh(z)) - y).square().mean()
}

#[test]
fn batch_norm_in_training_mode() {
    let model = normed(0.0);
    let config = CaptureConfig::new().training(3);
    let objective = config.init(&model, batch(5), normed_loss).unwrap();
    let before = model.norm.running_mean.value().into_data();
    let loss = normed_loss(&model, batch(5));
    let value: f32 = loss.clone().into_scalar();
    close(&[objective.value().unwrap()], &[f64::from(value)]);
    // Capturing left the running statistics as they were.
    assert_eq!(before.to_vec::<f32>().unwrap(), [0.0, 0.0]);
    let burn = burn_curvature::ParamVector::from_backward(&model, loss.backward()).unwrap();
    let difference = objective.gradient().unwrap().sub(&burn).unwrap().norm().unwrap();
    assert!(difference < 1e-5 * burn.norm().unwrap(), "{difference}");
    consistent(&objective);
    let other = CaptureConfig::new().evaluation().init(&model.valid(), batch(5), normed_loss);
    assert!((other.unwrap().value().unwrap() - f64::from(value)).abs() > 1e-3);
}

#[test]
fn dropout_in_training_mode() {
    let objective = |seed| {
        CaptureConfig::new().training(seed).init(&normed(0.5), batch(5), normed_loss).unwrap()
    };
    let value = |seed| objective(seed).value().unwrap();
    assert_eq!(value(3), value(3));
    assert_ne!(value(3), value(4));
    consistent(&objective(3));
}

#[derive(Module, Debug)]
struct Masked {
    w: Param<Tensor<1>>,
    dropout: Dropout,
}

#[test]
fn the_mask_of_dropout_is_a_constant() {
    // Σ (mask·w / (1 − p))²: the curvature is 2/(1 − p)² where kept and 0 where dropped.
    let w = Param::from_tensor(Tensor::ones([8], &device()));
    let model = Masked { w, dropout: DropoutConfig::new(0.5).init() };
    let objective = CaptureConfig::new()
        .training(1)
        .init(&model, (), |m: &Masked, ()| m.dropout.forward(m.w.val()).square().sum());
    let h = hessian(&objective.unwrap());
    let count = |value: f64| (0..8).filter(|i| h[i * 9] == value).count();
    let (kept, dropped) = (count(8.0), count(0.0));
    assert!(kept + dropped == 8 && kept > 0 && dropped > 0, "{h:?}");
}
