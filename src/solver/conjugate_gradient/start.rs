//! What is read from the device: before the first iteration, and once in each. Knows one system.

use burn_backend::AutodiffBackend;

use crate::{
    Error,
    params::{DeviceScalar, ParamVector},
};

use super::super::system::System;

/// Numbers on the host before the first iteration.
pub(super) struct Start {
    pub(super) rhs_norm: f64,
    pub(super) residual: f64,
    /// φ(x₀)
    pub(super) objective: f64,
}

impl Start {
    pub(super) fn read<B: AutodiffBackend>(
        system: &System<'_, B>,
        guess: Option<&ParamVector<B>>,
        residual: &ParamVector<B>,
    ) -> Result<Self, Error> {
        let rhs = system.rhs();
        let Some(guess) = guess else {
            let rhs_norm = system.rhs_norm(rhs.dot(rhs)?)?;
            return Ok(Self {
                rhs_norm,
                residual: rhs_norm,
                objective: 0.0,
            });
        };
        let square = rhs.dot_device(rhs)?;
        let residual_square = residual.dot_device(residual)?;
        // ½ xᵀA x − bᵀx = −½ xᵀ(b + r)
        let overlap = guess.dot_device(&residual.clone().add(rhs)?)?;
        let read = DeviceScalar::read_many(&[&square, &residual_square, &overlap])?;
        let [square, residual_square, overlap] =
            read.as_slice().try_into().unwrap_or([f64::NAN; 3]);
        let rhs_norm = system.rhs_norm(square)?;
        residual.expect_finite("the residual b − A x of the initial guess")?;
        Ok(Self {
            rhs_norm,
            residual: if rhs_norm == 0.0 {
                0.0
            } else {
                residual_square.sqrt()
            },
            objective: -0.5 * overlap,
        })
    }
}

/// What one read-back brings.
pub(super) struct Seen {
    /// rᵀz before the step
    pub(super) rho: f64,
    /// pᵀA p
    pub(super) curvature: f64,
    /// rᵀz after the step
    pub(super) next: f64,
    /// rᵀr after the step
    pub(super) square: f64,
}
