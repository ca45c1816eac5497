//! The error bound of a hypergradient: one Newton step in θ, a second solve there, and a remainder from the constants
//! of the problem. The derivation is in the documentation of [`ImplicitFunction::hypergradient`].

use burn_backend::AutodiffBackend;

use super::{
    ErrorBound, ImplicitFunction, LipschitzConstants, MixedDerivative, hypergradient::Solved,
};
use crate::{
    error::Error,
    operator::{Adjoint, LinearOperator},
    seeds::Seeds,
    space::ParamVector,
};

/// If the residual or the gradient is reduced by less than this, nothing can be extrapolated.
const CONTRACTION: f64 = 0.9;
/// Where rounding decides, in units of ε, a reduction counts as one half.
const ROUNDING: f64 = 1e3;
/// Estimates are doubled.
const SAFETY: f64 = 2.0;
/// M with at most this many rows or columns is multiplied by all unit vectors, a larger one by random probes.
const UNIT_VECTORS: usize = 16;
/// ‖M‖ ≤ 10 √(2/π) max ‖Mᵀω‖ with probability 1 − 10^(−probes).
const PROBES: u64 = 8;
/// Of the probes.
const SEED: u64 = 0;

/// What is known at θ₁, one Newton step away.
struct Moved<B: AutodiffBackend> {
    function: ImplicitFunction<B>,
    /// ‖∂ℒ/∂θ + λ(θ₁ − θ)‖
    gradient_norm: f64,
    /// ‖w₁‖
    solved_norm: f64,
    /// ‖r₁‖
    residual_norm: f64,
    hypergradient: ParamVector<B>,
    /// The sum of the norms of its two parts.
    size: f64,
}

/// The bound, and the length of the Newton step; `None` if nothing came closer to a solution.
pub(super) fn bound<B: AutodiffBackend>(
    function: &ImplicitFunction<B>,
    solved: &Solved<'_, B>,
) -> Result<Option<(ErrorBound, f64)>, Error> {
    let rhs = [solved.inner_gradient.clone().neg(), solved.residual.clone()];
    let solutions = solved.solver.solve_many_with(&function.matrix, &rhs, solved.preconditioner)?;
    if solutions.iter().any(|solution| solution.negative_curvature.is_some()) {
        return Ok(None);
    }
    let mut solutions = solutions.into_iter().map(|solution| solution.x);
    let (Some(step), Some(correction)) = (solutions.next(), solutions.next()) else {
        return Ok(None);
    };
    let epsilon = step.precision().epsilon();
    let solve_part = function.mixed.apply_adjoint(&correction)?;
    let refined = solved.gradient.clone().add(&solve_part.clone().neg())?;
    let moved = moved(function, solved, (&step, &correction))?;
    let (distance, solve) = (step.norm()?, solve_part.norm()?);
    let stationarity = moved.hypergradient.clone().sub(&refined)?.norm()?;
    let rounding = 10.0 * epsilon * (solved.size + moved.size);
    let parts = ErrorBound { solve, stationarity, remainder: rounding, proven: false };

    let config = &function.config;
    if let (Some(convexity), Some(constants)) = (config.convexity(), config.lipschitz) {
        let remainder = rounding + tail(&moved, convexity, constants)?;
        return Ok(Some((ErrorBound { remainder, proven: true, ..parts }, distance)));
    }

    let left = function.residual(&solved.residual, &correction)?.norm()?;
    let start = solved.residual.norm()?;
    let rounded = start <= ROUNDING * epsilon * solved.slope_norm;
    let of_solve = contraction(left, start, rounded);
    let rounded = distance <= ROUNDING * epsilon * function.inner.parameters().norm()?;
    let of_step = contraction(moved.gradient_norm, solved.inner_gradient.norm()?, rounded);
    if !(of_solve < CONTRACTION && of_step < CONTRACTION) {
        return Ok(None);
    }
    let total = SAFETY * (solve / (1.0 - of_solve) + stationarity / (1.0 - of_step));
    let remainder = rounding + total - solve - stationarity;
    Ok(Some((ErrorBound { remainder, ..parts }, distance)))
}

