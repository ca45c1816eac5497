//! What tracing accepts, refuses, and says when it refuses.

mod batches;
mod changes;
mod converged;
mod devices;
mod draws;
mod guards;
mod kinks;
mod labels;
mod logistic;
mod long;
mod messages;
mod modes;
mod moves;
mod not_finite;
mod precision;
mod reads;
mod reparameterized;
mod repeated;
mod stops;
mod structure;

use crate::failure::failure;
use burn::{
    module::{Module, Param},
    nn::{Linear, LinearConfig},
    prelude::*,
    tensor::activation::tanh,
};
use burn_curvature::{
    CaptureConfig, Error, Objective,
    errors::{CaptureError, FaithfulnessError, ParamError},
};

#[derive(Module, Debug)]
struct Small {
    linear: Linear,
}

#[derive(Module, Debug)]
struct Weights<const D: usize> {
    w: Param<Tensor<D>>,
}

fn weights<const D: usize>(w: impl Into<TensorData>) -> Weights<D> {
    Weights { w: Param::from_tensor(Tensor::from_data(w.into(), &device())) }
}

/// The rows of the Hessian, in f64.
fn hessian(objective: &Objective) -> Vec<f64> {
    let objective = objective.in_f64().unwrap();
    let space = objective.parameters().space();
    let unit = |at| (0..space.len()).map(|i| f64::from(u8::from(i == at))).collect::<Vec<_>>();
    let row = |at| {
        let v = space.vector(&unit(at)).unwrap();
        objective.hessian_vector_product(&v).unwrap().to_vec().unwrap()
    };
    (0..space.len()).flat_map(row).collect()
}

#[track_caller]
fn close(found: &[f64], expected: &[f64]) {
    let far = found.iter().zip(expected).any(|(a, b)| (a - b).abs() > 1e-6 * (1.0 + b.abs()));
    assert!(!far && found.len() == expected.len(), "{found:?} for {expected:?}");
}

/// The message of a refusal that begins with the given words and names nothing of Burn's inner life.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, begins: &str) -> String {
    let message = trace_error(result).to_string();
    assert!(message.starts_with(begins), "{message}");
    for noise in ["TensorId", "try_to_data", "rhs"] {
        assert!(!message.contains(noise), "{message}");
    }
    message
}

fn device() -> Device {
    Device::flex().autodiff()
}

fn small() -> Small {
    let device = device();
    let weight = Tensor::<2>::from_floats([[0.3, -0.2], [0.1, 0.4], [-0.5, 0.2]], &device);
    let mut linear = LinearConfig::new(3, 2).init(&device);
    linear.weight = Param::from_tensor(weight);
    linear.bias = Some(Param::from_tensor(Tensor::from_floats([0.1, -0.1], &device)));
    Small { linear }
}

fn batch(rows: usize) -> (Tensor<2>, Tensor<2>) {
    let values = |offset: usize| (0..).map(move |i| ((i * 7 + offset) % 11) as f32 / 11.0 - 0.4);
    let take = |n: usize, offset: usize| values(offset).take(n).collect::<Vec<_>>();
    let device = device();
    let x = Tensor::<1>::from_floats(take(rows * 3, 1).as_slice(), &device).reshape([rows, 3]);
    let y = Tensor::<1>::from_floats(take(rows * 2, 5).as_slice(), &device).reshape([rows, 2]);
    (x, y)
}

fn squared_error(model: &Small, (x, y): (Tensor<2>, Tensor<2>)) -> Tensor<1> {
    (tanh(model.linear.forward(x)) - y).powf_scalar(2.0).mean()
}

#[track_caller]
fn trace_error<T: std::fmt::Debug>(result: Result<T, Error>) -> CaptureError {
    refusal(result)
}

/// The refusal of a kind.
#[track_caller]
fn refusal<E: std::error::Error + Clone + 'static, T: std::fmt::Debug>(
    result: Result<T, Error>,
) -> E {
    match failure::<_, E>(&result) {
        Some(error) => error.clone(),
        None => panic!("expected a refusal to trace, got {result:?}"),
    }
}

#[test]
fn the_recorded_loss_and_gradient_are_burns() {
    let model = small();
    let objective = Objective::capture(&model, batch(5), squared_error).expect("a traceable model");
    let loss = squared_error(&model, batch(5));
    let value: f32 = loss.clone().into_scalar();
    assert!((objective.value().expect("a loss") - f64::from(value)).abs() < 1e-6);
    let gradients = loss.backward();
    let weight = model.linear.weight.val().grad(&gradients).expect("a gradient").into_data();
    let recorded = objective.gradient().expect("a gradient").to_vec().expect("numbers");
    for (recorded, burn) in recorded.iter().zip(weight.iter::<f64>()) {
        assert!((recorded - burn).abs() < 1e-6, "{recorded} and {burn}");
    }
}

#[test]
fn a_loss_that_is_not_a_scalar_is_refused() {
    let error = trace_error(Objective::capture(&small(), batch(5).0, |model, x| {
        model.linear.forward(x).sum_dim(1).flatten::<1>(0, 1)
    }));
    assert_eq!(error, CaptureError::LossNotScalar { shape: vec![5] });
}

#[test]
fn a_loss_that_does_not_depend_on_the_parameters_is_refused() {
    let error = trace_error(Objective::capture(&small(), batch(5).0, |_, x: Tensor<2>| x.sum()));
    assert_eq!(error, CaptureError::IndependentLoss);
}

