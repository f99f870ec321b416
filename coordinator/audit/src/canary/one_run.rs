//! Lower bound from one run (Steinke, Nasr & Jagielski 2023, "Privacy auditing with one (1)
//! training run"): guess coins from scores, abstain where unsure, and reject every epsilon under
//! which that number of right guesses is too unlikely.

use serde::Serialize;
use tacit_types::Delta;

use super::scores::Scores;
use super::stats::{binomial, binomial_max, bisect, normal_cdf, variance_range};
use super::{Check, FALSE_ALARM};

/// Confidence of the bound.
const CONFIDENCE: f64 = 0.95;
/// How many coins are guessed: all, a quarter, a sixteenth. The best is stated, so each has a third
/// of the error.
const GUESSED: [u32; 3] = [1, 4, 16];
/// No bound above this is looked for.
const EPSILON_MAX: f64 = 100.0;

/// A lower bound of epsilon that holds with probability [`OneRun::confidence`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OneRun {
    /// Fair coins m, one a canary.
    pub canaries: u32,
    /// Coins guessed r; half of them heads.
    pub guesses: u32,
    /// Right guesses v.
    pub correct: u32,
    /// Largest epsilon rejected.
    pub epsilon_lower_bound: f64,
    /// Probability at least that the bound holds.
    pub confidence: f64,
    /// Guesses and right guesses of every attempt, of which the best is stated.
    pub attempts: Vec<(u32, u32)>,
}

impl OneRun {
    pub(super) fn of(scores: &Scores, delta: Delta) -> Self {
        let mut ranked = scores.canaries.clone();
        ranked.sort_by(|left, right| right.whole.total_cmp(&left.whole));
        let coins: Vec<bool> = ranked.into_iter().map(|score| score.heads).collect();
        let attempts: Vec<(u32, u32)> = GUESSED
            .map(|share| guess(&coins, coins.len() / share as usize))
            .into();
        let canaries = u32::try_from(coins.len()).unwrap_or(u32::MAX);
        let bounded = |&(guesses, correct): &(u32, u32)| {
            (
                lower_bound(
                    canaries,
                    guesses,
                    correct,
                    delta.get(),
                    (1.0 - CONFIDENCE) / attempts.len() as f64,
                ),
                guesses,
                correct,
            )
        };
        let (epsilon_lower_bound, guesses, correct) = attempts
            .iter()
            .map(bounded)
            .max_by(|left, right| left.0.total_cmp(&right.0))
            .unwrap_or((0.0, 0, 0));
        Self {
            canaries,
            guesses,
            correct,
            epsilon_lower_bound,
            confidence: CONFIDENCE,
            attempts,
        }
    }
}

/// Fails when more coins are guessed right than noise as certified lets anybody guess, `shift`
/// being what one canary moves the sum, in standard deviations. (The bound itself cannot be that
/// sure: its theorem leaves 2 m delta to chance.)
///
/// Every coin is guessed, from the canary alone: heads when the score is nearer to a unit than to
/// nothing, the best guess there is, right with probability Phi(shift/2). Directions are random and
/// independent of the noise, so right guesses are binomial given the length of the noise vector,
/// which is as certified up to `variance_range`.
pub(super) fn check(scores: &Scores, length: u32, shift: f64) -> Check {
    let (shortest, _) = variance_range(u64::from(length), FALSE_ALARM / 2.0);
    let probability = normal_cdf(shift / (2.0 * shortest.max(f64::MIN_POSITIVE).sqrt()));
    let coins = u32::try_from(scores.canaries.len()).unwrap_or(u32::MAX);
    let right = scores
        .canaries
        .iter()
        .filter(|score| score.heads == (score.alone > scores.unit / 2.0))
        .count();
    let share = |wins: f64| wins / f64::from(coins);
    Check::new(
        "one-run canaries",
        "share of all coins guessed right",
        (
            0.0,
            share(f64::from(binomial_max(
                coins,
                probability,
                FALSE_ALARM / 2.0,
            ))),
        ),
        share(right as f64),
    )
}

