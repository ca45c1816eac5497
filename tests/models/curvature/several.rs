//! Several vectors in one product against one after another, to rounding.

use burn::{
    backend::{Autodiff, Flex, NdArray},
    module::Module,
    nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig, loss::MseLoss},
    prelude::*,
};
use burn_backend::AutodiffBackend;
use burn_curvature::{
    Adjoint, Batch, CaptureConfig, EmpiricalFisher, Engine, Error, Fisher, GaussNewton, Hessian,
    Jacobian, Likelihood, LinearOperator, Objective, ParamSpace, ParamVector, Reduction,
    backend::ProgramBackend, materialize,
};

use super::columns::{columns, data_set, difference};
use crate::{
    B,
    models::{Case, cnn, mlp, tiny, transformer},
    relative_error,
};

/// Numbers of vectors: one, powers of two, and others.
const COUNTS: [usize; 5] = [1, 2, 3, 16, 17];

fn vectors<B: AutodiffBackend>(space: &ParamSpace<B>, count: usize) -> Vec<ParamVector<B>> {
    (0..count).map(|seed| space.normal(seed as u64 + 1)).collect()
}

/// Products at once against products one by one.
fn compare<B: AutodiffBackend>(
    name: &str,
    (vector, counts, limit): (&ParamVector<B>, &[usize], f64),
    one: impl Fn(&ParamVector<B>) -> Result<ParamVector<B>, Error>,
    many: impl Fn(&[ParamVector<B>]) -> Result<Vec<ParamVector<B>>, Error>,
) {
    let most = counts.iter().copied().max().unwrap_or(1);
    let all = vectors(vector.space(), most);
    let expected: Vec<_> = all.iter().map(|vector| one(vector).unwrap()).collect();
    for &count in counts {
        let found = many(&all[..count]).unwrap();
        assert_eq!(found.len(), count);
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let error = relative_error(found, expected);
            assert!(error <= limit, "{name}, {count} vectors, number {index}: {error:e}");
        }
    }
    assert!(many(&[]).unwrap().is_empty(), "{name}");
}

/// Columns on both sides of the ends of some parameters against products with unit vectors.
fn products<B>(objective: &Objective<B>, counts: &[usize], limit: f64)
where
    B: AutodiffBackend,
    B::InnerBackend: ProgramBackend,
{
    let (theta, outputs) = (objective.parameters(), objective.outputs().unwrap());
    let hessian = Hessian::new(objective).unwrap();
    let newton = GaussNewton::new(objective).unwrap();
    let jacobian = Jacobian::new(objective).unwrap();
    let own = (theta, counts, limit);
    columns("H", &hessian, limit);
    columns("GGN", &newton, limit);
    compare("Hv", own, |v| hessian.apply(v), |all| hessian.apply_many(all));
    compare("GGN v", own, |v| newton.apply(v), |all| newton.apply_many(all));
    compare("J v", own, |v| jacobian.apply(v), |all| jacobian.apply_many(all));
    let adjoint = (|u: &_| jacobian.apply_adjoint(u), |all: &[_]| jacobian.apply_adjoint_many(all));
    compare("Jᵀu", (&outputs, counts, limit), adjoint.0, adjoint.1);
}

fn in_both_precisions<B, M, X>(case: fn(&Device) -> Case<M, X>, device: &Device, counts: &[usize])
where
    B: AutodiffBackend,
    B::InnerBackend: ProgramBackend,
    M: Module + 'static,
    X: Batch + Send + 'static,
{
    let case = case(&device.clone().autodiff());
    let config = CaptureConfig::new();
    let objective =
        Objective::<B>::capture_with(&config, &case.model, case.batch, case.loss).unwrap();
    products(&objective, counts, 2e-5);
    products(&objective.in_f64().unwrap(), &counts[counts.len().saturating_sub(3)..], 1e-13);
}

#[test]
fn tiny_models_on_both_backends() {
    in_both_precisions::<Autodiff<Flex>, _, _>(tiny::case, &Device::flex(), &COUNTS);
    in_both_precisions::<Autodiff<NdArray>, _, _>(tiny::case, &Device::ndarray(), &COUNTS);
}

#[test]
fn networks_on_flex() {
    in_both_precisions::<Autodiff<Flex>, _, _>(mlp::case, &Device::flex(), &COUNTS);
    in_both_precisions::<Autodiff<Flex>, _, _>(transformer::case, &Device::flex(), &COUNTS);
    in_both_precisions::<Autodiff<Flex>, _, _>(cnn::case, &Device::flex(), &[2, 3]);
}

