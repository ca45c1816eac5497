//! The iteration of conjugate gradients as in Hestenes and Stiefel (1952), section 3.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    krylov::{ResidualBasis, RitzRecorder},
    space::{DeviceScalar, ParamVector},
};

use super::super::{
    ExtremeEigenvalues, Method, Solution, SolveOptions, SolverError, StopReason, UnusedOption,
    monitor::{Monitor, Start, begin},
    system::System,
    units::Preconditioner,
};
use super::{
    ConjugateGradientConfig, OnNegativeCurvature,
    guard::{Guard, Sign, Verdict},
    trial::{Iterate, Scalars, Trial},
};

/// Solves one system.
pub(super) fn solve<B: AutodiffBackend>(
    config: &ConjugateGradientConfig,
    system: &System<'_, B>,
    options: SolveOptions<'_, B>,
) -> Result<Solution<B>, Error> {
    let (mut run, mut next) = Run::start(config, system, options)?;
    loop {
        let iterate = match next {
            Next::Descend(iterate) => iterate,
            Next::Stop(x, reason) => return run.finish(x, reason),
        };
        let product = system.multiply_with_form(&iterate.p)?; //   A p, pᵀA p
        let trial = run.descend(iterate, product)?;
        let values = DeviceScalar::read_many(&trial.unread())?; //       the one read-back
        let scalars = trial.scalars(&mut values.into_iter());
        next = run.step(trial, &scalars)?;
    }
}

/// What comes next.
#[allow(clippy::large_enum_variant)]
pub(super) enum Next<B: AutodiffBackend> {
    /// Another iteration.
    Descend(Iterate<B>),
    /// Nothing: this is x.
    Stop(ParamVector<B>, StopReason),
}

/// One solve in progress: what the host knows of it.
pub(super) struct Run<'a, 'o, B: AutodiffBackend> {
    config: &'a ConjugateGradientConfig,
    pub(super) system: &'a System<'a, B>,
    preconditioner: Preconditioner<'o, B>,
    monitor: Monitor<'o, B>,
    guard: Guard,
    ritz: RitzRecorder,
    basis: Option<ResidualBasis<B>>,
}

impl<'a, 'o, B: AutodiffBackend> Run<'a, 'o, B> {
    pub(super) fn start(
        config: &'a ConjugateGradientConfig,
        system: &'a System<'a, B>,
        options: SolveOptions<'o, B>,
    ) -> Result<(Self, Next<B>), Error> {
        if options.initial_guess.is_some() && config.trust_radius.is_some() {
            let option = UnusedOption::InitialGuess;
            let solver = "ConjugateGradient with `trust_radius`";
            return Err(SolverError::OptionRefused { solver, option }.into());
        }
        let tolerance = (config.relative_tolerance, config.absolute_tolerance);
        let Start { x, r, monitor, preconditioner } = begin(system, options, tolerance)?;
        let guard = Guard::new(config, system.rhs(), (monitor.residual, monitor.objective));
        let ritz = RitzRecorder::default();
        let mut run = Self { config, system, preconditioner, monitor, guard, ritz, basis: None };
        let next = if run.monitor.claims_convergence() {
            Next::Stop(x, StopReason::Converged)
        } else {
            run.restart(x, r)?
        };
        Ok((run, next))
    }

    /// Descends from x, where r = b − A x.
    fn restart(&mut self, x: ParamVector<B>, r: ParamVector<B>) -> Result<Next<B>, Error> {
        let z = self.preconditioner.apply(&r)?;
        let rho = r.dot_device(z.as_ref().unwrap_or(&r))?;
        self.ritz.restart();
        let overlap = match self.config.trust_radius {
            Some(_) if self.monitor.iterations > 0 => x.dot(&r)?, //  xᵀM p = xᵀr for p = M⁻¹r
            _ => 0.0,
        };
        self.guard.restart(overlap);
        let keeps = self.config.reorthogonalization;
        self.basis = keeps.then(|| ResidualBasis::new(r.space(), z.is_some()));
        self.remember(&r, z.as_ref(), &rho)?;
        let p = z.unwrap_or_else(|| r.clone());
        Ok(Next::Descend(Iterate { p, x, r, rho, read: None }))
    }

