//! Losses of samples that depend on other samples a little: found, wherever and however they do.

use burn::prelude::*;
use burn_curvature::{Objective, Reduction};

use super::{Slope, device, not_reduced, slope};
use crate::random::SplitMix64;

const SAMPLES: usize = 16;

/// How much of a sample another one sees.
const SHARE: f64 = 1e-3;

fn x(seed: u64) -> Tensor<2> {
    let values = SplitMix64::new(seed).normals(SAMPLES);
    let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
    Tensor::from_data(TensorData::new(values, [SAMPLES, 1]), &device())
}

/// One sample with a share of another.
fn with_share(z: Tensor<2>, from: usize, to: usize) -> Tensor<2> {
    let (own, other) = (z.clone().narrow(0, to, 1), z.clone().narrow(0, from, 1));
    z.slice_assign([to..to + 1, 0..1], own + other * SHARE)
}

type Coupling = fn(Tensor<2>, usize) -> Tensor<2>;

/// Outputs that are not those of one sample each; the number names a sample.
fn couplings() -> [(&'static str, Coupling); 7] {
    [
        // Not in the halves of the batch, which are too small.
        ("neighbors in the whole batch", |z, at| {
            if z.dims()[0] == SAMPLES { with_share(z, at, (at + 1) % SAMPLES) } else { z }
        }),
        // Of both halves the same samples, whatever the batch.
        ("neighbors in every batch", |z, at| {
            let at = at % (z.dims()[0] - 1);
            with_share(z, at, at + 1)
        }),
        ("first and last", |z, _| {
            let last = z.dims()[0] - 1;
            with_share(z, 0, last)
        }),
        ("rolled along the batch", |z, _| {
            let rolled = z.clone().roll(&[1], &[0]);
            z + rolled * SHARE
        }),
        ("sorted along the batch", |z, _| {
            let sorted = z.clone().sort(0);
            z + sorted * SHARE
        }),
        ("the largest of the batch", |z, _| {
            let largest = z.clone().max_dim(0);
            z + largest * SHARE
        }),
        ("picked by a computed index", |z, _| {
            let order = z.clone().argsort(0).squeeze_dim::<1>(1);
            let other = z.clone().select(0, order);
            z + other * SHARE
        }),
    ]
}

/// The share of a sample is a thousandth; the mean over 16 sees less than a ten-thousandth of it.
#[test]
fn samples_that_depend_on_each_other_are_found_in_100_of_100_seeds() {
    for (name, couple) in couplings() {
        for seed in 0..100 {
            let at = SplitMix64::new(seed + 1000).next() as usize % SAMPLES;
            let loss = move |model: &Slope, x: Tensor<2>| {
                couple(x * model.w.val(), at).powf_scalar(2.0).mean()
            };
            let objective = Objective::capture(&slope(1.5), x(seed), loss).unwrap();
            let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                not_reduced(objective.reduced_by(Reduction::Mean))
            }));
            let message = refused.unwrap_or_else(|_| panic!("{name}, seed {seed}: accepted"));
            assert!(
                message.contains("depend on each other") || message.contains("Loss"),
                "{message}"
            );
        }
    }
}

/// Samples that are moved and moved back, or picked in an order of their own, are those that they were.
#[test]
fn samples_in_another_order_have_the_reduction_all_the_same() {
    let cases: [(&str, Coupling); 4] = [
        ("as they are", |z, _| z),
        ("sorted", |z, _| z.sort(0)),
        ("rolled", |z, at| z.roll(&[at as i64], &[0])),
        ("picked", |z, _| {
            let order = z.clone().argsort(0).squeeze_dim::<1>(1);
            z.select(0, order)
        }),
    ];
    for (name, order) in cases {
        for seed in 0..10 {
            let loss = move |model: &Slope, x: Tensor<2>| {
                order(x * model.w.val(), 3).powf_scalar(2.0).mean()
            };
            let objective = Objective::capture(&slope(1.5), x(seed), loss).unwrap();
            let found = objective.reduced_by(Reduction::Mean);
            assert!(found.is_ok(), "{name}, seed {seed}: {found:?}");
            not_reduced(objective.reduced_by(Reduction::Sum));
        }
    }
}
