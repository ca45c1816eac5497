//! Checks of ranges that all configurations share. Knows no solver.

use super::ConfigError;

/// Checks one field of a configuration.
pub(super) struct Field {
    /// Name of the configuration.
    pub(super) config: &'static str,
    /// Name of the field.
    pub(super) name: &'static str,
}

impl Field {
    /// `value` must be finite and positive.
    pub(super) fn positive(&self, value: f64) -> Result<(), ConfigError> {
        self.check(
            value,
            value.is_finite() && value > 0.0,
            "a finite number above 0",
        )
    }

    /// `value` must be finite and not negative.
    pub(super) fn not_negative(&self, value: f64) -> Result<(), ConfigError> {
        self.check(
            value,
            value.is_finite() && value >= 0.0,
            "a finite number of at least 0",
        )
    }

    /// `value` must lie strictly between 0 and 1.
    pub(super) fn fraction(&self, value: f64) -> Result<(), ConfigError> {
        self.check(
            value,
            value > 0.0 && value < 1.0,
            "a number between 0 and 1",
        )
    }

    /// `value` must be at least 1.
    pub(super) fn at_least_one(&self, value: usize) -> Result<(), ConfigError> {
        self.check(value as f64, value >= 1, "at least 1")
    }

    fn check(&self, found: f64, holds: bool, expected: &'static str) -> Result<(), ConfigError> {
        if holds {
            return Ok(());
        }
        Err(ConfigError {
            config: self.config,
            field: self.name,
            found,
            expected,
        })
    }
}
