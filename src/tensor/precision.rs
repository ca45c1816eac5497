//! The two floating-point formats in which vectors are kept.

use burn_backend::{DType, FloatDType};
use serde::{Deserialize, Serialize};

/// Floating-point format of a vector.
///
/// # Example
/// ```
/// use burn_curvature::Precision;
/// assert_eq!(Precision::F64.epsilon(), f64::EPSILON);
/// assert_eq!(Precision::F32.to_string(), "f32");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Precision {
    /// 32 bits, about 7 decimal digits.
    F32,
    /// 64 bits, about 16 decimal digits.
    F64,
}

impl Precision {
    /// Distance from 1 to the next larger number: 2⁻²³ or 2⁻⁵².
    pub fn epsilon(self) -> f64 {
        match self {
            Precision::F32 => f64::from(f32::EPSILON),
            Precision::F64 => f64::EPSILON,
        }
    }

    /// Smallest positive number with full precision.
    pub(crate) fn smallest_normal(self) -> f64 {
        match self {
            Precision::F32 => f64::from(f32::MIN_POSITIVE),
            Precision::F64 => f64::MIN_POSITIVE,
        }
    }

    /// Largest number.
    pub(crate) fn largest(self) -> f64 {
        match self {
            Precision::F32 => f64::from(f32::MAX),
            Precision::F64 => f64::MAX,
        }
    }

    /// Bytes of a number.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Precision::F32 => size_of::<f32>(),
            Precision::F64 => size_of::<f64>(),
        }
    }

    /// Burn's name of the format.
    pub fn dtype(self) -> FloatDType {
        match self {
            Precision::F32 => FloatDType::F32,
            Precision::F64 => FloatDType::F64,
        }
    }

    /// The precision of Burn's element type, or `None` if it is neither `f32` nor `f64`.
    pub fn of(dtype: DType) -> Option<Self> {
        match dtype {
            DType::F32 => Some(Precision::F32),
            DType::F64 => Some(Precision::F64),
            _ => None,
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Precision::F32 => "f32",
            Precision::F64 => "f64",
        })
    }
}
