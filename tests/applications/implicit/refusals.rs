//! Bad input: each a typed error.

use burn::{
    module::{Param, ParamId},
    prelude::*,
};
use burn_curvature::{
    ConjugateGradientConfig, DirectConfig, Error, LinearOperator, Objective,
    errors::{ConfigError, ImplicitError, ObjectiveError, ParamError, VectorError},
    implicit::{HyperObjective, ImplicitConfig, InnerCurvature, LipschitzConstants, truncated},
};

use super::world::{Hyper, Weights, World, entries, inner_loss, losses};
use crate::failure::failure;

#[derive(Module, Debug)]
pub(super) struct Scalar {
    pub value: Param<Tensor<1>>,
}

#[derive(Module, Debug)]
struct Integers {
    value: Param<Tensor<1, Int>>,
}

pub(super) fn device() -> Device {
    Device::flex().autodiff()
}

pub(super) fn scalar(value: f32) -> Scalar {
    vector(&[value])
}

/// The same module with several elements.
pub(super) fn vector(values: &[f32]) -> Scalar {
    Scalar { value: Param::from_tensor(Tensor::from_floats(values, &device())) }
}

/// A scalar inner problem in f64.
pub(super) fn problem(
    (w, eta): (f32, f32),
    loss: fn(Tensor<1>, Tensor<1>) -> Tensor<1>,
) -> Result<(HyperObjective, Scalar, Scalar), Error> {
    let (model, hyper) = (scalar(w), scalar(eta));
    let inner = HyperObjective::capture(&model, &hyper, (), move |model, hyper, ()| {
        loss(model.value.val(), hyper.value.val())
    })?;
    Ok((inner.in_f64()?, model, hyper))
}

pub(super) fn outer(model: &Scalar) -> Objective {
    let outer =
        Objective::capture(model, (), |model: &Scalar, ()| model.value.val().powi_scalar(2));
    outer.unwrap().in_f64().unwrap()
}

#[test]
fn modules_without_hyperparameters_are_refused() {
    let model = scalar(1.0);
    let loss = |model: &Scalar| model.value.val().powi_scalar(2);
    let ints = Integers {
        value: Param::initialized(ParamId::new(), Tensor::from_ints([1, 2], &device())),
    };
    let found = HyperObjective::capture(&model, &ints, (), move |model, _, ()| loss(model));
    let expected = ImplicitError::NoHyperparameters { ints: 1, frozen: 0, plain: 0 };
    assert_eq!(failure(&found), Some(&expected));
    let none: Vec<Scalar> = Vec::new();
    let found = HyperObjective::capture(&model, &none, (), move |model, _, ()| loss(model));
    let expected = ImplicitError::NoHyperparameters { ints: 0, frozen: 0, plain: 0 };
    assert_eq!(failure(&found), Some(&expected));
    let frozen = scalar(1.0).no_grad();
    let found = HyperObjective::capture(&model, &frozen, (), move |model, _, ()| loss(model));
    let expected = ImplicitError::NoHyperparameters { ints: 0, frozen: 1, plain: 0 };
    assert_eq!(failure(&found), Some(&expected));
    let plain = scalar(1.0).valid();
    let found = HyperObjective::capture(&model, &plain, (), move |model, _, ()| loss(model));
    let expected = ImplicitError::NoHyperparameters { ints: 0, frozen: 0, plain: 1 };
    assert_eq!(failure(&found), Some(&expected));
    let found =
        HyperObjective::capture(&model, &model.clone(), (), move |model, _, ()| loss(model));
    let expected = ImplicitError::Shared { parameters: vec!["value".into()] };
    assert_eq!(failure(&found), Some(&expected));
    let found =
        HyperObjective::capture(&model.valid(), &scalar(1.0), (), move |model, _, ()| loss(model));
    assert!(matches!(failure(&found), Some(ParamError::NoTrainable { plain: 1, .. })));
}

