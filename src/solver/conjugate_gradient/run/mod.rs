//! The iteration of conjugate gradients. Knows one system; keeps nothing beyond it.

mod decide;
mod finish;

use burn_backend::AutodiffBackend;

use crate::{
    Error,
    operator::SelfAdjoint,
    params::{DeviceScalar, ParamVector},
};

use super::super::{
    NegativeCurvature, Solution, SolveOptions, StopReason,
    options::Observer,
    ritz::RitzRecorder,
    stopping::{ProgressRule, StagnationWatch, threshold},
    system::System,
};
use super::{
    ConjugateGradientConfig,
    basis::Basis,
    curvature::CurvatureScale,
    start::{Seen, Start},
};

/// Solves one system.
pub(super) fn solve<B: AutodiffBackend>(
    config: &ConjugateGradientConfig,
    system: &System<'_, B>,
    options: SolveOptions<'_, B>,
) -> Result<Solution<B>, Error> {
    if let Some(guess) = &options.initial_guess {
        system.rhs().expect_like(guess)?;
        guess.expect_finite("the initial guess")?;
    }
    let residual = match &options.initial_guess {
        Some(guess) => system.residual(guess)?,
        None => system.rhs().clone(),
    };
    let start = Start::read(system, options.initial_guess.as_ref(), &residual)?;
    let x = match options.initial_guess {
        Some(guess) if start.rhs_norm > 0.0 => guess,
        _ => system.rhs().zeros_like(),
    };
    let run = Run::new(
        config,
        system,
        &start,
        options.preconditioner,
        options.observer,
    );
    run.solve(x, residual)
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
    basis: Option<Basis<B>>,
    stagnation: StagnationWatch,
    progress: ProgressRule,
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
        let threshold = threshold(
            config.relative_tolerance,
            config.absolute_tolerance,
            start.rhs_norm,
        );
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
            verified: Verified {
                residual: start.residual,
                current: true,
            },
            objective: start.objective,
            curvature: CurvatureScale::new(system.rhs().precision().epsilon()),
            ritz: RitzRecorder::default(),
            basis: None,
            stagnation: StagnationWatch::new(config.stagnation_window, start.residual),
            progress: ProgressRule::new(config.relative_progress, start.objective),
            negative: None,
        }
    }

    /// Runs the loop, and starts it anew from the true residual when the recurrence claimed too much.
    fn solve(mut self, mut x: ParamVector<B>, mut r: ParamVector<B>) -> Result<Solution<B>, Error> {
        if self.residual <= self.threshold {
            return self.finish(x, StopReason::Converged);
        }
        loop {
            let before = self.verified.residual;
            let end;
            (x, end) = self.descend(x, r)?;
            match end {
                End::Stop(reason) => return self.finish(x, reason),
                End::NegativeCurvature(found) => {
                    self.negative = Some(found);
                    return self.finish(x, StopReason::NegativeCurvature);
                }
                End::Claimed => (x, r) = self.verify(x)?,
            }
            if self.verified.residual <= self.threshold {
                return self.finish(x, StopReason::Converged);
            }
            if self.verified.residual > 0.5 * before {
                return self.finish(x, StopReason::Stagnation);
            }
            if self.iterations >= self.limit {
                return self.finish(x, StopReason::IterationLimit);
            }
        }
    }

    /// The loop of Hestenes and Stiefel from x and r = b − A x.
    fn descend(
        &mut self,
        mut x: ParamVector<B>,
        mut r: ParamVector<B>,
    ) -> Result<(ParamVector<B>, End<B>), Error> {
        let mut z = self.precondition(&r)?;
        let mut rho = r.dot_device(z.as_ref().unwrap_or(&r))?;
        let mut p = z.as_ref().unwrap_or(&r).clone();
        self.restart(&r, z.as_ref(), &rho)?;
        loop {
            let product = self.system.multiply(&p)?; //                     A p
            let curvature = p.dot_device(&product)?; //                     pᵀA p
            let alpha = rho.div(&curvature)?; //                            α = rᵀz / pᵀA p
            r = product.aypx_device(&alpha.neg(), &r)?; //                  r ← r − α A p
            r = self.orthogonalise(r)?;
            z = self.precondition(&r)?; //                                  z = M⁻¹ r
            let mut next = r.dot_device(z.as_ref().unwrap_or(&r))?; //      rᵀz
            let seen = self.read(&rho, &curvature, &next, &r)?; //          the one read-back
            if let Some(end) = self.judge(&seen, &p, z.as_ref())? {
                return Ok((x, end)); //                                     before the step
            }
            x = x.axpy_device(&alpha, &p)?; //                              x ← x + α p
            if let Some(end) = self.advance(&seen, &x) {
                return Ok((x, end));
            }
            if self.replacement_is_due() {
                r = self.system.residual(&x)?; //                           Shewchuk 1994, B2
                z = self.precondition(&r)?;
                next = r.dot_device(z.as_ref().unwrap_or(&r))?;
            }
            self.remember(&r, z.as_ref(), &next)?;
            let beta = next.div(&rho)?; //                                  β = rᵀz / (rᵀz before)
            p = p.aypx_device(&beta, z.as_ref().unwrap_or(&r))?; //         p ← z + β p
            rho = next;
        }
    }

    fn precondition(&self, r: &ParamVector<B>) -> Result<Option<ParamVector<B>>, Error> {
        self.preconditioner
            .map(|inverse| inverse.apply(r))
            .transpose()
    }

    fn orthogonalise(&self, r: ParamVector<B>) -> Result<ParamVector<B>, Error> {
        match &self.basis {
            Some(basis) => basis.orthogonalise(r),
            None => Ok(r),
        }
    }

    fn restart(
        &mut self,
        r: &ParamVector<B>,
        z: Option<&ParamVector<B>>,
        rho: &DeviceScalar<B>,
    ) -> Result<(), Error> {
        self.ritz.restart();
        self.curvature.restart();
        self.basis = self.config.reorthogonalisation.then(Basis::new);
        self.remember(r, z, rho)
    }

    fn remember(
        &mut self,
        r: &ParamVector<B>,
        z: Option<&ParamVector<B>>,
        rho: &DeviceScalar<B>,
    ) -> Result<(), Error> {
        match &mut self.basis {
            Some(basis) => basis.push(r, z, rho),
            None => Ok(()),
        }
    }

    fn read(
        &self,
        rho: &DeviceScalar<B>,
        curvature: &DeviceScalar<B>,
        next: &DeviceScalar<B>,
        r: &ParamVector<B>,
    ) -> Result<Seen, Error> {
        let square = match self.preconditioner {
            Some(_) => r.dot_device(r)?,
            None => next.clone(),
        };
        let read = DeviceScalar::read_many(&[rho, curvature, next, &square])?;
        let [rho, curvature, next, square] = read.as_slice().try_into().unwrap_or([f64::NAN; 4]);
        Ok(Seen {
            rho,
            curvature,
            next,
            square,
        })
    }
}
