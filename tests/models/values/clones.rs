//! A frozen clone of a module shares the identifiers of the original, and is a constant all the same.

use burn::{
    module::{Module, Param, ParamId},
    nn::{Linear, LinearConfig},
    optim::{GradientsParams, SgdConfig},
    prelude::*,
    tensor::activation::log_sigmoid,
};
use burn_curvature::{
    KfacConfig, KfacOptimizerConfig, Likelihood, Objective, ParamLayout, ParamVector, Reduction,
    errors::ParamError, kfac::KfacFisher, optim::KfacInverse,
};

use super::{B, autodiff, failure, hessian, read, weights};

/// A network beside a frozen copy of itself.
#[derive(Module, Debug)]
struct Anchored {
    net: Linear,
    anchor: Linear,
}

/// The frozen copy first.
#[derive(Module, Debug)]
struct AnchorFirst {
    anchor: Linear,
    net: Linear,
}

fn linear<const N: usize>(weight: [[f32; 1]; N]) -> Linear {
    let mut linear = LinearConfig::new(N, 1).with_bias(false).init(&autodiff());
    linear.weight = Param::from_tensor(Tensor::from_floats(weight, &autodiff()));
    linear
}

fn anchored<const N: usize>(weight: [[f32; 1]; N]) -> Anchored {
    let net = linear(weight);
    Anchored { anchor: net.clone().no_grad(), net }
}

/// The anchor at another value, under the same identifier.
fn teacher() -> Anchored {
    let mut model = anchored([[2.0]]);
    let weight = Tensor::from_floats([[1.0]], &autodiff()).set_require_grad(false);
    model.anchor.weight = Param::initialized(model.net.weight.id, weight);
    model
}

fn proximal(model: &Anchored, x: Tensor<1>) -> Tensor<1> {
    (model.net.weight.val() - model.anchor.weight.val()).powf_scalar(2.0).sum() * x
}

fn at(scale: f32) -> Tensor<1> {
    Tensor::from_floats([scale], &autodiff())
}

#[test]
fn an_anchor_has_a_value_of_its_own() {
    let objective =
        Objective::capture(&anchored([[2.0]]), at(1.5), proximal).unwrap().in_f64().unwrap();
    assert_eq!(objective.layout().len(), 1);
    assert_eq!(objective.gradient().unwrap().to_vec().unwrap(), [0.0]);
    assert_eq!(hessian(&objective), [3.0]);
    let five = objective.parameters().space().vector(&[5.0]).unwrap();
    let away = objective.at(&five).unwrap();
    assert_eq!(away.gradient().unwrap().to_vec().unwrap(), [9.0]);
    assert_eq!(hessian(&away), [3.0]);
}

#[test]
fn steps_leave_the_anchor_alone() {
    let model = anchored([[2.0]]);
    let one = ParamVector::<B>::from_module(&model).unwrap().space().ones();
    let moved = one.add_to(&model, 1.0).unwrap();
    assert_eq!([weights(&moved.net), weights(&moved.anchor)], [[3.0], [2.0]]);
    let written = one.scale(7.0).write_to(&model).unwrap();
    assert_eq!([weights(&written.net), weights(&written.anchor)], [[7.0], [2.0]]);
    assert!(written.net.weight.is_require_grad() && !written.anchor.weight.is_require_grad());
    // On a device without autodiff nothing requires a gradient: the places are known by their paths.
    let plain = ParamVector::<B>::from_module(&written).unwrap().write_to(&model.valid()).unwrap();
    assert_eq!([weights(&plain.net), weights(&plain.anchor)], [[7.0], [2.0]]);
    let layout = ParamLayout::of(&model).unwrap();
    let read = ParamVector::<B>::from_module_with(&layout, &plain).unwrap();
    assert_eq!(read.to_vec().unwrap(), [7.0]);
}

#[test]
fn a_teacher_of_the_same_identity_is_a_constant() {
    let model = teacher();
    assert_eq!(ParamVector::<B>::from_module(&model).unwrap().to_vec().unwrap(), [2.0]);
    let objective = Objective::capture(&model, at(1.0), proximal).unwrap().in_f64().unwrap();
    assert_eq!(objective.value().unwrap(), 1.0);
    assert_eq!(objective.gradient().unwrap().to_vec().unwrap(), [2.0]);
    assert_eq!(hessian(&objective), [2.0]);
    // Retying never overwrites it.
    let retied = ParamLayout::of(&model).unwrap().retie(&model);
    assert_eq!([weights(&retied.net), weights(&retied.anchor)], [[2.0], [1.0]]);
}

/// ℒ = −mean log σ(net(x) − anchor(x)): H = ¼ mean xxᵀ where both are equal.
#[test]
fn a_preference_against_a_frozen_reference() {
    let x = Tensor::<2>::from_floats([[1.0, 2.0], [-1.0, 0.5]], &autodiff());
    let objective = Objective::capture(&anchored([[0.5], [1.0]]), x, |model: &Anchored, x| {
        -log_sigmoid(model.net.forward(x.clone()) - model.anchor.forward(x)).mean()
    });
    let found = hessian(&objective.unwrap().in_f64().unwrap());
    for (found, expected) in found.iter().zip([0.25, 0.1875, 0.1875, 0.53125]) {
        assert!((found - expected).abs() < 1e-9, "{found} and {expected}");
    }
}