    /// The first half of an iteration, from A p and pᵀA p: all that needs no decision, on the device.
    pub(super) fn descend(
        &self,
        iterate: Iterate<B>,
        (product, curvature): (ParamVector<B>, DeviceScalar<B>),
    ) -> Result<Trial<B>, Error> {
        let Iterate { p, x, r, rho, read } = iterate;
        let alpha = rho.div(&curvature)?; //                              α = rᵀz / pᵀA p
        let (mut r, mut square) = product.subtracted_square(&alpha, &r)?; // r ← r − α A p
        if let Some(basis) = &self.basis {
            r = basis.orthogonalize(r)?;
            square = r.dot_device(&r)?;
        }
        let z = self.preconditioner.apply(&r)?; //                                z = M⁻¹ r
        let next = match &z {
            Some(z) => r.dot_device(z)?, //                               rᵀz
            None => square.clone(),
        };
        Ok(Trial { p, x, r, z, alpha, rho, read, curvature, next, square })
    }

    /// The second half: takes the step if the scalars allow it, and turns to the next direction.
    pub(super) fn step(&mut self, trial: Trial<B>, scalars: &Scalars) -> Result<Next<B>, Error> {
        trial.expect_sound(scalars, self.system, self.preconditioner.is_some())?;
        let Trial { p, x, mut r, mut z, alpha, rho, mut next, .. } = trial;
        let unit = self.system.unit_of_length(&self.preconditioner);
        match self.guard.judge(scalars, unit) {
            Verdict::Step => {}
            Verdict::StepAlongNegative => self.monitor.keep_negative(&p, scalars.curvature)?,
            Verdict::Boundary { tau, sign } => {
                let x = x.axpy(tau, &p)?; //                              x ← x + τ p
                return self.stop_at_boundary(x, &p, (tau, sign), scalars);
            }
            Verdict::Stop(reason) => {
                if reason == StopReason::NegativeCurvature {
                    self.monitor.keep_negative(&p, scalars.curvature)?;
                }
                return Ok(Next::Stop(x, reason)); //                      before the step
            }
        }
        if !(scalars.next.is_finite() && scalars.square.is_finite()) {
            return Ok(Next::Stop(x, StopReason::Breakdown));
        }
        let objective =
            self.monitor.objective - 0.5 * scalars.rho / scalars.curvature * scalars.rho;
        self.monitor.advance(scalars.square.sqrt(), objective);
        self.ritz.push(scalars.rho, scalars.curvature);
        let last = self.guard.advance(scalars, &self.monitor);
        if let Some(reason) = last {
            let x = x.axpy_device(&alpha, &p)?; //                        x ← x + α p
            self.observe(&x);
            return if reason == StopReason::Converged {
                self.confirm(x)
            } else {
                Ok(Next::Stop(x, reason))
            };
        }
        if self.basis.as_ref().is_some_and(|basis| basis.len() >= r.len()) {
            let x = x.axpy_device(&alpha, &p)?; //                        r is rounding
            self.observe(&x);
            return self.confirm(x);
        }
        let replaces = self.basis.is_none() && self.guard.replaces(self.monitor.iterations);
        let (x, p) = if replaces {
            let x = x.axpy_device(&alpha, &p)?;
            r = self.system.residual(&x)?; //                             Shewchuk 1994, B2
            z = self.preconditioner.apply(&r)?;
            next = r.dot_device(z.as_ref().unwrap_or(&r))?;
            let p = p.aypx_device(&next.div(&rho)?, z.as_ref().unwrap_or(&r))?;
            (x, p)
        } else {
            let beta = next.div(&rho)?; //                                β = rᵀz / (rᵀz before)
            let z = z.as_ref().unwrap_or(&r);
            x.step_and_turn(&alpha, p, &beta, z)? //                      x ← x + α p, p ← z + β p
        };
        self.observe(&x);
        self.remember(&r, z.as_ref(), &next)?;
        let read = (!replaces).then_some(scalars.next);
        Ok(Next::Descend(Iterate { p, x, r, rho: next, read }))
    }

