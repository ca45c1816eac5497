//! Sets, pairs and transports: losses between samples, and masks within them.

use burn::{
    module::Module,
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    prelude::*,
    tensor::activation::{log_softmax, relu, softmax},
};
use burn_curvature::Likelihood;

use crate::stranger::{DIFFERENTIATED, OF_OUTPUTS, as_given, device, labels, normal, unit};

#[derive(Module, Debug)]
struct Net {
    hidden: Linear,
    output: Linear,
}

impl Net {
    fn new(inputs: usize, outputs: usize) -> Self {
        Self {
            hidden: LinearConfig::new(inputs, 6).init(&device()),
            output: LinearConfig::new(6, outputs).init(&device()),
        }
    }

    fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.output.forward(self.hidden.forward(x).tanh())
    }
}

/// Squared distances between rows.
fn distances(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    let (own, other) = (a.clone().square().sum_dim(1), b.clone().square().sum_dim(1));
    own + other.transpose() - a.matmul(b.transpose()) * 2.0
}

/// The farthest of the same class and the nearest of another, found in the batch.
#[test]
fn hard_triplets() {
    let batch = (normal([9, 4], 1), labels([9], 3, 2));
    as_given(Net::new(4, 3), batch, |model, (x, y): (Tensor<2>, Tensor<1, Int>)| {
        let z = model.forward(x);
        let same = y.clone().unsqueeze_dim::<2>(1).equal(y.unsqueeze_dim::<2>(0));
        let d = distances(z.clone(), z);
        let farthest = d.clone().mask_fill(same.clone().bool_not(), -1e9).max_dim(1);
        let nearest = d.mask_fill(same, 1e9).min_dim(1);
        relu(farthest - nearest + 0.5).mean()
    })
    .without(&OF_OUTPUTS)
    .passes();
}

/// Entropic transport between two clouds, by ten iterations in logarithms.
#[test]
fn sinkhorn() {
    let batch = (normal([5, 4], 1), normal([6, 3], 2));
    as_given(Net::new(4, 3), batch, |model, (x, target): (Tensor<2>, Tensor<2>)| {
        let kernel = distances(model.forward(x), target) * -2.0;
        let log_sum = |t: Tensor<2>, dim| {
            let largest = t.clone().max_dim(dim);
            (t - largest.clone()).exp().sum_dim(dim).log() + largest
        };
        let mut columns = Tensor::<2>::zeros([1, 6], &kernel.device());
        let mut rows = Tensor::<2>::zeros([5, 1], &kernel.device());
        for _ in 0..10 {
            rows = -log_sum(kernel.clone() + columns.clone(), 1);
            columns = -log_sum(kernel.clone() + rows.clone(), 0);
        }
        let plan = (kernel.clone() + rows + columns).exp();
        (plan * kernel * -0.5).sum()
    })
    .without(&OF_OUTPUTS)
    .passes();
}

/// The discrepancy of two samples by a Gaussian kernel.
#[test]
fn maximum_mean_discrepancy() {
    let batch = (normal([6, 4], 1), normal([7, 3], 2));
    as_given(Net::new(4, 3), batch, |model, (x, target): (Tensor<2>, Tensor<2>)| {
        let z = model.forward(x);
        let kernel =
            |a: &Tensor<2>, b: &Tensor<2>| (distances(a.clone(), b.clone()) * -0.5).exp().mean();
        kernel(&z, &z) + kernel(&target, &target) - kernel(&z, &target) * 2.0
    })
    .without(&OF_OUTPUTS)
    .passes();
}

/// Sets of up to four elements, padded and masked, summed and classified.
#[test]
fn deep_sets() {
    let model = (Net::new(3, 5), Net::new(5, 3));
    let mask = labels([6, 4], 2, 2).bool();
    let batch = (normal([6, 4, 3], 1), mask, labels([6], 3, 3));
    type Sets = (Tensor<3>, Tensor<2, Bool>, Tensor<1, Int>);
    as_given(model, batch, |(element, set), (x, mask, y): Sets| {
        let counts = mask.clone().float().unsqueeze_dim::<3>(2);
        let pooled = (element.forward(x) * counts).sum_dim(1).squeeze_dim::<2>(1);
        let z = set.forward(pooled);
        let loss = CrossEntropyLossConfig::new().init(&z.device());
        (z.clone(), loss.forward(z, y))
    })
    .mean()
    .with(Likelihood::Categorical)
    .passes();
}

