//! Takes contributions: gather, fold, checkpoint, acknowledge.

use std::time::Duration;

use tacit_round::coordinator::{Coordinator, Effect, Input, Verdict};
use tacit_types::ContributionId;
use tokio::runtime::Handle;

use super::Driver;
use crate::error::ServerError;
use crate::ingest::{Accepted, Arrival, Reply, gather};
use crate::storage::NewContribution;

/// Longest wait before the driver looks at clock and shutdown again.
const PATIENCE: Duration = Duration::from_millis(200);

impl Driver {
    /// One turn of reporting: gather what has arrived, fold it, and write a checkpoint. Gives the
    /// machine's next input.
    pub(super) fn report(
        &mut self,
        runtime: &Handle,
        mut state: Coordinator,
    ) -> Result<(Coordinator, Input), ServerError> {
        let lost = self.board.open().and_then(|round| round.lost());
        if let Some(reason) = lost {
            return Ok((state, Input::HelperRefused(reason)));
        }
        let arrived = gather(runtime, &mut self.arrivals, PATIENCE);
        if arrived.is_empty() {
            return Ok((state, self.tick()));
        }

        let mut fresh = Vec::new();
        for arrival in arrived {
            let (next, verdict) = self.decide(state, &arrival);
            state = next;
            fresh.extend(self.carry_out(verdict, arrival)?);
        }

        let ids = fresh.iter().map(|one| one.contribution.id).collect();
        let devices: Vec<_> = fresh
            .iter()
            .map(|one| one.contribution.device)
            .collect();
        if !fresh.is_empty() {
            let sum = self.in_hand()?.sum.to_bytes();
            self.store.checkpoint(fresh, sum).wait()?;
        }
        if let Some(round) = self.board.open() {
            devices
                .into_iter()
                .for_each(|device| round.answered(device));
        }
        Ok((state, Input::Durable(ids)))
    }

    /// Asks the machine, unless the upload was for another round than the open one.
    fn decide(&self, state: Coordinator, arrival: &Arrival) -> (Coordinator, Verdict) {
        let current = self
            .open
            .as_ref()
            .is_some_and(|round| round.ticket.hash() == arrival.ticket);
        if !current {
            return (state, Verdict::Late);
        }
        let arrived = Input::Arrived(arrival.contribution);
        let (state, effect) = state.handle(arrived, (self.now)());
        match effect {
            Some(Effect::Decide(_, verdict)) => (state, verdict),
            _ => (state, Verdict::Late),
        }
    }

    /// Folds or answers one upload; what was folded belongs in the next checkpoint.
    fn carry_out(
        &mut self,
        verdict: Verdict,
        arrival: Arrival,
    ) -> Result<Option<NewContribution>, ServerError> {
        match verdict {
            Verdict::Fold => {
                let round = self.in_hand()?;
                let Some((fresh, reply)) = arrival.fold(&mut round.sum) else {
                    let problem = "a contribution of the wrong length reached the driver";
                    return Err(ServerError::Internal(problem.into()));
                };
                round.waiting.push(reply);
                return Ok(Some(fresh));
            }
            // Its first copy is durable already or is in this turn's checkpoint.
            Verdict::Duplicate => self.in_hand()?.waiting.push(arrival.reply),
            Verdict::Late => answer(arrival.reply, Accepted::TooLate),
            Verdict::Conflict => {
                tracing::warn!(event = "conflicting_contribution");
                answer(arrival.reply, Accepted::Conflict);
            }
        }
        Ok(None)
    }

    /// Everybody who waits is in the checkpoint by now: each turn writes one before it asks for
    /// this.
    pub(super) fn acknowledge(&mut self, durable: &[ContributionId]) -> Result<(), ServerError> {
        let fresh = u32::try_from(durable.len()).unwrap_or(0);
        self.board.set_received(self.board.received() + fresh);
        for reply in std::mem::take(&mut self.in_hand()?.waiting) {
            answer(reply, Accepted::Yes);
        }
        Ok(())
    }
}

/// A handler that has gone away needs no answer: its device will send the same bytes again.
fn answer(reply: Reply, accepted: Accepted) {
    let _ = reply.send(accepted);
}
