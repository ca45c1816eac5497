//! G against JᵀMJ written out.

use burn::{
    backend::{Autodiff, Flex, NdArray},
    module::Module,
    prelude::*,
};
use burn_backend::AutodiffBackend;
use burn_curvature::{
    Batch, CaptureConfig, Engine, GaussNewton, Hessian, LinearOperator, Objective,
    backend::ProgramBackend, materialize,
};

use crate::{
    B, classifier,
    dense::{product, transposed},
    in_f64, jacobian_by_differences, matrix_error,
    models::{Case, cnn, mlp, tiny, transformer},
    probabilities, relative_error,
};

/// diag(p) − p pᵀ for every sample, over the number of samples.
fn output_hessian(outputs: &[f64]) -> Vec<Vec<f64>> {
    let p = probabilities(outputs);
    let samples = (p.len() / 3) as f64;
    let entry = |i: usize, j: usize| match (i / 3 == j / 3, i == j) {
        (false, _) => 0.0,
        (true, same) => (f64::from(u8::from(same)) * p[i] - p[i] * p[j]) / samples,
    };
    (0..p.len()).map(|i| (0..p.len()).map(|j| entry(i, j)).collect()).collect()
}

#[test]
fn g_is_the_product_of_its_factors() {
    for seed in 0..3 {
        let objective = classifier(seed, 7);
        let j = jacobian_by_differences(&objective);
        let m = output_hessian(&objective.outputs().unwrap().to_vec().unwrap());
        let expected = product(&transposed(&j), &product(&m, &j));
        for engine in [Engine::Compiled, Engine::Eager] {
            let objective = objective.with_engine(engine);
            let g = GaussNewton::new(&objective).unwrap();
            let dense = materialize(&g).unwrap();
            let error = matrix_error(&dense, &expected);
            assert!(error < 1e-8, "{error}");
        }
        // Were G the Hessian, this test would say little.
        let h = materialize(&Hessian::new(&objective).unwrap()).unwrap();
        assert!(matrix_error(&h, &expected) > 1e-2);
    }
}

/// G v = Jᵀ∇²_z ℓ J v, with J v by differences of the outputs, ∇²_z ℓ written out for cross-entropy, Jᵀw as the gradient of
/// ⟨z, w⟩ from a recording of its own.
fn check_cross_entropy<M, X>(case: Case<M, X>)
where
    M: Module + 'static,
    X: Batch + Send + 'static,
{
    let objective: Objective<B> = in_f64(case.clone());
    let g = GaussNewton::new(&objective).unwrap();
    let v = objective.parameters().space().normal(7);
    let outputs = |step: f64| {
        let moved = objective.parameters().clone().axpy(step, &v).unwrap();
        objective.at(&moved).unwrap().outputs().unwrap()
    };
    let tangent = outputs(1e-8).sub(&outputs(-1e-8)).unwrap().scale(5e7);
    let z = objective.outputs().unwrap();
    let classes = z.layout().blocks()[0].shape()[1];
    let (z, u) = (z.to_vec().unwrap(), tangent.to_vec().unwrap());
    let samples = (z.len() / classes) as f64;
    let mut w = Vec::new();
    for (z, u) in z.chunks(classes).zip(u.chunks(classes)) {
        let total: f64 = z.iter().map(|z| z.exp()).sum();
        let p: Vec<f64> = z.iter().map(|z| z.exp() / total).collect();
        let mean: f64 = p.iter().zip(u).map(|(p, u)| p * u).sum();
        w.extend(p.iter().zip(u).map(|(p, u)| p * (u - mean) / samples));
    }
    let expected = transposed_product(&case, &objective, w, classes);
    let error = relative_error(&g.apply(&v).unwrap(), &expected);
    assert!(error < 1e-5, "{}: {error}", case.name);
    let eager = GaussNewton::new(&objective.with_engine(Engine::Eager)).unwrap();
    let error = relative_error(&g.apply(&v).unwrap(), &eager.apply(&v).unwrap());
    assert!(error < 1e-12, "{}: {error}", case.name);
}

/// Jᵀw as the gradient of ⟨z, w⟩.
fn transposed_product<M, X>(
    case: &Case<M, X>,
    like: &Objective<B>,
    w: Vec<f64>,
    classes: usize,
) -> burn_curvature::ParamVector<B>
where
    M: Module + 'static,
    X: Batch + Send + 'static,
{
    let device = Device::flex();
    let rows = w.len() / classes;
    let values: Vec<f32> = w.iter().map(|w| *w as f32).collect();
    let w = Tensor::<2>::from_data(TensorData::new(values, [rows, classes]), &device);
    let loss = case.loss;
    let config = CaptureConfig::new().unchecked(); // w lives on a device without autodiff
    let slope = Objective::<B>::capture_with(
        &config,
        &case.model,
        (case.batch.clone(), w),
        move |model: &M, (batch, w)| (loss(model, batch).0 * w).sum(),
    );
    let gradient = slope.unwrap().in_f64().unwrap().gradient().unwrap();
    gradient.with_layout(like.layout()).unwrap()
}

#[test]
fn products_with_the_factors_of_models() {
    let device = Device::flex().autodiff();
    check_cross_entropy(mlp::case(&device));
    check_cross_entropy(cnn::case(&device));
    check_cross_entropy(transformer::case(&device));
}

