//! Where an iterative solve starts, and what the host knows of it as it goes: norms, counts, the observer, the report.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    space::{DeviceScalar, ParamVector},
};

use super::{
    Iteration, Method, NegativeCurvature, Solution, SolveOptions, SolveReport, StopReason,
    options::Observer, system::System, units::Preconditioner,
};

/// Where an iterative solver starts.
pub(super) struct Start<'o, B: AutodiffBackend> {
    /// The initial guess; 0 if there is none, or if b = 0, whose solution is 0.
    pub(super) x: ParamVector<B>,
    /// b − A x
    pub(super) r: ParamVector<B>,
    pub(super) monitor: Monitor<'o, B>,
    pub(super) preconditioner: Preconditioner<'o, B>,
}

/// Everything that every iterative solver keeps on the host.
pub(super) struct Monitor<'o, B: AutodiffBackend> {
    /// ‖b‖
    pub(super) rhs_norm: f64,
    /// Residual norms up to this have converged.
    pub(super) threshold: f64,
    pub(super) iterations: usize,
    /// ‖r‖ by the recurrence of the method.
    pub(super) residual: f64,
    /// φ(x) = ½ xᵀA x − bᵀx
    pub(super) objective: f64,
    /// ‖b − A x‖ as last computed.
    pub(super) true_residual: f64,
    /// Whether x has not moved since.
    pub(super) verified: bool,
    /// The first direction of negative curvature.
    pub(super) negative: Option<NegativeCurvature<B>>,
    observer: Option<Observer<'o, B>>,
}

/// Checks b and the initial guess, and computes what a solver starts from.
///
/// # Errors
/// An initial guess that does not fit or is not finite; a b that is not finite or out of range.
pub(super) fn begin<'o, B: AutodiffBackend>(
    system: &System<'_, B>,
    options: SolveOptions<'o, B>,
    (relative, absolute): (f64, f64),
) -> Result<Start<'o, B>, Error> {
    let rhs = system.rhs();
    let guess = system.checked_guess(options.initial_guess)?;
    let start = guess.map(|guess| system.start_from(guess)).transpose()?;
    let (rhs_norm, residual, objective) = norms(system, start.as_ref())?;
    let (x, r) = match start {
        Some(start) if rhs_norm > 0.0 => start,
        _ => (rhs.space().zeros(), rhs.clone()),
    };
    let monitor = Monitor {
        rhs_norm,
        threshold: (relative * rhs_norm).max(absolute / system.unit_of_rhs()),
        iterations: 0,
        residual,
        objective,
        true_residual: residual,
        verified: true,
        negative: None,
        observer: options.observer,
    };
    Ok(Start { x, r, monitor, preconditioner: system.preconditioner(options.preconditioner) })
}

/// ‖b‖, ‖b − A x‖ and φ(x) at the start.
fn norms<B: AutodiffBackend>(
    system: &System<'_, B>,
    start: Option<&(ParamVector<B>, ParamVector<B>)>,
) -> Result<(f64, f64, f64), Error> {
    let rhs = system.rhs();
    let Some((guess, r)) = start else {
        let square = system.square().map_or_else(|| rhs.dot(rhs), Ok)?;
        let rhs_norm = system.rhs_norm(square)?;
        return Ok((rhs_norm, rhs_norm, 0.0));
    };
    let square = rhs.dot_device(rhs)?;
    let residual_square = r.dot_device(r)?;
    // ½ xᵀA x − bᵀx = −½ xᵀ(b + r)
    let overlap = guess.dot_device(&r.clone().add(rhs)?)?;
    let read = DeviceScalar::read_many(&[&square, &residual_square, &overlap])?;
    let [square, residual_square, overlap] = read.as_slice().try_into().unwrap_or([f64::NAN; 3]);
    let rhs_norm = system.rhs_norm(square)?;
    r.expect_finite("the residual b − A x of the initial guess")?;
    let residual = if rhs_norm == 0.0 { 0.0 } else { residual_square.sqrt() };
    Ok((rhs_norm, residual, -0.5 * overlap))
}

impl<B: AutodiffBackend> Monitor<'_, B> {
    /// Whether the recurrence claims that the tolerance is reached.
    pub(super) fn claims_convergence(&self) -> bool {
        self.residual <= self.threshold
    }

    /// Whether the true residual, as last computed, is within the tolerance.
    pub(super) fn has_converged(&self) -> bool {
        self.true_residual <= self.threshold
    }

    /// Records a step of x to where the recurrence says ‖r‖ and φ(x) are these.
    pub(super) fn advance(&mut self, residual: f64, objective: f64) {
        self.iterations += 1;
        self.verified = false;
        (self.residual, self.objective) = (residual, objective);
    }

    /// Shows the iterate to the observer, if there is one, in units of 1.
    pub(super) fn observe(
        &mut self,
        (system, preconditioner): (&System<'_, B>, &Preconditioner<'_, B>),
        x: &ParamVector<B>,
        curvature: f64,
    ) {
        if let Some(observer) = &mut self.observer {
            observer(&Iteration {
                index: self.iterations,
                residual: self.residual * system.unit_of_rhs(),
                relative_residual: self.residual / self.rhs_norm,
                curvature: curvature * system.unit_of_eigenvalues(preconditioner),
                objective: self.objective * system.unit_of_objective(),
                x: &system.plain(x.clone()),
            });
        }
    }

    /// Whether there is an observer.
    pub(super) fn is_observed(&self) -> bool {
        self.observer.is_some()
    }

    /// b − A x, whose norm is recorded.
    pub(super) fn check(
        &mut self,
        system: &System<'_, B>,
        x: &ParamVector<B>,
    ) -> Result<ParamVector<B>, Error> {
        let (r, residual) = system.checked_residual(x)?;
        (self.true_residual, self.verified) = (residual, true);
        Ok(r)
    }

    /// x + correction with its residual if that is smaller than ‖r‖, else x and r.
    pub(super) fn improve(
        &mut self,
        system: &System<'_, B>,
        (x, r): (ParamVector<B>, ParamVector<B>),
        correction: &ParamVector<B>,
    ) -> Result<(ParamVector<B>, ParamVector<B>), Error> {
        let better = x.clone().add(correction)?;
        let (better_r, residual) = system.checked_residual(&better)?;
        if residual < self.true_residual {
            self.true_residual = residual;
            return Ok((better, better_r));
        }
        Ok((x, r))
    }

    /// Keeps the first direction p of negative curvature, given pᵀA p.
    pub(super) fn keep_negative(&mut self, p: &ParamVector<B>, form: f64) -> Result<(), Error> {
        if self.negative.is_none() {
            let length = p.norm()?;
            let curvature = form / length / length;
            self.negative = Some(NegativeCurvature { direction: p.clone(), curvature });
        }
        Ok(())
    }

    /// x with its report.
    pub(super) fn solution(
        self,
        x: ParamVector<B>,
        system: &System<'_, B>,
        (method, stop): (Method, StopReason),
    ) -> Solution<B> {
        let norms = (self.rhs_norm, self.true_residual);
        let report = SolveReport {
            iterations: self.iterations,
            threshold: Some(self.threshold),
            recursive_residual: Some(self.residual),
            negative_curvature: self.negative.as_ref().map(|found| found.curvature),
            ..SolveReport::new(method, stop, system, norms)
        };
        Solution { x, report, negative_curvature: self.negative }
    }
}
