//! The coordinator half of a round: which contributions count, when the round closes, and in which
//! order it is recorded.
//!
//! ```text
//! Configuration -> Reporting -> Closing -> Release -> Closed
//!        \------------\------------\----------------> Abandoned(reason)
//! ```
//!
//! One phase a file under [`crate::phase`]. Devices are selected by checking in while the round
//! reports: a ticket is the same for all of them and must exist before the first can answer, so
//! there is no separate selection phase. [`crate::lease`] says who is selected. Vectors never enter
//! the machine; it decides by ids and digests, and the caller folds bytes when told to.

use tacit_types::{Commitment, ContributionId, DeviceId, Digest, Timestamp};

pub use crate::phase::closing::Closing;
pub use crate::phase::configuration::Configuration;
pub use crate::phase::release::Release;
pub use crate::phase::reporting::{Reporting, Verdict};
use crate::ticket::{ParsedTicket, SignedTicket, Ticket};

/// A round, as the coordinator decides it. A *driver* owns the rest: vectors, the partial sum,
/// connections, the disk and the clock.
///
/// # Calling contract
///
/// [`handle`](Self::handle) gives the next state and at most one [`Effect`]. The driver runs it
/// before it hands in anything else, so there is no queue and no order to agree on. An effect that
/// names an input leads to exactly that one, and it comes next:
///
/// - [`Effect::AskCountersign`]: make the round's number durable, ask the helper, and hand in
///   [`Input::Countersigned`] or [`Input::HelperRefused`].
/// - [`Effect::Open`]: make the ticket durable, then offer it. The round is now [`Reporting`].
/// - [`Effect::Decide`]: fold the contribution, keep its sender waiting, or turn it away.
/// - [`Effect::Acknowledge`]: answer the senders, and hand in [`Input::Tick`].
/// - [`Effect::AskHelper`]: make it durable that the set is closed, ask the helper, and hand in
///   [`Input::Answered`] or [`Input::HelperRefused`].
/// - [`Effect::Record`]: make the model durable, then the ledger line, and hand in
///   [`Input::Recorded`].
/// - [`Effect::RecordAbandoned`] and [`Effect::Publish`] end the round.
///
/// Only while [`Reporting`] does the driver wait for the network. It hands in [`Input::Arrived`]
/// for each complete contribution, makes the ids it folded and their sum durable in one commit, and
/// only then says [`Input::Durable`]. It hands in [`Input::Tick`] as often as it likes, with the
/// number of devices that are waited for: the first one after the ticket's deadline that finds the
/// set large enough and nobody waited for closes the round, and the first after its last call
/// whatever it finds. [`Input::HelperRefused`] ends it at once: without the helper's key nothing
/// will be opened, and nobody else should spend.
///
/// A question to the helper is repeated until it is answered; the same draft or set asked for twice
/// gets the same answer. An error of the disk ends the driver: nobody knows what it holds now.
///
/// After a crash no input is replayed; the disk says where to go on. Nothing: [`Self::configure`].
/// A ticket: [`Reporting::resume`] with the contributions that were durable. A closed set:
/// [`Closing::start`], which asks again. A ledger line: the round is over, and at most the pointer
/// to the current model is behind.
#[derive(Debug)]
pub enum Coordinator {
    /// Waiting for the helper's countersignature.
    Configuration(Configuration),
    /// Taking contributions.
    Reporting(Reporting),
    /// Waiting for the helper's mask sum.
    Closing(Closing),
    /// The sum is open; the model and the ledger line are being made durable.
    Release(Release),
    /// Recorded and published.
    Closed,
    /// Gave nothing; the spend stays.
    Abandoned(String),
}

/// What can happen.
#[derive(Debug)]
pub enum Input {
    /// The helper filled in its key and signed; the coordinator signed too.
    Countersigned(SignedTicket),
    /// A complete, admitted contribution arrived.
    Arrived(Contribution),
    /// These contributions and the sum that holds them are durable.
    Durable(Vec<ContributionId>),
    /// Time passed, or contributions were acknowledged: the round may close.
    Tick {
        /// Devices that were selected, may still send, and have not
        /// ([`crate::lease::Leases::awaited`]).
        awaited: usize,
    },
    /// The helper answered for the asked set.
    Answered(Answer),
    /// The helper refuses for good.
    HelperRefused(String),
    /// The ledger line is durable.
    Recorded,
}

/// What identifies one contribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// Who, from the certificate.
    pub device: DeviceId,
    /// Its name in this round.
    pub id: ContributionId,
    /// Commitment to its masked bytes.
    pub commitment: Commitment,
}

/// The helper's answer, checked for signature by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Set it answered for.
    pub set_digest: Digest,
    /// Number of contributions in it.
    pub contributors: u32,
}

/// What the caller must do.
#[derive(Debug, PartialEq)]
pub enum Effect {
    /// Ask the helper to countersign this draft.
    AskCountersign(Box<Ticket>),
    /// Make the round durable and offer this ticket.
    Open(Box<ParsedTicket>),
    /// What to do with a contribution that arrived.
    Decide(ContributionId, Verdict),
    /// Tell these devices that theirs is counted.
    Acknowledge(Vec<ContributionId>),
    /// Fence every writer, make the set digest durable, then ask the helper for exactly this set.
    AskHelper(Vec<ContributionId>),
    /// Open the sum, make and store the model, append the ledger line.
    Record(Answer),
    /// Append an abandoned line and tell the helper to erase its key.
    RecordAbandoned(String),
    /// Move the current pointer.
    Publish,
}

impl Coordinator {
    /// Starts a round for `cohort` devices from a draft ticket.
    pub fn configure(draft: Ticket, cohort: u32) -> (Self, Option<Effect>) {
        let ask = Effect::AskCountersign(Box::new(draft.clone()));
        let phase = Configuration::new(draft, cohort);
        (Self::Configuration(phase), Some(ask))
    }

    /// One step. Inputs that do not fit the phase change nothing.
    #[must_use]
    pub fn handle(self, input: Input, now: Timestamp) -> (Self, Option<Effect>) {
        match self {
            Self::Configuration(phase) => phase.handle(input),
            Self::Reporting(phase) => phase.handle(input, now),
            Self::Closing(phase) => phase.handle(input),
            Self::Release(phase) => phase.handle(input),
            ended @ (Self::Closed | Self::Abandoned(_)) => (ended, None),
        }
    }

    pub(crate) fn abandon(reason: String) -> (Self, Option<Effect>) {
        let record = Effect::RecordAbandoned(reason.clone());
        (Self::Abandoned(reason), Some(record))
    }
}
