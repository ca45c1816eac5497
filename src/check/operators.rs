//! Properties that hold between products: no differences are taken here.

use burn_backend::AutodiffBackend;

use super::{Check, CheckLine, derivatives::Derivatives};
use crate::{
    curvature::{Fisher, GaussNewton},
    derive::Likelihood,
    error::Error,
    objective::{Engine, Objective},
    operator::{LinearOperator, Properties, SelfAdjoint, measure_self_adjoint},
    space::ParamVector,
    tensor::Precision,
};

/// Determinism, linearity and symmetry of H, by six products.
pub(super) fn properties<B: AutodiffBackend>(
    hessian: &dyn SelfAdjoint<B>,
    seed: u64,
) -> Result<[CheckLine; 3], Error> {
    let (properties, asymmetry) = measure_self_adjoint(hessian, seed)?;
    let Properties { between_runs, nonlinearity, between_many, allowed } = properties;
    let note = match between_runs {
        None => "bit for bit",
        Some(_) => "to rounding: the device adds in varying order",
    };
    let line = |check, found, note: &str| CheckLine::measured(check, found, allowed, note.into());
    let determinism = line(Check::Determinism, between_runs.unwrap_or(0.0), "");
    let note = if determinism.outcome == super::Outcome::Passed { note } else { "" };
    Ok([
        CheckLine { note: note.into(), ..determinism },
        line(Check::Linearity, nonlinearity.max(between_many), ""),
        line(Check::Symmetry, asymmetry, ""),
    ])
}

/// H v in the objective's precision against H v in f64.
pub(super) fn rounding<B: AutodiffBackend>(
    objective: &Objective<B>,
    in_f64: Option<&Objective<B>>,
    derivatives: &Derivatives<B>,
    direction: &ParamVector<B>,
) -> Result<CheckLine, Error> {
    let Some(in_f64) = in_f64 else {
        return Ok(CheckLine::skipped(Check::Rounding, "the device does not compute in f64"));
    };
    if objective.precision() == Precision::F64 {
        return Ok(CheckLine::skipped(Check::Rounding, "the objective computes in f64"));
    }
    let rounded = direction.clone().cast(objective.precision())?;
    let found = (derivatives.hessian)(objective)?.apply(&rounded)?.cast(Precision::F64)?;
    let exact = (derivatives.hessian)(in_f64)?.apply(direction)?;
    let difference = distance(&found, &exact)?;
    Ok(CheckLine::measured(Check::Rounding, difference, 1e-2, String::new()))
}

/// H v by the objective's engine against the other one.
pub(super) fn engines<B: AutodiffBackend>(
    objective: &Objective<B>,
    direction: &ParamVector<B>,
) -> Result<CheckLine, Error> {
    let other = match objective.engine() {
        Engine::Compiled => Engine::Eager,
        Engine::Eager => Engine::Compiled,
    };
    let own = objective.hessian_vector_product(direction)?;
    let other = objective.with_engine(other).hessian_vector_product(direction)?;
    let allowed = objective.precision().epsilon().sqrt();
    Ok(CheckLine::measured(Check::Engines, distance(&other, &own)?, allowed, String::new()))
}

/// vᵀG v ≥ 0, as the cosine of v and G v.
pub(super) fn positive<B: AutodiffBackend>(
    objective: &Objective<B>,
    derivatives: &Derivatives<B>,
    directions: &[ParamVector<B>],
    likelihood: Option<Likelihood>,
) -> Result<CheckLine, Error> {
    let gauss_newton = (derivatives.gauss_newton)(objective)?;
    let mut least = f64::INFINITY;
    for v in directions {
        let product = gauss_newton.apply(v)?;
        let (form, scale) = (v.dot(&product)?, v.norm()? * product.norm()?);
        let cosine = if form == 0.0 { 0.0 } else { form / scale };
        least = if cosine < least || cosine.is_nan() { cosine } else { least };
    }
    let allowed = objective.precision().epsilon().sqrt();
    if least < -allowed && likelihood.is_none() {
        let reason = "vᵀG v is negative: the loss is not convex in the outputs, and `Fisher` is the matrix that is \
                      positive semidefinite";
        return Ok(CheckLine::skipped(Check::PositiveSemidefinite, reason));
    }
    let found = if least >= 0.0 { 0.0 } else { -least };
    Ok(CheckLine::measured(Check::PositiveSemidefinite, found, allowed, String::new()))
}

/// F v against G v.
pub(super) fn likelihood<B: AutodiffBackend>(
    objective: &Objective<B>,
    direction: &ParamVector<B>,
    likelihood: Option<Likelihood>,
) -> Result<CheckLine, Error> {
    let Some(likelihood) = likelihood else {
        return Ok(CheckLine::skipped(Check::Likelihood, super::NO_LIKELIHOOD));
    };
    let fisher = Fisher::exact(&objective.without_loss_check(), likelihood)?.apply(direction)?;
    let gauss_newton = GaussNewton::new(objective)?.apply(direction)?;
    let allowed = objective.precision().epsilon().sqrt();
    let found = distance(&fisher, &gauss_newton)?;
    Ok(CheckLine::measured(Check::Likelihood, found, allowed, String::new()))
}

/// ℒ of the first batch against ℒ of its halves.
pub(super) fn batch_invariance<B: AutodiffBackend>(
    objective: &Objective<B>,
) -> Result<CheckLine, Error> {
    if objective.reduction().is_none() {
        let reason = "no reduction was stated: `objective.reduced_by(Reduction::Mean)?`";
        return Ok(CheckLine::skipped(Check::BatchInvariance, reason));
    }
    objective.check_reduction()?;
    Ok(CheckLine::passed(Check::BatchInvariance, ""))
}

/// ‖found − expected‖ / ‖expected‖
fn distance<B: AutodiffBackend>(
    found: &ParamVector<B>,
    expected: &ParamVector<B>,
) -> Result<f64, Error> {
    let difference = found.clone().sub(expected)?.norm()?;
    Ok(if difference == 0.0 { 0.0 } else { difference / expected.norm()? })
}
