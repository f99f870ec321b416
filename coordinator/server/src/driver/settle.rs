//! Tells the accounts of all tasks what this one counted: after each line that counts somebody, its
//! contributors; at a start, what a stop in between kept from them.
//!
//! Other coordinators write to the same file. Who finds it busy waits and asks again.

use std::time::Duration;

use tacit_privacy::Rho;
use tacit_privacy::canonical::digest;
use tacit_types::{DeviceId, Digest};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::Driver;
use crate::error::ServerError;
use crate::storage::{Answer, Phase};

/// Most devices of one commit, so that other tasks get their turn in between.
const PIECE: usize = 10_000;
/// Between two tries of accounts that are busy, each of which has waited itself.
const PAUSE: Duration = Duration::from_secs(1);

impl Driver {
    /// At a start: nothing is owed after a stop between two rounds, one round's contributors after
    /// one between its line and the accounts, and everything to accounts that are new or were
    /// restored from a copy. False when stopped first.
    pub(super) fn settle_owed(&self, runtime: &Handle) -> Result<bool, ServerError> {
        let mut charged = self.ledger.charged();
        let (newest, before) = (charged.next(), charged.next());
        let Some(newest) = newest else {
            return Ok(true);
        };
        let ask = || self.accounts.settled(self.task.clone());
        let Some(settled) = self.until_free(runtime, ask)? else {
            return Ok(false);
        };
        if settled == Some(newest) {
            return Ok(true);
        }

        let round = self.store.round().wait()?;
        // An empty round has a line that charges nothing: what is owed is another round's.
        let recorded = round.filter(|round| round.phase == Phase::Recorded);
        let of_newest = recorded.is_some_and(|round| {
            Some(digest(&round.ticket.bytes)) == self.ledger.newest_charged_ticket()
        });
        if of_newest && settled == before {
            return self.settle_round(runtime);
        }
        self.settle_all(runtime, newest)
    }

    /// After the line of a round, and before its contributions are forgotten. False when stopped
    /// first.
    pub(super) fn settle_round(&self, runtime: &Handle) -> Result<bool, ServerError> {
        let line = self.ledger.charged().next();
        let mut totals = self.store.totals_of_round().wait()?;
        while totals.len() > PIECE {
            let piece = totals.split_off(totals.len() - PIECE);
            if !self.settle(runtime, &piece, None)? {
                return Ok(false);
            }
        }
        self.settle(runtime, &totals, line)
    }

    fn settle_all(&self, runtime: &Handle, newest: Digest) -> Result<bool, ServerError> {
        tracing::info!(event = "accounts_repeated", task = %self.task);
        let mut after = None;
        loop {
            let totals = self.store.totals(after, PIECE).wait()?;
            after = totals.last().map(|(device, _)| *device);
            let line = after.is_none().then_some(newest);
            if !self.settle(runtime, &totals, line)? {
                return Ok(false);
            }
            if after.is_none() {
                return Ok(true);
            }
        }
    }

    fn settle(
        &self,
        runtime: &Handle,
        totals: &[(DeviceId, Rho)],
        line: Option<Digest>,
    ) -> Result<bool, ServerError> {
        let tell = || {
            let task = self.task.clone();
            self.accounts.settle(task, totals.to_vec(), line)
        };
        Ok(self.until_free(runtime, tell)?.is_some())
    }

    /// Repeats a call that another process holds up; `None` when the daemon stops first.
    pub(super) fn until_free<T>(
        &self,
        runtime: &Handle,
        call: impl Fn() -> Answer<T>,
    ) -> Result<Option<T>, ServerError> {
        loop {
            let problem = match call().wait() {
                Err(ServerError::StorageBusy(problem)) => problem,
                answered => return answered.map(Some),
            };
            tracing::warn!(
                event = "accounts_busy",
                problem,
                "another process holds the accounts of all tasks; the round waits for them"
            );
            let stopped = self.shutdown.drain.cancelled();
            if runtime
                .block_on(async { timeout(PAUSE, stopped).await })
                .is_ok()
            {
                return Ok(None);
            }
        }
    }
}
