//! The bytes of one contribution between the commit that makes them and the one that erases them.

use tacit_round::commitment::CommitmentKey;
use tacit_round::contribute::SealedUpdate;
use tacit_types::{Commitment, ContributionId, Digest, Timestamp};

use super::Pause;

/// Final bytes of one contribution, durable: the only thing that is sent.
///
/// [`Store::spool`](super::Store::spool) makes it from a [`SealedUpdate`] of a round this store has
/// reserved, or [`Store::spooled`](super::Store::spooled) reads it. So nothing is sent that is not
/// masked and sealed, or that could be made a second time after a crash:
///
/// ```
/// # use tacit_round::contribute::SealedUpdate;
/// # use tacit_sdk::{SdkError, Store, store::{Pause, Spooled}};
/// fn sent(store: &mut Store, update: &SealedUpdate) -> Result<Spooled, SdkError> {
///     store.spool(update, Pause::NONE)
/// }
/// ```
/// ```compile_fail,E0308
/// # use tacit_round::mask::MaskedUpdate;
/// # use tacit_sdk::{SdkError, Store, store::{Pause, Spooled}};
/// fn sent(store: &mut Store, update: &MaskedUpdate) -> Result<Spooled, SdkError> {
///     store.spool(update, Pause::NONE)
/// }
/// ```
/// ```compile_fail,E0277
/// # use tacit_round::contribute::SealedUpdate;
/// # use tacit_sdk::store::Spooled;
/// fn not_durable(update: SealedUpdate) -> Spooled {
///     update.into()
/// }
/// ```
/// ```
/// # use tacit_sdk::store::Spooled;
/// fn read(spooled: Spooled) -> Vec<u8> {
///     spooled.masked().to_vec()
/// }
/// ```
/// ```compile_fail,E0616
/// # use tacit_sdk::store::Spooled;
/// fn replaced(mut spooled: Spooled) {
///     spooled.masked = vec![];
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Spooled {
    pub(super) ticket: Digest,
    pub(super) contribution: ContributionId,
    pub(super) deadline: Timestamp,
    pub(super) pause: Pause,
    pub(super) sealed: Vec<u8>,
    pub(super) commitment_key: CommitmentKey,
    pub(super) commitment: Commitment,
    pub(super) masked: Vec<u8>,
}

impl Spooled {
    pub(super) fn of(update: &SealedUpdate, pause: Pause) -> Self {
        Self {
            ticket: update.ticket(),
            contribution: update.contribution(),
            deadline: update.deadline(),
            pause,
            sealed: update.sealed().to_vec(),
            commitment_key: update.commitment_key().clone(),
            commitment: update.commitment(),
            masked: update.masked().to_vec(),
        }
    }

    /// Hash of the ticket answered.
    pub fn ticket(&self) -> Digest {
        self.ticket
    }

    /// Name of the contribution.
    pub fn contribution(&self) -> ContributionId {
        self.contribution
    }

    /// The ticket's latest deadline: from then on these bytes are not sent any more.
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// The wait before these bytes are sent.
    pub fn pause(&self) -> Pause {
        self.pause
    }

    /// Sealed mask seed.
    pub fn sealed(&self) -> &[u8] {
        &self.sealed
    }

    /// Key of the commitment, for the coordinator only.
    pub fn commitment_key(&self) -> &CommitmentKey {
        &self.commitment_key
    }

    /// Commitment to [`Self::masked`].
    pub fn commitment(&self) -> Commitment {
        self.commitment
    }

    /// Masked ring elements, little-endian.
    pub fn masked(&self) -> &[u8] {
        &self.masked
    }
}