/// Not at all, or only in a term of their own.
#[test]
fn hyperparameters_that_the_inner_loss_does_not_depend_on_are_refused() {
    let losses: [fn(Tensor<1>, Tensor<1>) -> Tensor<1>; 2] =
        [|w, _| w.powi_scalar(2), |w, eta| w.powi_scalar(2) + eta.exp()];
    for loss in losses {
        let (inner, ..) = problem((1.0, 1.0), loss).unwrap();
        let found = ImplicitConfig::new().init(&inner);
        let expected = ImplicitError::Independent { hyperparameters: vec!["value".into()] };
        assert_eq!(failure(&found), Some(&expected));
    }
}

#[test]
fn outer_objectives_of_other_parameters_are_refused() {
    let (inner, model, _) = problem((0.5, 1.0), |w, eta| (w - eta).powi_scalar(2)).unwrap();
    let function = ImplicitConfig::new().init(&inner).unwrap();
    let solver = DirectConfig::new().init().unwrap();
    let found = function.hypergradient(&outer(&scalar(0.5)), &solver);
    assert!(matches!(failure(&found), Some(ImplicitError::OtherParameters { .. })));
    let world = World::new(1, (6, 2));
    let (_, other) = world.captured(&[0.0, 0.0]).unwrap();
    let found = function.hypergradient(&other, &solver);
    assert!(matches!(failure(&found), Some(ImplicitError::OtherParameters { .. })));
    // The model's own, in another precision and at another point.
    let single =
        Objective::capture(&model, (), |model: &Scalar, ()| model.value.val() * 2.0).unwrap();
    let found = function.hypergradient(&single, &solver);
    assert!(matches!(failure(&found), Some(VectorError::PrecisionMismatch { .. })));
    let here = function.hypergradient(&outer(&model), &solver).unwrap();
    let other = outer(&model).at(&inner.parameters().space().full(7.0)).unwrap();
    let there = function.hypergradient(&other, &solver).unwrap();
    assert_eq!(entries(&here.gradient), entries(&there.gradient));
    assert_eq!(here.report, there.report);
}

#[test]
fn vectors_of_the_other_space_are_refused() {
    let world = World::new(2, (6, 3));
    let (inner, _) = world.captured(&[0.1; 3]).unwrap();
    let function = ImplicitConfig::new().init(&inner).unwrap();
    let solver = ConjugateGradientConfig::new().init().unwrap();
    let (theta, eta) = (inner.parameters(), inner.hyperparameters());
    let mismatch = |found: Option<&VectorError>| {
        assert!(matches!(found, Some(VectorError::LayoutMismatch { .. })), "{found:?}");
    };
    mismatch(failure(&function.tangent(&theta, &solver)));
    mismatch(failure(&function.adjoint(&eta, &solver)));
    mismatch(failure(&function.matrix().apply(&eta)));
    mismatch(failure(&inner.at(&eta, &theta)));
    mismatch(failure(
        &function.with_matrix(burn_curvature::operator::Diagonal::new(eta.clone()).unwrap()),
    ));
    let nan = theta.space().full(f64::NAN);
    assert!(function.adjoint(&nan, &solver).is_err());
    let found = inner.at(&nan, &eta).unwrap();
    let found = ImplicitConfig::new().init(&found).unwrap();
    let outer =
        Objective::capture(&world.model(&device()), world.validation(&device()), |model, batch| {
            losses(model, batch).mean()
        });
    assert!(found.hypergradient(&outer.unwrap().in_f64().unwrap(), &solver).is_err());
}

