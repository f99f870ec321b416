//! Validated privacy units. Constructors refuse what has no meaning; serde goes through them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value outside the range its unit allows. `Display` names the quantity and what it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{quantity} must be {expected}")]
pub struct UnitError {
    quantity: &'static str,
    expected: &'static str,
}

impl UnitError {
    /// Names the quantity and the range it must keep.
    pub fn new(quantity: &'static str, expected: &'static str) -> Self {
        Self { quantity, expected }
    }
}

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident, $label:literal, $range:literal, $ok:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "f64", into = "f64")]
        pub struct $name(f64);

        impl $name {
            /// Checks the range and wraps the value.
            ///
            /// # Errors
            /// [`UnitError`] outside the range, including NaN and infinities.
            pub fn new(value: f64) -> Result<Self, UnitError> {
                let ok: fn(f64) -> bool = $ok;
                if ok(value) { Ok(Self(value)) } else { Err(UnitError::new($label, $range)) }
            }

            /// The plain number.
            pub fn get(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $name {
            type Error = UnitError;
            fn try_from(value: f64) -> Result<Self, UnitError> {
                Self::new(value)
            }
        }

        impl From<$name> for f64 {
            fn from(value: $name) -> f64 {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

unit!(
    /// Privacy loss bound epsilon of (epsilon, delta)-differential privacy, in (0, 1000].
    Epsilon, "epsilon", "a number above 0 and at most 1000", |v| v > 0.0 && v <= 1000.0
);
unit!(
    /// Failure probability delta of (epsilon, delta)-differential privacy, in [1e-30, 0.1].
    Delta, "delta", "a number from 1e-30 to 0.1", |v| (1e-30..=0.1).contains(&v)
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_refuse_what_has_no_meaning() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            assert!(Epsilon::new(bad).is_err(), "{bad}");
        }
        for bad in [0.0, -1.0, f64::NAN, 1.0, 0.5] {
            assert!(Delta::new(bad).is_err(), "{bad}");
        }
        assert!(Epsilon::new(8.0).is_ok() && Delta::new(1e-5).is_ok());
    }
}
