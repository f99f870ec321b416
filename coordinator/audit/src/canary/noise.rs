//! Releases of nothing: every device sends the zero vector, so an opened sum holds noise and only
//! noise.
//!
//! Single shares show a variance divided by the wrong number of devices and noise that is used
//! twice; sums show what an adversary would really meet.

use std::collections::HashSet;

use tacit_privacy::canonical;
use tacit_types::Digest;

use super::pipeline::{PipelineError, add};
use super::session::Session;
use super::stats::{chi_square_max, correlation_range, variance_range};
use super::{Check, FALSE_ALARM};

/// Sum of squares, or of products of pairs, in grid steps squared.
#[derive(Default)]
struct Moment {
    total: f64,
    count: u64,
}

impl Moment {
    fn add(&mut self, left: &[i32], right: &[i32]) {
        self.total += left
            .iter()
            .zip(right)
            .map(|(&x, &y)| f64::from(x) * f64::from(y))
            .sum::<f64>();
        self.count += left.len() as u64;
    }

    fn over(&self, variance: f64) -> f64 {
        self.total / (self.count as f64 * variance)
    }
}

/// What releases of nothing showed.
struct Observed {
    shares: Moment,
    sums: Moment,
    /// The same device, one round and the next.
    rounds: Moment,
    /// Devices 0 and 1, 2 and 3, ... of one round.
    neighbours: Moment,
    distinct: HashSet<Digest>,
    made: u64,
    bytes: [u64; 256],
}

/// Releases nothing, `releases` times, and holds the noise against the certificate.
pub(super) fn audit(session: &mut Session<'_>) -> Result<Vec<Check>, PipelineError> {
    let observed = observe(session)?;
    let mechanism = &session.prepared.mechanism;
    let sum_variance = mechanism.sigma2 as f64;
    let share_variance = sum_variance / f64::from(mechanism.n_min);
    let Observed {
        shares,
        sums,
        rounds,
        neighbours,
        ..
    } = &observed;
    Ok(vec![
        Check::new(
            "share variance",
            "of one share, over sigma^2/n_min",
            variance_range(shares.count, FALSE_ALARM),
            shares.over(share_variance),
        ),
        Check::new(
            "sum variance",
            "of n_min shares together, over sigma^2",
            variance_range(sums.count, FALSE_ALARM),
            sums.over(sum_variance),
        ),
        Check::new(
            "noise across rounds",
            "correlation of a device's shares, round to round",
            correlation_range(rounds.count, FALSE_ALARM),
            rounds.over(share_variance),
        ),
        Check::new(
            "noise across devices",
            "correlation of two devices' shares of a round",
            correlation_range(neighbours.count, FALSE_ALARM),
            neighbours.over(share_variance),
        ),
        // Two fresh shares of 256 numbers or more are equal with probability below 10^-200.
        Check::new(
            "fresh noise",
            "shares that repeat an earlier share",
            (0.0, 0.0),
            (observed.made - observed.distinct.len() as u64) as f64,
        ),
        Check::new(
            "masked bytes",
            "chi-square of all wire bytes, 255 degrees",
            (0.0, chi_square_max(255.0, FALSE_ALARM)),
            uniformity(&observed.bytes),
        ),
    ])
}

fn observe(session: &mut Session<'_>) -> Result<Observed, PipelineError> {
    let mut observed = Observed {
        shares: Moment::default(),
        sums: Moment::default(),
        rounds: Moment::default(),
        neighbours: Moment::default(),
        distinct: HashSet::new(),
        made: 0,
        bytes: [0; 256],
    };
    let mut before: Vec<Vec<i32>> = Vec::new();
    for _ in 0..session.prepared.settings.releases {
        before = observed.release(session, &before)?;
    }
    Ok(observed)
}

impl Observed {
    /// One release; gives its shares, takes those of the release before.
    fn release(
        &mut self,
        session: &mut Session<'_>,
        before: &[Vec<i32>],
    ) -> Result<Vec<Vec<i32>>, PipelineError> {
        let round = session.next_round();
        let mut sum = round.nothing();
        let mut shares: Vec<Vec<i32>> = Vec::new();
        for device in 0..session.prepared.settings.devices {
            let contribution = session.contribute(&round, device, session.zero())?;
            contribution
                .masked
                .iter()
                .for_each(|&byte| self.bytes[usize::from(byte)] += 1);
            let share = add(&mut sum, &contribution)?;
            self.shares.add(&share, &share);
            self.distinct.insert(fingerprint(&share));
            self.made += 1;
            if let Some(earlier) = before.get(device as usize) {
                self.rounds.add(earlier, &share);
            }
            if let Some(left) = shares.last().filter(|_| device % 2 == 1) {
                self.neighbours.add(left, &share);
            }
            shares.push(share);
        }
        let sum = sum.open();
        self.sums.add(&sum, &sum);
        Ok(shares)
    }
}

fn fingerprint(share: &[i32]) -> Digest {
    canonical::digest(
        &share
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect::<Vec<u8>>(),
    )
}

/// Pearson's statistic of byte counts against equal counts.
fn uniformity(counts: &[u64; 256]) -> f64 {
    let expected = counts.iter().sum::<u64>() as f64 / 256.0;
    counts
        .iter()
        .map(|&count| (count as f64 - expected).powi(2) / expected)
        .sum()
}
