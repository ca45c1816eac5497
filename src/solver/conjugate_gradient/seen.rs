//! What one read-back of conjugate gradients brings. Knows scalars only.

use burn_backend::AutodiffBackend;

use crate::{error::Error, space::DeviceScalar};

/// The numbers of one iteration.
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

impl Seen {
    /// How many they are.
    pub(super) const COUNT: usize = 4;

    /// Reads ρ, pᵀA p, the next ρ and rᵀr.
    pub(super) fn read<B: AutodiffBackend>(
        scalars: &[&DeviceScalar<B>; Self::COUNT],
    ) -> Result<Self, Error> {
        Ok(Self::from_slice(&DeviceScalar::read_many(scalars)?))
    }

    /// From the numbers in that order.
    pub(super) fn from_slice(numbers: &[f64]) -> Self {
        let [rho, curvature, next, square] = numbers.try_into().unwrap_or([f64::NAN; Self::COUNT]);
        Self { rho, curvature, next, square }
    }
}
