//! What an iteration of conjugate gradients works with: vectors on the device, and the scalars that the host sees.

use burn_backend::AutodiffBackend;

use crate::{
    error::Error,
    solver::{SolverError, system::System},
    space::{DeviceScalar, ParamVector},
};

/// The vectors between two iterations.
pub(super) struct Iterate<B: AutodiffBackend> {
    pub(super) p: ParamVector<B>,
    pub(super) x: ParamVector<B>,
    pub(super) r: ParamVector<B>,
    /// rᵀz
    pub(super) rho: DeviceScalar<B>,
    /// The same, if the host has read it.
    pub(super) read: Option<f64>,
}

/// An iteration before the host has read its scalars: r and z have moved, x has not.
pub(super) struct Trial<B: AutodiffBackend> {
    pub(super) p: ParamVector<B>,
    pub(super) x: ParamVector<B>,
    pub(super) r: ParamVector<B>,
    /// M⁻¹r, with a preconditioner.
    pub(super) z: Option<ParamVector<B>>,
    pub(super) alpha: DeviceScalar<B>,
    /// rᵀz before the step
    pub(super) rho: DeviceScalar<B>,
    /// The same, if the host has read it.
    pub(super) read: Option<f64>,
    /// pᵀA p
    pub(super) curvature: DeviceScalar<B>,
    /// rᵀz after the step
    pub(super) next: DeviceScalar<B>,
    /// rᵀr after the step
    pub(super) square: DeviceScalar<B>,
}

impl<B: AutodiffBackend> Trial<B> {
    /// What the host needs to see and has not seen: without a preconditioner, rᵀz is rᵀr.
    pub(super) fn unread(&self) -> Vec<&DeviceScalar<B>> {
        let mut unread = vec![&self.curvature, &self.next];
        unread.extend(self.z.is_some().then_some(&self.square));
        unread.extend(self.read.is_none().then_some(&self.rho));
        unread
    }

    /// The scalars, given the next values of those that were unread.
    pub(super) fn scalars(&self, values: &mut impl Iterator<Item = f64>) -> Scalars {
        let mut value = || values.next().unwrap_or(f64::NAN);
        let (curvature, next) = (value(), value());
        let square = if self.z.is_some() { value() } else { next };
        let rho = self.read.unwrap_or_else(value);
        Scalars { rho, curvature, next, square }
    }

    /// Scalars that are not finite may be the fault of a product; a preconditioner must be positive definite.
    pub(super) fn expect_sound(
        &self,
        scalars: &Scalars,
        system: &System<'_, B>,
        preconditioned: bool,
    ) -> Result<(), Error> {
        if !scalars.curvature.is_finite() {
            system.multiply(&self.p)?.expect_finite("the product A p")?;
            return Ok(());
        }
        if let Some(z) = self.z.as_ref().filter(|_| !scalars.next.is_finite()) {
            z.expect_finite("the product with the preconditioner")?;
        }
        if scalars.rho <= 0.0 && preconditioned {
            return Err(SolverError::Preconditioner { found: scalars.rho }.into());
        }
        Ok(())
    }
}

/// The scalars of one iteration.
pub(super) struct Scalars {
    /// rᵀz before the step
    pub(super) rho: f64,
    /// pᵀA p
    pub(super) curvature: f64,
    /// rᵀz after the step
    pub(super) next: f64,
    /// rᵀr after the step
    pub(super) square: f64,
}
