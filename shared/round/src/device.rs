//! The device half of a round: a pure machine from ticket to acknowledgement.
//!
//! ```text
//! Idle --Offered--> Reserving --Reserved--> Contributing --Spooled--> Sending
//!                                            Sending --Acknowledged/TooLate--> Done
//! ```
//!
//! The caller runs each effect and reports back; nothing here reads a clock, draws noise or touches
//! storage. What must survive a crash is the device ledger's status of (task, round);
//! [`Device::restore`] resumes from it.

use serde::{Deserialize, Serialize};
use tacit_privacy::Refusal;
use tacit_types::{Digest, RoundId, TaskId, Timestamp};

use crate::policy::{FactorFault, LogMark, Policy, TicketRefusal};
use crate::ticket::{SignedTicket, Ticket};

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

/// Where a device stands.
#[derive(Debug)]
pub enum Device {
    /// Nothing to do.
    Idle,
    /// A ticket was accepted; the spend is being made durable.
    Reserving(Box<Ticket>),
    /// Spent; the contribution is being computed and spooled.
    Contributing(Box<Ticket>),
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
    /// The ticket.
    pub signed: SignedTicket,
    /// The newest ledger point this device remembers.
    pub seen: LogMark,
    /// Proof that the ticket's ledger continues the one seen; empty when it is the same or nothing
    /// was seen.
    pub consistency: Vec<Digest>,
}

/// What can happen.
#[derive(Debug)]
pub enum Input {
    /// A ticket arrived.
    Offered(Box<Offer>),
    /// The ledger reserved the spend durably.
    Reserved,
    /// The ledger said no.
    Refused(Refusal),
    /// The model the ticket names is implausible.
    Implausible(FactorFault),
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
    /// Look at the model, remember the ledger mark and make the spend durable.
    Reserve(Box<Ticket>, LogMark),
    /// Compute, privatise, mask, seal and spool.
    Contribute(Box<Ticket>),
    /// Send the spooled bytes.
    Send(TaskId, RoundId),
    /// Mark the round's status and erase the spool.
    Finish(TaskId, RoundId, Status),
    /// Come back later.
    Wait,
}

impl Device {
    /// Resumes from the ledger's status after a restart.
    pub fn restore(task: TaskId, round: RoundId, status: Status) -> (Self, Vec<Effect>) {
        match status {
            Status::Reserved => {
                let forfeit = Effect::Finish(task, round, Status::Forfeited);
                (Self::Done(Outcome::Forfeited), vec![forfeit])
            }
            Status::Spooled => (
                Self::Sending(task.clone(), round),
                vec![Effect::Send(task, round)],
            ),
            Status::Acknowledged => (Self::Done(Outcome::Acknowledged), vec![]),
            Status::Forfeited => (Self::Done(Outcome::Forfeited), vec![]),
        }
    }

    /// One step. Inputs that do not fit the state change nothing.
    #[must_use]
    pub fn handle(self, input: Input, policy: &Policy, now: Timestamp) -> (Self, Vec<Effect>) {
        match (self, input) {
            (Self::Idle, Input::Offered(offer)) => {
                match policy.check(&offer.signed, offer.seen, &offer.consistency, now) {
                    Ok((ticket, mark)) => {
                        let ticket = Box::new(ticket);
                        (
                            Self::Reserving(ticket.clone()),
                            vec![Effect::Reserve(ticket, mark)],
                        )
                    }
                    Err(refusal) => (Self::Done(Outcome::TicketRefused(refusal)), vec![]),
                }
            }
            (Self::Reserving(ticket), Input::Reserved) => (
                Self::Contributing(ticket.clone()),
                vec![Effect::Contribute(ticket)],
            ),
            (Self::Reserving(_), Input::Implausible(fault)) => (
                Self::Done(Outcome::TicketRefused(TicketRefusal::Factors(fault))),
                vec![],
            ),
            (Self::Reserving(_), Input::Refused(refusal)) => {
                (Self::Done(Outcome::SpendRefused(refusal)), vec![])
            }
            (Self::Contributing(ticket), Input::Spooled) => {
                let send = Effect::Send(ticket.task.clone(), ticket.round);
                (Self::Sending(ticket.task, ticket.round), vec![send])
            }
            (Self::Sending(task, round), Input::Acknowledged) => (
                Self::Done(Outcome::Acknowledged),
                vec![Effect::Finish(task, round, Status::Acknowledged)],
            ),
            (Self::Sending(task, round), Input::TooLate) => (
                Self::Done(Outcome::TooLate),
                vec![Effect::Finish(task, round, Status::Forfeited)],
            ),
            (state @ Self::Sending(..), Input::Unreachable) => (state, vec![Effect::Wait]),
            (state, _) => (state, vec![]),
        }
    }
}
