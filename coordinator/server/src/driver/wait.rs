//! Opens no round that too few devices would join: each one that fails stays charged.

use std::time::Duration;

use tacit_round::ticket::Ticket;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::Driver;

/// Time between two looks at who has checked in.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Time between two words about devices that have not come.
const SPEAK_EVERY: Duration = Duration::from_secs(60);

impl Driver {
    /// Whether as many devices have checked in lately as the smallest set needs.
    pub(super) fn expects(&self, draft: &Ticket) -> bool {
        self.seen_lately() >= u64::from(draft.set_min())
    }

    /// Waits until a round may open; false when stopped first.
    pub(super) fn wait_for_devices(&self, runtime: &Handle, draft: &Ticket) -> bool {
        let (needed, round) = (draft.set_min(), draft.round.0);
        let come = async {
            let mut spoken: Option<Instant> = None;
            while !self.expects(draft) {
                if spoken.is_none_or(|at| at.elapsed() >= SPEAK_EVERY) {
                    let seen = self.seen_lately();
                    tracing::info!(event = "waiting_for_devices", round, needed, seen);
                    spoken = Some(Instant::now());
                }
                sleep(LOOK_EVERY).await;
            }
        };
        runtime.block_on(async {
            tokio::select! {
                () = come => true,
                () = self.shutdown.drain.cancelled() => false,
            }
        })
    }

    /// Tells the operator why devices refused their last tickets, where enough of them did.
    pub(super) fn report_refusals(&self) {
        let now = (self.now)();
        let (seen, refusals) = {
            let census = self.census();
            (census.recent(now), census.refusals(now))
        };
        for (reason, devices) in refusals {
            let percent = (100 * devices).checked_div(seen).unwrap_or(100);
            tracing::warn!(
                event = "tickets_refused",
                reason = reason.as_str(),
                devices,
                percent
            );
        }
    }

    fn seen_lately(&self) -> u64 {
        self.census().recent((self.now)())
    }
}