/// Attention over places, of which some are masked with −∞.
#[test]
fn pointer_with_infinite_masks() {
    let batch = (normal([5, 4, 3], 1), normal([5, 3], 2), labels([5], 2, 3));
    type Pointers = (Tensor<3>, Tensor<2>, Tensor<1, Int>);
    as_given((Net::new(3, 4), Net::new(3, 4)), batch, |(keys, queries), batch: Pointers| {
        let (places, query, y) = batch;
        let scores = keys.forward(places).matmul(queries.forward(query).unsqueeze_dim::<3>(2));
        let last = Tensor::<1, Int>::arange(0..4, &scores.device()).greater_elem(2);
        let mask = last.unsqueeze::<2>().expand([y.dims()[0], 4]);
        let scores = scores.squeeze_dim::<2>(2).mask_fill(mask, f32::NEG_INFINITY);
        log_softmax(scores, 1).gather(1, y.unsqueeze_dim(1)).mean().neg()
    })
    .mean()
    .without(&OF_OUTPUTS)
    .passes();
}

/// A relaxed choice with given noise, hard forwards and soft backwards.
#[test]
fn straight_through_choice() {
    let model = (Net::new(4, 3), Net::new(3, 2));
    let batch = (normal([6, 4], 1), unit([6, 3], 2), normal([6, 2], 3));
    as_given(
        model,
        batch,
        |(choose, decode), (x, u, target): (Tensor<2>, Tensor<2>, Tensor<2>)| {
            let gumbel = -(-(u * 0.98 + 0.01).log()).log();
            let soft = softmax((choose.forward(x) + gumbel) / 0.7, 1);
            let hard = soft.clone().argmax(1).squeeze_dim::<1>(1).one_hot::<2>(3).float();
            let chosen = soft.clone() + (hard - soft).detach();
            (decode.forward(chosen) - target).square().mean()
        },
    )
    .mean()
    .without(&OF_OUTPUTS)
    .without(&DIFFERENTIATED)
    .passes();
}

/// Distances in hyperbolic space.
#[test]
fn hyperbolic_distances() {
    let batch = (normal([7, 4], 1), normal([7, 4], 2), labels([7], 2, 3));
    as_given(Net::new(4, 2), batch, |model, (a, b, same): (Tensor<2>, Tensor<2>, _)| {
        let same: Tensor<1, Int> = same;
        let ball = |z: Tensor<2>| {
            let norm = (z.clone().square().sum_dim(1) + 1e-6).sqrt();
            z * (norm.clone().tanh() / norm * 0.9)
        };
        let (a, b) = (ball(model.forward(a)), ball(model.forward(b)));
        let inside = |t: &Tensor<2>| t.clone().square().sum_dim(1) * -1.0 + 1.0;
        let gap = (a.clone() - b.clone()).square().sum_dim(1);
        let argument = gap / (inside(&a) * inside(&b)) * 2.0;
        // arcosh(1 + t) = log(1 + t + √(t(t + 2)))
        let root = (argument.clone() * (argument.clone() + 2.0) + 1e-9).sqrt();
        let distance = (argument + root + 1.0).log().squeeze_dim::<1>(1);
        let sign = same.float() * 2.0 - 1.0;
        (distance * sign).exp().mean()
    })
    .mean()
    .without(&OF_OUTPUTS)
    .passes();
}

/// Classes by their prototypes: distances to the means of a support set that comes with the batch.
#[test]
fn prototypes() {
    let batch = (normal([6, 4], 1), labels([6], 3, 2), normal([3, 2, 4], 3));
    type Episode = (Tensor<2>, Tensor<1, Int>, Tensor<3>);
    as_given(Net::new(4, 5), batch, |model, (x, y, support): Episode| {
        let prototypes = model.forward(support).mean_dim(1).squeeze_dim::<2>(1);
        let z = -distances(model.forward(x), prototypes);
        let loss = CrossEntropyLossConfig::new().init(&z.device());
        (z.clone(), loss.forward(z, y))
    })
    .mean()
    .passes();
}
