//! Truncated Newton: conjugate gradients on A δ = −∇h, stopped early. Dembo & Steihaug 1983; Nocedal & Wright, algorithm
//! 7.1 (line search) and 7.2 (trust region).

use burn::config::Config;
use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::{Factors, Forcing, Preconditioner, Proposal, escape, iterates::Iterates, residuals};
use crate::{
    config::{ConfigError, Field},
    curvature::{GaussNewton, Hessian},
    error::Error,
    objective::Objective,
    operator::{LinearOperator, SelfAdjoint},
    optim::newton::{Memory, point::Point},
    solver::{
        ConjugateGradientConfig, Iteration, LinearSolver, Solution, SolveOptions, StopReason,
    },
    space::ParamVector,
};

/// The matrix A of a Newton step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Curvature {
    /// The Hessian of ℒ, of any sign: directions of negative curvature are used.
    Hessian,
    /// The Gauss-Newton matrix JᵀMJ of ℒ, positive semidefinite for convex losses of outputs.
    GaussNewton,
    /// The Gauss-Newton matrix 2c·JᵀJ of ℒ = c·‖r‖² with c > 0, where the closure returns the residuals r as outputs. The form
    /// of ℒ is checked on every batch when the optimizer is built.
    Residuals,
}

/// Truncated conjugate gradients for a Newton direction.
///
/// | field | default | range | purpose |
/// |---|---|---|---|
/// | `curvature` | Hessian | | the matrix A |
/// | `forcing` | Eisenstat and Walker, at most 0.1 | | relative tolerance of each solve |
/// | `max_iterations` | `None`: min(10 n, 1000) | ≥ 1 | |
/// | `relative_progress` | `None` | 0 to 1 | Martens' stopping rule |
/// | `preconditioner` | `None` | | |
/// | `refresh_every` | 1 | ≥ 1 | steps from one computation of the preconditioner to the next |
/// | `warm_start` | `None` | 0 to 1 | start at this multiple of the last solution |
/// | `backtracking` | `None` | > 1 | keep the iterates with numbers ⌈spacingⁱ⌉, and take the best of the last ones |
/// | `leave_saddles` | true | | look for negative curvature where ∇h has vanished |
///
/// # Negative curvature
/// Where pᵀ(A + (λ + η)I)p < 0 for a search direction p, the step is along p, downhill, and the rule determines its length (Royer,
/// O'Neill & Wright 2020); in a trust region it is the point on the boundary (Steihaug 1983).
#[derive(Config, Debug, PartialEq)]
pub struct TruncatedCg {
    /// The matrix A.
    #[config(default = "Curvature::Hessian")]
    pub curvature: Curvature,
    /// Relative tolerance of each solve.
    #[config(default = "Forcing::EisenstatWalker { largest: 0.1 }")]
    pub forcing: Forcing,
    /// Largest number of iterations of a solve; `None` is min(10 n, 1000) for n unknowns.
    pub max_iterations: Option<usize>,
    /// Martens' rule: stop when the quadratic model falls by less than this per iteration.
    pub relative_progress: Option<f64>,
    /// An approximate inverse of A + (λ + η)I.
    pub preconditioner: Option<Preconditioner>,
    /// Steps from one computation of the preconditioner's factors to the next. Between them the factors stay those of an
    /// earlier point and batch, with the damping of the step: solves take more iterations, and are as accurate in the end.
    #[config(default = 1)]
    pub refresh_every: usize,
    /// Start at this multiple of the last solution, in place of zero.
    pub warm_start: Option<f64>,
    /// The spacing of iterates that are kept: numbers ⌈spacingⁱ⌉. Among the last ones, the step is the one with the lowest h.
    pub backtracking: Option<f64>,
    /// Where ∇h has vanished, look for negative curvature by up to 50 products.
    #[config(default = true)]
    pub leave_saddles: bool,
}

impl TruncatedCg {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let field = |name| Field { config: "TruncatedCg", name };
        self.forcing.validate()?;
        self.max_iterations.map_or(Ok(()), |count| field("max_iterations").at_least_one(count))?;
        self.relative_progress.map_or(Ok(()), |part| field("relative_progress").fraction(part))?;
        self.preconditioner.as_ref().map_or(Ok(()), Preconditioner::validate)?;
        field("refresh_every").at_least_one(self.refresh_every)?;
        if let Some(part) = self.warm_start {
            field("warm_start").check(part, part > 0.0 && part <= 1.0, "above 0 and at most 1")?;
        }
        if let Some(spacing) = self.backtracking {
            let fits = spacing > 1.0 && spacing.is_finite();
            field("backtracking").check(spacing, fits, "a finite number above 1")?;
        }
        Ok(())
    }

    pub(super) fn expect_applicable<B: AutodiffBackend>(
        &self,
        objective: &Objective<B>,
    ) -> Result<(), Error> {
        self.curvature.of(objective)?;
        if self.curvature == Curvature::Residuals {
            residuals::expect_least_squares(objective)?;
        }
        self.preconditioner.as_ref().map_or(Ok(()), |one| one.expect_applicable(objective))
    }

    /// The factors of the preconditioner: those of an earlier step while they are recent enough.
    fn factors<B: AutodiffBackend>(
        &self,
        preconditioner: &Preconditioner,
        point: &Point<'_, B>,
        memory: &mut Memory<B>,
    ) -> Result<Factors<B>, Error> {
        let age = |kept: &Factors<B>| memory.step.saturating_sub(kept.step);
        let recent = |kept: &Factors<B>| age(kept) < self.refresh_every;
        let factors = match memory.factors.take().filter(recent) {
            Some(kept) => kept,
            None => preconditioner.factors(point.curvature, memory.step)?,
        };
        if self.refresh_every > 1 {
            memory.factors = Some(factors.clone());
        }
        Ok(factors)
    }

    fn solver(&self, tolerance: f64, radius: Option<f64>) -> ConjugateGradientConfig {
        ConjugateGradientConfig::new()
            .with_relative_tolerance(tolerance)
            .with_max_iterations(self.max_iterations)
            .with_relative_progress(self.relative_progress)
            .with_trust_radius(radius)
    }
}

