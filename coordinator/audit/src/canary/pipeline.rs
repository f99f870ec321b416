//! The seam of the audit: what turns a device's vector into a contribution, and the code that
//! really does.

use std::collections::HashMap;

use tacit_privacy::ledger::spend;
use tacit_privacy::noise::TableCache;
use tacit_privacy::{DeviceBudget, MemoryLedger, Refusal, Rho};
use tacit_round::commitment::CommitmentKey;
use tacit_round::contribute::{ContributeError, SealedUpdate, contribute};
use tacit_round::rehearsal::{OpenError, Rehearsal, Sums};
use tacit_round::ticket::Ticket;
use tacit_types::{ContributionId, ItemGradient, Timestamp};

/// What one device sends, as it goes over the wire.
#[derive(Clone, Debug)]
pub struct Contribution {
    /// Name of the contribution.
    pub id: ContributionId,
    /// Masked ring elements, little-endian.
    pub masked: Vec<u8>,
    /// Key of the commitment the seal is bound to.
    pub commitment_key: CommitmentKey,
    /// Seed of the mask, sealed to the ticket's key.
    pub sealed: Vec<u8>,
}

impl From<&SealedUpdate> for Contribution {
    fn from(update: &SealedUpdate) -> Self {
        Self {
            id: update.contribution(),
            masked: update.masked().to_vec(),
            commitment_key: update.commitment_key().clone(),
            sealed: update.sealed().to_vec(),
        }
    }
}

/// The devices of a federation, as the auditor meets them.
pub trait Pipeline {
    /// Makes device `device`'s contribution to a round from its unprotected vector.
    ///
    /// # Errors
    /// [`PipelineError::Refused`] when the device must not release, as in a round it has answered.
    fn contribute(
        &mut self,
        ticket: &Ticket,
        device: u32,
        vector: ItemGradient,
    ) -> Result<Contribution, PipelineError>;
}

/// Why there is no contribution, or none that can be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The device's ledger refuses the release.
    #[error("a device refuses: {0}")]
    Refused(#[from] Refusal),
    /// No final bytes can be made.
    #[error(transparent)]
    Unmade(#[from] ContributeError),
    /// The coordinator cannot add the contribution, or the helper cannot open its seal.
    #[error(transparent)]
    Unopened(#[from] OpenError),
}

/// The real pipeline: the ledger rule, one ledger a device, and [`contribute`], by which every
/// installation makes its final bytes.
#[derive(Default)]
pub struct Devices {
    ledgers: HashMap<u32, MemoryLedger>,
    tables: TableCache,
}

impl Pipeline for Devices {
    fn contribute(
        &mut self,
        ticket: &Ticket,
        device: u32,
        vector: ItemGradient,
    ) -> Result<Contribution, PipelineError> {
        let Ok(permit) = spend(
            self.ledgers.entry(device).or_default(),
            DeviceBudget::lifetime(Rho::MAX),
            &ticket.task,
            ticket.round,
            ticket.hash(),
            &ticket.mechanism,
            Timestamp(0),
        );
        let table = self.tables.get(&ticket.mechanism);
        let sent = contribute(ticket, permit?, vector, &table, None)?;
        Ok(Contribution::from(&sent))
    }
}

/// Adds a contribution as both parties do and gives its share in the clear, in grid steps: what no
/// party of a round over the wire ever sees.
pub(super) fn add(sums: &mut Sums<'_>, sent: &Contribution) -> Result<Vec<i32>, PipelineError> {
    Ok(sums.add(sent.id, &sent.masked, &sent.commitment_key, &sent.sealed)?)
}

/// One share in the clear.
pub(super) fn open_one(round: &Rehearsal, sent: &Contribution) -> Result<Vec<i32>, PipelineError> {
    add(&mut round.nothing(), sent)
}
