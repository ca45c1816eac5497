//! What a new user tries on the first day: wrong things that look natural, and what is said about them.

#![allow(deprecated)] // Burn deprecates NdArray but still ships it.

use burn::{
    module::{Module, ModuleMapper, Param},
    nn::{Linear, loss::CrossEntropyLossConfig},
    prelude::*,
    tensor::DType,
};
use burn_curvature::{
    ConjugateGradientConfig, Error, GaussNewton, Hessian, LinearOperator, LinearSolver, Objective,
    ParamLayout, ParamVector, Reduction, StopReason,
    errors::{ObjectiveError, ParamError, VectorError},
};

use crate::{
    parts::{classified, linear},
    stranger::{device, drawn, labels, normal},
};

type Labeled = (Tensor<2>, Tensor<1, Int>);

fn batch() -> Labeled {
    (normal([6, 3], 1), labels([6], 4, 2))
}

fn loss(model: &Linear, (x, y): Labeled) -> (Tensor<2>, Tensor<1>) {
    classified(model.forward(x), y)
}

fn net() -> Linear {
    drawn(linear(3, 4))
}

fn message<T>(result: Result<T, Error>) -> String {
    result.map(drop).unwrap_err().to_string()
}

struct To(DType);

impl ModuleMapper for To {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.cast(self.0).detach().require_grad())
    }
}

#[test]
fn half_precision_is_refused_by_the_name_of_the_parameter() {
    for (dtype, name) in [(DType::F16, "F16"), (DType::BF16, "BF16")] {
        let said = message(Objective::capture(&net().map(&mut To(dtype)), batch(), loss));
        for part in ["`weight`", name, "only f32 and f64 are supported", "cast the model"] {
            assert!(said.contains(part), "{said}");
        }
    }
    // The model is single, the batch is not.
    let half = (batch().0.cast(DType::F16), batch().1);
    let said = message(Objective::capture(&net(), half, loss));
    assert!(said.contains("F16") && said.contains("F32"), "{said}");
}

#[test]
fn the_device_may_be_that_of_training_or_the_one_below() {
    let objective = Objective::capture(&net(), batch(), loss).unwrap();
    let expected = objective.gradient().unwrap().to_vec().unwrap();
    let plain = (batch().0.inner(), batch().1.inner());
    for objective in [
        Objective::capture(&net(), plain.clone(), loss),
        Objective::capture(&net().valid(), plain.clone(), loss),
        objective.on(plain),
    ] {
        assert_eq!(objective.unwrap().gradient().unwrap().to_vec().unwrap(), expected);
    }
    // Another backend is named with both.
    let elsewhere = Device::ndarray();
    let x = Tensor::<2>::zeros([6, 3], &elsewhere);
    let said = message(objective.on((x, Tensor::<1, Int>::zeros([6], &elsewhere))));
    assert!(said.contains("Flex") && said.contains("NdArray") && said.contains("move"), "{said}");
}

/// Σ (x₁² − x₂²)/2: the report of a system with a direction of negative curvature names its size, in its text too.
#[test]
fn negative_curvature_is_reported_with_its_size() {
    #[derive(Module, Debug)]
    struct Saddle {
        x: Param<Tensor<1>>,
    }
    let x = Param::from_tensor(Tensor::from_floats([1.0, 3.0], &device()));
    let signs = Tensor::<1>::from_floats([1.0, -1.0], &device());
    let objective = Objective::capture(&Saddle { x }, signs, |saddle, signs: Tensor<1>| {
        (saddle.x.val().square() * signs).sum() * 0.5
    });
    let objective = objective.unwrap();
    let hessian = Hessian::new(&objective).unwrap();
    let b = objective.gradient().unwrap();
    let solution = ConjugateGradientConfig::new().init().unwrap().solve(&hessian, &b).unwrap();
    assert_eq!(solution.report.stop, StopReason::NegativeCurvature);
    let text = solution.report.to_string();
    // bᵀAb / bᵀb = (1 − 9)/10
    assert!(text.contains("negative curvature -8.0000e-1"), "{text}");
    assert!(text.contains("add damping well above 8.000e-1"), "{text}");
    assert!(!text.contains("condition number"), "{text}");
}

#[test]
fn what_is_frozen_is_counted_or_left_out() {
    let mut half = net();
    half.bias = half.bias.map(|bias| bias.set_require_grad(false));
    let objective = Objective::capture(&half, batch(), loss).unwrap();
    assert_eq!(objective.layout().len(), 12);
    let said = message(Objective::capture(&net().no_grad(), batch(), loss));
    assert!(said.contains("2 require no gradient (`.unfreeze()`"), "{said}");
}

