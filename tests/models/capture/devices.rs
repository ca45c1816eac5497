//! Where a model and its batch may sit, and tensors that are made elsewhere.

use burn::{
    module::{Module, Param},
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig},
    prelude::*,
    tensor::{Transaction, activation::gelu},
};
use burn_curvature::{CaptureConfig, Objective, errors::CaptureError};

use super::{close, device, hessian, trace_error, weights};
use crate::failure::failure;

fn loss(model: &super::Weights<2>, x: Tensor<2>) -> Tensor<1> {
    x.matmul(model.w.val()).tanh().square().mean()
}

fn x(device: &Device) -> Tensor<2> {
    Tensor::from_data([[1.0, 2.0], [-1.0, 0.5], [0.0, 3.0]], device)
}

/// A device that recomputes activations in the backward pass, a batch without autodiff, and both without.
#[test]
fn the_device_of_the_model_need_not_be_that_of_the_batch() {
    let on = |device: &Device| super::Weights::<2> {
        w: Param::from_tensor(Tensor::from_floats([[0.25], [-0.75]], device)),
    };
    let (plain, recomputing) = (Device::flex(), device().gradient_checkpointing());
    let model = on(&device());
    let expected = hessian(&Objective::capture(&model, x(&device()), loss).unwrap());
    let cases = [
        (model.clone(), plain.clone()),
        (on(&recomputing), recomputing.clone()),
        (on(&recomputing), plain.clone()),
        (model.valid(), plain.clone()),
        (model.valid(), device()),
    ];
    for (at, (model, batch)) in cases.iter().enumerate() {
        let objective = Objective::capture(model, x(batch), loss);
        let objective = objective.unwrap_or_else(|error| panic!("case {at}: {error}"));
        close(&hessian(&objective), &expected);
        assert!(objective.gradient().unwrap().add_to(model, -0.1).is_ok(), "case {at}");
    }
}

/// A layer that keeps the device it was made on, and makes a constant there.
#[derive(Module, Debug)]
struct Shifted {
    linear: Linear,
    #[module(skip)]
    device: Device,
}

#[test]
fn a_constant_that_is_made_on_the_device_of_training_is_named() {
    let model = Shifted { linear: LinearConfig::new(2, 2).init(&device()), device: device() };
    let error = trace_error(Objective::capture(&model, x(&device()), |model: &Shifted, x| {
        let ramp = Tensor::<1, Int>::arange(0..2, &model.device).float();
        (model.linear.forward(x) + ramp.unsqueeze()).square().mean()
    }));
    assert!(matches!(error, CaptureError::Outside { .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("make it on the device of an argument"), "{message}");
    let objective = Objective::capture(&model, x(&device()), |model: &Shifted, x: Tensor<2>| {
        let ramp = Tensor::<1, Int>::arange(0..2, &x.device()).float();
        (model.linear.forward(x) + ramp.unsqueeze()).square().mean()
    });
    assert!(objective.is_ok(), "{objective:?}");
}

#[derive(Module, Debug)]
struct Normed {
    linear: Linear,
    norm: BatchNorm,
}

/// NdArray's gradient of GELU is an approximation, so that gradients are compared on Flex. Clones of a model share their
/// running statistics: these would have been moved there.
#[test]
#[allow(deprecated)] // Burn deprecates NdArray but still ships it.
fn a_comparison_on_another_device_moves_nothing_of_the_model() {
    let device = Device::ndarray().autodiff();
    let model = Normed {
        linear: LinearConfig::new(2, 3).init(&device),
        norm: BatchNormConfig::new(3).init(&device),
    };
    let config = CaptureConfig::new().with_tolerance(1e-6);
    for config in [config.evaluation(), config.training(1)] {
        let loss = |model: &Normed, x: Tensor<2>| -> Tensor<1> {
            model.norm.forward::<2>(gelu(model.linear.forward(x))).tanh().square().mean()
        };
        let captured = config.init(&model, x(&device), loss);
        assert!(captured.is_ok(), "{:?}", captured.err());
        assert_eq!(model.devices(), std::slice::from_ref(&device));
        assert_eq!(model.norm.running_mean.value().device(), device);
        let evaluated = loss(&model, x(&device)).into_scalar::<f32>();
        assert!(evaluated.is_finite(), "{evaluated}");
    }
}

/// Several reads at once are reads.
#[test]
fn a_transaction_reads() {
    let model = weights::<2>([[0.25], [-0.75]]);
    let result = Objective::capture(&model, x(&device()), |model, x| {
        let z = x.clone().matmul(model.w.val());
        let data = Transaction::default().register(z).execute();
        loss(model, x) * data.len() as f64
    });
    assert!(failure::<_, CaptureError>(&result).is_some(), "{result:?}");
}
