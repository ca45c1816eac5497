//! The iteration of the Neumann series.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    space::{DeviceScalar, ParamVector},
};

use super::super::{
    ExtremeEigenvalues, Method, MethodDetail, Solution, SolveOptions, SolveReport, SolverError,
    StopReason,
    monitor::{Monitor, Start, begin},
    system::System,
    units::Preconditioner,
};
use super::{
    NeumannConfig, NeumannScale,
    scale::{Estimate, estimate},
    trend::{State, Trend},
};

/// Solves one system, with an estimate of the extreme eigenvalues that may be known already.
pub(super) fn solve<B: AutodiffBackend>(
    config: &NeumannConfig,
    system: &System<'_, B>,
    options: SolveOptions<'_, B>,
    known: Option<ExtremeEigenvalues>,
) -> Result<Solution<B>, Error> {
    let tolerance = (config.relative_tolerance, config.absolute_tolerance);
    let Start { x, r, monitor, preconditioner } = begin(system, options, tolerance)?;
    let mut run = Run {
        config,
        system,
        preconditioner,
        monitor,
        scale: 0.0,
        extremes: known,
        contraction: None,
    };
    let start = run.start(x, r)?;
    if run.monitor.claims_convergence() {
        return run.finish(start, StopReason::Converged);
    }
    match run.choose_scale()? {
        Some(stop) => run.finish(start, stop),
        None => run.iterate(start),
    }
}

/// One solve in progress.
struct Run<'a, 'o, B: AutodiffBackend> {
    config: &'a NeumannConfig,
    system: &'a System<'a, B>,
    preconditioner: Preconditioner<'o, B>,
    monitor: Monitor<'o, B>,
    scale: f64,
    extremes: Option<ExtremeEigenvalues>,
    contraction: Option<f64>,
}

impl<B: AutodiffBackend> Run<'_, '_, B> {
    /// The first iterate.
    fn start(&self, x: ParamVector<B>, r: ParamVector<B>) -> Result<State<B>, Error> {
        let z = self.precondition(&r)?;
        let read = DeviceScalar::read_many(&[&r.dot_device(&r)?, &r.dot_device(&z)?])?;
        let [square, rho] = read.as_slice().try_into().unwrap_or([f64::NAN; 2]);
        let state = State { x, residual: square.sqrt(), r, z, rho };
        self.expect_positive(&state)?;
        Ok(state)
    }

    /// Sets s, or returns why there is none.
    fn choose_scale(&mut self) -> Result<Option<StopReason>, Error> {
        if let NeumannScale::Fixed(scale) = self.config.scale {
            self.scale = scale;
            return Ok(None);
        }
        if !self.extremes.is_some_and(|known| known.smallest > 0.0) && self.estimate()? {
            return Ok(Some(StopReason::NegativeCurvature));
        }
        let found = self.extremes.map_or(0.0, |extremes| extremes.largest);
        let least = self.extremes.map_or(0.0, |extremes| extremes.smallest);
        let least = self.config.smallest.unwrap_or(least).max(0.0);
        let scale = match self.config.scale {
            NeumannScale::Balanced => 2.0 / (least + found),
            _ => 1.0 / found,
        };
        if !(scale.is_finite() && scale > 0.0) {
            return Err(SolverError::NoScale { found }.into());
        }
        self.scale = scale;
        Ok(None)
    }

    /// Estimates the extreme eigenvalues; true if there is a negative one.
    fn estimate(&mut self) -> Result<bool, Error> {
        let effort = (self.config.estimate_products, self.config.seed);
        match estimate(self.system, self.preconditioner.inverse(), effort)? {
            None => Ok(false),
            Some(Estimate::Positive(extremes)) => {
                self.extremes = Some(extremes);
                Ok(false)
            }
            Some(Estimate::Indefinite(found, extremes)) => {
                // The outer eigenvalues say nothing about the smallest |λ| of an indefinite matrix.
                self.extremes =
                    extremes.map(|found| ExtremeEigenvalues { condition: None, ..found });
                self.monitor.negative = Some(found);
                Ok(true)
            }
        }
    }

    /// xₖ₊₁ = xₖ + s M⁻¹(b − A xₖ)
    fn iterate(mut self, start: State<B>) -> Result<Solution<B>, Error> {
        let mut trend = Trend::new(start.clone());
        let mut state = start;
        loop {
            let Some((next, form)) = self.step(&state)? else {
                return self.diverged(trend.best);
            };
            let all_terms = self.config.all_terms;
            if !all_terms && self.is_negative(&state, form)? {
                self.monitor.keep_negative(&state.z, form)?;
                return self.finish(trend.best, StopReason::NegativeCurvature);
            }
            let contraction = (next.rho / state.rho).sqrt();
            self.contraction = Some(contraction).filter(|ratio| ratio.is_finite());
            let objective = self.objective(&next)?;
            self.monitor.advance(next.residual, objective);
            let units = (self.system, &self.preconditioner);
            self.monitor.observe(units, &next.x, form / state.rho);
            state = next;
            if self.monitor.claims_convergence() {
                return self.finish(state, StopReason::Converged);
            }
            if !all_terms && trend.grows(&state) && state.residual > self.rounding(&state)? {
                return self.diverged(trend.best);
            }
            if trend.stagnates() {
                return self.finish(trend.best, StopReason::Stagnation);
            }
            if self.monitor.iterations >= self.config.max_iterations {
                return self.finish(state, StopReason::IterationLimit);
            }
        }
    }

