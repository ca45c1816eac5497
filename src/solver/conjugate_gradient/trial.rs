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
    /// pᵀA p
    pub(super) curvature: DeviceScalar<B>,
    /// rᵀz after the step
    pub(super) next: DeviceScalar<B>,
    /// rᵀr after the step
    pub(super) square: DeviceScalar<B>,
}

impl<B: AutodiffBackend> Trial<B> {
    /// What the host needs to see.
    pub(super) fn scalars(&self) -> [&DeviceScalar<B>; Scalars::COUNT] {
        [&self.rho, &self.curvature, &self.next, &self.square]
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

impl Scalars {
    /// How many they are.
    pub(super) const COUNT: usize = 4;

    /// Reads ρ, pᵀA p, the next ρ and rᵀr.
    pub(super) fn read<B: AutodiffBackend>(
        scalars: &[&DeviceScalar<B>; Self::COUNT],
    ) -> Result<Self, Error> {
        Ok(Self::from_slice(&DeviceScalar::read_many(scalars)?))
    }

    /// From the values in that order.
    pub(super) fn from_slice(values: &[f64]) -> Self {
        let [rho, curvature, next, square] = values.try_into().unwrap_or([f64::NAN; Self::COUNT]);
        Self { rho, curvature, next, square }
    }
}
