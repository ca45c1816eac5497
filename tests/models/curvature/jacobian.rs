//! J v and Jᵀu.

use burn::{
    backend::{Autodiff, Flex, NdArray},
    prelude::*,
};
use burn_backend::AutodiffBackend;
use burn_curvature::{
    Adjoint, Engine, Jacobian, LinearOperator, Objective, backend::ProgramBackend,
};

use crate::{
    classifier, in_f64, jacobian_by_differences, matrix_error,
    models::{cnn, tiny, transformer},
    relative_error,
};
use burn_curvature::materialize;

#[test]
fn the_jacobian_is_that_of_differences() {
    for seed in 0..3 {
        let objective = classifier(seed, 7);
        let jacobian = Jacobian::new(&objective).unwrap();
        assert_eq!(jacobian.codomain().len(), 21);
        let dense = materialize(&jacobian).unwrap();
        let error = matrix_error(&dense, &jacobian_by_differences(&objective));
        assert!(error < 1e-8, "{error}");
    }
}

/// Adjointness, the other engine, and J v against a difference of outputs along v.
fn check<B>(objective: &Objective<B>)
where
    B: AutodiffBackend,
    B::InnerBackend: ProgramBackend,
{
    let jacobian = Jacobian::new(objective).unwrap();
    let eager = Jacobian::new(&objective.with_engine(Engine::Eager)).unwrap();
    for seed in 0..3 {
        let v = objective.parameters().space().normal(seed);
        let u = objective.outputs().unwrap().space().normal(seed + 50);
        let (jv, jtu) = (jacobian.apply(&v).unwrap(), jacobian.apply_adjoint(&u).unwrap());
        let (left, right) = (u.dot(&jv).unwrap(), v.dot(&jtu).unwrap());
        let scale = u.norm().unwrap() * jv.norm().unwrap();
        assert!((left - right).abs() < 1e-12 * scale, "{left} and {right}");
        assert!(relative_error(&jv, &eager.apply(&v).unwrap()) < 1e-12);
        assert!(relative_error(&jtu, &eager.apply_adjoint(&u).unwrap()) < 1e-12);
        let outputs = |step: f64| {
            let moved = objective.parameters().clone().axpy(step, &v).unwrap();
            objective.at(&moved).unwrap().outputs().unwrap()
        };
        let difference = outputs(1e-8).sub(&outputs(-1e-8)).unwrap().scale(5e7);
        let error = relative_error(&jv, &difference);
        assert!(error < 1e-6, "{error}");
    }
}

#[test]
fn products_of_models_on_flex() {
    let device = Device::flex().autodiff();
    check::<Autodiff<Flex>>(&in_f64(tiny::case(&device)));
    check::<Autodiff<Flex>>(&in_f64(cnn::case(&device)));
    check::<Autodiff<Flex>>(&in_f64(transformer::case(&device)));
}

#[test]
fn products_of_a_model_on_ndarray_and_dispatch() {
    check::<Autodiff<NdArray>>(&in_f64(tiny::case(&Device::ndarray().autodiff())));
    let case = tiny::case(&Device::flex().autodiff());
    let objective: Objective = Objective::capture(&case.model, case.batch, case.loss).unwrap();
    // Burn's dispatch layer has no tape over a tape, so only the compiled engine runs there.
    let objective = objective.in_f64().unwrap();
    let jacobian = Jacobian::new(&objective).unwrap();
    let v = objective.parameters().space().normal(1);
    let u = objective.outputs().unwrap().space().normal(2);
    let left = u.dot(&jacobian.apply(&v).unwrap()).unwrap();
    let right = v.dot(&jacobian.apply_adjoint(&u).unwrap()).unwrap();
    assert!((left - right).abs() < 1e-12 * left.abs().max(1.0));
}