#[test]
fn the_optimizer_leaves_the_anchor_alone() {
    let model = anchored([[2.0]]);
    let x = Tensor::<2>::from_floats([[1.0], [2.0]], &autodiff());
    let y = Tensor::<2>::from_floats([[0.0], [1.0]], &autodiff());
    let loss = |model: &Anchored, (x, y): (Tensor<2>, Tensor<2>)| {
        let z = model.net.forward(x);
        (z.clone(), (z - y).powf_scalar(2.0).sum() * 0.5)
    };
    let objective = Objective::capture(&model, (x.clone(), y.clone()), loss).unwrap();
    let mut optimizer = KfacOptimizerConfig::new()
        .with_kfac(KfacConfig::new().with_fisher(KfacFisher::Exact))
        .with_inverse(KfacInverse::Exact)
        .with_damping(1e-3)
        .with_weight_decay(0.0)
        .init(
            &objective.reduced_by(Reduction::Sum).unwrap(),
            Likelihood::Gaussian { variance: 1.0 },
        )
        .unwrap();
    let (moved, _) = optimizer.step(&model, (x.clone(), y.clone())).unwrap();
    // H = 5 and g = 8: 2 − 8/5.
    assert!((weights(&moved.net)[0] - 0.4).abs() < 1e-3, "{:?}", weights(&moved.net));
    assert_eq!(weights(&moved.anchor), [2.0]);
    let (gradients, _) = optimizer.transform(&moved, (x, y)).unwrap();
    let stepped = SgdConfig::new().init().step(1.0, moved, gradients);
    assert_eq!(weights(&stepped.anchor), [2.0]);
}

/// Burn's own optimizers give a gradient to the first place of its identifier.
#[test]
fn gradients_for_burn_are_refused_where_burn_would_move_the_anchor() {
    let net = linear([[2.0]]);
    let model = AnchorFirst { anchor: net.clone().no_grad(), net };
    let step = ParamVector::<B>::from_module(&model).unwrap();
    assert_eq!(step.to_vec().unwrap(), [2.0]);
    let (block, frozen) = ("net.weight".to_string(), "anchor.weight".to_string());
    let error = step.clone().into_gradients().err();
    assert_eq!(error, Some(ParamError::FrozenFirst { block, frozen }));
    let moved = step.add_to(&model, 1.0).unwrap();
    assert_eq!([weights(&moved.net), weights(&moved.anchor)], [[4.0], [2.0]]);

    let backward = model.net.weight.val().sum().backward();
    let gradient = ParamVector::<B>::from_backward(&model, backward).unwrap();
    assert_eq!(gradient.to_vec().unwrap(), [1.0]);
    let backward = GradientsParams::from_grads(model.net.weight.val().sum().backward(), &model);
    let gradient = ParamVector::<B>::from_gradients(&model, &backward).unwrap();
    assert_eq!(gradient.to_vec().unwrap(), [1.0]);
}

#[test]
fn trainable_places_of_one_identity_stay_one_parameter() {
    let net = linear([[2.0]]);
    let model = Anchored { anchor: net.clone(), net };
    let layout = ParamLayout::of(&model).unwrap();
    assert_eq!((layout.len(), layout.blocks()[0].aliases().len()), (1, 1));
    let one = ParamVector::<B>::from_module(&model).unwrap().space().ones();
    let moved = one.add_to(&model, 1.0).unwrap();
    assert_eq!([weights(&moved.net), weights(&moved.anchor)], [[3.0], [3.0]]);
}

/// The layout of a part finds its parameters in the whole, whatever the path.
#[test]
fn the_layout_of_a_part_moves_the_part_in_the_whole() {
    let model = anchored([[2.0]]);
    let one = ParamVector::<B>::from_module(&model.net).unwrap().space().ones();
    let moved = one.add_to(&model, 1.0).unwrap();
    assert_eq!([weights(&moved.net), weights(&moved.anchor)], [[3.0], [2.0]]);
    // Without autodiff it cannot be distinguished from its clone.
    let error = one.add_to(&model.valid(), 1.0).unwrap_err();
    let places = vec!["net.weight".to_string(), "anchor.weight".to_string()];
    assert_eq!(error, ParamError::Ambiguous { block: "weight".into(), places });
    // An identity of its own helps.
    let mut own = model.valid();
    own.anchor.weight = Param::initialized(ParamId::new(), own.anchor.weight.val());
    let moved = one.add_to(&own, 1.0).unwrap();
    assert_eq!([weights(&moved.net), weights(&moved.anchor)], [[3.0], [2.0]]);
}

#[test]
fn what_is_frozen_since_is_not_moved() {
    let mut model = Anchored { net: linear([[2.0]]), anchor: linear([[1.0]]) };
    let one = ParamVector::<B>::from_module(&model).unwrap().space().ones();
    model.anchor = model.anchor.no_grad();
    let error = one.add_to(&model, 1.0).unwrap_err();
    assert_eq!(error, ParamError::FrozenNow { block: "anchor.weight".into() });
    // A model that is frozen as a whole can be written: a target network.
    let written = one.write_to(&model.clone().no_grad()).unwrap();
    assert_eq!([weights(&written.net), weights(&written.anchor)], [[1.0], [1.0]]);
    // Objectives say what has changed.
    let objective = Objective::capture(
        &Anchored { net: linear([[2.0]]), anchor: linear([[1.0]]) },
        at(1.0),
        proximal,
    );
    let error = objective.unwrap().at_model(&model);
    let Some(ParamError::Changed { changed, report }) = failure(&error) else {
        panic!("{error:?}");
    };
    assert_eq!(changed, &["anchor.weight"]);
    assert!(report.contains("✓ `net.weight`") && report.contains("is frozen now"), "{report}");
    assert_eq!(read(model.anchor.weight.val()), [1.0]);
}
