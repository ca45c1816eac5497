//! Hessian-vector products against closed forms, central differences in f64, the other engine, and laws.

use burn::{
    backend::{Autodiff, Flex, NdArray},
    module::{Module, Param},
    nn::{Linear, LinearConfig},
    prelude::*,
    tensor::activation::{sigmoid, softplus, tanh},
};
use burn_backend::AutodiffBackend;
use burn_curvature::{CaptureConfig, Engine, Objective, ParamVector, backend::ProgramBackend};

use crate::{
    models::{mlp, tiny},
    relative_error,
};

/// (∇ℒ(θ + εv) − ∇ℒ(θ − εv)) / 2ε.
fn central_difference<B>(objective: &Objective<B>, v: &ParamVector<B>, step: f64) -> ParamVector<B>
where
    B: AutodiffBackend,
    B::InnerBackend: ProgramBackend,
{
    let gradient = |offset: f64| {
        let moved = objective.parameters().clone().axpy(offset, v).expect("a vector of one layout");
        objective.at(&moved).and_then(|there| there.gradient()).expect("a gradient")
    };
    gradient(step).sub(&gradient(-step)).expect("one layout").scale(0.5 / step)
}

/// Everything a Hessian product promises, on one objective.
fn check_products<B>(objective: &Objective<B>)
where
    B: AutodiffBackend,
    B::InnerBackend: ProgramBackend,
{
    let exact = objective.in_f64().expect("a backend with f64");
    for seed in 0..3 {
        let v = exact.parameters().space().normal(seed);
        let u = exact.parameters().space().normal(seed + 100);
        let hv = exact.hessian_vector_product(&v).expect("a product");
        let difference = central_difference(&exact, &v, 1e-5);
        assert!(relative_error(&hv, &difference) < 1e-6, "{}", relative_error(&hv, &difference));

        let eager = exact.with_engine(Engine::Eager).hessian_vector_product(&v).expect("a product");
        assert!(relative_error(&hv, &eager) < 1e-12, "{}", relative_error(&hv, &eager));

        let forgetful = exact.with_memory_budget(0);
        forgetful.prepare().expect("nothing to keep");
        for _ in 0..2 {
            let again = forgetful.hessian_vector_product(&v).expect("a product");
            assert_eq!(relative_error(&again, &hv), 0.0);
        }

        let hu = exact.hessian_vector_product(&u).expect("a product");
        let (uhv, vhu) = (u.dot(&hv).expect("a number"), v.dot(&hu).expect("a number"));
        let scale = u.norm().expect("a norm") * hv.norm().expect("a norm");
        assert!((uhv - vhu).abs() < 1e-12 * scale, "{uhv} and {vhu}");

        let combined = v.clone().scale(2.0).axpy(-3.0, &u).expect("one layout");
        let product = exact.hessian_vector_product(&combined).expect("a product");
        let expected = hv.clone().scale(2.0).axpy(-3.0, &hu).expect("one layout");
        assert!(relative_error(&product, &expected) < 1e-12);

        let single = objective
            .hessian_vector_product(&v.clone().cast(objective.precision()).expect("f32"))
            .expect("a product");
        let single = single.cast(exact.precision()).expect("f64");
        assert!(relative_error(&single, &hv) < 1e-4, "{}", relative_error(&single, &hv));
    }
}

fn on<B>(device: &Device)
where
    B: AutodiffBackend,
    B::InnerBackend: ProgramBackend,
{
    let device = device.clone().autodiff();
    let case = tiny::case(&device);
    let config = CaptureConfig::new();
    check_products::<B>(
        &Objective::capture_with(&config, &case.model, case.batch, case.loss).expect("tiny"),
    );
}

#[test]
fn products_are_right_on_flex() {
    on::<Autodiff<Flex>>(&Device::flex());
}

#[test]
fn products_are_right_on_ndarray() {
    on::<Autodiff<NdArray>>(&Device::ndarray());
}

