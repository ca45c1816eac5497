//! Where the inverses of factors are computed, and the report of it.

use std::fmt;

use burn_backend::AutodiffBackend;
use serde::{Deserialize, Serialize};

use super::KroneckerFactor;
use crate::{
    config::{ConfigError, Field},
    space::ParamSpace,
};

/// Rows from which [`KfacInversion::Automatic`] leaves a factor on the device.
const LARGE: usize = 512;
/// The residual that [`KfacInversion::Automatic`] asks for.
const TOLERANCE: f64 = 5e-2;

/// Where the inverses of [`Kfac::factored_inverse`](crate::Kfac::factored_inverse) are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum KfacInversion {
    /// On the device, with a tolerance of 0.05, for factors of 512 rows or more that are not on Flex or ndarray; on the host
    /// for all others.
    #[default]
    Automatic,
    /// On the host: Cholesky in f64.
    Host,
    /// On the device, in its precision, for every factor that is a matrix.
    ///
    /// ```text
    /// ‖I − MX‖₂ ≤ min(‖R‖_F, ‖RᵀR‖_F^½) ≤ tolerance          R = I − MX, M the damped factor
    /// ```
    ///
    /// so that ‖X − M⁻¹‖₂ ≤ tolerance·‖M⁻¹‖₂. The residual is computed on the device too, and so holds up to its rounding. The
    /// smallest residual within reach grows with κ(M), the size and the device's rounding: in f32 a tolerance of 1e-2 is met for 300 rows up to
    /// κ = 1e3 at least, and missed at 1e7. An inverse that misses the tolerance is computed on the host; the report says so.
    Device {
        /// Largest residual, above 0 and below 1.
        tolerance: f64,
    },
}

impl KfacInversion {
    /// Checks the tolerance.
    ///
    /// # Errors
    /// [`ConfigError`] for one that is not above 0 and below 1.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self::Device { tolerance } = *self else {
            return Ok(());
        };
        let field = Field { config: "KfacInversion::Device", name: "tolerance" };
        field.check(tolerance, tolerance > 0.0 && tolerance < 1.0, "above 0 and below 1")
    }

    /// The tolerance for a factor that is to be inverted on the device.
    pub(super) fn tolerance<B: AutodiffBackend>(
        self,
        factor: &KroneckerFactor<B>,
        space: &ParamSpace<B>,
    ) -> Option<f64> {
        match self {
            Self::Host => None,
            _ if factor.is_diagonal() => None,
            Self::Automatic => {
                (factor.size() >= LARGE && !space.is_on_processor()).then_some(TOLERANCE)
            }
            Self::Device { tolerance } => Some(tolerance),
        }
    }
}

/// Where the inverse of a factor was computed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum InversionPlace {
    /// On the host, in f64.
    Host,
    /// On the device.
    Device {
        /// The bound of ‖I − MX‖₂.
        residual: f64,
    },
    /// On the host, in f64, because the device missed the tolerance.
    Fallback {
        /// The bound of ‖I − MX‖₂ on the device; `None` if it found the factor not positive definite.
        residual: Option<f64>,
        /// The tolerance asked for.
        tolerance: f64,
    },
}

/// How one factor was inverted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FactorInversion {
    /// Name of the weight or parameter.
    pub parameter: String,
    /// Number of rows.
    pub rows: usize,
    /// Where.
    pub place: InversionPlace,
}

/// How the factors of a [`Kfac`](crate::Kfac) were inverted: A and G of every layer, then the blocks of uncovered parameters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InversionReport {
    /// One entry for each factor.
    pub factors: Vec<FactorInversion>,
}

impl InversionReport {
    /// The factors that the device was asked to invert but that the host inverted.
    pub fn fallbacks(&self) -> impl Iterator<Item = &FactorInversion> {
        self.factors.iter().filter(|factor| matches!(factor.place, InversionPlace::Fallback { .. }))
    }

    /// The largest residual of those inverted on the device.
    pub fn residual(&self) -> Option<f64> {
        let residuals = self.factors.iter().filter_map(|factor| match factor.place {
            InversionPlace::Device { residual } => Some(residual),
            _ => None,
        });
        residuals.reduce(f64::max)
    }
}

impl fmt::Display for InversionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |wanted: fn(&InversionPlace) -> bool| {
            self.factors.iter().filter(|factor| wanted(&factor.place)).count()
        };
        let host = of(|place| matches!(place, InversionPlace::Host));
        let device = of(|place| matches!(place, InversionPlace::Device { .. }));
        write!(f, "inverses: {host} on the host, {device} on the device")?;
        if let Some(residual) = self.residual() {
            write!(f, " (residual up to {residual:.1e})")?;
        }
        for factor in self.fallbacks() {
            write!(
                f,
                ", {} ({} rows) on the host after the device ",
                factor.parameter, factor.rows
            )?;
            match factor.place {
                InversionPlace::Fallback { residual: Some(residual), tolerance } => {
                    write!(f, "reached a residual of {residual:.1e} only, not {tolerance:.1e}")?;
                }
                _ => write!(f, "found it not positive definite")?,
            }
        }
        Ok(())
    }
}