#[test]
fn vectors_of_other_models_are_named() {
    let objective = Objective::capture(&net(), batch(), loss).unwrap();
    let twin = ParamVector::from_module(&net()).unwrap();
    let error = objective.hessian_vector_product(&twin).unwrap_err();
    let Some(VectorError::LayoutMismatch { .. }) = error.downcast_ref() else { panic!("{error}") };
    for words in ["a different one of the same length", "`weight` is a parameter of another model"]
    {
        assert!(error.to_string().contains(words), "{error}");
    }
    let wide = ParamVector::from_module(&drawn(linear(2, 4))).unwrap();
    let said = message(objective.hessian_vector_product(&wide));
    assert!(said.contains("shape"), "{said}");
    // The same layout under the identity of the objective's model.
    let moved = twin.with_layout(objective.layout()).unwrap();
    assert!(objective.hessian_vector_product(&moved).is_ok());
    let double = objective.parameters().clone().cast(burn_curvature::Precision::F64).unwrap();
    let said = message(objective.hessian_vector_product(&double));
    assert!(said.contains("cast"), "{said}");
}

#[test]
fn an_iterator_that_was_used_before_is_no_data_set() {
    let objective = Objective::capture(&net(), batch(), loss).unwrap();
    let mut batches = vec![batch()].into_iter();
    assert!(objective.over(batches.by_ref(), Reduction::Mean).is_ok());
    let error = objective.over(batches, Reduction::Mean).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&ObjectiveError::NoBatches), "{error}");
    assert!(error.to_string().contains("already consumed"), "{error}");
}

/// A weight decay beside the outputs: the Hessian has it, and Gauss-Newton says where it belongs.
#[test]
fn a_weight_decay_in_the_closure_is_in_the_hessian_only() {
    let decayed = |model: &Linear, batch: Labeled| {
        let (z, loss) = loss(model, batch);
        (z, loss + model.weight.val().square().sum() * 0.05)
    };
    let with = Objective::capture(&net(), batch(), decayed).unwrap().in_f64().unwrap();
    let without = Objective::capture(&net(), batch(), loss).unwrap().in_f64().unwrap();
    let v = with.parameters().space().normal(1).to_vec().unwrap();
    let product = |objective: &Objective| {
        let v = objective.parameters().space().vector(&v).unwrap();
        Hessian::new(objective).unwrap().apply(&v).unwrap().to_vec().unwrap()
    };
    for (at, (a, b)) in product(&with).iter().zip(product(&without)).enumerate() {
        let decay = if at < 12 { 0.1 * v[at] } else { 0.0 };
        assert!((a - b - decay).abs() < 1e-8, "{at}: {a} {b}");
    }
    let said = message(GaussNewton::new(&with));
    assert!(said.contains("weight") && said.contains("with_weight_decay"), "{said}");
}

/// The text of what is printed when a layer is frozen after the objective was made names the layer and the change.
#[test]
fn a_layer_that_is_frozen_later_is_named() {
    let model = net();
    let objective = Objective::capture(&model, batch(), loss).unwrap();
    let mut frozen = model.clone();
    frozen.weight = frozen.weight.set_require_grad(false);
    let error = objective.at_model(&frozen).unwrap_err();
    let Some(ParamError::Changed { changed, .. }) = error.downcast_ref() else { panic!("{error}") };
    assert_eq!(changed, &["weight"]);
    assert!(ParamLayout::of(&frozen).unwrap().select("weight").is_err());
    assert!(error.to_string().contains("frozen"), "{error}");
}

/// One without tensors of its own, that is.
#[test]
fn a_plain_criterion_may_come_from_outside() {
    let criterion = CrossEntropyLossConfig::new().init(&device());
    let outside = Objective::capture(&net(), batch(), move |model: &Linear, (x, y): Labeled| {
        criterion.forward(model.forward(x), y)
    });
    let inside = Objective::capture(&net(), batch(), loss).unwrap();
    let value = outside.unwrap().value_and_gradient().unwrap();
    assert_eq!(value.value, inside.value().unwrap());
    let expected = inside.gradient().unwrap().to_vec().unwrap();
    assert_eq!(value.gradient.to_vec().unwrap(), expected);
}

/// Labels that are no classes are named by their index.
#[test]
fn labels_out_of_range_are_named_at_once_and_later() {
    let wrong = |label: i64| {
        let y = Tensor::<1, Int>::from_ints([0, 1, label, 3, 0, 1], &device());
        (batch().0, y)
    };
    let objective = Objective::capture(&net(), batch(), loss).unwrap();
    for label in [4, -1] {
        let named = format!("index {label} out of bounds at row 2 of the batch");
        let said = message(Objective::capture(&net(), wrong(label), loss));
        assert!(said.contains(&named), "{said}");
        let said = message(objective.on(wrong(label)));
        assert!(said.contains(&named), "{said}");
    }
    let float = |model: &Linear, (x, y): (Tensor<2>, Tensor<1>)| {
        CrossEntropyLossConfig::new().init(&x.device()).forward(model.forward(x), y.int())
    };
    let cast = Objective::capture(&net(), (batch().0, batch().1.float()), float).unwrap();
    let plain = Objective::capture(&net(), batch(), loss).unwrap();
    assert!((cast.value().unwrap() - plain.value().unwrap()).abs() < 1e-7);
}