impl Curvature {
    /// A of an objective.
    pub(super) fn of<B: AutodiffBackend>(
        self,
        objective: &Objective<B>,
    ) -> Result<Box<dyn SelfAdjoint<B>>, Error> {
        Ok(match self {
            Curvature::Hessian => Box::new(Hessian::new(objective)?),
            Curvature::GaussNewton | Curvature::Residuals => Box::new(GaussNewton::new(objective)?),
        })
    }
}

/// Solves (A + (λ + η)I)δ ≈ −∇h.
pub(super) fn propose<B: AutodiffBackend>(
    config: &TruncatedCg,
    point: &Point<'_, B>,
    memory: &mut Memory<B>,
) -> Result<Proposal<B>, Error> {
    let damping = memory.damping + point.decay;
    let operator = config.curvature.of(point.curvature)?.damped(damping)?;
    let tolerance = config.forcing.next(point.norm, memory);
    memory.tolerance = Some(tolerance);
    let preconditioner = match &config.preconditioner {
        Some(preconditioner) => {
            let factors = config.factors(preconditioner, point, memory)?;
            Some(preconditioner.inverse(&factors, damping)?)
        }
        None => None,
    };
    let mut iterates = Iterates::new(config.backtracking);
    let mut observer = |iteration: &Iteration<'_, B>| iterates.see(iteration);
    let mut options = SolveOptions::new().with_observer(&mut observer);
    if let Some(inverse) = &preconditioner {
        options = options.with_preconditioner(inverse.as_ref());
    }
    if let (Some(part), Some(last)) = (config.warm_start, memory.solution.take()) {
        options = options.with_initial_guess(last.scale(part));
    }
    let solver = config.solver(tolerance, memory.radius).init()?;
    let rhs = point.gradient.clone().neg();
    let solution = solver.solve_with(&operator, &rhs, options)?;
    if config.warm_start.is_some() {
        memory.solution = Some(solution.x.clone());
    }
    if solution.report.stop == StopReason::NegativeCurvature {
        return along_negative(point, memory, solution);
    }
    let (delta, model, value) = match iterates.best(point, &solution.x)? {
        Some(best) => (best.x, Some(best.model), best.value),
        None => (solution.x, iterates.last_model(), None),
    };
    proposal(point, (delta, model, value), memory.damping, &operator).map(|(proposal, more)| {
        let negative = solution.negative_curvature.map(|found| found.curvature - memory.damping);
        let products = solution.report.applications + more;
        Proposal { negative, products, solve: Some(solution.report), ..proposal }
    })
}

/// A proposal from a solution and the value of ½ δᵀ(A + (λ + η)I)δ + ∇hᵀδ; without one, a product finds it.
fn proposal<B: AutodiffBackend>(
    point: &Point<'_, B>,
    (delta, model, value): (ParamVector<B>, Option<f64>, Option<f64>),
    damping: f64,
    operator: &dyn SelfAdjoint<B>,
) -> Result<(Proposal<B>, usize), Error> {
    let slope = point.gradient.dot(&delta)?;
    let (model, products) = match model {
        Some(model) => (model, 0),
        None => (slope + 0.5 * delta.dot(&operator.apply(&delta)?)?, 1),
    };
    // The square of a small ‖δ‖ leaves the range before λ‖δ‖² does.
    let length = delta.norm()?;
    let predicted = Some(model - 0.5 * (damping * length) * length);
    let (negative, solve) = (None, None);
    Ok((Proposal { delta, slope, predicted, value, negative, products: 0, solve }, products))
}

/// The search direction of negative curvature, downhill, as long as the step of conjugate gradients would be if the
/// curvature had the other sign.
fn along_negative<B: AutodiffBackend>(
    point: &Point<'_, B>,
    memory: &Memory<B>,
    solution: Solution<B>,
) -> Result<Proposal<B>, Error> {
    let Some(found) = solution.negative_curvature else {
        let zero = point.gradient.space().zeros();
        return Ok(Proposal {
            delta: zero,
            slope: 0.0,
            predicted: None,
            value: None,
            negative: None,
            products: solution.report.applications,
            solve: Some(solution.report),
        });
    };
    let unit = found.direction.clone().scale(1.0 / found.direction.norm()?);
    let length = point.gradient.dot(&unit)?.abs() / found.curvature.abs();
    let curvature = found.curvature - memory.damping;
    let along = escape::along(point, unit, curvature, (length, memory.radius))?;
    Ok(Proposal { products: solution.report.applications, solve: Some(solution.report), ..along })
}

impl Default for TruncatedCg {
    fn default() -> Self {
        Self::new()
    }
}
