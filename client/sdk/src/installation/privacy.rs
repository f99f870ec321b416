//! What an installation has spent of its owners' privacy, for them to read.

use std::path::Path;

use tacit_privacy::Rho;
use tacit_privacy::convert::{epsilon, shown};
use tacit_round::device::Status;
use tacit_round::policy::Policy;
use tacit_types::{Delta, RoundId, TaskId, Timestamp};

use crate::error::SdkError;
use crate::store::Store;

const HOUR_MS: u64 = 3_600_000;
/// How far the samplers of all releases may be from ideal ones, in units of 2^-128: what a task is
/// planned with.
const TOTAL_VARIATION: u128 = 1 << 70;

/// What the installation has spent, out of what it may ever spend: one budget for all its owners.
#[derive(Clone, Debug, PartialEq)]
pub struct PrivacyReport {
    /// Share of the lifetime budget that is spent, 0 to 1.
    pub share_used: f64,
    /// What is spent, as epsilon at [`Self::delta`]; rounded up.
    pub epsilon_used: f64,
    /// What may ever be spent, as epsilon at [`Self::delta`].
    pub epsilon_limit: f64,
    /// The largest delta that the policy lets a task state its epsilon at.
    pub delta: f64,
    /// Every release this installation knows of, the oldest first.
    pub releases: Vec<Release>,
    /// All of it in one sentence.
    pub sentence: String,
}

/// One release that was paid for.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// When, to the hour.
    pub when: Timestamp,
    /// The task it was for.
    pub task: TaskId,
    /// Its round.
    pub round: RoundId,
    /// Share of the lifetime budget it took, 0 to 1.
    pub share: f64,
    /// What became of it. It is paid for whatever that is.
    pub status: Status,
}

impl PrivacyReport {
    /// Reads the device ledger, as the policy counts it.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails or the policy's delta is none.
    pub(super) fn read(folder: &Path, policy: &Policy) -> Result<Self, SdkError> {
        let store = Store::open(folder)?;
        let (spent, lifetime) = (store.spent()?, policy.rho_lifetime);
        let delta = Delta::new(policy.delta_pico_max as f64 / 1e12);
        let delta = delta.map_err(|error| SdkError::Stop(format!("policy: {error}")))?;
        let releases: Vec<Release> = store
            .ledger()?
            .into_iter()
            .map(|(line, status)| Release {
                when: Timestamp(line.hour.saturating_mul(HOUR_MS)),
                task: line.task,
                round: line.round,
                share: share(line.rho, lifetime),
                status,
            })
            .collect();

        let mut report = Self {
            share_used: share(spent, lifetime),
            epsilon_used: epsilon(spent, TOTAL_VARIATION, delta),
            epsilon_limit: epsilon(lifetime, TOTAL_VARIATION, delta),
            delta: delta.get(),
            releases,
            sentence: String::new(),
        };
        let elsewhere = store.unrecorded()? > Rho::ZERO;
        let is_shared = !store.owners()?.is_empty();
        report.sentence = report.say(elsewhere, is_shared);
        Ok(report)
    }

    fn say(&self, elsewhere: bool, is_shared: bool) -> String {
        let times = self.releases.len();
        let took_part = match times {
            0 => "This device has taken part in no round".to_owned(),
            1 => "This device has taken part in 1 round".to_owned(),
            _ => format!("This device has taken part in {times} rounds"),
        };
        let percent = (self.share_used * 100.0).ceil();
        let (used, limit) = (shown(self.epsilon_used), shown(self.epsilon_limit));
        let copied = match elsewhere {
            true => " That includes what a copy of this installation has spent.",
            false => "",
        };
        let shared = match is_shared {
            true => " It is one budget for everybody who uses this installation.",
            false => "",
        };
        format!(
            "{took_part} and has spent {percent} % of what it may ever spend: epsilon {used} of \
             {limit} at delta {:e}.{copied}{shared}",
            self.delta
        )
    }
}

fn share(part: Rho, whole: Rho) -> f64 {
    if whole == Rho::ZERO {
        return 1.0;
    }
    (part.to_f64_up() / whole.to_f64_up()).min(1.0)
}