    /// Ends at x on the boundary of the trust region, where a step by τ along p has led.
    fn stop_at_boundary(
        &mut self,
        x: ParamVector<B>,
        p: &ParamVector<B>,
        (tau, sign): (f64, Sign),
        scalars: &Scalars,
    ) -> Result<Next<B>, Error> {
        match sign {
            Sign::Positive => self.ritz.push(scalars.rho, scalars.curvature),
            Sign::Vanishing => {}
            Sign::Negative => self.monitor.keep_negative(p, scalars.curvature)?,
        }
        let objective =
            self.monitor.objective - tau * (scalars.rho - 0.5 * tau * scalars.curvature);
        self.monitor.advance(self.monitor.residual, objective);
        self.monitor.check(self.system, &x)?;
        self.monitor.residual = self.monitor.true_residual;
        self.observe(&x);
        Ok(Next::Stop(x, StopReason::TrustRegion))
    }

    fn observe(&mut self, x: &ParamVector<B>) {
        let units = (self.system, &self.preconditioner);
        self.monitor.observe(units, x, self.guard.curvature());
    }

    /// Holds the claim of the recurrence against the true residual, and descends again from there if it claimed too much.
    fn confirm(&mut self, x: ParamVector<B>) -> Result<Next<B>, Error> {
        let before = self.monitor.true_residual;
        let (x, r) = self.verify(x)?;
        if self.monitor.has_converged() {
            Ok(Next::Stop(x, StopReason::Converged))
        } else if self.monitor.true_residual > 0.5 * before {
            Ok(Next::Stop(x, StopReason::Stagnation))
        } else if self.monitor.iterations >= self.guard.limit() {
            Ok(Next::Stop(x, StopReason::IterationLimit))
        } else {
            self.restart(x, r)
        }
    }

    /// x and b − A x; with all residuals at hand, x is improved if it is not good enough.
    fn verify(&mut self, x: ParamVector<B>) -> Result<(ParamVector<B>, ParamVector<B>), Error> {
        let r = self.monitor.check(self.system, &x)?;
        let steps = self.ritz.steps();
        let improvable = steps > 0 && !self.monitor.has_converged();
        let Some(basis) = self.basis.as_ref().filter(|_| improvable) else {
            return Ok((x, r));
        };
        match basis.correction(&r, steps, |y| self.ritz.solve(y))? {
            Some(correction) => self.monitor.improve(self.system, (x, r), &correction),
            None => Ok((x, r)),
        }
    }

    /// The solution with a report on it. The true residual has the last word.
    pub(super) fn finish(
        mut self,
        mut x: ParamVector<B>,
        reason: StopReason,
    ) -> Result<Solution<B>, Error> {
        if !self.monitor.verified {
            (x, _) = self.verify(x)?;
        }
        let whole = !matches!(reason, StopReason::NegativeCurvature | StopReason::TrustRegion);
        let reached = whole && self.monitor.has_converged();
        let stop = if reached { StopReason::Converged } else { reason };
        let stopped = (Method::ConjugateGradient, stop);
        let indefinite = self.monitor.negative.is_some()
            && self.config.on_negative_curvature == OnNegativeCurvature::Stop;
        let mut solution = self.monitor.solution(x, self.system, stopped);
        let ritz = self.ritz.extremes();
        solution.report.spectrum = if indefinite || self.guard.curvature_vanishes() {
            ExtremeEigenvalues::of_indefinite(&ritz, self.guard.curvature())
        } else {
            ExtremeEigenvalues::of(&ritz, false)
        };
        self.system.restored(solution, &self.preconditioner)
    }

    fn remember(
        &mut self,
        r: &ParamVector<B>,
        z: Option<&ParamVector<B>>,
        rho: &DeviceScalar<B>,
    ) -> Result<(), Error> {
        self.basis.as_mut().map_or(Ok(()), |basis| basis.push(r, z, rho))
    }
}
