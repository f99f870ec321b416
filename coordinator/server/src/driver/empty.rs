//! A round that nobody entered costs its task nothing, once the helper has certified that
//! (PRIVACY.md, section 11, rule 2).

use tacit_privacy::Rho;
use tacit_privacy::record::{Empty, Event};
use tacit_round::keys::SignatureBytes;
use tacit_round::nobody_entered::NobodyEntered;
use tacit_round::policy::FREE_ROUNDS_MAX;
use tokio::runtime::Handle;

use super::ask::Asked;
use super::{Driver, RoundInHand};
use crate::error::ServerError;
use crate::storage::Recorded;

/// What the helper said of a round that has no contribution.
pub(super) enum Entered {
    /// That nobody entered it, under its signature.
    Nobody(NobodyEntered, SignatureBytes),
    /// Somebody may have: it stays charged.
    Perhaps,
    /// Nothing yet: the daemon stops first.
    Unknown,
}

impl Driver {
    /// Ends the round at the helper, and asks whether anybody ever entered it. A helper that is
    /// away is waited for, so it is durable first that the round is over: after a restart it is
    /// offered to nobody.
    ///
    /// Devices refuse a task with more free rounds than their policy allows. Those that come after
    /// are charged, and not certified: the helper would count them.
    pub(super) fn ask_entered(
        &mut self,
        runtime: &Handle,
        round: &RoundInHand,
    ) -> Result<Entered, ServerError> {
        if self.ledger.free_rounds() >= self.free_rounds_max() {
            return Ok(Entered::Perhaps);
        }
        self.store.close_round().wait()?;
        let (helper, ticket) = (self.helper.clone(), round.ticket.hash());
        let asked = self.until_answered(runtime, || helper.certify_empty(ticket))?;
        Ok(match asked {
            Asked::Answer(Some((certificate, by))) => Entered::Nobody(certificate, by),
            Asked::Answer(None) => Entered::Perhaps,
            Asked::Refused(problem) => {
                tracing::warn!(event = "round_not_certified", problem);
                Entered::Perhaps
            }
            Asked::Stopped => Entered::Unknown,
        })
    }

    /// The line of a round that nobody entered, which ends it.
    pub(super) fn record_empty(
        &mut self,
        round: &RoundInHand,
        reason: &str,
        certificate: NobodyEntered,
        by: SignatureBytes,
    ) -> Result<(), ServerError> {
        let ticket = round.ticket.content();
        let free_rounds = self.ledger.free_rounds() + 1;
        let empty = Event::Empty(Empty {
            task: ticket.task.clone(),
            round: ticket.round,
            ticket_hash: round.ticket.hash(),
            ticket_rho: ticket.mechanism.rho(),
            free_rounds,
            reason: reason.to_owned(),
            helper_generation: certificate.generation,
            certificate: by.to_string(),
        });
        let (line, bytes) = self.ledger.next(empty, (self.now)())?;
        let recorded = Recorded {
            seq: line.seq,
            line: bytes.clone(),
            rho: Rho::ZERO,
            helper: None,
        };
        self.store.record(recorded).wait()?;
        self.ledger.note(line, bytes);
        tracing::info!(
            event = "round_cost_nothing",
            round = ticket.round.0,
            free_rounds
        );
        self.store.end_round().wait()
    }

    pub(super) fn free_rounds_max(&self) -> u32 {
        let policy = self.policy.get();
        policy
            .as_ref()
            .as_ref()
            .map_or(FREE_ROUNDS_MAX, |policy| policy.free_rounds_max)
    }
}
