//! The library on wgpu against values on the CPU, and Burn's own values on wgpu first.

mod curvature;
#[path = "../../models/kfac/inversion.rs"]
mod inversion;

use burn::backend::{Autodiff, Cube, Flex};
use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::models::{Case, cnn, mlp, tiny, transformer};
use crate::plain::{distance, loss_and_gradient, ndarray, numbers};
use crate::random::SplitMix64;
use crate::wgpu_device::device;
use burn_backend::AutodiffBackend;
use burn_curvature::{
    Batch, CaptureConfig, ConjugateGradientConfig, Error, GaussNewton, Hessian, LinearOperator,
    LinearSolver, Objective, Reduction, StopReason,
    backend::ProgramBackend,
    errors::{BatchError, ExecuteError},
};

/// Relative distance of single-precision results of different backends.
const SINGLE: f64 = 2e-5;

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
    assert_close(&convolution_gradient(&wgpu), &convolution_gradient(&ndarray()));
}

/// A GPU picks something else without a word, and a CPU backend panics; the batch is refused before, with the same words.
#[test]
fn labels_out_of_range_are_refused_as_on_the_cpu() {
    let Some(wgpu) = device() else { return };
    let said = [wgpu, Device::flex(), ndarray()].map(|device| {
        let mut said = Vec::new();
        let device = device.autodiff();
        let mut linear = LinearConfig::new(4, 3).init(&device);
        linear.weight = Param::from_tensor(values([4, 3], 1, &device));
        let batch = |labels: [i32; 5]| {
            let labels = Tensor::<1, Int>::from_ints(labels, &device);
            (values::<2>([5, 4], 2, &device), labels)
        };
        let loss = |model: &Linear, (x, labels): (Tensor<2>, Tensor<1, Int>)| {
            CrossEntropyLossConfig::new().init(&x.device()).forward(model.forward(x), labels)
        };
        let objective = Objective::capture(&linear, batch([0, 1, 2, 2, 0]), loss).unwrap();
        objective.on(batch([2, 2, 2, 0, 1])).unwrap().value().unwrap();
        let mut expect = |result: Result<Objective, Error>, expected: (i64, usize)| {
            let error = result.unwrap_err();
            let Some(BatchError::Index { found, limit, position, .. }) = error.downcast_ref()
            else {
                panic!("{error}");
            };
            assert_eq!((*found, *limit, position.as_slice()), (expected.0, 3, &[expected.1][..]));
            said.push(error.to_string());
        };
        expect(objective.on(batch([0, 1, 3, 2, 0])), (3, 2));
        expect(objective.on(batch([0, -1, 2, 1, 0])), (-1, 1));
        expect(Objective::capture(&linear, batch([0, 1, 2, 2, 7]), loss), (7, 4));
        let batches = vec![batch([0, 1, 2, 2, 0]), batch([0, 1, 2, 2, 3])];
        expect(objective.over(batches, Reduction::Mean), (3, 4));
        said
    });
    assert_eq!(said[0], said[1]);
    assert_eq!(said[0], said[2]);
}

/// Labels that follow from the parameters are checked where these change. The largest of some scores needs no check.
#[test]
fn labels_that_the_model_decides_are_refused_out_of_range() {
    let Some(wgpu) = device() else { return };
    let device = wgpu.autodiff();
    let mut linear = LinearConfig::new(4, 3).init(&device);
    linear.weight = Param::from_tensor(values([4, 3], 1, &device));
    let x = values::<2>([5, 4], 2, &device);
    let loss = |shift: fn(Tensor<2>) -> Tensor<1, Int>| {
        let closure = move |model: &Linear, x: Tensor<2>| {
            let z = model.forward(x);
            let labels = shift(z.clone())
                + model.bias.as_ref().map_or_else(
                    || Tensor::zeros([1], &z.device()),
                    |bias| bias.val().narrow(0, 0, 1).int(),
                );
            CrossEntropyLossConfig::new().init(&z.device()).forward(z, labels)
        };
        Objective::capture(&linear, x.clone(), closure).unwrap()
    };
    let objective = loss(|z| Tensor::<1, Int>::zeros([z.dims()[0]], &z.device()));
    let at = |first: f64| {
        let mut theta = objective.parameters().to_vec().unwrap();
        theta[12] = first;
        objective.at(&objective.parameters().space().vector(&theta).unwrap()).unwrap()
    };
    at(2.5).gradient().unwrap();
    for (first, expected) in [(3.5, 3), (-1.5, -1)] {
        let there = at(first);
        let one = there.parameters().space().ones();
        for result in [
            there.value().map(drop),
            there.gradient().map(drop),
            Hessian::new(&there).unwrap().apply(&one).map(drop),
        ] {
            let error = result.unwrap_err();
            let Some(BatchError::Index { found, limit, .. }) = error.downcast_ref() else {
                panic!("{error}");
            };
            assert_eq!((*found, *limit), (expected, 3));
        }
    }
    let largest = Objective::capture(&linear, x.clone(), |model: &Linear, x: Tensor<2>| {
        let z = model.forward(x);
        let labels = z.clone().argmax(1).squeeze_dim::<1>(1);
        CrossEntropyLossConfig::new().init(&z.device()).forward(z, labels)
    });
    largest.unwrap().gradient().unwrap();
}

