//! How many devices a round selects, when they send, and how long they are waited for.

use tacit_round::coordinator::Input;
use tacit_round::lease::{self, Terms};
use tacit_round::ticket::Ticket;
use tacit_types::Timestamp;

use super::Driver;
use crate::error::ServerError;

/// Where the measured share of selected devices that stay away is kept, thousandths.
const DROPOUT: &str = "dropout_milli";
/// Weight of what was measured before against the newest round.
const SMOOTHING: u32 = 3;

/// Devices send within this part of the time the last round took. What a device computes takes a
/// second or less, so that a round of some minutes hides it; a round of seconds, on a test bench,
/// is not slowed down.
const SPREAD_OF_LAST: u64 = 256;
/// The same as part of the time to the deadline, while no round was seen.
const SPREAD_OF_DEADLINE: u64 = 1000;
const SPREAD_MIN_MS: u64 = 20;

/// A device is waited for during this part of the time to the deadline, so that several can take
/// the place of one that stays away.
const PATIENCE_OF_DEADLINE: u64 = 16;
const PATIENCE_MIN_MS: u64 = 2_000;
const PATIENCE_MAX_MS: u64 = 3_600_000;

impl Driver {
    /// The leases of a round that opened at `opened`.
    pub(super) fn terms(&self, ticket: &Ticket, opened: Timestamp) -> Result<Terms, ServerError> {
        let to_deadline = ticket.deadline.millis_since(opened);
        let spread_ms = match self.last_round_ms {
            Some(last) => last / SPREAD_OF_LAST,
            None => to_deadline / SPREAD_OF_DEADLINE,
        };
        let spread_max = to_deadline / PATIENCE_OF_DEADLINE;
        let patience = to_deadline / PATIENCE_OF_DEADLINE;

        let cohort = self.plan.cohort;
        let granted_max = ticket.mechanism.cohort_max;
        Ok(Terms {
            cohort,
            set_min: ticket.set_min(),
            places: lease::places(cohort, self.dropout_milli()?).min(granted_max),
            granted_max,
            spread_ms: spread_ms.min(spread_max).max(SPREAD_MIN_MS),
            patience_ms: patience.clamp(PATIENCE_MIN_MS, PATIENCE_MAX_MS),
            deadline: ticket.deadline,
            last_call: ticket.last_call(),
        })
    }

    /// What the machine hears as time passes.
    pub(super) fn tick(&self) -> Input {
        let now = (self.now)();
        let open = self.board.open();
        Input::Tick {
            awaited: open.map_or(0, |round| round.awaited(now)),
        }
    }

    /// Selects nobody else for the open round, and learns from it how many stay away and how long a
    /// round takes.
    pub(super) fn close_leases(&mut self) -> Result<(), ServerError> {
        let Some(round) = self.board.open() else {
            return Ok(());
        };
        self.last_round_ms = Some((self.now)().millis_since(round.opened));
        self.report_refusals();
        if let Some(measured) = round.close() {
            let before = self.dropout_milli()?;
            let smoothed = (SMOOTHING * before + measured) / (SMOOTHING + 1);
            self.store.set_meta(DROPOUT, &smoothed)?;
        }
        Ok(())
    }

    /// What was measured, or what the task assumes.
    fn dropout_milli(&self) -> Result<u32, ServerError> {
        let measured = self.store.meta::<u32>(DROPOUT)?;
        Ok(measured.unwrap_or(self.plan.dropout_milli).min(1000))
    }
}