#[test]
fn products_on_dispatch_are_those_of_the_backend_behind_it() {
    let device = Device::flex().autodiff();
    let case = tiny::case(&device);
    let dispatched: Objective =
        Objective::capture(&case.model, case.batch.clone(), case.loss).expect("tiny");
    let typed: Objective<Autodiff<Flex>> =
        Objective::capture_with(&CaptureConfig::new(), &case.model, case.batch, case.loss)
            .expect("tiny");
    let ones = |n| vec![1.0; n];
    let v = dispatched.parameters().space().vector(&ones(26)).expect("a vector");
    let w = typed.parameters().space().vector(&ones(26)).expect("a vector");
    assert_eq!(
        dispatched.hessian_vector_product(&v).and_then(|p| Ok(p.to_vec()?)).expect("a product"),
        typed.hessian_vector_product(&w).and_then(|p| Ok(p.to_vec()?)).expect("a product"),
    );
}

#[test]
fn a_tensor_of_another_backend_is_refused_not_converted() {
    let case = tiny::case(&Device::flex().autodiff());
    let result = Objective::<Autodiff<NdArray>>::capture_with(
        &CaptureConfig::new(),
        &case.model,
        case.batch,
        case.loss,
    );
    let error = result.expect_err("tensors of another backend").to_string();
    assert!(error.contains("NdArray") && error.contains("Flex"), "{error}");
}

#[derive(Module, Debug)]
struct Line {
    w: Param<Tensor<2>>,
}

#[test]
fn the_hessian_of_least_squares_is_the_gram_matrix() {
    let device = Device::flex().autodiff();
    let model =
        Line { w: Param::from_tensor(Tensor::from_floats([[0.5], [-1.0], [2.0]], &device)) };
    let x = Tensor::<2>::from_floats([[1.0, 2.0, 0.5], [3.0, 4.0, -1.0]], &device);
    let y = Tensor::<2>::from_floats([[1.0], [0.0]], &device);
    let objective =
        Objective::capture(&model, (x, y), |model: &Line, (x, y): (Tensor<2>, Tensor<2>)| {
            (x.matmul(model.w.val()) - y).powf_scalar(2.0).sum() * 0.5
        })
        .expect("least squares");
    let gram = [[10.0, 14.0, -2.5], [14.0, 20.0, -3.0], [-2.5, -3.0, 1.25]];
    for (column, expected) in gram.iter().enumerate() {
        let unit: Vec<f64> = (0..3).map(|row| f64::from(u8::from(row == column))).collect();
        let v = objective.parameters().space().vector(&unit).expect("a vector");
        assert_eq!(
            objective.hessian_vector_product(&v).and_then(|p| Ok(p.to_vec()?)).expect("a product"),
            expected
        );
    }
}

#[test]
fn a_linear_loss_has_the_hessian_zero() {
    let device = Device::flex().autodiff();
    let model = Line { w: Param::from_tensor(Tensor::from_floats([[0.5], [-1.0]], &device)) };
    let x = Tensor::<2>::from_floats([[1.0, 2.0]], &device);
    for engine in [Engine::Compiled, Engine::Eager] {
        let config = CaptureConfig::new().with_engine(engine);
        let objective =
            Objective::<Autodiff<Flex>>::capture_with(&config, &model, x.clone(), |model, x| {
                x.matmul(model.w.val()).sum()
            })
            .expect("a linear loss");
        let product =
            objective.hessian_vector_product(objective.parameters()).and_then(|p| Ok(p.to_vec()?));
        assert_eq!(product.expect("a product"), [0.0, 0.0]);
    }
}

#[derive(Module, Debug)]
struct Tied {
    first: Linear,
    second: Linear,
    unused: Linear,
}

#[test]
fn a_shared_parameter_is_one_block_and_an_unused_one_has_zeros() {
    let device = Device::flex().autodiff();
    let first = LinearConfig::new(3, 3).init(&device);
    let _ = first.weight.val();
    let model =
        Tied { second: first.clone(), first, unused: LinearConfig::new(2, 2).init(&device) };
    let x = Tensor::<2>::from_floats([[0.3, -0.2, 0.9], [1.0, 0.4, -0.6]], &device);
    let objective =
        Objective::<Autodiff<Flex>>::capture_with(&CaptureConfig::new(), &model, x, |model, x| {
            softplus(model.second.forward(sigmoid(model.first.forward(x))), 1.0).mean()
        })
        .expect("tied layers");
    assert_eq!(objective.layout().len(), 9 + 3 + 4 + 2);
    check_products(&objective);
    let v = objective.parameters().space().normal(1);
    let product =
        objective.hessian_vector_product(&v).and_then(|p| Ok(p.to_vec()?)).expect("a product");
    assert_eq!(product[12..], [0.0; 6]);
    assert!(product[..12].iter().all(|number| *number != 0.0));
}