#[test]
fn reading_a_computed_value_is_refused() {
    let error = trace_error(Objective::capture(&small(), batch(5), |model, batch| {
        let loss = squared_error(model, batch);
        let _seen: f32 = loss.clone().into_scalar();
        loss
    }));
    assert!(matches!(&error, CaptureError::Read { .. }), "{error}");
    assert!(error.to_string().contains("may not read values"), "{error}");
}

#[test]
fn reading_an_input_or_a_parameter_is_refused_too() {
    let error = trace_error(Objective::capture(&small(), batch(5), |model, (x, y)| {
        let scale: f32 = x.clone().max().into_scalar();
        squared_error(model, (x, y)) * scale
    }));
    assert!(matches!(&error, CaptureError::Read { .. }), "{error}");
    let error = trace_error(Objective::capture(&small(), batch(5), |model, (x, y)| {
        let _ = x.to_data();
        squared_error(model, (x, y))
    }));
    assert!(matches!(&error, CaptureError::Read { .. }), "{error}");
    let error = trace_error(Objective::capture(&small(), batch(5), |model: &Small, batch| {
        let weights = model.linear.weight.val().to_data();
        squared_error(model, batch) * weights.iter::<f32>().sum::<f32>()
    }));
    assert!(matches!(&error, CaptureError::Read { .. }), "{error}");
}

#[test]
fn a_tensor_captured_from_another_device_is_refused() {
    let outside = Tensor::<2>::ones([5, 2], &device());
    let error = trace_error(Objective::capture(&small(), batch(5).0, move |model, x| {
        (model.linear.forward(x) - outside.clone()).powf_scalar(2.0).mean()
    }));
    assert!(matches!(&error, CaptureError::Outside { .. }), "{error}");
    assert!(error.to_string().contains("(`Add`, result of shape [5, 2])"), "{error}");
    assert!(error.to_string().contains("put it into the batch"), "{error}");
}

#[test]
fn a_panic_in_the_closure_is_an_error_with_its_message() {
    let error = trace_error(Objective::capture(&small(), batch(5), |_, _| -> Tensor<1> {
        panic!("the user's own words")
    }));
    assert!(matches!(&error, CaptureError::Panicked { .. }), "{error}");
    assert!(error.to_string().contains("the user's own words"), "{error}");
}

#[test]
fn a_model_without_trainable_parameters_is_refused() {
    let frozen = small().no_grad();
    let result = Objective::capture(&frozen, batch(5), squared_error);
    assert!(matches!(failure(&result), Some(ParamError::NoTrainable { .. })), "{result:?}");
}

#[test]
fn frozen_parameters_are_constants() {
    let mut model = small();
    model.linear.bias = model.linear.bias.map(|bias| bias.set_require_grad(false));
    let objective = Objective::capture(&model, batch(5), squared_error).expect("a traceable model");
    assert_eq!(objective.layout().len(), 6);
}

/// As Burn's optimizers have it: a mapped weight is a parameter again once it is a leaf.
#[test]
fn a_parameter_that_is_computed_from_another_is_a_constant() {
    type Map = fn(Tensor<2>) -> Tensor<2>;
    let halves: [(Map, usize); 2] = [(|w| w * 0.5, 2), (|w| (w * 0.5).detach().require_grad(), 8)];
    let captured = |model: &Small| Objective::capture(model, batch(5), squared_error).unwrap();
    let objective = captured(&small());
    for (half, parameters) in halves {
        let mut model = small();
        model.linear.weight = model.linear.weight.map(half);
        assert_eq!(captured(&model).layout().len(), parameters);
        assert_eq!(objective.at_model(&model).is_ok(), parameters == 8);
    }
}

#[test]
fn a_tolerance_of_the_comparison_that_is_not_positive_is_refused() {
    for tolerance in [0.0, -1e-3, f64::NAN] {
        let config = CaptureConfig::new().with_tolerance(tolerance);
        let result = Objective::<burn::backend::Autodiff<burn::backend::Flex>>::capture_with(
            &config,
            &small(),
            batch(2),
            squared_error,
        );
        let error: FaithfulnessError = refusal(result);
        assert!(matches!(error, FaithfulnessError::Tolerance { .. }), "{error}");
    }
}

#[test]
fn a_listing_of_the_loss_holds_only_what_the_loss_needs() {
    let objective =
        Objective::capture(&small(), batch(5), |model, (x, _): (Tensor<2>, Tensor<2>)| {
            model.linear.forward(x).sum() + Tensor::<1>::ones([1], &model.linear.weight.device())
        });
    let program = objective.and_then(|objective| objective.loss_program()).expect("a program");
    let listing = program.to_string();
    let inputs = listing.lines().next().map(|line| line.matches('%').count());
    assert_eq!(inputs, Some(4), "{listing}");
    assert!(!program.operations().contains_key("Neg"), "{listing}");
}

#[test]
fn a_parameter_can_be_the_loss() {
    let model = weights::<1>([2.0]);
    let objective = Objective::capture(&model, (), |model, ()| model.w.val()).unwrap();
    assert_eq!(objective.value().unwrap(), 2.0);
    assert_eq!(objective.gradient().unwrap().to_vec().unwrap(), [1.0]);
    close(&hessian(&objective), &[0.0]);
}