    /// x ← x + s z and what follows, with zᵀA z; `None` if the residual overflows.
    fn step(&self, state: &State<B>) -> Result<Option<(State<B>, f64)>, Error> {
        let x = state.x.clone().axpy(self.scale, &state.z)?; //         x ← x + s M⁻¹r
        let r = self.system.residual(&x)?; //                           r = b − A x
        let z = self.precondition(&r)?; //                              z = M⁻¹r
        let (square, rho) = (r.dot_device(&r)?, r.dot_device(&z)?);
        let cross = state.z.dot_device(&r)?; //                         zᵀr before, less s zᵀA z
        let read = DeviceScalar::read_many(&[&square, &rho, &cross])?; //  the one read-back
        let [square, rho, cross] = read.as_slice().try_into().unwrap_or([f64::NAN; 3]);
        if !(square.is_finite() && rho.is_finite() && cross.is_finite()) {
            self.blame(&z, &r)?;
            if self.config.all_terms {
                return Err(SolverError::Overflow { terms: self.monitor.iterations + 1 }.into());
            }
            return Ok(None);
        }
        let residual = square.sqrt();
        let next = State { x, r, z, residual, rho };
        self.expect_positive(&next)?;
        Ok(Some((next, (state.rho - cross) / self.scale)))
    }

    /// Finds out whether values that are not finite come from the operator or from growth.
    fn blame(&self, z: &ParamVector<B>, r: &ParamVector<B>) -> Result<(), Error> {
        let rhs = self.system.rhs();
        self.system.multiply(rhs)?.expect_finite("the product A b")?;
        if r.expect_finite("the residual").is_ok() && r.dot(r)?.is_finite() {
            z.expect_finite("the product with the preconditioner")?;
        }
        Ok(())
    }

    /// Whether zᵀA z < 0 beyond rounding. Then no scale converges.
    fn is_negative(&self, state: &State<B>, curvature: f64) -> Result<bool, Error> {
        if curvature >= 0.0 {
            return Ok(false);
        }
        let noise = self.rounding(state)? / state.residual;
        let noise = noise.max(self.system.rhs().precision().epsilon().sqrt());
        Ok(curvature * self.scale < -noise * state.rho)
    }

    /// What rounding can leave of a residual, with ‖A‖ taken to be below 2/s.
    fn rounding(&self, state: &State<B>) -> Result<f64, Error> {
        let size = self.monitor.rhs_norm + 2.0 * state.x.norm()? / self.scale;
        Ok(30.0 * self.system.rhs().precision().epsilon() * size)
    }

    /// Reports how far the scale is off, which costs an estimate of λmax if there is none.
    fn diverged(mut self, best: State<B>) -> Result<Solution<B>, Error> {
        if self.extremes.is_none() && self.estimate()? {
            return self.finish(best, StopReason::NegativeCurvature);
        }
        // The growth shows an eigenvalue that an estimate may have missed: ‖r‖ grows by |1 − sλ|.
        let shown = self.contraction.filter(|ratio| *ratio > 1.0);
        let shown = shown.map_or(0.0, |ratio| (1.0 + ratio) / self.scale);
        if let Some(extremes) = &mut self.extremes
            && extremes.largest * self.scale < 2.0
        {
            *extremes = ExtremeEigenvalues::between(extremes.smallest, extremes.largest.max(shown));
        }
        self.finish(best, StopReason::Diverged)
    }

    /// φ(x) = ½ xᵀA x − bᵀx = −½ xᵀ(b + r) for the observer; NaN without one.
    fn objective(&self, state: &State<B>) -> Result<f64, Error> {
        if !self.monitor.is_observed() {
            return Ok(f64::NAN);
        }
        let sum = state.r.clone().add(self.system.rhs())?;
        Ok(-0.5 * state.x.dot(&sum)?)
    }

    fn precondition(&self, r: &ParamVector<B>) -> Result<ParamVector<B>, Error> {
        Ok(self.preconditioner.apply(r)?.unwrap_or_else(|| r.clone()))
    }

    fn expect_positive(&self, state: &State<B>) -> Result<(), Error> {
        if !self.preconditioner.is_some() || state.residual == 0.0 || state.rho > 0.0 {
            return Ok(());
        }
        state.z.expect_finite("the product with the preconditioner")?;
        Err(SolverError::Preconditioner { found: state.rho }.into())
    }

    /// The bound on the error that follows from the residual.
    fn error_bound(&self, residual: f64) -> Option<f64> {
        let contraction = self.contraction.filter(|ratio| *ratio < 1.0);
        let bound = match self.config.smallest {
            Some(smallest) => Some(residual / smallest),
            None if self.preconditioner.is_some() => None,
            None => contraction.map(|ratio| self.scale * residual / (1.0 - ratio)),
        };
        bound.map(|bound| bound * self.system.unit_of_rhs())
    }

    /// The residual of every iterate is computed from it, so that it is the true one.
    fn finish(self, state: State<B>, stop: StopReason) -> Result<Solution<B>, Error> {
        let detail = MethodDetail::Neumann {
            scale: self.scale,
            largest: self.extremes.map(|extremes| extremes.largest),
            contraction: self.contraction,
            error_bound: self.error_bound(state.residual),
        };
        let norms = (self.monitor.rhs_norm, state.residual);
        let report = SolveReport {
            iterations: self.monitor.iterations,
            threshold: Some(self.monitor.threshold),
            spectrum: self.extremes,
            negative_curvature: self.monitor.negative.as_ref().map(|found| found.curvature),
            detail: Some(detail),
            ..SolveReport::new(Method::Neumann, stop, self.system, norms)
        };
        let negative_curvature = self.monitor.negative;
        let solution = Solution { x: state.x, report, negative_curvature };
        self.system.restored(solution, &self.preconditioner)
    }
}
