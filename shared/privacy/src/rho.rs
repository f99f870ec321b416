//! Zero-concentrated differential privacy as an exact integer.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::exact::Exact;

/// A zCDP parameter rho (Bun & Steinke 2016) in integer units of 2^-64, always rounded up when
/// computed.
///
/// Composition is addition, valid under fully adaptive choice of later releases. Never an epsilon:
/// see [`crate::convert`]. In text and JSON it is a decimal string, because it passes 2^64 at rho =
/// 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rho(u128);

impl Rho {
    /// No privacy loss.
    pub const ZERO: Self = Self(0);

    /// Largest value: 2^96 units, rho = 2^32, far past any meaningful budget, so that sums cannot
    /// overflow.
    pub const MAX: Self = Self(1 << 96);

    /// Wraps units of 2^-64; above [`Self::MAX`] it is `MAX`, which no budget below `MAX` pays for.
    pub fn saturating_from_units(units: u128) -> Self {
        Self(units.min(Self::MAX.0))
    }

    /// Units of 2^-64.
    pub fn units(self) -> u128 {
        self.0
    }

    /// Cost of both releases together, saturating at [`Self::MAX`].
    #[must_use]
    pub fn compose(self, other: Self) -> Self {
        Self::saturating_from_units(self.0.saturating_add(other.0))
    }

    /// What is left of this budget after `spent`; `None` when it does not fit.
    pub fn minus(self, spent: Self) -> Option<Self> {
        self.0.checked_sub(spent.0).map(Self)
    }

    /// The part `share` of this budget, rounded down; `share` is clamped to [0, 1] at a resolution
    /// of 2^-32.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to [0, 2^32]"
    )]
    pub fn share(self, share: f64) -> Self {
        let parts = (share.clamp(0.0, 1.0) * 2f64.powi(32)).floor() as u128;
        let (high, low) = (self.0 >> 32, self.0 & 0xffff_ffff);
        Self(high.times(parts).plus(low.times(parts) >> 32))
    }

    /// The plain number, rounded up to the next double, for display and conversion.
    pub fn to_f64_up(self) -> f64 {
        let nearest = self.0 as f64 * 2f64.powi(-64);
        if self.0 == 0 { 0.0 } else { nearest.next_up() }
    }
}

impl fmt::Display for Rho {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl From<Rho> for String {
    fn from(rho: Rho) -> Self {
        rho.to_string()
    }
}

impl TryFrom<String> for Rho {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let plain = !text.is_empty()
            && text.bytes().all(|c| c.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'));
        match text.parse::<u128>() {
            Ok(units) if plain && units <= Self::MAX.0 => Ok(Self(units)),
            _ => Err(format!(
                "rho must be a whole number of 2^-64 units up to 2^96, not '{text}'"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_exceed_the_whole() {
        let budget = Rho::saturating_from_units((1 << 64) + 12_345);
        let parts = [0.05, 0.95 * 0.35, 0.95 * 0.65].map(|share| budget.share(share));
        let total = parts
            .iter()
            .fold(Rho::ZERO, |sum, part| sum.compose(*part));
        assert!(total <= budget && budget.minus(total).unwrap().units() < 1 << 36);
        assert_eq!(budget.share(1.0), budget);
    }

    #[test]
    fn construction_and_sums_stop_at_the_largest_value() {
        assert_eq!(Rho::saturating_from_units(u128::MAX), Rho::MAX);
        assert_eq!(Rho::saturating_from_units(Rho::MAX.units()), Rho::MAX);
        assert_eq!(Rho::MAX.compose(Rho::saturating_from_units(1)), Rho::MAX);
        assert_eq!(Rho::saturating_from_units(1).minus(Rho::MAX), None);
    }

    #[test]
    fn the_plain_number_is_never_below_the_exact_one() {
        for units in [
            1,
            (1 << 53) + 1,
            (1 << 64) - 1,
            (1 << 64) + 1,
            Rho::MAX.units() - 1,
        ] {
            let up = Rho::saturating_from_units(units).to_f64_up();
            assert!(up > units as f64 * 2f64.powi(-64) && up * 2f64.powi(64) > units as f64);
        }
        assert_eq!(Rho::ZERO.to_f64_up(), 0.0);
    }

    #[test]
    fn text_form_is_strict() {
        assert_eq!(
            Rho::try_from("18446744073709551617".to_owned())
                .unwrap()
                .units(),
            (1 << 64) + 1
        );
        for bad in [
            "",
            "-1",
            "+1",
            "01",
            "1.0",
            "1e3",
            " 1",
            "99999999999999999999999999999999",
        ] {
            assert!(Rho::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
