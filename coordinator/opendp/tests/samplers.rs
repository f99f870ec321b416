//! Our conversion against opendp's, our noise against opendp's.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tests"
)]

use opendp::traits::samplers::sample_discrete_gaussian;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use tacit_opendp::opendp_epsilon;
use tacit_privacy::noise::{NoiseTable, rejection};
use tacit_privacy::{Rho, convert};
use tacit_types::Delta;

const DELTAS: [f64; 4] = [1e-5, 1e-6, 1e-8, 1e-10];

fn ours(rho: f64, delta: f64) -> f64 {
    // Units rounded up, as every price is.
    let units = (rho * 2f64.powi(64)).ceil() as u128;
    convert::epsilon(
        Rho::saturating_from_units(units),
        0,
        Delta::new(delta).unwrap(),
    )
}

#[test]
fn our_conversion_is_never_below_opendps_and_within_1e_9_of_it() {
    let rhos = (0..=53)
        .map(|i| 1e-4 * 10f64.powf(f64::from(i) / 10.0))
        .chain([0.5, 1.0, 2.0, 20.0]);
    let mut widest = 0f64;
    for rho in rhos {
        for delta in DELTAS {
            let (ours, theirs) = (ours(rho, delta), opendp_epsilon(rho, delta).unwrap());
            let gap = (ours - theirs) / theirs.max(1.0);
            assert!(
                (0.0..1e-9).contains(&gap),
                "rho {rho} delta {delta}: {ours} {theirs}"
            );
            widest = widest.max(gap);
        }
    }
    println!("widest gap {widest:e}");
}

#[test]
fn opendp_refuses_what_has_no_meaning() {
    assert!(
        opendp_epsilon(0.5, 2.0)
            .unwrap_err()
            .to_string()
            .starts_with("opendp: ")
    );
}

/// opendp's sampler and both of ours, held against one list of exact probabilities.
#[test]
fn three_samplers_draw_from_one_distribution() {
    // Chi-square has mean k and variance 2k; k + 6 sqrt(2k) + 20 leaves a false-alarm rate below
    // 1e-6 per case.
    for (a, b, scale) in [(81u64, 4u32, 4.5f64), (256, 1, 16.0), (10_201, 4, 50.5)] {
        let table = NoiseTable::for_variance(a, b);
        let draws =
            (0..20_000).map(|_| sample_discrete_gaussian(scale.try_into().unwrap()).unwrap());
        let theirs: Vec<i32> = draws.map(|draw| draw.try_into().unwrap()).collect();
        let mut rng = ChaCha20Rng::seed_from_u64(a);
        let rejected: Vec<i32> = (0..20_000)
            .map(|_| rejection::sample(a, b, &mut rng))
            .collect();
        let mut inverted = vec![0; 20_000];
        table.fill(&mut inverted, &mut rng);
        for (name, draws) in [
            ("opendp", theirs),
            ("rejection", rejected),
            ("table", inverted),
        ] {
            let (statistic, freedom) = chi_square(&table, &draws);
            assert!(
                statistic < freedom + 6.0 * (2.0 * freedom).sqrt() + 20.0,
                "{name} {scale}: {statistic} {freedom}"
            );
        }
    }
}

/// Chi-square statistic and degrees of freedom; outcomes expected fewer than 10 times are pooled.
fn chi_square(table: &NoiseTable, draws: &[i32]) -> (f64, f64) {
    let (mut statistic, mut cells, mut pooled) = (0.0, 0.0, (0.0, 0.0));
    for (outcome, mass) in table.probabilities() {
        let expected = mass as f64 * 2f64.powi(-128) * draws.len() as f64;
        let seen = draws.iter().filter(|draw| **draw == outcome).count() as f64;
        if expected >= 10.0 {
            statistic += (seen - expected).powi(2) / expected;
            cells += 1.0;
        } else {
            pooled = (pooled.0 + expected, pooled.1 + seen);
        }
    }
    statistic += (pooled.1 - pooled.0).powi(2) / pooled.0.max(1.0);
    (statistic, cells)
}
