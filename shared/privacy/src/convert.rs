//! States a zCDP parameter as (epsilon, delta), rounded outward.
//!
//! The conversion, named with every number we print, is the optimal one of Canonne, Kamath &
//! Steinke 2020, proposition 12: rho-zCDP implies (epsilon, delta) whenever, for some alpha > 1,
//!
//! epsilon >= alpha rho + [ln(1/delta) + alpha ln(1 - 1/alpha) - ln(alpha - 1)] / (alpha - 1).
//!
//! Every alpha gives a valid bound, so an imperfect search costs tightness, never correctness.

use tacit_types::{Delta, Epsilon};

use crate::exact::Exact;
use crate::rho::Rho;

/// Name of the conversion, for reports.
pub const CONVERSION: &str = "zCDP, optimal conversion (Canonne-Kamath-Steinke 2020, prop. 12)";

/// Slack of one evaluation, relative to the sum of its terms' absolute values.
///
/// Take u = 2^-53 and let `exp`, `ln` and `ln_1p` be within 2^-50 (C libraries are within 2^-52).
/// With E = alpha - 1 the double that was computed, so that alpha is exactly 1 + E, and the terms c
/// = (1 + E) rho, L = ln(1/delta), B = (1 + E) ln(1 + 1/E) and |ln E|: c is off by at most 2u c; L
/// and ln E by 2^-50 of themselves; B by (2^-50 + 3u) B, because ln(1 + x) changes relatively no
/// more than x; the two sums and the quotient by 3u (L + B + |ln E|)/E and the last sum by u of
/// what it adds. Together less than 2^-48 (c + (L + B + |ln E|)/E). The rest of the slack keeps us
/// above other sound implementations, whose own rounding we do not know; it is about 10^-12 of what
/// is printed. The difference L - B - ln E cancels when rho is tiny, which is why the slack follows
/// the terms and not the result.
const SLACK: f64 = 1.0 / (1u64 << 40) as f64;

/// Smallest epsilon that this conversion proves for `rho` at `delta`, rounded up.
///
/// `total_variation` (units of 2^-128, summed over coordinates, shares and releases) is how far the
/// real samplers may be from the ideal ones; it takes `(1 + e^epsilon) TV` out of delta.
///
/// | input | result |
/// |---|---|
/// | rho = 0 | 0 |
/// | total variation uses delta up | infinity |
pub fn epsilon(rho: Rho, total_variation: u128, delta: Delta) -> f64 {
    let (rho, delta) = (rho.to_f64_up(), delta.get());
    let ideal = epsilon_ideal(rho, delta);
    if total_variation == 0 {
        return ideal;
    }
    // Assume the corrected epsilon is at most `ideal + 1`, then check that it is.
    let assumed = ideal + 1.0;
    // Four roundings and an `exp` whose argument is off by at most 2^-44 below 709, where it
    // overflows: far below SLACK.
    let taken = (1.0 + assumed.exp()) * (total_variation as f64 * 2f64.powi(-128)) * (1.0 + SLACK);
    let left = (delta - taken).next_down();
    if left.is_nan() || left <= 0.0 {
        return f64::INFINITY;
    }
    let corrected = epsilon_ideal(rho, left);
    if corrected <= assumed {
        corrected
    } else {
        f64::INFINITY
    }
}

/// An epsilon for people to read: three decimals, rounded up, because a bound must not shrink on
/// its way to the page.
pub fn shown(epsilon: f64) -> String {
    let thousandths = (epsilon * 1000.0).ceil();
    if thousandths.is_finite() {
        format!("{:.3}", thousandths / 1000.0)
    } else {
        "without bound".into()
    }
}

/// The conversion for ideal noise: minimum over alpha by golden-section search on ln(alpha - 1).
///
/// There is one minimum, because the derivative in alpha, rho - (ln(1/delta) - ln alpha) / (alpha -
/// 1)^2, changes sign once. It lies inside the searched range for every rho and delta that a
/// [`Rho`] and a [`Delta`] can hold.
fn epsilon_ideal(rho: f64, delta: f64) -> f64 {
    if rho == 0.0 {
        return 0.0;
    }
    let log_delta = -delta.ln();
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (-20.0f64, 60.0f64);
    // 0.618^100 of the range is below the distance of neighbouring doubles.
    for _ in 0..100 {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if bound(rho, log_delta, left) <= bound(rho, log_delta, right) {
            high = right
        } else {
            low = left
        }
    }
    bound(rho, log_delta, (low + high) / 2.0).max(0.0)
}

