//! Takes contributions: gather, fold, checkpoint, acknowledge.

use std::time::Duration;

use tacit_round::coordinator::{Coordinator, Effect, Input, Verdict};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::{Driver, no_round};
use crate::error::ServerError;
use crate::ingest::{Accepted, Arrival, gather};
use crate::store::NewContribution;

/// Longest wait before the driver looks at clock and shutdown again.
const PATIENCE: Duration = Duration::from_millis(200);

impl Driver {
    /// One turn of reporting: gather, fold, checkpoint, acknowledge.
    pub(super) fn report(
        &mut self,
        runtime: &Handle,
        mut state: Coordinator,
    ) -> Result<(Coordinator, Vec<Effect>), ServerError> {
        let arrived = gather(runtime, &mut self.arrivals, PATIENCE);
        if arrived.is_empty() {
            return Ok(state.handle(Input::Tick, (self.now)()));
        }
        let (mut fresh, mut waiting) = (Vec::new(), Vec::new());
        for arrival in arrived {
            let (next, verdict) = self.decide(state, &arrival);
            state = next;
            match verdict {
                Verdict::Fold => {
                    self.fold(&arrival)?;
                    fresh.push(NewContribution {
                        contribution: arrival.contribution,
                        sealed: arrival.sealed.to_vec(),
                    });
                    waiting.push(arrival.reply);
                }
                // Its first copy is durable already or is in this very checkpoint.
                Verdict::Duplicate => waiting.push(arrival.reply),
                Verdict::Late => answer(arrival.reply, Accepted::TooLate),
                Verdict::Conflict => {
                    tracing::warn!(event = "conflicting_contribution");
                    answer(arrival.reply, Accepted::Conflict);
                }
            }
        }
        if !fresh.is_empty() {
            let sum = self.in_hand()?.sum.to_bytes();
            self.store.checkpoint(&fresh, &sum)?;
        }
        let ids = fresh.iter().map(|one| one.contribution.id).collect();
        let (state, effects) = state.handle(Input::Durable(ids), (self.now)());
        self.board
            .set_received(self.board.received() + u32::try_from(fresh.len()).unwrap_or(0));
        waiting
            .into_iter()
            .for_each(|reply| answer(reply, Accepted::Yes));
        Ok((state, effects))
    }

    fn decide(&self, state: Coordinator, arrival: &Arrival) -> (Coordinator, Verdict) {
        let current = self
            .open
            .as_ref()
            .is_some_and(|round| round.signed.hash() == arrival.ticket);
        if !current {
            return (state, Verdict::Late);
        }
        let (state, effects) = state.handle(Input::Arrived(arrival.contribution), (self.now)());
        let verdict = effects.into_iter().find_map(|effect| match effect {
            Effect::Decide(_, verdict) => Some(verdict),
            _ => None,
        });
        (state, verdict.unwrap_or(Verdict::Late))
    }

    fn fold(&mut self, arrival: &Arrival) -> Result<(), ServerError> {
        let round = self.open.as_mut().ok_or_else(no_round)?;
        if round.sum.add(&arrival.masked) {
            Ok(())
        } else {
            Err(ServerError::Internal(
                "a contribution of the wrong length reached the driver".into(),
            ))
        }
    }
}

/// A handler that has gone away needs no answer: its device will send the same bytes again.
fn answer(reply: oneshot::Sender<Accepted>, accepted: Accepted) {
    let _ = reply.send(accepted);
}