#[test]
fn values_that_are_not_finite_are_named() {
    let (inner, model, _) = problem((0.5, 1.0), |w, eta| (w - eta).powi_scalar(2)).unwrap();
    let solver = DirectConfig::new().init().unwrap();
    let (theta, eta) = (inner.parameters(), inner.hyperparameters());
    let nan = eta.space().full(f64::NAN);
    let function = ImplicitConfig::new().init(&inner.at(&theta, &nan).unwrap()).unwrap();
    let found = function.hypergradient(&outer(&model), &solver);
    assert!(matches!(failure(&found), Some(ObjectiveError::NotFiniteLoss { .. })), "{found:?}");
    // The square root of η has a value and no derivative at 0.
    let root = |w: Tensor<1>, eta: Tensor<1>| (w - eta.sqrt()).powi_scalar(2);
    let (inner, ..) = problem((0.5, 1.0), root).unwrap();
    let function = ImplicitConfig::new()
        .init(&inner.at(&inner.parameters(), &inner.hyperparameters().space().zeros()).unwrap());
    let (function, one) = (function.unwrap(), inner.parameters().space().ones());
    let tangent =
        function.tangent(&inner.hyperparameters().space().zeros().space().ones(), &solver);
    let adjoint = function.adjoint(&one, &solver);
    let adjoints = function.adjoints(&[one.clone(), one], &solver);
    for found in [tangent.map(drop), adjoint.map(drop), adjoints.map(drop)] {
        assert!(matches!(failure(&found), Some(VectorError::NonFinite { .. })), "{found:?}");
    }
}

#[test]
fn configurations_out_of_range_are_refused() {
    let (inner, ..) = problem((0.5, 1.0), |w, eta| (w - eta).powi_scalar(2)).unwrap();
    let constants =
        LipschitzConstants { hessian: 0.0, mixed: -1.0, outer_gradient: 0.0, outer_direct: 0.0 };
    let config = ImplicitConfig::new();
    let wrong = [
        (config.clone().with_damping(-1.0), "damping"),
        (config.clone().with_damping(f64::NAN), "damping"),
        (config.clone().with_strong_convexity(Some(-0.1)), "strong_convexity"),
        (config.clone().with_lipschitz(Some(constants)), "lipschitz.mixed"),
    ];
    for (config, name) in wrong {
        let found = config.init(&inner);
        assert_eq!(failure::<_, ConfigError>(&found).map(|error| error.field), Some(name));
    }
    let named = |error: ConfigError| (error.config, error.field, error.found);
    assert_eq!(named(truncated(0, 0.1).unwrap_err()), ("truncated", "steps", 0.0));
    assert_eq!(named(truncated(1, 0.0).unwrap_err()), ("truncated", "rate", 0.0));
    // Without outputs there is no Gauss-Newton matrix.
    assert!(config.with_curvature(InnerCurvature::GaussNewton).init(&inner).is_err());
}

/// The same call gives the same numbers.
#[test]
fn repeated_calls_agree_bit_for_bit() {
    let world = World::new(9, (10, 3));
    let w = world.minimizer(&world.eta);
    let (inner, outer) = world.captured(&w).unwrap();
    let solver = ConjugateGradientConfig::new().init().unwrap();
    let function = ImplicitConfig::new().init(&inner).unwrap();
    let first = function.hypergradient(&outer, &solver).unwrap();
    let again = function.hypergradient(&outer, &solver).unwrap();
    assert_eq!(entries(&first.gradient), entries(&again.gradient));
    assert_eq!(first.report, again.report);
    // At modules instead of vectors, in f32.
    let device = device();
    let (model, hyper): (Weights, Hyper) = (world.model(&device), world.hyper(&device));
    let captured =
        HyperObjective::capture(&model, &hyper, world.training(&device), inner_loss).unwrap();
    let moved = captured.parameters().space().vector(&w).unwrap().write_to(&model).unwrap();
    let at = captured.at_modules(&moved, &hyper).unwrap();
    assert!(at.gradient().unwrap().model.norm().unwrap() < 1e-5);
    let other = captured.at_modules(&hyper, &model);
    assert!(matches!(failure(&other), Some(ObjectiveError::OtherModel { .. })));
}
