//! States a zCDP parameter as (epsilon, delta), rounded outward.
//!
//! The conversion, named beside every number we print, is the optimal one of Canonne, Kamath & Steinke 2020, proposition
//! 12: rho-zCDP implies (epsilon, delta) whenever, for some alpha > 1,
//!
//! epsilon >= alpha rho + [ln(1/delta) + alpha ln(1 - 1/alpha) - ln(alpha - 1)] / (alpha - 1).
//!
//! Every alpha gives a valid bound, so an imperfect search costs tightness, never correctness.

use tacit_types::{Delta, Epsilon};

use crate::rho::Rho;

/// Name of the conversion, for reports.
pub const CONVERSION: &str = "zCDP, optimal conversion (Canonne-Kamath-Steinke 2020, prop. 12)";

/// Relative slack that covers every f64 rounding in this file (each formula has fewer than 40 operations).
const OUTWARD: f64 = 1e-12;

/// Smallest epsilon that this conversion proves for `rho` at `delta`, rounded up.
///
/// `total_variation` (units of 2^-128, summed over coordinates, shares and releases) is how far the real samplers may be
/// from the ideal ones; it takes `(1 + e^epsilon) TV` out of delta.
///
/// | input | result |
/// |---|---|
/// | rho = 0 | 0 |
/// | total variation uses delta up | infinity |
pub fn epsilon(rho: Rho, total_variation: u128, delta: Delta) -> f64 {
    if rho == Rho::ZERO && total_variation == 0 {
        return 0.0;
    }
    let rho = rho.to_f64_up();
    let ideal = epsilon_ideal(rho, delta.get());
    // Assume the corrected epsilon is at most `ideal + 1`, then check that it is.
    let left = delta.get() - (1.0 + (ideal + 1.0).exp()) * total_variation as f64 * 2f64.powi(-128) * (1.0 + OUTWARD);
    if left.is_nan() || left <= 0.0 {
        return f64::INFINITY;
    }
    let corrected = epsilon_ideal(rho, left.next_down());
    if corrected <= ideal + 1.0 { corrected } else { f64::INFINITY }
}

/// The conversion for ideal noise: minimum over alpha by golden-section search on ln(alpha - 1).
fn epsilon_ideal(rho: f64, delta: f64) -> f64 {
    if rho == 0.0 {
        return 0.0;
    }
    let at = |log_excess: f64| {
        let excess = log_excess.exp();
        let alpha = 1.0 + excess;
        let log_term = (1.0 / delta).ln() - alpha * (1.0 / excess).ln_1p() - log_excess;
        alpha * rho + log_term / excess
    };
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (-20.0f64, 60.0f64);
    for _ in 0..200 {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if at(left) <= at(right) { high = right } else { low = left }
    }
    let best = at((low + high) / 2.0);
    best.max(0.0) * (1.0 + OUTWARD) + f64::MIN_POSITIVE
}

/// Largest rho whose stated epsilon at `delta` is at most `target`: the inverse of [`epsilon`] by bisection in units.
///
/// # Guarantees
/// `epsilon(result, total_variation, delta) <= target`, unless the samplers' distance alone uses delta up: then the result
/// is zero, which buys no release.
pub fn rho_for(target: Epsilon, total_variation: u128, delta: Delta) -> Rho {
    let fits = |units: u128| epsilon(Rho::from_units(units), total_variation, delta) <= target.get();
    let (mut low, mut high) = (0u128, Rho::MAX.units());
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle) { low = middle } else { high = middle }
    }
    Rho::from_units(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(value: f64) -> Delta {
        Delta::new(value).unwrap()
    }

    /// delta(epsilon) by brute force over alpha, straight from the proposition.
    fn delta_of(rho: f64, epsilon: f64) -> f64 {
        (1..200_000)
            .map(|i| 1.0 + f64::from(i) * 1e-3)
            .map(|alpha: f64| {
                ((alpha - 1.0) * (alpha * rho - epsilon) - (alpha - 1.0).ln() + alpha * (-1.0 / alpha).ln_1p()).exp()
            })
            .fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn agrees_with_the_definition() {
        for rho in [0.01, 0.1, 0.5, 1.0, 2.0] {
            for d in [1e-5, 1e-6, 1e-8] {
                let eps = epsilon_ideal(rho, d);
                let back = delta_of(rho, eps);
                assert!(back <= d * (1.0 + 1e-9) * 1.001 && back > d * 0.999, "{rho} {d} {eps} {back}");
            }
        }
    }

    #[test]
    fn is_tighter_than_the_simple_conversion_and_monotone() {
        let mut last = 0.0;
        for units in (1..60).map(|i| 1u128 << (i + 8)) {
            let rho = Rho::from_units(units);
            let eps = epsilon(rho, 0, delta(1e-5));
            let simple = rho.to_f64_up() + 2.0 * (rho.to_f64_up() * 1e5f64.ln()).sqrt();
            assert!(eps >= last && eps <= simple);
            last = eps;
        }
        assert_eq!(epsilon(Rho::ZERO, 0, delta(1e-5)), 0.0);
    }

    #[test]
    fn inverting_never_overshoots_the_target() {
        for target in [0.1, 1.0, 3.0, 8.0, 10.0] {
            let rho = rho_for(Epsilon::new(target).unwrap(), 1 << 50, delta(1e-5));
            let eps = epsilon(rho, 1 << 50, delta(1e-5));
            assert!(eps <= target && eps > target * (1.0 - 1e-9), "{target} {eps}");
        }
    }

    #[test]
    fn imperfect_samplers_take_from_delta() {
        let rho = Rho::from_units(1 << 63);
        assert!(epsilon(rho, 1 << 100, delta(1e-5)) > epsilon(rho, 0, delta(1e-5)));
        assert_eq!(epsilon(rho, 1 << 127, delta(1e-5)), f64::INFINITY);
    }
}