/// The proposition's right-hand side at alpha = 1 + exp(`log_excess`), rounded up by [`SLACK`].
fn bound(rho: f64, log_delta: f64, log_excess: f64) -> f64 {
    let excess = log_excess.exp();
    let alpha = 1.0 + excess;
    let (cost, entropy, log_excess) = (alpha * rho, alpha * (1.0 / excess).ln_1p(), excess.ln());
    let exact = cost + (log_delta - entropy - log_excess) / excess;
    exact + SLACK * (cost + (log_delta + entropy + log_excess.abs()) / excess)
}

/// Largest rho whose stated epsilon at `delta` is at most `target`: the inverse of [`epsilon`] by
/// bisection in units.
///
/// `None` when the samplers' distance alone uses delta up: no noise helps.
///
/// # Guarantees
/// `epsilon(result, total_variation, delta) <= target`, because bisection keeps only what it has
/// tested. The same holds for every smaller rho: at one alpha the computed bound grows with rho, so
/// a smaller rho can state more only by what its search misses of the minimum, a few 2^-50, and the
/// target is met with `SLACK` to spare.
pub fn rho_for(target: Epsilon, total_variation: u128, delta: Delta) -> Option<Rho> {
    let target = target.get() * (1.0 - SLACK);
    let fits = |units| epsilon(Rho::saturating_from_units(units), total_variation, delta) <= target;
    let (mut low, mut high) = (0u128, Rho::MAX.units());
    if !fits(low) {
        return None;
    }
    while high.minus(low) > 1 {
        let middle = low.plus(high.minus(low) / 2);
        if fits(middle) {
            low = middle
        } else {
            high = middle
        }
    }
    Some(Rho::saturating_from_units(low))
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
                ((alpha - 1.0) * (alpha * rho - epsilon) - (alpha - 1.0).ln()
                    + alpha * (-1.0 / alpha).ln_1p())
                .exp()
            })
            .fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn agrees_with_the_definition() {
        for rho in [0.01, 0.1, 0.5, 1.0, 2.0] {
            for d in [1e-5, 1e-6, 1e-8] {
                let eps = epsilon_ideal(rho, d);
                let back = delta_of(rho, eps);
                assert!(
                    back <= d * (1.0 + 1e-9) * 1.001 && back > d * 0.999,
                    "{rho} {d} {eps} {back}"
                );
            }
        }
    }

    #[test]
    fn what_is_shown_is_never_below_the_bound() {
        let shown = [
            2.0004,
            2.0,
            7.999_999_9,
            0.0,
            1e-9,
            f64::INFINITY,
            f64::NAN,
            1e306,
        ]
        .map(shown);
        assert_eq!(shown[..5], ["2.001", "2.000", "8.000", "0.000", "0.001"]);
        assert_eq!(shown[5..], ["without bound"; 3]);
    }

    #[test]
    fn the_slack_follows_the_size_of_every_term() {
        // Each line lets another term dominate: cost, ln(1/delta), entropy, ln(alpha - 1) below and
        // above zero.
        for (rho, log_delta, log_excess) in [
            (50.0, 11.5, 0.3),
            (0.01, 60.0, 0.2),
            (1e-3, 1e-3, -8.0),
            (1e-6, 2.0, 9.0),
            (0.3, 11.5, -0.7),
        ] {
            let excess = f64::exp(log_excess);
            let (cost, entropy) = (
                (1.0 + excess) * rho,
                (1.0 + excess) * (1.0 / excess).ln_1p(),
            );
            let exact = cost + (log_delta - entropy - log_excess) / excess;
            let expected = SLACK * (cost + (log_delta + entropy + log_excess.abs()) / excess);
            let added = bound(rho, log_delta, log_excess) - exact;
            // What f64 can tell of so small a difference: a few units in the last place of the
            // largest term.
            let resolution = 8.0 * f64::EPSILON * expected / SLACK;
            assert!(
                (added - expected).abs() < 0.02 * expected + resolution,
                "{rho} {log_delta} {added:e} {expected:e}"
            );
        }
    }

    #[test]
    fn sampler_distance_takes_its_factor_out_of_delta() {
        let (rho, d, tv) = (Rho::saturating_from_units(1 << 60), 1e-5, 1u128 << 106);
        let ideal = epsilon_ideal(rho.to_f64_up(), d);
        let left = d - (1.0 + (ideal + 1.0).exp()) * (tv as f64) * 2f64.powi(-128);
        assert!(left > 0.0 && left < 0.9 * d, "{left}");
        let expected = epsilon_ideal(rho.to_f64_up(), left);
        assert!((epsilon(rho, tv, delta(d)) / expected - 1.0).abs() < 1e-9);
    }

    #[test]
    fn is_tighter_than_the_simple_conversion_and_monotone() {
        let mut last = 0.0;
        for units in (1..60).map(|i| 1u128 << (i + 8)) {
            let rho = Rho::saturating_from_units(units);
            let eps = epsilon(rho, 0, delta(1e-5));
            let simple = rho.to_f64_up() + 2.0 * (rho.to_f64_up() * 1e5f64.ln()).sqrt();
            assert!(eps >= last && eps <= simple);
            last = eps;
        }
        assert_eq!(epsilon(Rho::ZERO, 0, delta(1e-5)), 0.0);
    }

    #[test]
    fn inverting_never_overshoots_the_target() {
        for target in [1e-6, 1e-3, 0.1, 1.0, 3.0, 8.0, 10.0, 1000.0] {
            for (tv, d) in [(0, 1e-30), (0, 0.1), (1 << 50, 1e-5), (1 << 50, 1e-10)] {
                let rho = rho_for(Epsilon::new(target).unwrap(), tv, delta(d)).unwrap();
                let eps = epsilon(rho, tv, delta(d));
                let one_more = epsilon(rho.compose(Rho::saturating_from_units(1)), tv, delta(d));
                assert!(
                    eps <= target && one_more > target * (1.0 - 1e-9),
                    "{target} {tv} {d}: {eps} {one_more}"
                );
            }
        }
    }

    #[test]
    fn every_smaller_rho_states_at_most_the_target_too() {
        for target in [0.01, 0.5, 1.0, 8.0, 50.0] {
            let epsilon_target = Epsilon::new(target).unwrap();
            let most = rho_for(epsilon_target, 1 << 50, delta(1e-6))
                .unwrap()
                .units();
            let nearby = (0..2_000u128).map(|i| most - i * (most >> 53));
            for units in nearby.chain((0..2_000).map(|i| most / 2_000 * i)) {
                let eps = epsilon(Rho::saturating_from_units(units), 1 << 50, delta(1e-6));
                assert!(eps <= target, "{target} {units}: {eps}");
            }
        }
    }

    #[test]
    fn samplers_that_use_delta_up_leave_no_rho() {
        assert_eq!(
            rho_for(Epsilon::new(1.0).unwrap(), 1 << 127, delta(1e-5)),
            None
        );
        assert_eq!(
            rho_for(Epsilon::new(1.0).unwrap(), 1 << 60, delta(1e-30)),
            None
        );
        assert!(rho_for(Epsilon::new(1.0).unwrap(), 1 << 60, delta(1e-5)).is_some());
    }

    #[test]
    fn imperfect_samplers_take_from_delta() {
        let rho = Rho::saturating_from_units(1 << 63);
        assert!(epsilon(rho, 1 << 100, delta(1e-5)) > epsilon(rho, 0, delta(1e-5)));
        assert_eq!(epsilon(rho, 1 << 127, delta(1e-5)), f64::INFINITY);
        assert!(epsilon(Rho::MAX, 0, delta(1e-5)) > 2f64.powi(32));
        assert_eq!(epsilon(Rho::MAX, 1, delta(1e-5)), f64::INFINITY);
    }
}
