//! One release on its way to its opened sum, whatever its vectors mean.

use rand::RngExt;
use tacit_model::family::sparse::SparseGradient;
use tacit_plan::{Plan, Shape};
use tacit_privacy::{Mechanism, Tier};

use crate::clock;
use crate::noise;
use crate::streams::{Purpose, fast_stream, stream};
use crate::sum::vector_sum;
use crate::throughput::Throughput;

/// Everything a release needs except its vectors.
pub(crate) struct Opening<'a> {
    /// Users simulated.
    pub(crate) users: usize,
    /// Devices they stand for.
    pub(crate) cohort: u32,
    pub(crate) mechanism: &'a Mechanism,
    pub(crate) seed: u64,
    /// Number of the release within the plan.
    pub(crate) release: u32,
}

/// A noised sum.
pub(crate) struct Opened {
    /// In grid steps.
    pub(crate) values: Vec<i32>,
    /// Devices it stands for.
    pub(crate) contributors: u32,
    pub(crate) spent: Throughput,
}

impl Opening<'_> {
    /// Rounds and adds up the vectors of those `present`, and adds the noise of the devices they
    /// stand for.
    pub(crate) fn open(
        &self,
        present: &[u32],
        vector: impl Fn(u32) -> SparseGradient + Sync,
    ) -> Opened {
        let stands_for = f64::from(self.cohort) / self.users.max(1) as f64;
        let projected = stands_for > 1.0;
        // Rounding n vectors on a grid finer by sqrt(N/n) and scaling by N/n leaves the variance of
        // rounding N vectors.
        let steps = if projected {
            scaled(self.mechanism.steps, stands_for.sqrt())
        } else {
            self.mechanism.steps
        };
        let grid = Mechanism {
            steps,
            ..self.mechanism.clone()
        };
        let start = clock::cpu_seconds();
        let rounding =
            |user: u32| fast_stream(self.seed, Purpose::Rounding, self.release, u64::from(user));
        let mut sum = vector_sum(present, &grid, rounding, vector);
        let spent = Throughput {
            devices: present.len() as u64,
            cpu_seconds: clock::cpu_seconds() - start,
        };
        let mut contributors = u32::try_from(present.len()).unwrap_or(u32::MAX);
        if projected {
            let scale = stands_for * f64::from(self.mechanism.steps) / f64::from(steps);
            sum.iter_mut()
                .for_each(|value| *value = nearest(f64::from(*value) * scale));
            contributors = scaled(contributors, stands_for);
        }
        let values = noise::add(sum, self.mechanism, contributors, self.seed, self.release);
        Opened {
            values,
            contributors,
            spent,
        }
    }
}

/// Who does not drop out of a release, ascending.
pub(crate) fn present(users: usize, plan: &Plan, seed: u64, release: u32) -> Vec<u32> {
    let dropout = f64::from(plan.dropout_milli) / 1000.0;
    let mut rng = stream(seed, Purpose::Dropout, release, 0);
    (0u32..)
        .take(users)
        .filter(|_| rng.random::<f64>() >= dropout)
        .collect()
}

/// Everybody.
pub(crate) fn everybody(users: usize) -> Vec<u32> {
    (0u32..).take(users).collect()
}

/// A grid without noise, the finest that keeps the sum in 32 bits. Its norm bound is the loosest,
/// so nothing is rounded twice.
pub(crate) fn noiseless(shape: &Shape, contributors: usize) -> Mechanism {
    let contributors = u32::try_from(contributors).unwrap_or(u32::MAX);
    Mechanism {
        tier: Tier::Helper,
        length: shape.length,
        row_width: shape.row_width.max(1),
        row_cap_milli: 1000,
        history_max: u32::MAX,
        nnz_max: shape.length,
        steps: ((1u32 << 30) / contributors.max(1)).clamp(1, 1 << 20),
        sigma2: 0,
        n_min: 1,
        cohort_max: contributors,
        helper_noise: false,
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates"
)]
fn scaled(count: u32, by: f64) -> u32 {
    (f64::from(count) * by).round() as u32
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "`as` saturates; the mechanism's check leaves room"
)]
fn nearest(value: f64) -> i32 {
    value.round() as i32
}
