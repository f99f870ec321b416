//! The device half of a round: a pure machine from ticket to acknowledgement.
//!
//! ```text
//! Idle --Offered--> Judging --Plausible--> Reserving --Reserved--> Contributing --Spooled-->
//! Sending --Acknowledged/TooLate--> Done
//! ```
//!
//! Nothing here reads a clock, draws noise or touches storage. [`Device`] says how it is driven.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tacit_privacy::Refusal;
use tacit_types::{RoundId, TaskId, Timestamp};

use crate::continuity::Continuity;
use crate::policy::{FactorFault, LogMark, Policy, TicketRefusal};
use crate::ticket::{ParsedTicket, SignedTicket, Ticket};

/// Durable status of one (task, round) in the device ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Spent; bytes not yet made. After a restart this means forfeited.
    Reserved,
    /// Final bytes are durable and will be sent until acknowledged or too late.
    Spooled,
    /// The coordinator has it.
    Acknowledged,
    /// Spent and, as far as this device knows, counted in no sum: never sent, sent and not taken,
    /// or never acknowledged before the deadline.
    Forfeited,
}

/// A round, as one device lives it. A *driver* owns the rest: storage, connection, model, permit
/// and the bytes to send.
///
/// # Calling contract
///
/// [`handle`](Self::handle) gives the next state and at most one [`Effect`]. The driver runs it
/// before it hands in anything else, and then hands in what it led to:
///
/// - [`Effect::Judge`]: fetch the model and look at it; [`Input::Plausible`] or
///   [`Input::Implausible`]. Nothing has been spent yet.
/// - [`Effect::Reserve`]: ask the ledger, and make the reservation and the mark durable in one
///   commit; [`Input::Reserved`] or [`Input::Refused`].
/// - [`Effect::Contribute`]: make the final bytes, with noise and mask, and make them durable;
///   [`Input::Spooled`].
/// - [`Effect::Send`]: send what is spooled; [`Input::Acknowledged`], [`Input::TooLate`] or
///   [`Input::Unreachable`].
/// - [`Effect::Remember`] and [`Effect::Finish`]: make it durable. They lead to nothing, and the
///   round is over.
///
/// Without an effect a round that is not [`Self::Done`] waits: come back later, with
/// [`Self::restore`].
///
/// Once [`Input::Reserved`] was handed in, whatever happens the device tries to send: silence must
/// not depend on what its owner did. Until then any error may simply end the attempt.
///
/// After a crash, or an error of storage, no input is replayed. The device ledger's [`Status`] of
/// (task, round) is all that must survive, and [`Self::restore`] goes on from it: with nothing
/// written the round was never begun; reserved, it is forfeited, because noise is drawn once;
/// spooled, the same bytes are sent again until they are acknowledged or too late.
#[derive(Debug)]
pub enum Device {
    /// Nothing to do.
    Idle,
    /// A ticket was accepted; its model is being judged.
    Judging(Arc<Accepted>),
    /// The model is plausible; the spend is being made durable.
    Reserving(Arc<Accepted>),
    /// Spent; the contribution is being computed and spooled.
    Contributing(Arc<Accepted>),
    /// Final bytes are durable and being sent, again and again the same.
    Sending(TaskId, RoundId),
    /// This round is over for this device.
    Done(Outcome),
}

/// How a round ended for one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Counted exactly once.
    Acknowledged,
    /// Spent, but the round closed first.
    TooLate,
    /// Spent, but stopped before the bytes were durable; never redrawn.
    Forfeited,
    /// The ticket was refused; nothing spent.
    TicketRefused(TicketRefusal),
    /// The device ledger refused; nothing spent.
    SpendRefused(Refusal),
}

/// A ticket with what the device needs to judge it.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The ticket, as [`Device::read`] gives it.
    pub ticket: ParsedTicket,
    /// The newest ledger point this device remembers.
    pub seen: LogMark,
    /// What the coordinator shows of the ticket's ledger: that it goes on from the point seen.
    pub shown: Continuity,
}

/// A ticket this device's policy agrees to.
#[derive(Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The ticket.
    pub ticket: ParsedTicket,
    /// The ledger point remembered before; its model is what the ticket's is compared with.
    pub seen: LogMark,
    /// The ledger point to remember from the spend on.
    pub mark: LogMark,
}

/// What can happen.
#[derive(Debug)]
pub enum Input {
    /// A ticket arrived.
    Offered(Box<Offer>),
    /// The model the ticket names is one to take part with.
    Plausible,
    /// The model the ticket names is not.
    Implausible(FactorFault),
    /// The ledger reserved the spend durably.
    Reserved,
    /// The ledger said no.
    Refused(Refusal),
    /// The final bytes are durable.
    Spooled,
    /// The coordinator acknowledged.
    Acknowledged,
    /// The coordinator will not take it any more, or the ticket's deadline has passed.
    TooLate,
    /// The connection broke or the coordinator is away.
    Unreachable,
}