#[test]
fn products_at_other_parameters_are_those_of_a_fresh_trace() {
    let device = Device::flex().autodiff();
    let case = tiny::case(&device);
    let objective: Objective<Autodiff<Flex>> =
        Objective::capture_with(&CaptureConfig::new(), &case.model, case.batch.clone(), case.loss)
            .expect("tiny");
    let v = objective.parameters().space().normal(3);
    let before =
        objective.hessian_vector_product(&v).and_then(|p| Ok(p.to_vec()?)).expect("a product");
    let moved = objective.parameters().clone().axpy(0.5, &v).expect("one layout");
    let model = moved.write_to(&case.model).expect("a model");
    let fresh = Objective::<Autodiff<Flex>>::capture_with(
        &CaptureConfig::new(),
        &model,
        case.batch,
        case.loss,
    )
    .expect("tiny");
    let there = objective.at(&moved).expect("one layout");
    let product = |one: &Objective<Autodiff<Flex>>| {
        one.hessian_vector_product(&v).and_then(|p| Ok(p.to_vec()?))
    };
    assert_eq!(product(&there).expect("a product"), product(&fresh).expect("a product"));
    assert_eq!(product(&objective).expect("a product"), before);
    assert_ne!(product(&there).expect("a product"), before);
}

#[test]
fn a_vector_of_another_model_is_refused_by_name() {
    let device = Device::flex().autodiff();
    let (small, large) = (tiny::case(&device), mlp::case(&device));
    let tiny = Objective::capture(&small.model, small.batch, small.loss).expect("tiny");
    let mlp = Objective::capture(&large.model, large.batch, large.loss).expect("mlp");
    let error =
        tiny.hessian_vector_product(mlp.parameters()).expect_err("another layout").to_string();
    assert!(error.contains("26") && error.contains("669706"), "{error}");
    let f64 = tiny.in_f64().expect("f64");
    let error =
        tiny.hessian_vector_product(f64.parameters()).expect_err("another precision").to_string();
    assert!(error.contains("f32") && error.contains("f64"), "{error}");
}

#[test]
fn a_product_that_is_not_finite_is_refused() {
    let device = Device::flex().autodiff();
    let model = Line { w: Param::from_tensor(Tensor::from_floats([[0.0], [1.0]], &device)) };
    let x = Tensor::<1>::from_floats([1.0], &device);
    // √w² has no second derivative at 0.
    let objective = Objective::capture(&model, x, |model: &Line, x| {
        (tanh(model.w.val()).powf_scalar(2.0) + 1e-30).powf_scalar(0.25).sum() * x.sum()
    })
    .expect("a finite loss and gradient");
    let error = objective.hessian_vector_product(objective.parameters());
    if let Ok(product) = &error {
        let numbers = product.to_vec().expect("numbers");
        assert!(numbers.iter().all(|number| number.is_finite()), "{numbers:?}");
    }
    let overflow = objective.parameters().clone().scale(f64::from(f32::MAX)).scale(1e20);
    assert!(objective.hessian_vector_product(&overflow).is_err());
}

#[test]
fn the_eager_engine_on_dispatch_says_what_to_use() {
    let case = tiny::case(&Device::flex().autodiff());
    let objective: Objective =
        Objective::capture(&case.model, case.batch, case.loss).expect("tiny");
    let v = objective.parameters().space().normal(1);
    assert!(objective.hessian_vector_product(&v).is_ok());
    let eager = objective.with_engine(Engine::Eager);
    let error = eager.hessian_vector_product(&v).expect_err("two tapes");
    assert!(error.to_string().contains("Engine::Compiled"), "{error}");
}
