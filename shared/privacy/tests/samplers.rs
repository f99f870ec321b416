//! Both samplers against the exact discrete Gaussian.
//!
//! Expected probabilities are computed here in f64 from the closed form, exp(-k^2 b/(2a)) over its
//! sum, and share nothing with the table. Their relative error, below 1e-10, moves a statistic of
//! 1e7 draws by less than 1e-3.
//!
//! False alarms. A chi-square variable of k degrees passes k + 2 sqrt(20 k) + 40 with probability
//! at most e^-20 = 2.1e-9 (Laurent & Massart 2000, lemma 1); each mean and each variance passes 5
//! standard errors with probability 5.8e-7. Over 2 samplers, 6 scales, 2 resolutions and 2 moments:
//! below 2e-5 for a fresh seed. Seeds are fixed, so a run that passed passes again.

#![allow(clippy::print_stdout, reason = "tests say what they measured")]

use chacha20::ChaCha20Rng;
use rand::SeedableRng;
use tacit_privacy::noise::{NoiseTable, rejection};

const DRAWS: u32 = 10_000_000;

/// Variance parameter a/b of s = 1/2, 1, 4, 16, 100.5 and 10^4.
const SCALES: [(u64, u32); 6] = [
    (1, 4),
    (1, 1),
    (16, 1),
    (256, 1),
    (40_401, 4),
    (100_000_000, 1),
];

#[test]
fn the_table_sampler_follows_the_exact_distribution() {
    let mut rng = ChaCha20Rng::seed_from_u64(2_020);
    for (a, b) in SCALES {
        let table = NoiseTable::for_variance(a, b);
        check(
            &Exact::new(a, b, DRAWS),
            &format!("table {a}/{b}"),
            |block| table.fill(block, &mut rng),
        );
    }
}

#[test]
fn the_rejection_sampler_follows_the_exact_distribution() {
    let mut rng = ChaCha20Rng::seed_from_u64(2_021);
    for (a, b) in SCALES {
        let exact = Exact::new(a, b, DRAWS);
        check(&exact, &format!("rejection {a}/{b}"), |block| {
            block
                .iter_mut()
                .for_each(|x| *x = rejection::sample(a, b, &mut rng))
        });
    }
}

#[test]
fn noise_one_percent_too_quiet_would_be_caught() {
    let mut rng = ChaCha20Rng::seed_from_u64(2_022);
    let (table, exact) = (
        NoiseTable::for_variance(250_905, 1_000),
        Exact::new(256, 1, DRAWS),
    );
    let seen = exact.histogram(|block| table.fill(block, &mut rng));
    let (statistic, freedom) = exact.chi_square(&seen, 100.0);
    assert!(statistic > limit(freedom), "{statistic} {freedom}");
    assert!(exact.moments(&seen)[1].abs() > 5.0);
}

/// Draws, then chi-square at the finest cells and at about 64 equal ones, then mean and variance.
fn check(exact: &Exact, name: &str, draw: impl FnMut(&mut [i32])) {
    let seen = exact.histogram(draw);
    for least in [100.0, exact.draws / 64.0] {
        let (statistic, freedom) = exact.chi_square(&seen, least);
        println!("{name}: chi-square {statistic:.1} of {freedom} degrees");
        assert!(statistic < limit(freedom), "{name}: {statistic} {freedom}");
    }
    let [mean, variance] = exact.moments(&seen);
    println!("{name}: mean {mean:+.2}, variance {variance:+.2} standard errors");
    assert!(
        mean.abs() < 5.0 && variance.abs() < 5.0,
        "{name}: {mean} {variance}"
    );
}

fn limit(freedom: f64) -> f64 {
    freedom + 2.0 * (20.0 * freedom).sqrt() + 40.0
}

/// Probability of every outcome from -`reach` to `reach` = ceil(12 s); beyond is less than e^-72.
struct Exact {
    draws: f64,
    reach: i32,
    mass: Vec<f64>,
}

impl Exact {
    #[allow(clippy::cast_possible_truncation, reason = "12 s is at most 120,000")]
    fn new(a: u64, b: u32, draws: u32) -> Self {
        let rate = f64::from(b) / (2.0 * a as f64);
        let reach = (12.0 * (0.5 / rate).sqrt()).ceil() as i32;
        let weights: Vec<f64> = (-reach..=reach)
            .map(|k| (-f64::from(k).powi(2) * rate).exp())
            .collect();
        let total: f64 = weights.iter().sum();
        Self {
            draws: draws.into(),
            reach,
            mass: weights.iter().map(|weight| weight / total).collect(),
        }
    }

    /// How often each outcome was drawn; one past the reach counts as the last.
    fn histogram(&self, mut draw: impl FnMut(&mut [i32])) -> Vec<f64> {
        let (mut seen, mut block) = (vec![0.0; self.mass.len()], vec![0i32; 10_000]);
        let mut left = self.draws;
        while left > 0.0 {
            draw(&mut block);
            left -= block.len() as f64;
            for &value in &block {
                let index = value.clamp(-self.reach, self.reach) + self.reach;
                seen[usize::try_from(index).expect("clamped")] += 1.0;
            }
        }
        seen
    }

    /// Statistic and degrees of freedom; neighbouring outcomes are pooled until at least `least`
    /// are expected.
    fn chi_square(&self, seen: &[f64], least: f64) -> (f64, f64) {
        let (mut statistic, mut cells) = (0.0, 0.0);
        let (mut expected, mut observed, mut left) = (0.0, 0.0, self.draws);
        let last = self.mass.len() - 1;
        for (index, (mass, count)) in self.mass.iter().zip(seen).enumerate() {
            expected += mass * self.draws;
            observed += count;
            left -= mass * self.draws;
            if index == last || (expected >= least && left >= least) {
                statistic += (observed - expected).powi(2) / expected;
                cells += 1.0;
                (expected, observed) = (0.0, 0.0);
            }
        }
        (statistic, cells - 1.0)
    }

    /// Distance of the sample's mean and second moment from the exact ones, in standard errors.
    fn moments(&self, seen: &[f64]) -> [f64; 2] {
        let moment = |weights: &[f64], power| -> f64 {
            (-self.reach..=self.reach)
                .zip(weights)
                .map(|(k, weight)| f64::from(k).powi(power) * weight)
                .sum()
        };
        let (variance, fourth, draws) = (moment(&self.mass, 2), moment(&self.mass, 4), self.draws);
        let mean = moment(seen, 1) / draws / (variance / draws).sqrt();
        let second =
            (moment(seen, 2) / draws - variance) / ((fourth - variance * variance) / draws).sqrt();
        [mean, second]
    }
}