#[test]
fn factors_are_inverted_on_the_device() {
    let Some(wgpu) = device() else { return };
    inversion::single::<Autodiff<Cube>>(&wgpu);
    inversion::grouped::<Autodiff<Cube>>(&wgpu);
}

#[test]
fn tiny_gradient_has_the_values_of_ndarray() {
    compare(tiny::case);
}

#[test]
fn mlp_gradient_has_the_values_of_ndarray() {
    compare(mlp::case);
}

#[test]
fn hessian_products_of_tiny_have_the_values_of_flex() {
    compare_products(tiny::case);
}

#[test]
fn hessian_products_of_mlp_have_the_values_of_flex() {
    compare_products(mlp::case);
}

#[test]
fn hessian_products_of_cnn_have_the_values_of_flex() {
    compare_products(cnn::case);
}

#[test]
fn hessian_products_of_transformer_have_the_values_of_flex() {
    compare_products(transformer::case);
}

/// Some adapters have f64, the software driver among them; others are refused.
#[test]
fn double_precision_is_right_or_refused_with_advice() {
    let Some(wgpu) = device() else { return };
    let single = objective::<Autodiff<Cube>, _, _>(tiny::case(&wgpu.autodiff()));
    let expected =
        objective::<Autodiff<Flex>, _, _>(tiny::case(&Device::flex().autodiff())).in_f64().unwrap();
    match single.in_f64() {
        Ok(double) => {
            let gradient = double.gradient().unwrap().to_vec().unwrap();
            let exact = expected.gradient().unwrap().to_vec().unwrap();
            let error = distance(&gradient, &exact) / distance(&exact, &[0.0; 26]);
            assert!(error < 1e-9, "{error}");
        }
        Err(error) => {
            assert!(
                matches!(error.downcast_ref(), Some(ExecuteError::Precision { .. })),
                "{error}"
            );
            assert!(error.to_string().contains("f32"), "{error}");
        }
    }
}

#[test]
fn conjugate_gradients_solve_on_wgpu() {
    let Some(wgpu) = device() else { return };
    let objective = objective::<Autodiff<Cube>, _, _>(tiny::case(&wgpu.autodiff()));
    let gradient = objective.gradient().unwrap();
    let damped = Hessian::new(&objective).unwrap().damped(2.0).unwrap();
    let solution =
        ConjugateGradientConfig::new().init().unwrap().solve(&damped, &gradient).unwrap();
    assert_eq!(solution.report.stop, StopReason::Converged);
    let residual = damped.apply(&solution.x).unwrap().sub(&gradient).unwrap().norm().unwrap();
    assert!(residual < 1e-4 * gradient.norm().unwrap(), "{residual}");
}

fn objective<B, M, X>(case: Case<M, X>) -> Objective<B>
where
    B: AutodiffBackend,
    B::InnerBackend: ProgramBackend,
    M: Module + 'static,
    X: Batch + Send + 'static,
{
    Objective::capture_with(&CaptureConfig::new(), &case.model, case.batch, case.loss).unwrap()
}

/// Loss, gradient and one product, in f32 on wgpu against f64 on Flex.
fn compare_products<M: Module + 'static, X: Batch + Send + 'static>(
    case: fn(&Device) -> Case<M, X>,
) {
    let Some(wgpu) = device() else { return };
    let found = objective::<Autodiff<Cube>, _, _>(case(&wgpu.autodiff()));
    let expected =
        objective::<Autodiff<Flex>, _, _>(case(&Device::flex().autodiff())).in_f64().unwrap();
    assert_close(&[found.value().unwrap()], &[expected.value().unwrap()]);
    let numbers = |vector: burn_curvature::ParamVector<_>| vector.to_vec().unwrap();
    let exact = |vector: burn_curvature::ParamVector<_>| vector.to_vec().unwrap();
    assert_close(&numbers(found.gradient().unwrap()), &exact(expected.gradient().unwrap()));
    let (v, w) = (found.parameters().space().normal(1), expected.parameters().space().normal(1));
    let product = numbers(found.hessian_vector_product(&v).unwrap());
    assert_close(&product, &exact(expected.hessian_vector_product(&w).unwrap()));
    let product = numbers(GaussNewton::new(&found).unwrap().apply(&v).unwrap());
    let newton = GaussNewton::new(&expected).unwrap();
    assert_close(&product, &exact(newton.apply(&w).unwrap()));
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
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.symmetric(1.0)).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Values, not shapes: a buffer that is too large once read as zeros.
fn assert_close(found: &[f64], expected: &[f64]) {
    let norm = distance(expected, &vec![0.0; expected.len()]);
    assert!(norm > 1e-3, "expected values of norm {norm} are too small to compare");
    let difference = distance(found, expected);
    assert!(difference <= SINGLE * norm, "{difference} of {norm}");
}
