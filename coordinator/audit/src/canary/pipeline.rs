//! The seam of the audit: what turns a device's vector into a contribution, and the code that
//! really does.

use std::collections::HashMap;

use rand::TryRng;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use tacit_privacy::ledger::spend;
use tacit_privacy::{
    DeviceBudget, Mechanism, MemoryLedger, NoiseSeed, Refusal, Rho, canonical, clip,
    noise::NoiseTable, privatise,
};
use tacit_round::mask::{PartialSum, mask};
use tacit_round::seal::MaskSeed;
use tacit_types::{ContributionId, ItemGradient, RoundId, TaskId, Timestamp};

/// What every device of one round is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Task.
    pub task: TaskId,
    /// Round, never repeated.
    pub round: RoundId,
    /// Public numbers of the release.
    pub mechanism: Mechanism,
}

/// What one device sends: masked bytes for the coordinator, and the seed that reaches the helper
/// sealed.
#[derive(Debug)]
pub struct Contribution {
    /// Name of the contribution.
    pub id: ContributionId,
    /// Masked ring elements, little-endian.
    pub masked: Vec<u8>,
    /// Seed of the mask.
    pub seed: MaskSeed,
}

/// The devices of a federation, as the auditor meets them.
pub trait Pipeline {
    /// Makes device `device`'s contribution to a round from its unprotected vector.
    ///
    /// # Errors
    /// [`PipelineError::Refused`] when the device must not release, as in a round it has answered.
    fn contribute(
        &mut self,
        request: &Request,
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
    /// The operating system fails to give random bytes.
    #[error("the operating system gives no randomness")]
    NoRandomness,
    /// The contribution has another length than was asked for.
    #[error("a contribution has the wrong length")]
    WrongLength,
}

/// The real pipeline: clip, spend, round, add noise, mask; one ledger a device, in memory.
#[derive(Default)]
pub struct Devices {
    ledgers: HashMap<u32, MemoryLedger>,
    table: Option<NoiseTable>,
}

impl Pipeline for Devices {
    fn contribute(
        &mut self,
        request: &Request,
        device: u32,
        vector: ItemGradient,
    ) -> Result<Contribution, PipelineError> {
        let mechanism = &request.mechanism;
        let table = match self.table.take() {
            Some(table) if table.fits(mechanism) => self.table.insert(table),
            _ => self.table.insert(NoiseTable::new(mechanism)),
        };
        let ledger = self.ledgers.entry(device).or_default();
        let budget = DeviceBudget {
            rho_release_max: mechanism.rho(),
            ..DeviceBudget::lifetime(Rho::MAX)
        };
        // No ticket exists; the permit is bound to the round's name instead.
        let ticket = canonical::digest(&request.round.0.to_le_bytes());
        let permit = spend(
            ledger,
            budget,
            &request.task,
            request.round,
            ticket,
            mechanism,
            Timestamp(0),
        )
        .unwrap_or_else(|never| match never {})?;
        let seed = NoiseSeed::from_os().map_err(|_| PipelineError::NoRandomness)?;
        let update = privatise(clip(vector, mechanism), permit, table, seed);

        let mut id = [0; ContributionId::LEN];
        SysRng
            .try_fill_bytes(&mut id)
            .map_err(|_| PipelineError::NoRandomness)?;
        let id = ContributionId(id);
        // The operating system has just answered; it does not stop giving randomness later.
        let seed = MaskSeed::draw(&mut UnwrapErr(SysRng));
        let masked = mask(update, &seed, id).as_bytes().to_vec();
        Ok(Contribution { id, masked, seed })
    }
}

/// Adds contributions as the coordinator does and their masks as the helper does.
pub(super) struct Sum<'a> {
    request: &'a Request,
    masked: PartialSum,
    masks: PartialSum,
}

impl<'a> Sum<'a> {
    pub(super) fn new(request: &'a Request) -> Self {
        let empty = PartialSum::new(request.mechanism.length);
        Self {
            request,
            masked: empty.clone(),
            masks: empty,
        }
    }

    pub(super) fn add(&mut self, contribution: &Contribution) -> Result<(), PipelineError> {
        if !self.masked.add(&contribution.masked) {
            return Err(PipelineError::WrongLength);
        }
        self.masks.add_mask(
            &contribution.seed,
            &self.request.task,
            self.request.round,
            contribution.id,
        );
        Ok(())
    }

    /// The sum in the clear, in grid steps.
    pub(super) fn open(&self) -> Result<Vec<i32>, PipelineError> {
        self.masked
            .unmask(&self.masks)
            .ok_or(PipelineError::WrongLength)
    }

    /// One share in the clear: what no party ever sees.
    pub(super) fn open_one(
        request: &'a Request,
        contribution: &Contribution,
    ) -> Result<Vec<i32>, PipelineError> {
        let mut sum = Self::new(request);
        sum.add(contribution)?;
        sum.open()
    }
}
