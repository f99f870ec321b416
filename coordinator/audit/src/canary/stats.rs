//! The distributions the audit needs, each with the tail bound or formula it comes from. Natural
//! logarithms, f64.

use tacit_types::Delta;

/// Number z of standard deviations that a sub-Gaussian variable passes upward with probability at
/// most `alarm`: exp(-z^2/2) = alarm. The discrete Gaussian is sub-Gaussian with its own parameter
/// (Canonne, Kamath & Steinke 2020).
pub(super) fn deviations(alarm: f64) -> f64 {
    (-2.0 * alarm.ln()).sqrt()
}

/// Range that a chi-square variable over its `degrees` leaves with probability at most `alarm`
/// (Laurent & Massart 2000, lemma 1). From 4 grid steps on, the discrete Gaussian's moments are the
/// normal ones to more than 60 digits.
pub(super) fn variance_range(degrees: u64, alarm: f64) -> (f64, f64) {
    let share = (2.0 / alarm).ln() / degrees as f64;
    (
        1.0 - 2.0 * share.sqrt(),
        1.0 + 2.0 * share.sqrt() + 2.0 * share,
    )
}

/// Range that the mean product of `pairs` pairs of independent standard normals leaves with
/// probability at most `alarm`: xy = ((x+y)^2 - (x-y)^2)/4 is half the difference of two
/// independent chi-square variables, each bounded as above.
pub(super) fn correlation_range(pairs: u64, alarm: f64) -> (f64, f64) {
    let share = (4.0 / alarm).ln() / pairs as f64;
    let reach = 2.0 * share.sqrt() + share;
    (-reach, reach)
}

/// Value that a chi-square variable passes with probability at most `alarm`.
pub(super) fn chi_square_max(degrees: f64, alarm: f64) -> f64 {
    let log = -alarm.ln();
    degrees + 2.0 * (degrees * log).sqrt() + 2.0 * log
}

/// Phi(x).
pub(super) fn normal_cdf(x: f64) -> f64 {
    libm::erfc(-x / std::f64::consts::SQRT_2) / 2.0
}

/// Smallest epsilon for which N(0,1) and N(mu,1) are (epsilon, delta)-indistinguishable; 0 for mu
/// <= 0.
///
/// delta(epsilon) = Phi(mu/2 - epsilon/mu) - e^epsilon Phi(-mu/2 - epsilon/mu) (Balle & Wang 2018,
/// theorem 8).
pub(super) fn gaussian_epsilon(mu: f64, delta: Delta) -> f64 {
    if mu.is_nan() || mu <= 0.0 {
        return 0.0;
    }
    let delta_at = |epsilon: f64| {
        let tail = normal_cdf(-mu / 2.0 - epsilon / mu);
        let scaled = if tail > 0.0 {
            (epsilon + tail.ln()).exp()
        } else {
            0.0
        };
        normal_cdf(mu / 2.0 - epsilon / mu) - scaled
    };
    // The zCDP tail bound: no epsilon above it is ever needed.
    let enough = mu * mu / 2.0 + mu * (-2.0 * delta.get().ln()).sqrt();
    bisect(0.0, enough, |epsilon| delta_at(epsilon) > delta.get())
}

/// Largest value from `low` to `high` at which `holds`, which must change from true to false once;
/// `low` if none does.
pub(super) fn bisect(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if holds(middle) {
            low = middle
        } else {
            high = middle
        }
    }
    low
}

/// Probability that a binomial of `trials` and success odds e^`log_odds` to 1 is exactly `wins`.
pub(super) fn binomial(trials: u32, wins: u32, log_odds: f64) -> f64 {
    let ln_factorial = |n: u32| libm::lgamma(f64::from(n) + 1.0);
    let choices = ln_factorial(trials) - ln_factorial(wins) - ln_factorial(trials - wins);
    let ln_success = -(-log_odds).exp().ln_1p();
    let ln_failure = ln_success - log_odds;
    (choices + f64::from(wins) * ln_success + f64::from(trials - wins) * ln_failure).exp()
}

/// Number of wins that a binomial passes with probability at most `alarm`.
pub(super) fn binomial_max(trials: u32, success: f64, alarm: f64) -> u32 {
    let success = success.min(1.0 - f64::EPSILON);
    let log_odds = (success / (1.0 - success)).ln();
    let mut above = 0.0;
    (0..=trials)
        .rev()
        .find(|&wins| {
            above += binomial(trials, wins, log_odds);
            above > alarm
        })
        .unwrap_or(trials)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: f64, reference: f64, relative: f64) {
        assert!(
            (value / reference - 1.0).abs() < relative,
            "{value} is not {reference}"
        );
    }

    #[test]
    fn the_normal_distribution_matches_tables_deep_into_its_tail() {
        // Values of scipy.stats.norm.cdf 1.17.
        for (x, reference) in [
            (0.0, 0.5),
            (1.0, 0.8413447460685429),
            (-6.0, 9.865876450376946e-10),
        ] {
            close(normal_cdf(x), reference, 1e-12);
        }
        close(normal_cdf(-20.0), 2.7536241186061556e-89, 1e-12);
    }

    #[test]
    fn binomial_probabilities_match_direct_computation() {
        close(binomial(10, 3, 0.0), 120.0 / 1024.0, 1e-12);
        close(binomial(4, 4, 3f64.ln()), 0.75f64.powi(4), 1e-12);
        let total: f64 = (0..=500).map(|wins| binomial(500, wins, 0.7)).sum();
        close(total, 1.0, 1e-10);
        // scipy.stats.binom.isf(1e-8, 1000, 0.6) = 686; success for certain allows every win.
        assert_eq!(
            (binomial_max(1000, 0.6, 1e-8), binomial_max(10, 1.0, 1e-8)),
            (686, 10)
        );
    }

    #[test]
    fn the_gaussian_epsilon_matches_its_formula_solved_elsewhere() {
        // The formula solved with scipy's brentq.
        for (mu, delta, reference) in [
            (0.1, 1e-5, 0.34066936468432607),
            (0.5, 1e-6, 2.2540846502197422),
            (1.0, 1e-5, 4.377178095681224),
            (5.0, 1e-8, 39.89114670500761),
        ] {
            close(
                gaussian_epsilon(mu, Delta::new(delta).unwrap()),
                reference,
                1e-9,
            );
        }
        assert_eq!(gaussian_epsilon(-1.0, Delta::new(1e-5).unwrap()), 0.0);
    }

    #[test]
    fn ranges_hold_what_they_must_and_narrow_with_more_samples() {
        // Quantiles of chi-square(1000)/1000 at 5e-9 on either side, by scipy: the bound lies
        // outside, not far.
        let (low, high) = variance_range(1000, 1e-8);
        assert!(
            low < 0.7646 && low > 0.70 && high > 1.2779 && high < 1.33,
            "{low} {high}"
        );
        assert!(correlation_range(1_000_000, 1e-8).1 < 0.01);
        // scipy.stats.chi2.isf(1e-8, 255) = 402.7.
        assert!((402.7..440.0).contains(&chi_square_max(255.0, 1e-8)));
        close(deviations(1e-8), 6.0697, 1e-4);
    }
}
