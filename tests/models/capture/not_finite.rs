//! A loss that is NaN or infinite: the error names what it was computed from, wherever the loss is evaluated.

use super::{batch, small, squared_error};
use crate::failure::failure;
use burn::{module::Param, prelude::*};
use burn_curvature::{Error, Objective, ParamVector, errors::ObjectiveError};

/// The value and the inputs that the error names.
fn named<T>(result: &Result<T, Error>) -> (&str, Option<&str>) {
    match failure(result) {
        Some(ObjectiveError::NotFiniteLoss { value, inputs }) => (value, inputs.as_deref()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_batch_that_is_not_finite_is_named_by_its_position() {
    for poison in [f32::NAN, f32::INFINITY] {
        let (x, y) = batch(5);
        let y = y.slice_fill([0..1, 0..2], poison);
        let found = Objective::capture(&small(), (x, y), squared_error);
        let value = f64::from(poison).to_string();
        assert_eq!(named(&found), (&*value, Some("2 elements of tensor 1 of the batch")));
    }
}

#[test]
fn parameters_that_are_not_finite_are_named() {
    let mut model = small();
    let objective = Objective::capture(&model, batch(5), squared_error).unwrap();
    let space = objective.parameters().space().clone();
    let mut theta = objective.parameters().to_vec().unwrap();
    let expected = Some("1 element of the parameters, the first in `linear.bias`");
    let bias = space.layout().block("linear.bias").unwrap().range();
    theta[bias.start] = f64::NAN;
    let theta: ParamVector = space.vector(&theta).unwrap();
    let at = objective.at(&theta).unwrap();
    assert_eq!(named(&at.value()), ("NaN", expected));
    assert_eq!(named(&at.gradient()), ("NaN", expected));
    model = theta.write_to(&model).unwrap();
    assert_eq!(named(&Objective::capture(&model, batch(5), squared_error)), ("NaN", expected));
}

#[test]
fn a_frozen_weight_that_is_not_finite_is_named() {
    let mut model = small();
    let nan = model.linear.weight.val().detach().mul_scalar(f32::NAN).detach();
    model.linear.weight = Param::from_tensor(nan).set_require_grad(false);
    let found = Objective::capture(&model, batch(5), squared_error);
    assert_eq!(named(&found), ("NaN", Some("6 elements of `linear.weight`")));
}

/// Finite data and parameters: the loss itself overflows, and nothing else is blamed.
#[test]
fn an_overflow_in_the_loss_blames_no_input() {
    let loss = |model: &super::Small, (x, _): (Tensor<2>, Tensor<2>)| {
        (model.linear.forward(x).square().sum() + 1e3).exp()
    };
    let found = Objective::capture(&small(), batch(5), loss);
    assert_eq!(named(&found), ("inf", None));
    assert!(found.unwrap_err().to_string().contains("logarithm of zero"));
}
