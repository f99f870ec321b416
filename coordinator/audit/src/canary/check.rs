//! One thing that was measured and the range it must lie in.

use serde::Serialize;

/// A measurement held against the range that a sound pipeline leaves with probability at most
/// [`FALSE_ALARM`](super::FALSE_ALARM).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// Short name.
    pub name: &'static str,
    /// What is measured, with its unit.
    pub what: &'static str,
    /// Smallest accepted value.
    pub low: f64,
    /// Largest accepted value.
    pub high: f64,
    /// What was measured; null in JSON when it is no number.
    pub measured: f64,
    /// Whether it lies in the range; a number that is none does not.
    pub passed: bool,
}

impl Check {
    pub(super) fn new(
        name: &'static str,
        what: &'static str,
        (low, high): (f64, f64),
        measured: f64,
    ) -> Self {
        Self {
            name,
            what,
            low,
            high,
            measured,
            passed: (low..=high).contains(&measured),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_outside_its_range_or_none_at_all_fails() {
        let passed = |measured| Check::new("", "", (0.0, 1.0), measured).passed;
        assert!(passed(0.0) && passed(1.0));
        assert!(!passed(-0.1) && !passed(1.1) && !passed(f64::NAN) && !passed(f64::INFINITY));
    }
}
