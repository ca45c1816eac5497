//! Range checks that all configurations share. Independent of each of them.

/// A field of a configuration is out of range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("`{field}` of `{config}` is {found}; expected {expected}")]
#[non_exhaustive]
pub struct ConfigError {
    /// Name of the configuration.
    pub config: &'static str,
    /// Name of the field.
    pub field: &'static str,
    /// Value found.
    pub found: f64,
    /// What is allowed.
    pub expected: &'static str,
}

/// Checks one field of a configuration.
pub(crate) struct Field {
    /// Name of the configuration.
    pub(crate) config: &'static str,
    /// Name of the field.
    pub(crate) name: &'static str,
}

impl Field {
    /// `value` must be finite and positive.
    pub(crate) fn positive(&self, value: f64) -> Result<(), ConfigError> {
        self.check(value, value.is_finite() && value > 0.0, "a finite number above 0")
    }

    /// `value` must be finite and not negative.
    pub(crate) fn not_negative(&self, value: f64) -> Result<(), ConfigError> {
        self.check(value, value.is_finite() && value >= 0.0, "a finite number of at least 0")
    }

    /// `value` must lie strictly between 0 and 1.
    pub(crate) fn fraction(&self, value: f64) -> Result<(), ConfigError> {
        self.check(value, value > 0.0 && value < 1.0, "a number between 0 and 1")
    }

    /// `value` must be at least 1.
    pub(crate) fn at_least_one(&self, value: usize) -> Result<(), ConfigError> {
        self.check(value as f64, value >= 1, "at least 1")
    }

    /// `holds` must hold of `found`.
    pub(crate) fn check(
        &self,
        found: f64,
        holds: bool,
        expected: &'static str,
    ) -> Result<(), ConfigError> {
        if holds {
            return Ok(());
        }
        Err(ConfigError { config: self.config, field: self.name, found, expected })
    }
}

crate::error::kind!(ConfigError);