#[test]
fn networks_on_ndarray() {
    in_both_precisions::<Autodiff<NdArray>, _, _>(mlp::case, &Device::ndarray(), &[2, 17]);
    in_both_precisions::<Autodiff<NdArray>, _, _>(transformer::case, &Device::ndarray(), &[2, 5]);
    in_both_precisions::<Autodiff<NdArray>, _, _>(cnn::case, &Device::ndarray(), &[2]);
}

#[test]
fn data_sets_and_fishers() {
    let objective = data_set();
    products(&objective, &COUNTS, 1e-13);
    let stated = objective.reduced_by(Reduction::Mean).unwrap();
    let exact = Fisher::exact(&stated, Likelihood::Categorical).unwrap();
    let drawn = Fisher::monte_carlo(&stated, Likelihood::Categorical, 2, 5).unwrap();
    let empirical = EmpiricalFisher::new(&stated).unwrap();
    let own = (objective.parameters(), &COUNTS[..], 1e-13);
    compare("exact", own, |v| exact.apply(v), |all| exact.apply_many(all));
    compare("drawn", own, |v| drawn.apply(v), |all| drawn.apply_many(all));
    compare("empirical", own, |v| empirical.apply(v), |all| empirical.apply_many(all));
    columns("exact", &exact, 1e-13);
    columns("drawn", &drawn, 1e-13);
    columns("empirical", &empirical, 1e-13);
}

/// A budget bounds what vectors take together, down to one at a time; the products stay the same.
#[test]
fn a_budget_changes_no_product() {
    let objective = data_set();
    let expected = Hessian::new(&objective).unwrap();
    for bytes in [0, 3_000, 10_000] {
        let bounded = Hessian::new(&objective.with_memory_budget(bytes)).unwrap();
        let own = (objective.parameters(), &COUNTS[..], 1e-13);
        compare("budget", own, |v| expected.apply(v), |all| bounded.apply_many(all));
        let difference =
            difference(&materialize(&bounded).unwrap(), &materialize(&expected).unwrap());
        assert!(difference < 1e-13, "{bytes} bytes: {difference:e}");
    }
}

#[test]
fn the_eager_engine_goes_on_one_by_one() {
    let objective = data_set();
    let eager = Hessian::new(&objective.with_engine(Engine::Eager)).unwrap();
    let compiled = Hessian::new(&objective).unwrap();
    let own = (objective.parameters(), &[3][..], 1e-12);
    compare("eager", own, |v| compiled.apply(v), |all| eager.apply_many(all));
    columns("eager", &eager, 1e-13);
}

#[derive(Module, Debug)]
struct Normalized {
    first: Linear,
    norm: BatchNorm,
    dropout: Dropout,
    last: Linear,
}

/// Batch statistics and a mask drawn once.
#[test]
fn models_in_training_mode() {
    let device = Device::flex().autodiff();
    let model = Normalized {
        first: LinearConfig::new(3, 6).init(&device),
        norm: BatchNormConfig::new(6).init(&device),
        dropout: DropoutConfig::new(0.3).init(),
        last: LinearConfig::new(6, 2).init(&device),
    };
    let x = Tensor::<2>::random([12, 3], burn::tensor::Distribution::Default, &device);
    let config = CaptureConfig::new().training(4);
    let objective = Objective::<B>::capture_with(&config, &model, x, |model: &Normalized, x| {
        let hidden = model.norm.forward::<2>(model.first.forward(x)).tanh();
        let z = model.last.forward(model.dropout.forward(hidden));
        let loss = MseLoss::new();
        let zero = z.zeros_like();
        (z.clone(), loss.forward(z, zero, nn::loss::Reduction::Mean))
    });
    products(&objective.unwrap().in_f64().unwrap(), &COUNTS, 1e-12);
}

#[test]
fn the_listing_names_what_has_no_rule() {
    let objective = data_set();
    let program = objective.hessian_program_for(8).unwrap();
    assert!(program.one_by_one().is_empty(), "{:?}", program.one_by_one());
    let (_, single) = objective.hessian_programs().unwrap();
    assert!(single.one_by_one().is_empty());
    assert!(program.len() < 3 * single.len(), "{} and {}", program.len(), single.len());
    let newton = objective.gauss_newton_program_for(8).unwrap();
    assert!(newton.one_by_one().is_empty());
    assert!(!program.to_string().contains("one vector after another"));
}

#[test]
fn a_vector_of_another_model_among_several_is_refused() {
    let objective = data_set();
    let mut all = vectors(objective.parameters().space(), 3);
    all.push(objective.parameters().clone().cast(burn_curvature::Precision::F32).unwrap());
    let error = Hessian::new(&objective).unwrap().apply_many(&all).unwrap_err().to_string();
    assert!(error.contains("f32") && error.contains("f64"), "{error}");
    let jacobian = Jacobian::new(&objective).unwrap();
    assert!(jacobian.apply_adjoint_many(&all).is_err());
}
