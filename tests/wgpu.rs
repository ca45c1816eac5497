//! Values on wgpu against values on ndarray. Without an adapter the tests skip
//! with a message, unless `BURN_CURVATURE_REQUIRE_WGPU` is set: then they fail.

mod plain;
#[path = "../examples/support/mod.rs"]
mod support;

use std::sync::OnceLock;

use burn::module::Module;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};

use plain::{distance, loss_and_gradient, ndarray, numbers};
use support::models::{Case, mlp, tiny};
use support::random::SplitMix64;

/// Relative distance of single-precision results of different backends.
const SINGLE: f64 = 1e-5;

#[test]
fn matmul_has_the_values_of_ndarray() {
    let Some(wgpu) = device() else { return };
    let product = |device: &Device| {
        let left: Tensor<2> = values([70, 90], 1, device);
        numbers(left.matmul(values([90, 50], 2, device)))
    };
    assert_close(&product(&wgpu), &product(&ndarray()));
}

#[test]
fn convolution_gradient_has_the_values_of_ndarray() {
    let Some(wgpu) = device() else { return };
    assert_close(
        &convolution_gradient(&wgpu),
        &convolution_gradient(&ndarray()),
    );
}

#[test]
fn tiny_gradient_has_the_values_of_ndarray() {
    compare(tiny::case);
}

#[test]
fn mlp_gradient_has_the_values_of_ndarray() {
    compare(mlp::case);
}

/// The default wgpu device, or nothing where there is none and none is required.
fn device() -> Option<Device> {
    static DEVICE: OnceLock<Result<Device, String>> = OnceLock::new();
    let initialise = || {
        Device::wgpu_options()
            .init()
            .map_err(|error| error.to_string())
    };
    let device = DEVICE.get_or_init(initialise);
    if let Err(reason) = device {
        let required = std::env::var_os("BURN_CURVATURE_REQUIRE_WGPU").is_some();
        assert!(!required, "wgpu is required and missing: {reason}");
        eprintln!("skipped, no wgpu device: {reason}");
    }
    device.as_ref().ok().cloned()
}

fn compare<M: Module, B: Clone>(case: fn(&Device) -> Case<M, B>) {
    let Some(wgpu) = device() else { return };
    let (loss, gradient) = loss_and_gradient(&case(&wgpu.autodiff()));
    let (expected_loss, expected) = loss_and_gradient(&case(&ndarray().autodiff()));
    assert_close(&[loss], &[expected_loss]);
    assert_close(&gradient, &expected);
}

/// Gradients of Σ conv(x, w)² with respect to input and weight.
fn convolution_gradient(device: &Device) -> Vec<f64> {
    let device = device.clone().autodiff();
    let input: Tensor<4> = values([3, 2, 9, 8], 3, &device).require_grad();
    let weight: Tensor<4> = values([5, 2, 3, 3], 4, &device).require_grad();
    let options = ConvOptions::new([2, 1], [1, 1], [1, 1], 1);
    let output = conv2d(input.clone(), weight.clone(), None, options);
    let gradients = (output.clone() * output).sum().backward();
    [input, weight]
        .into_iter()
        .flat_map(|tensor| numbers(tensor.grad(&gradients).expect("a gradient")))
        .collect()
}

/// Values in `[-1, 1)` that follow from the seed.
fn values<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    let mut random = SplitMix64::new(seed);
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| random.symmetric(1.0))
        .collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Values, not shapes: a buffer that is too large once read as zeros.
fn assert_close(found: &[f64], expected: &[f64]) {
    let norm = distance(expected, &vec![0.0; expected.len()]);
    assert!(norm > 1e-3, "expected values of norm {norm} tell nothing");
    let difference = distance(found, expected);
    assert!(difference <= SINGLE * norm, "{difference} of {norm}");
}