/// What the caller must do.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Fetch the model the ticket names and judge it.
    Judge(Arc<Accepted>),
    /// Make the spend and the ledger mark durable, in one commit.
    Reserve(Arc<Accepted>),
    /// Compute, privatise, mask, seal and spool.
    Contribute(Arc<Accepted>),
    /// Send the spooled bytes.
    Send(TaskId, RoundId),
    /// Make this point of the task's ledger durable, without a spend.
    Remember(TaskId, LogMark),
    /// Mark the round's status and erase the spool.
    Finish(TaskId, RoundId, Status),
}

impl Device {
    /// Reads a ticket before anything is asked about it; it is not believed yet.
    ///
    /// # Errors
    /// [`TicketRefusal::Signature`] for unreadable bytes that nobody signed. For unreadable bytes
    /// that both parties signed, [`TicketRefusal::UnknownKind`] if they are a ticket of a kind to
    /// come, else [`TicketRefusal::Unreadable`].
    pub fn read(signed: SignedTicket, policy: &Policy) -> Result<ParsedTicket, TicketRefusal> {
        let genuine =
            |signed: &SignedTicket| signed.verifies(&policy.coordinator_key, &policy.helper_key);
        ParsedTicket::parse(signed.clone()).map_err(|unreadable| {
            if !genuine(&signed) {
                TicketRefusal::Signature
            } else if Ticket::is_of_unknown_kind(&signed.bytes) {
                TicketRefusal::UnknownKind
            } else {
                unreadable.into()
            }
        })
    }

    /// Resumes from the ledger's status after a restart.
    pub fn restore(task: TaskId, round: RoundId, status: Status) -> (Self, Option<Effect>) {
        match status {
            Status::Reserved => {
                let forfeit = Effect::Finish(task, round, Status::Forfeited);
                (Self::Done(Outcome::Forfeited), Some(forfeit))
            }
            Status::Spooled => {
                let send = Effect::Send(task.clone(), round);
                (Self::Sending(task, round), Some(send))
            }
            Status::Acknowledged => (Self::Done(Outcome::Acknowledged), None),
            Status::Forfeited => (Self::Done(Outcome::Forfeited), None),
        }
    }

    /// One step. Inputs that do not fit the state change nothing.
    #[must_use]
    pub fn handle(self, input: Input, policy: &Policy, now: Timestamp) -> (Self, Option<Effect>) {
        match (self, input) {
            (Self::Idle, Input::Offered(offer)) => Self::offered(*offer, policy, now),

            (Self::Judging(accepted), Input::Plausible) => {
                let reserve = Effect::Reserve(accepted.clone());
                (Self::Reserving(accepted), Some(reserve))
            }
            (Self::Judging(_), Input::Implausible(fault)) => {
                let refused = TicketRefusal::Factors(fault);
                (Self::Done(Outcome::TicketRefused(refused)), None)
            }

            (Self::Reserving(accepted), Input::Reserved) => {
                let contribute = Effect::Contribute(accepted.clone());
                (Self::Contributing(accepted), Some(contribute))
            }
            (Self::Reserving(accepted), Input::Refused(refusal)) => {
                let remember = accepted.mark_without_spend();
                (Self::Done(Outcome::SpendRefused(refusal)), remember)
            }

            (Self::Contributing(accepted), Input::Spooled) => {
                let ticket = accepted.ticket.content();
                let send = Effect::Send(ticket.task.clone(), ticket.round);
                (Self::Sending(ticket.task.clone(), ticket.round), Some(send))
            }

            (Self::Sending(task, round), Input::Acknowledged) => {
                let finish = Effect::Finish(task, round, Status::Acknowledged);
                (Self::Done(Outcome::Acknowledged), Some(finish))
            }
            (Self::Sending(task, round), Input::TooLate) => {
                let finish = Effect::Finish(task, round, Status::Forfeited);
                (Self::Done(Outcome::TooLate), Some(finish))
            }

            (state, _) => (state, None),
        }
    }

    fn offered(offer: Offer, policy: &Policy, now: Timestamp) -> (Self, Option<Effect>) {
        let Offer {
            ticket,
            seen,
            shown,
        } = offer;
        match policy.check(&ticket, seen, &shown, now) {
            Ok(mark) => {
                let accepted = Arc::new(Accepted { ticket, seen, mark });
                (
                    Self::Judging(accepted.clone()),
                    Some(Effect::Judge(accepted)),
                )
            }
            Err(refusal) => (Self::Done(Outcome::TicketRefused(refusal)), None),
        }
    }
}

impl Accepted {
    /// What is remembered of a ticket whose spend was refused. Its model is not kept, so the next
    /// one is still judged against the one before; of a task this device never took part in there
    /// is nothing to remember.
    fn mark_without_spend(&self) -> Option<Effect> {
        let mark = LogMark {
            model: self.seen.model,
            ..self.mark
        };
        let task = self.ticket.content().task.clone();
        (self.seen.size > 0).then_some(Effect::Remember(task, mark))
    }
}
