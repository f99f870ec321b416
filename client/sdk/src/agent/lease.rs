//! The right to take part in one round, as this device got it at a check-in.

use std::time::Duration;

use tacit_types::Timestamp;
use tokio::time::{Instant, sleep};

use super::action::Action;
use crate::error::SdkError;
use crate::reason::Reason;
use crate::store::{Pause, Spooled};
use crate::transport::Lease;

/// Longest pause that a step waits for with its connection open. For a longer one the app is asked
/// to come back.
pub(super) const LINGER: Duration = Duration::from_secs(1);

impl Action {
    /// Takes note of when this step may spend and is to send.
    pub(super) fn hold(&mut self, lease: &Lease, now: Timestamp) {
        self.spend_until = Some(lease.spend_until);
        self.pause = Pause::new(self.clock(now), lease.send_after);
    }

    /// Whether the lease still stands. Once it has ended its place may be another's, and what would
    /// be spent on it might be for nothing.
    pub(super) fn may_spend(&self) -> Result<(), SdkError> {
        match self.spend_until {
            Some(until) if Instant::now() < until => Ok(()),
            _ => Err(SdkError::retry(
                Reason::NotNow,
                "the lease ended before anything was spent on it",
            )),
        }
    }

    /// Waits until the contribution is to be sent; false where that is too long for a step, which
    /// then says when to come back.
    pub(super) async fn paused(&mut self, spooled: &Spooled, now: Timestamp) -> bool {
        let left = spooled.pause().left(self.clock(now));
        if left > LINGER {
            self.step.retry_after = left;
            self.step.prepared = true;
            return false;
        }
        sleep(left).await;
        true
    }

    /// The wall clock, as far as this step knows it: what it was told at its start, and the time
    /// since.
    fn clock(&self, now: Timestamp) -> Timestamp {
        let passed = self.begun.elapsed().as_millis();
        now.plus_millis(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}
