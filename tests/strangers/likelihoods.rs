//! Likelihoods written out by hand: mixtures, flows, energies, hazards, state spaces.

use burn::{
    nn::Linear,
    prelude::*,
    tensor::activation::{log_sigmoid, log_softmax, softplus},
};
use burn_curvature::{Likelihood, Loss};

use crate::{
    parts::{linear, scalar, weights},
    stranger::{OF_OUTPUTS, as_given, device, labels, normal, unit},
};

/// log Σ exp over the second dimension.
fn log_sum_exp(z: Tensor<2>) -> Tensor<2> {
    let largest = z.clone().max_dim(1).detach();
    (z - largest.clone()).exp().sum_dim(1).log() + largest
}

/// A mixture of three normal densities whose weights, centers and widths a network computes.
#[test]
fn mixture_density() {
    let model = (linear(3, 7), linear(7, 9));
    let batch = (normal([8, 3], 1), normal([8, 1], 2));
    as_given(model, batch, |(hidden, output), (x, y): (Tensor<2>, Tensor<2>)| {
        let z = output.forward(hidden.forward(x).tanh());
        let part = |at: usize| z.clone().narrow(1, 3 * at, 3);
        let spread = softplus(part(2), 1.0) + 1e-2;
        let standard = (y - part(1)) / spread.clone();
        let each = log_softmax(part(0), 1) - standard.square() * 0.5 - spread.log();
        (z, log_sum_exp(each).mean().neg())
    })
    .mean()
    .passes();
}

/// A normalizing flow: two coupling layers with their determinants.
#[test]
fn real_nvp() {
    let model = (linear(1, 6), linear(6, 2), linear(1, 6), linear(6, 2));
    as_given(model, normal([9, 2], 1), |(a, b, c, d), x: Tensor<2>| {
        let (left, right) = (x.clone().narrow(1, 0, 1), x.narrow(1, 1, 1));
        let couple = |first: &Linear, second: &Linear, from: Tensor<2>, to: Tensor<2>| {
            let z = second.forward(first.forward(from).tanh());
            let scale = z.clone().narrow(1, 0, 1).tanh();
            (to * scale.clone().exp() + z.narrow(1, 1, 1), scale)
        };
        let (right, one) = couple(a, b, left.clone(), right);
        let (left, other) = couple(c, d, right.clone(), left);
        let energy = (left.square() + right.square()) * 0.5;
        (energy - one - other).mean()
    })
    .mean()
    .without(&OF_OUTPUTS)
    .passes();
}

/// A restricted Boltzmann machine: free energies of the data against those of all states.
#[test]
fn energy_with_an_exact_partition() {
    let model = (weights([3, 4], 1), weights([3], 2), weights([4], 3));
    let states: Vec<f32> =
        (0..8).flat_map(|state| (0..3).map(move |bit| ((state >> bit) & 1) as f32)).collect();
    let states = Tensor::<2>::from_data(TensorData::new(states, [8, 3]), &device());
    let data = labels([10, 3], 2, 4).float();
    as_given(
        model,
        (data, states),
        |(weight, visible, hidden), (data, states): (Tensor<2>, Tensor<2>)| {
            let energy = |v: Tensor<2>| {
                let field = v.clone().matmul(weight.val()) + hidden.val().unsqueeze();
                let own = (v * visible.val().unsqueeze()).sum_dim(1);
                own + softplus(field, 1.0).sum_dim(1) // −F(v)
            };
            // All samples share the states, which a scalar does not distinguish from samples.
            let partition = log_sum_exp(energy(states).swap_dims(0, 1));
            Loss::mean_of((partition - energy(data)).squeeze_dim(1))
        },
    )
    .mean()
    .without(&OF_OUTPUTS)
    .passes();
}

/// Proportional hazards: every event against those who are still at risk. Samples depend on each other.
#[test]
fn cox() {
    let model = (linear(4, 5), linear(5, 1));
    let batch = (normal([9, 4], 1), unit([9], 2), labels([9], 2, 3));
    as_given(model, batch, |(hidden, output), (x, times, events): (Tensor<2>, Tensor<1>, _)| {
        let events: Tensor<1, Int> = events;
        let scores = output.forward(hidden.forward(x).tanh()).squeeze_dim::<1>(1);
        let order = times.argsort_descending(0);
        let (scores, events) = (scores.select(0, order.clone()), events.select(0, order));
        let risk = scores.clone().exp().cumsum(0).log();
        ((risk - scores) * events.float()).sum()
    })
    .without(&OF_OUTPUTS)
    .passes();
}

/// Ordered classes: one score and increasing thresholds.
#[test]
fn ordered_classes() {
    let model = (linear(4, 1), scalar(-1.0), weights([2], 3));
    let batch = (normal([10, 4], 1), labels([10], 4, 2));
    as_given(model, batch, |(score, first, steps), (x, y): (Tensor<2>, Tensor<1, Int>)| {
        let [n, _] = x.dims();
        let steps = softplus(steps.val(), 1.0);
        let bounds = Tensor::cat(vec![first.val(), steps], 0).cumsum(0);
        let below = log_sigmoid(bounds.unsqueeze::<2>() - score.forward(x));
        let zeros = Tensor::<2>::zeros([n, 1], &below.device());
        let upper = Tensor::cat(vec![below.clone().exp(), zeros.clone() + 1.0], 1);
        let lower = Tensor::cat(vec![zeros, below.exp()], 1);
        let pick = |t: Tensor<2>| t.gather(1, y.clone().unsqueeze_dim(1));
        (pick(upper) - pick(lower)).log().mean().neg()
    })
    .mean()
    .without(&OF_OUTPUTS)
    .passes();
}

/// A filter over a noisy walk: the likelihood of every observation given those before it.
#[test]
fn kalman_filter() {
    let model = (scalar(0.8), scalar(0.2), scalar(-0.3)); // decay, process, noise
    // Drawn parameters would be about 0, where every variance is 1.
    as_given(model, normal([6, 12], 1), |(decay, process, noise), x: Tensor<2>| {
        let [n, steps] = x.dims();
        let row = |value: Tensor<1>| value.unsqueeze::<2>().expand([n, 1]);
        let decay = row(decay.val()) + 0.7;
        let (process, noise) = (row(process.val()).exp(), row(noise.val()).exp());
        let mut mean = Tensor::<2>::zeros([n, 1], &x.device());
        let mut variance = process.clone();
        let mut losses = Tensor::<2>::zeros([n, 1], &x.device());
        for step in 0..steps {
            let error = x.clone().narrow(1, step, 1) - mean.clone();
            let total = variance.clone() + noise.clone();
            losses = losses + total.clone().log() + error.clone().square() / total.clone();
            let gain = variance.clone() / total;
            mean = decay.clone() * (mean + gain.clone() * error);
            variance = decay.clone().square() * variance * (-gain + 1.0) + process.clone();
        }
        losses.mean() * 0.5
    })
    .mean()
    .without(&OF_OUTPUTS)
    .passes();
}

/// Counts with a logarithmic link, as `exp(z) − y z`.
#[test]
fn counts() {
    let model = (linear(4, 6), linear(6, 2));
    let batch = (normal([8, 4], 1), labels([8, 2], 5, 2));
    as_given(model, batch, |(hidden, output), (x, y): (Tensor<2>, Tensor<2, Int>)| {
        let z = output.forward(hidden.forward(x).tanh());
        let losses = (z.clone().exp() - z.clone() * y.float()).sum_dim(1);
        (z, losses.mean())
    })
    .mean()
    .with(Likelihood::Poisson)
    .passes();
}
