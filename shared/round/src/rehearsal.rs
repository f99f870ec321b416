//! A round in one process, for whoever plays every party: the auditor's canaries and the exact
//! simulation.
//!
//! Ticket, seals, masks and both sums are real. Left out are the signatures and the ledger line, so
//! every policy refuses a rehearsal's ticket and no installation answers it.

use rand::CryptoRng;
use tacit_privacy::Mechanism;
use tacit_privacy::record::TreeHead;
use tacit_types::{Commitment, ContributionId, Digest, Kind, RoundId, TaskId, Timestamp};

use crate::commitment::{CommitmentKey, commit};
use crate::head::{LoggedLine, SignedHead};
use crate::keys::SignatureBytes;
use crate::mask::PartialSum;
use crate::seal::{Binding, MaskSeed, Opener, OpeningKey, SCHEME_ID, SealError};
use crate::ticket::{SCHEMA, Ticket};

/// The end of the year 9999: a rehearsal is never late.
const NEVER: Timestamp = Timestamp(253_402_300_799_999);

/// One round: the ticket devices answer, and the helper's key that opens what they seal.
pub struct Rehearsal {
    ticket: Ticket,
    hash: Digest,
    key: OpeningKey,
}

/// Why a contribution is not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It has another length than was asked for.
    #[error("a contribution has the wrong length")]
    WrongLength,
    /// The helper cannot open its seal.
    #[error(transparent)]
    Sealed(#[from] SealError),
}

impl Rehearsal {
    /// Opens a round whose helper key comes from the caller's generator.
    ///
    /// `hold_out` is [`Ticket::hold_out`].
    pub fn new(
        task: TaskId,
        round: RoundId,
        kind: Kind,
        mechanism: Mechanism,
        hold_out: bool,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let key = OpeningKey::draw(rng);
        let ticket = Ticket {
            schema: SCHEMA,
            scheme_id: SCHEME_ID,
            task,
            round,
            kind,
            model_in_hash: Digest([0; 32]),
            logged: unlogged(),
            mechanism,
            dishonest_milli: 0,
            dropout_milli: 0,
            delta_pico: 0,
            membership: false,
            hold_out,
            free_rounds: 0,
            deadline: NEVER,
            latest_deadline: NEVER,
            sealing_key: hex::encode(key.sealing_key()),
        };
        let hash = ticket.hash();
        Self { ticket, hash, key }
    }

    /// What devices are asked for.
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// Hash of the ticket.
    pub fn ticket_hash(&self) -> Digest {
        self.hash
    }

    /// The sums of no contribution.
    pub fn nothing(&self) -> Sums<'_> {
        let empty = PartialSum::new(self.ticket.mechanism.sent_length());
        Sums {
            round: self,
            masked: empty.clone(),
            masks: empty,
        }
    }

    /// Opens a seal as the helper does.
    fn open(
        &self,
        contribution: ContributionId,
        commitment: Commitment,
        sealed: &[u8],
    ) -> Result<MaskSeed, SealError> {
        let binding = Binding {
            task: &self.ticket.task,
            round: self.ticket.round,
            ticket: self.hash,
            length: self.ticket.mechanism.sent_length(),
            contribution,
            commitment,
        };
        self.key.open(sealed, &binding).map(|(seed, _)| seed)
    }
}

/// The coordinator's sum of masked bytes beside the helper's sum of masks.
pub struct Sums<'a> {
    round: &'a Rehearsal,
    masked: PartialSum,
    masks: PartialSum,
}

impl Sums<'_> {
    /// Adds a contribution to both sums and gives its share in the clear, in grid steps, which no
    /// party of a round over the wire ever sees.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is added then.
    pub fn add(
        &mut self,
        contribution: ContributionId,
        masked: &[u8],
        commitment_key: &CommitmentKey,
        sealed: &[u8],
    ) -> Result<Vec<i32>, OpenError> {
        let committed = commit(commitment_key, masked);
        let seed = self.round.open(contribution, committed, sealed)?;
        let ticket = &self.round.ticket;
        let mut mask = PartialSum::new(ticket.mechanism.sent_length());
        mask.add_mask(&seed, &ticket.task, ticket.round, contribution);
        let masked = PartialSum::from_bytes(masked).ok_or(OpenError::WrongLength)?;
        let mut share = masked.unmask(&mask).ok_or(OpenError::WrongLength)?;
        share.truncate(ticket.mechanism.length as usize);
        self.merge(&Self {
            round: self.round,
            masked,
            masks: mask,
        });
        Ok(share)
    }

    /// Adds the sums of other contributions to the same round.
    ///
    /// # Panics
    /// If they belong to a round of another length.
    pub fn merge(&mut self, other: &Self) {
        assert!(
            self.masked.merge(&other.masked) && self.masks.merge(&other.masks),
            "sums of one round have one length"
        );
    }

    /// The sum in the clear, in grid steps.
    pub fn open(&self) -> Vec<i32> {
        let opened = self.masked.unmask(&self.masks);
        let mut sum = opened.expect("both sums have the round's length");
        sum.truncate(self.round.ticket.mechanism.length as usize);
        sum
    }
}

/// A line in no ledger, under a head nobody signed.
fn unlogged() -> LoggedLine {
    let nobody = SignatureBytes([0; 64]);
    let head = TreeHead {
        ledger_id: Digest([0; 32]),
        generation: 0,
        size: 0,
        root: Digest([0; 32]),
        helper_size: 0,
        helper_last_hash: Digest([0; 32]),
    };
    LoggedLine {
        line: String::new(),
        seq: 0,
        proof: Vec::new(),
        head: SignedHead {
            head,
            coordinator_signature: nobody,
            helper_signature: nobody,
        },
    }
}
