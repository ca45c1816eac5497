//! The iteration of conjugate gradients. Knows one system; keeps nothing beyond it.

mod decide;
mod finish;
mod many;
mod step;

pub(super) use many::solve_many;

use std::ops::ControlFlow;

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    krylov::{ResidualBasis, RitzRecorder},
    operator::SelfAdjoint,
    space::ParamVector,
};

use super::super::{
    NegativeCurvature, Solution, SolveOption, SolveOptions, SolverError, StopReason,
    options::Observer,
    start::{Start, begin},
    stopping::{ProgressRule, StagnationWatch, threshold},
    system::System,
};
use super::{ConjugateGradientConfig, curvature::CurvatureScale, region::TrustRegion, seen::Seen};
use step::Descent;

/// Solves one system.
pub(super) fn solve<B: AutodiffBackend>(
    config: &ConjugateGradientConfig,
    system: &System<'_, B>,
    mut options: SolveOptions<'_, B>,
) -> Result<Solution<B>, Error> {
    if options.initial_guess.is_some() && config.trust_radius.is_some() {
        return Err(SolverError::OptionRefused {
            solver: "ConjugateGradient with `trust_radius`",
            option: SolveOption::InitialGuess,
        }
        .into());
    }
    let (x, residual, start) = begin(system, &mut options)?;
    let run = Run::new(config, system, &start, options.preconditioner, options.observer);
    let mut next = run.open(x, residual)?;
    loop {
        next = match next {
            Next::Done(solution) => return Ok(*solution),
            Next::Again(run, descent) => run.descend(*descent)?,
        };
    }
}

/// Why the loop was left.
enum End<B: AutodiffBackend> {
    /// The recurrence says that the tolerance is reached.
    Claimed,
    /// Something else.
    Stop(StopReason),
    /// pᵀA p < 0.
    NegativeCurvature(NegativeCurvature<B>),
}

/// What to do after a descent.
enum Next<'a, 'o, B: AutodiffBackend> {
    /// The system is solved, or cannot be.
    Done(Box<Solution<B>>),
    /// Descend, from the start or anew.
    Again(Box<Run<'a, 'o, B>>, Box<Descent<B>>),
}

/// What is known of the true residual.
struct Verified {
    /// ‖b − A x‖ as last computed.
    residual: f64,
    /// Whether x has not moved since.
    current: bool,
}

/// One solve in progress: everything that the host knows.
struct Run<'a, 'o, B: AutodiffBackend> {
    config: &'a ConjugateGradientConfig,
    system: &'a System<'a, B>,
    preconditioner: Option<&'o dyn SelfAdjoint<B>>,
    observer: Option<Observer<'o, B>>,
    rhs_norm: f64,
    threshold: f64,
    limit: usize,
    iterations: usize,
    /// ‖r‖ by the recurrence.
    residual: f64,
    verified: Verified,
    objective: f64,
    curvature: CurvatureScale,
    ritz: RitzRecorder,
    basis: Option<ResidualBasis<B>>,
    stagnation: StagnationWatch,
    progress: ProgressRule,
    region: Option<TrustRegion>,
    negative: Option<NegativeCurvature<B>>,
}

impl<'a, 'o, B: AutodiffBackend> Run<'a, 'o, B> {
    fn new(
        config: &'a ConjugateGradientConfig,
        system: &'a System<'a, B>,
        start: &Start,
        preconditioner: Option<&'o dyn SelfAdjoint<B>>,
        observer: Option<Observer<'o, B>>,
    ) -> Self {
        let threshold =
            threshold(config.relative_tolerance, config.absolute_tolerance, start.rhs_norm);
        Self {
            config,
            system,
            preconditioner,
            observer,
            rhs_norm: start.rhs_norm,
            threshold,
            limit: config.iteration_limit(system.rhs().len()),
            iterations: 0,
            residual: start.residual,
            verified: Verified { residual: start.residual, current: true },
            objective: start.objective,
            curvature: CurvatureScale::new(system.rhs().precision().epsilon()),
            ritz: RitzRecorder::default(),
            basis: None,
            stagnation: StagnationWatch::new(config.stagnation_window, start.residual),
            progress: ProgressRule::new(config.relative_progress, start.objective),
            region: config.trust_radius.map(TrustRegion::new),
            negative: None,
        }
    }

    /// Begins, unless x solves the system already.
    fn open(mut self, x: ParamVector<B>, r: ParamVector<B>) -> Result<Next<'a, 'o, B>, Error> {
        if self.residual <= self.threshold {
            return self.finish(x, StopReason::Converged);
        }
        let descent = self.start(x, r)?;
        Ok(Next::Again(Box::new(self), Box::new(descent)))
    }

    /// The loop of Hestenes and Stiefel from x and r = b − A x. Its body is in `step`.
    fn descend(mut self, mut descent: Descent<B>) -> Result<Next<'a, 'o, B>, Error> {
        loop {
            let product = self.system.multiply_with_form(&descent.p)?;
            let step = self.measure(descent, product)?;
            let seen = Seen::read(&step.scalars())?;
            match self.take(step, &seen)? {
                ControlFlow::Continue(next) => descent = next,
                ControlFlow::Break((x, end)) => return self.conclude(x, end),
            }
        }
    }

    /// Ends the solve, or starts the loop anew from the true residual when the recurrence claimed too much.
    fn conclude(mut self, x: ParamVector<B>, end: End<B>) -> Result<Next<'a, 'o, B>, Error> {
        let before = self.verified.residual;
        let (x, r) = match end {
            End::Stop(reason) => return self.finish(x, reason),
            End::NegativeCurvature(found) => {
                self.negative = Some(found);
                return self.finish(x, StopReason::NegativeCurvature);
            }
            End::Claimed => self.verify(x)?,
        };
        if self.verified.residual <= self.threshold {
            return self.finish(x, StopReason::Converged);
        }
        if self.verified.residual > 0.5 * before {
            return self.finish(x, StopReason::Stagnation);
        }
        if self.iterations >= self.limit {
            return self.finish(x, StopReason::IterationLimit);
        }
        let descent = self.start(x, r)?;
        Ok(Next::Again(Box::new(self), Box::new(descent)))
    }
}
