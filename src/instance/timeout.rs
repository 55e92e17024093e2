//! How long the set-up of an instance may take.

use std::time::Duration;

use super::error::BaseConfigurationError;
use crate::model::Deadline;

/// The time that a set-up or a warm-up has (craft-providers: `timeout`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// It ends then at the latest.
    Until(Deadline),
    /// Nothing is limited, no step and no command (craft-providers: `None`).
    Unlimited,
}

impl Timeout {
    /// What the documentation names as the default.
    pub const DEFAULT_SECONDS: f64 = 3600.0;

    /// So many seconds from now; `None` is unlimited. Zero and less make no sense.
    pub fn seconds(seconds: Option<f64>) -> Result<Self, BaseConfigurationError> {
        let Some(seconds) = seconds else { return Ok(Self::Unlimited) };
        match Duration::try_from_secs_f64(seconds) {
            Ok(duration) if !duration.is_zero() => Ok(Self::Until(Deadline::after(duration))),
            _ => Err(BaseConfigurationError::InvalidTimeout { value: seconds.to_string() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_is_unlimited_and_what_is_not_above_zero_is_refused() {
        assert_eq!(Timeout::seconds(None).unwrap(), Timeout::Unlimited);
        assert!(matches!(Timeout::seconds(Some(0.5)).unwrap(), Timeout::Until(_)));
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = Timeout::seconds(Some(bad)).unwrap_err().to_string();
            assert!(error.contains("nvalid timeout value"), "{error}");
        }
    }
}
