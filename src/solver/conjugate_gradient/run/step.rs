//! One iteration of conjugate gradients: vectors on the device, and the step that the host allows.

use std::ops::ControlFlow;

use burn_backend::AutodiffBackend;

use super::{
    super::{curvature::Curvature, seen::Seen},
    End, Run,
};
use crate::{
    error::Error,
    krylov::ResidualBasis,
    space::{DeviceScalar, ParamVector},
};

/// The vectors between two iterations.
pub(super) struct Descent<B: AutodiffBackend> {
    pub(super) p: ParamVector<B>,
    x: ParamVector<B>,
    r: ParamVector<B>,
    /// rᵀz
    rho: DeviceScalar<B>,
}

/// An iteration before its step is taken: r and z have moved, x has not.
pub(super) struct Step<B: AutodiffBackend> {
    p: ParamVector<B>,
    x: ParamVector<B>,
    r: ParamVector<B>,
    /// M⁻¹r, with a preconditioner.
    z: Option<ParamVector<B>>,
    alpha: DeviceScalar<B>,
    /// rᵀz before the step
    rho: DeviceScalar<B>,
    /// pᵀA p
    curvature: DeviceScalar<B>,
    /// rᵀz after the step
    next: DeviceScalar<B>,
    /// rᵀr after the step
    square: DeviceScalar<B>,
}

impl<B: AutodiffBackend> Step<B> {
    /// What the host wants to see.
    pub(super) fn scalars(&self) -> [&DeviceScalar<B>; Seen::COUNT] {
        [&self.rho, &self.curvature, &self.next, &self.square]
    }
}

/// Why the loop ends, and x.
type Ended<B> = (ParamVector<B>, End<B>);

impl<B: AutodiffBackend> Run<'_, '_, B> {
    /// Starts the loop from x and r = b − A x.
    pub(super) fn start(
        &mut self,
        x: ParamVector<B>,
        r: ParamVector<B>,
    ) -> Result<Descent<B>, Error> {
        let z = self.precondition(&r)?;
        let rho = r.dot_device(z.as_ref().unwrap_or(&r))?;
        self.ritz.restart();
        self.curvature.restart();
        if let Some(region) = self.region.as_mut().filter(|_| self.iterations > 0) {
            region.restart(x.dot(&r)?); // xᵀM p = xᵀr for p = M⁻¹r
        }
        self.basis = self.config.reorthogonalization.then(|| ResidualBasis::new(&x, z.is_some()));
        self.remember(&r, z.as_ref(), &rho)?;
        let p = z.unwrap_or_else(|| r.clone());
        Ok(Descent { p, x, r, rho })
    }

    /// Everything of an iteration that needs no decision, after A p and pᵀA p.
    pub(super) fn measure(
        &self,
        descent: Descent<B>,
        (product, curvature): (ParamVector<B>, DeviceScalar<B>),
    ) -> Result<Step<B>, Error> {
        let Descent { p, x, r, rho } = descent;
        let alpha = rho.div(&curvature)?; //                        α = rᵀz / pᵀA p
        let (mut r, mut square) = product.aypx_square(&alpha.neg(), &r)?; // r ← r − α A p
        if let Some(basis) = &self.basis {
            r = basis.orthogonalize(r)?;
            square = r.dot_device(&r)?;
        }
        let z = self.precondition(&r)?; //                          z = M⁻¹ r
        let next = match &z {
            Some(z) => r.dot_device(z)?, //                         rᵀz
            None => square.clone(),
        };
        Ok(Step { p, x, r, z, alpha, rho, curvature, next, square })
    }

    /// Takes the step if what was seen allows it, and turns to the next direction.
    pub(super) fn take(
        &mut self,
        step: Step<B>,
        seen: &Seen,
    ) -> Result<ControlFlow<Ended<B>, Descent<B>>, Error> {
        let Step { p, x, mut r, mut z, mut next, .. } = step;
        if let Some(end) = self.judge(seen, &p, z.as_ref())? {
            return Ok(ControlFlow::Break((x, end))); //             before the step
        }
        let curvature = self.curvature.classify(seen);
        if let Some(tau) = self.leaves_region(seen, &curvature) {
            let x = x.axpy(tau, &p)?; //                            up to the boundary
            let end = self.stop_at_boundary(seen, curvature, tau, p)?;
            return Ok(ControlFlow::Break((x, end)));
        }
        if let Some(end) = self.refuse(seen, curvature, &p)? {
            return Ok(ControlFlow::Break((x, end))); //             before the step
        }
        if let Some(end) = self.advance(seen) {
            let x = x.axpy_device(&step.alpha, &p)?;
            self.observe(&x);
            return Ok(ControlFlow::Break((x, end)));
        }
        let (x, p) = if self.replacement_is_due() {
            let x = x.axpy_device(&step.alpha, &p)?;
            r = self.system.residual(&x)?; //                       Shewchuk 1994, B2
            z = self.precondition(&r)?;
            next = r.dot_device(z.as_ref().unwrap_or(&r))?;
            let beta = next.div(&step.rho)?;
            let p = p.aypx_device(&beta, z.as_ref().unwrap_or(&r))?;
            (x, p)
        } else {
            let beta = next.div(&step.rho)?; //                     β = rᵀz / (rᵀz before)
            let z = z.as_ref().unwrap_or(&r);
            x.step_and_turn(&step.alpha, p, &beta, z)? //           x ← x + α p, p ← z + β p
        };
        self.observe(&x);
        self.remember(&r, z.as_ref(), &next)?;
        Ok(ControlFlow::Continue(Descent { p, x, r, rho: next }))
    }

    fn precondition(&self, r: &ParamVector<B>) -> Result<Option<ParamVector<B>>, Error> {
        self.preconditioner.map(|inverse| inverse.apply(r)).transpose()
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

    /// The step length to the boundary of the trust region, if the step would leave it or p has no minimum.
    fn leaves_region(&self, seen: &Seen, curvature: &Curvature) -> Option<f64> {
        let region = self.region.as_ref()?;
        let length = self.curvature.length();
        let inside = matches!(curvature, Curvature::Positive)
            && region.holds(seen.rho / seen.curvature, length);
        (!inside).then(|| region.to_boundary(length))
    }
}