/// The hypergradient at θ₁ = θ + step, with w₁ = w + correction refined by a second solve.
fn moved<B: AutodiffBackend>(
    function: &ImplicitFunction<B>,
    solved: &Solved<'_, B>,
    (step, correction): (&ParamVector<B>, &ParamVector<B>),
) -> Result<Moved<B>, Error> {
    let theta = function.inner.parameters().axpy(1.0, step)?;
    let eta = function.inner.hyperparameters();
    let there = function.at_keeping_buffers(&theta)?;
    let slope = solved.outer.at_keeping_buffers(&theta)?.gradient(&eta)?;
    let inner = there.inner.gradient()?.model.axpy(function.config.damping, step)?;
    let guess = solved.x.clone().add(correction)?;
    let rest = there.residual(&slope.model, &guess)?;
    let mut solutions = solved.solver.solve_many_with(
        &there.matrix,
        std::slice::from_ref(&rest),
        solved.preconditioner,
    )?;
    let (x, left) = match solutions.pop() {
        Some(solution) => {
            let left = there.residual(&rest, &solution.x)?;
            (guess.add(&solution.x)?, left)
        }
        None => (guess, rest),
    };
    let pulled = there.mixed.apply_adjoint(&x)?;
    let size = slope.hyper.norm()? + pulled.norm()?;
    let hypergradient = slope.hyper.sub(&pulled)?;
    hypergradient.expect_finite("the hypergradient after a Newton step")?;
    Ok(Moved {
        gradient_norm: inner.norm()?,
        solved_norm: x.norm()?,
        residual_norm: left.norm()?,
        hypergradient,
        size,
        function: there,
    })
}

/// At most ‖F̃(θ₁) − F(θ*)‖.
fn tail<B: AutodiffBackend>(
    moved: &Moved<B>,
    convexity: f64,
    constants: LipschitzConstants,
) -> Result<f64, Error> {
    let LipschitzConstants { hessian, mixed, outer_gradient, outer_direct } = constants;
    let norm = norm_at_most(&moved.function.mixed)?;
    let distance = moved.gradient_norm / convexity;
    let solved = moved.solved_norm + moved.residual_norm / convexity;
    let of_solve = norm * moved.residual_norm / convexity;
    let of_solved = (norm + mixed * distance) / convexity * (outer_gradient + hessian * solved);
    Ok(of_solve + (outer_direct + mixed * solved + of_solved) * distance)
}

/// A bound on the spectral norm of M: its Frobenius norm, or one that holds with probability 1 − 10⁻⁸ (Halko, Martinsson &
/// Tropp 2011, *Finding structure with randomness*, lemma 4.1).
fn norm_at_most<B: AutodiffBackend>(mixed: &MixedDerivative<B>) -> Result<f64, Error> {
    let (hyper, model) = (mixed.domain(), mixed.codomain());
    let few = hyper.len().min(model.len());
    if few > UNIT_VECTORS {
        let probes: Vec<_> =
            (0..PROBES).map(|index| model.normal(Seeds::at(SEED, index))).collect();
        let mut largest: f64 = 0.0;
        for product in mixed.apply_adjoint_many(&probes)? {
            product.expect_finite("a product with the mixed derivative")?;
            largest = largest.max(product.norm()?);
        }
        return Ok(10.0 * std::f64::consts::FRAC_2_PI.sqrt() * largest);
    }
    let space = if hyper.len() <= model.len() { hyper } else { model };
    let units = (0..few).map(|at| {
        let unit: Vec<f64> = (0..few).map(|other| f64::from(u8::from(other == at))).collect();
        space.vector(&unit)
    });
    let units = units.collect::<Result<Vec<_>, _>>()?;
    let products = if hyper.len() <= model.len() {
        mixed.apply_many(&units)?
    } else {
        mixed.apply_adjoint_many(&units)?
    };
    let mut squares = 0.0;
    for product in products {
        squares += product.dot(&product)?;
    }
    Ok(squares.sqrt())
}

/// The remaining norm over the initial one.
fn contraction(left: f64, start: f64, rounded: bool) -> f64 {
    if start == 0.0 {
        return 0.0;
    }
    let ratio = left / start;
    if rounded { ratio.min(0.5) } else { ratio }
}