/// Guesses heads for the `count`/2 best scores and tails for as many of the worst; gives guesses
/// and right guesses.
fn guess(coins_by_score: &[bool], count: usize) -> (u32, u32) {
    let half = count / 2;
    let heads = coins_by_score[..half]
        .iter()
        .filter(|&&heads| heads)
        .count();
    let tails = coins_by_score[coins_by_score.len() - half..]
        .iter()
        .filter(|&&heads| !heads)
        .count();
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    (number(2 * half), number(heads + tails))
}

/// Largest epsilon for which `correct` or more right guesses have probability below `error`; 0 when
/// there is none.
fn lower_bound(canaries: u32, guesses: u32, correct: u32, delta: f64, error: f64) -> f64 {
    bisect(0.0, EPSILON_MAX, |epsilon| {
        p_value(canaries, guesses, correct, epsilon, delta) < error
    })
}

/// Bound on the probability of `correct` or more right guesses out of `guesses` on `canaries` fair
/// coins, for anything that is (epsilon, delta)-differentially private.
///
/// beta + 2 m delta alpha, with W binomial of `guesses` trials and success e^epsilon/(1 +
/// e^epsilon), beta = P\[W >= v\] and alpha = max over i from 1 to v of P\[v > W >= v - i\]/i
/// (Steinke et al. 2023, theorem 5.2 and appendix D).
fn p_value(canaries: u32, guesses: u32, correct: u32, epsilon: f64, delta: f64) -> f64 {
    let beta: f64 = (correct..=guesses)
        .map(|wins| binomial(guesses, wins, epsilon))
        .sum();
    let (mut alpha, mut mass) = (0f64, 0.0);
    for i in 1..=correct {
        mass += binomial(guesses, correct - i, epsilon);
        alpha = alpha.max(mass / f64::from(i));
    }
    (beta + 2.0 * f64::from(canaries) * delta * alpha).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_without_delta_match_reference_values() {
        // (guesses, correct, epsilon): scipy's exact binomial tail inverted at 95 %, delta 0;
        // golden set dp_golden.json, key one_run_audit_lower_bound_delta0.
        for (guesses, correct, epsilon) in [
            (50, 50, 2.784727413270937),
            (100, 60, 0.05191493779919366),
            (100, 90, 1.6308231927409744),
            (100, 100, 3.4929654311522933),
            (1000, 550, 0.0942236925322156),
            (1000, 600, 0.2974679236493478),
            (1000, 900, 2.021233233548992),
            (1000, 1000, 5.8090683385466),
            (10000, 5200, 0.046923722810333454),
        ] {
            let bound = lower_bound(guesses, guesses, correct, 0.0, 0.05);
            assert!(
                (bound - epsilon).abs() < 1e-8,
                "{guesses} {correct}: {bound} is not {epsilon}"
            );
        }
    }

    #[test]
    fn delta_adds_what_the_theorem_says() {
        // The paper's appendix D, evaluated with scipy 1.17.
        for (canaries, guesses, correct, epsilon, delta, reference) in [
            (1000, 100, 90, 1.0, 1e-5, 0.0008412885614385305),
            (1000, 100, 90, 1.0, 1e-3, 0.08142040147109456),
            (5000, 500, 400, 1.2, 1e-6, 0.05163519309044146),
            (100, 10, 10, 3.0, 1e-2, 1.0),
        ] {
            let value: f64 = p_value(canaries, guesses, correct, epsilon, delta);
            assert!(
                (value / reference - 1.0).abs() < 1e-9,
                "{value} is not {reference}"
            );
        }
    }

    #[test]
    fn guesses_come_from_both_ends_and_guessing_blindly_bounds_nothing() {
        assert_eq!(guess(&[true, false, true, false, true, false], 4), (4, 2));
        assert_eq!(guess(&[true, true, false, false], 4), (4, 4));
        assert_eq!(guess(&[true, true, false], 3), (2, 2));
        assert_eq!(lower_bound(100, 100, 50, 1e-5, 0.05), 0.0);
    }
}
