//! Time and memory of products, in gradients.

use std::time::Instant;

use burn_backend::AutodiffBackend;

use super::{CurvatureCost, ProductCost};
use crate::{
    curvature::{GaussNewton, Hessian},
    error::Error,
    objective::Objective,
    operator::LinearOperator,
    space::ParamVector,
    tensor::Precision,
};

/// The least of several rounds. Every product is waited for by reading its norm. The check has run since `start`.
pub(super) fn measure<B: AutodiffBackend>(
    objective: &Objective<B>,
    (rounds, seed): (usize, u64),
    start: Instant,
) -> Result<Option<CurvatureCost>, Error> {
    if rounds == 0 {
        return Ok(None);
    }
    let checked = start.elapsed().as_secs_f64();
    let v = objective.parameters().space().normal(seed);
    // The same point with nothing prepared.
    let fresh = objective.at_keeping_buffers(objective.parameters())?;
    let gradient = least(rounds, || Ok(fresh.gradient()?.norm()?))?;
    let hessian = Hessian::new(&fresh)?;
    let hessian = product(&hessian, &v, (rounds, gradient), || hessian.kept_bytes())?;
    let gauss_newton = match GaussNewton::new(&fresh) {
        Ok(matrix) => Some(product(&matrix, &v, (rounds, gradient), || matrix.kept_bytes())?),
        Err(_) => None,
    };
    let bytes = match objective.precision() {
        Precision::F32 => 4,
        Precision::F64 => 8,
    };
    Ok(Some(CurvatureCost {
        gradient_seconds: gradient,
        check: checked / gradient,
        vector_bytes: bytes * objective.layout().len(),
        hessian,
        gauss_newton,
    }))
}

/// The first product prepares, the others do not.
fn product<B: AutodiffBackend>(
    matrix: &dyn LinearOperator<B>,
    v: &ParamVector<B>,
    (rounds, gradient): (usize, f64),
    kept_bytes: impl Fn() -> usize,
) -> Result<ProductCost, Error> {
    let mut apply = || Ok(matrix.apply(v)?.norm()?);
    let first = least(1, &mut apply)?;
    let product = least(rounds, &mut apply)?;
    Ok(ProductCost {
        product: product / gradient,
        prepare: (first - product).max(0.0) / gradient,
        kept_bytes: kept_bytes(),
    })
}

/// Seconds of the fastest of several runs.
fn least(rounds: usize, mut run: impl FnMut() -> Result<f64, Error>) -> Result<f64, Error> {
    let mut least = f64::INFINITY;
    for _ in 0..rounds {
        let start = Instant::now();
        run()?;
        least = least.min(start.elapsed().as_secs_f64());
    }
    Ok(least)
}
