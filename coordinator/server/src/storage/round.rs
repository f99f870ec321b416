//! The open round: its phase, its ticket, and what was contributed to it.

use tacit_round::coordinator::Contribution;
use tacit_round::helper::SealedSeed;
use tacit_round::lease::Lease;
use tacit_round::ticket::SignedTicket;
use tacit_types::{DeviceId, Digest, Timestamp};

use super::Answer;

/// How far the open round is, as far as recovery needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Taking contributions.
    Open,
    /// The set is fixed.
    Closing,
    /// Its ledger line is durable; publication may be missing.
    Recorded,
}

/// The round that was open when the process stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRound {
    /// How far it is.
    pub phase: Phase,
    /// What devices were offered.
    pub ticket: SignedTicket,
    /// When it opened.
    pub opened: Timestamp,
}

/// A new contribution of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewContribution {
    /// Who and what.
    pub contribution: Contribution,
    /// Sealed mask seed, for the helper.
    pub sealed: Vec<u8>,
}

/// The open round of one task; there is at most one.
pub trait RoundStore: Send + Sync {
    /// The open round.
    fn round(&self) -> Answer<Option<StoredRound>>;

    /// Makes a new round durable before its ticket is offered, and keeps the ticket for auditors.
    /// An error when a round is open.
    fn open_round(&self, ticket: SignedTicket, opened: Timestamp) -> Answer<()>;

    /// Keeps a lease on a ticket, in place of the device's earlier one. A device hears of it only
    /// after this.
    fn keep_lease(&self, ticket: Digest, device: DeviceId, lease: Lease) -> Answer<()>;

    /// Every lease on a ticket.
    fn leases(&self, ticket: Digest) -> Answer<Vec<(DeviceId, Lease)>>;

    /// Checkpoint: new contributions and the sum that holds them, in one commit. Acknowledge only
    /// after this. An error, changing nothing, when a device or an id is there already.
    fn checkpoint(&self, new: Vec<NewContribution>, sum: Vec<u8>) -> Answer<()>;

    /// Fixes the set: nothing may be folded after this.
    fn close_round(&self) -> Answer<()>;

    /// The sum of the last checkpoint.
    fn partial(&self) -> Answer<Option<Vec<u8>>>;

    /// Every contribution of the open round with its sealed seed.
    fn contributions(&self) -> Answer<Vec<(Contribution, SealedSeed)>>;

    /// Forgets the round, its leases and everything contributed to it.
    fn end_round(&self) -> Answer<()>;
}