/// Symmetry, definiteness, and one precision against the other.
fn check_laws<B>(objective: &Objective<B>)
where
    B: AutodiffBackend,
    B::InnerBackend: ProgramBackend,
{
    let exact = objective.in_f64().unwrap();
    let (g, single) = (GaussNewton::new(&exact).unwrap(), GaussNewton::new(objective).unwrap());
    for seed in 0..3 {
        let v = exact.parameters().space().normal(seed);
        let u = exact.parameters().space().normal(seed + 9);
        let products = g.apply_many(&[u.clone(), v.clone()]).unwrap();
        let (gu, gv) = (&products[0], &products[1]);
        let scale = u.norm().unwrap() * gv.norm().unwrap();
        assert!((u.dot(gv).unwrap() - v.dot(gu).unwrap()).abs() < 1e-12 * scale);
        assert!(v.dot(gv).unwrap() > 0.0);
        let rounded = single.apply(&v.clone().cast(objective.precision()).unwrap()).unwrap();
        let error = relative_error(&rounded.cast(exact.precision()).unwrap(), gv);
        assert!(error < 1e-4, "{error}");
    }
}

#[test]
fn g_is_symmetric_and_semi_definite() {
    let trace = CaptureConfig::new();
    let case = tiny::case(&Device::flex().autodiff());
    check_laws::<Autodiff<Flex>>(
        &Objective::capture_with(&trace, &case.model, case.batch, case.loss).unwrap(),
    );
    let case = tiny::case(&Device::ndarray().autodiff());
    check_laws::<Autodiff<NdArray>>(
        &Objective::capture_with(&trace, &case.model, case.batch, case.loss).unwrap(),
    );
}

#[test]
fn the_loss_times_a_constant_has_g_times_it() {
    let device = Device::flex().autodiff();
    let case = tiny::case(&device);
    let loss = case.loss;
    let one: Objective<B> = in_f64(case.clone());
    let three = Objective::<B>::capture_with(
        &CaptureConfig::new(),
        &case.model,
        case.batch,
        move |model, batch| {
            let (z, value) = loss(model, batch);
            (z, value * 3.0)
        },
    );
    let three = three.unwrap().in_f64().unwrap();
    let v = one.parameters().space().normal(1);
    let expected = GaussNewton::new(&one).unwrap().apply(&v).unwrap().scale(3.0);
    let found = GaussNewton::new(&three).unwrap().apply(&v).unwrap();
    assert!(relative_error(&found, &expected) < 1e-14);
}

#[test]
fn weight_decay_adds_a_multiple_of_the_identity() {
    let objective = classifier(3, 5);
    let v = objective.parameters().space().normal(1);
    let plain = GaussNewton::new(&objective).unwrap().apply(&v).unwrap();
    let decayed = GaussNewton::with_weight_decay(&objective, 0.25).unwrap();
    let expected = plain.axpy(0.25, &v).unwrap();
    assert!(relative_error(&decayed.apply(&v).unwrap(), &expected) < 1e-14);
}

#[test]
fn a_parameter_that_the_outputs_do_not_reach_has_zeros() {
    #[derive(Module, Debug)]
    struct Two {
        used: nn::Linear,
        unused: nn::Linear,
    }
    let device = Device::flex().autodiff();
    let model = Two {
        used: nn::LinearConfig::new(2, 1).init(&device),
        unused: nn::LinearConfig::new(2, 1).init(&device),
    };
    let x = Tensor::<2>::from_floats([[1.0, 2.0]], &device);
    let objective = Objective::<B>::capture_with(&CaptureConfig::new(), &model, x, |model, x| {
        let z = model.used.forward(x);
        (z.clone(), z.powf_scalar(2.0).sum())
    });
    let objective = objective.unwrap();
    let ones = objective.parameters().space().ones();
    let product = GaussNewton::new(&objective).unwrap().apply(&ones).unwrap();
    // z = w·(1, 2) + b, G = 2 (1, 2, 1)(1, 2, 1)ᵀ
    assert_eq!(product.to_vec().unwrap(), [8.0, 16.0, 8.0, 0.0, 0.0, 0.0]);
}

/// Operators of one objective and product share what does not depend on the vector, as long as one of them lives.
#[test]
fn operators_of_one_objective_share_what_is_prepared() {
    let objective = classifier(3, 6);
    let first = GaussNewton::new(&objective).unwrap();
    first.prepare().unwrap();
    let kept = first.kept_bytes();
    assert!(kept > 0);
    let second = GaussNewton::new(&objective.clone()).unwrap();
    assert_eq!(second.kept_bytes(), kept);
    let elsewhere = objective.at(objective.parameters()).unwrap();
    assert_eq!(GaussNewton::new(&elsewhere).unwrap().kept_bytes(), 0);
    drop((first, second));
    assert_eq!(GaussNewton::new(&objective).unwrap().kept_bytes(), 0);
    // The objective's own products are Hessian products.
    let v = objective.parameters().space().normal(1);
    objective.hessian_vector_product(&v).unwrap();
    let hessian = Hessian::new(&objective).unwrap();
    let kept = hessian.kept_bytes();
    assert!(kept > 0);
    hessian.prepare().unwrap();
    assert_eq!(hessian.kept_bytes(), kept);
}
