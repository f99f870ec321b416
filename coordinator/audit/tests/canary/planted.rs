//! A pipeline put together from public parts, as somebody might who gets one thing wrong.

use std::collections::HashSet;

use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tacit_audit::canary::pipeline::Contribution;
use tacit_audit::canary::{Pipeline, PipelineError};
use tacit_privacy::noise::NoiseTable;
use tacit_privacy::{Mechanism, Refusal, clip, quantise};
use tacit_round::commitment::{CommitmentKey, commit};
use tacit_round::mask::add_mask;
use tacit_round::seal::{Binding, MaskSeed, seal};
use tacit_round::ticket::Ticket;
use tacit_types::{Commitment, ContributionId, ItemGradient, RoundId};

/// The one thing that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    None,
    /// Half the standard deviation.
    HalvedNoise,
    /// An eighth of the standard deviation.
    EighthOfNoise,
    /// Whatever the norm, it goes out.
    SkippedClip,
    /// The ball is a tenth too wide.
    WideClip,
    /// The generator is seeded with the device alone.
    SameNoiseEveryRound,
    /// The generator is seeded with the round alone.
    SameNoiseEveryDevice,
    /// sigma^2 / (4 n_min).
    ShareOfFourTimes,
    /// sigma^2 / cohort.
    ShareOfCohort,
    /// Bytes go out as they are.
    NoMask,
    /// The helper is sent another seed than the one that masks.
    OtherSeedSealed,
    /// The seal is bound to the round before.
    SealedForOtherRound,
    /// No ledger.
    AnswersTwice,
}

pub(crate) struct Planted {
    bug: Bug,
    answered: HashSet<(u32, RoundId)>,
    table: Option<NoiseTable>,
}

impl Planted {
    pub(crate) fn new(bug: Bug) -> Self {
        Self {
            bug,
            answered: HashSet::new(),
            table: None,
        }
    }

    /// The mechanism this pipeline takes its noise from.
    fn noise_mechanism(&self, mechanism: &Mechanism) -> Mechanism {
        let mut noise = mechanism.clone();
        match self.bug {
            Bug::HalvedNoise => noise.sigma2 /= 4,
            Bug::EighthOfNoise => noise.sigma2 /= 64,
            Bug::ShareOfFourTimes => noise.n_min *= 4,
            Bug::ShareOfCohort => noise.n_min = noise.cohort_max,
            _ => {}
        }
        noise
    }

    fn rng(&self, round: RoundId, device: u32) -> ChaCha20Rng {
        match self.bug {
            Bug::SameNoiseEveryRound => ChaCha20Rng::seed_from_u64(u64::from(device)),
            Bug::SameNoiseEveryDevice => ChaCha20Rng::seed_from_u64(u64::from(round.0)),
            _ => ChaCha20Rng::from_rng(&mut UnwrapErr(SysRng)),
        }
    }

    /// The seed for the helper, bound to what is committed to.
    fn sealed(
        &self,
        ticket: &Ticket,
        contribution: ContributionId,
        commitment: Commitment,
        mut seed: MaskSeed,
    ) -> Vec<u8> {
        let (mut system, mut round) = (UnwrapErr(SysRng), ticket.round);
        match self.bug {
            Bug::OtherSeedSealed => seed = MaskSeed::draw(&mut system),
            Bug::SealedForOtherRound => round.0 -= 1,
            _ => {}
        }
        let binding = Binding {
            task: &ticket.task,
            round,
            ticket: ticket.hash(),
            length: ticket.mechanism.sent_length(),
            contribution,
            commitment,
        };
        let key = ticket.sealing_key_bytes().unwrap();
        seal(&seed, None, &key, &binding, &mut system).unwrap()
    }

    fn rounded(&self, vector: ItemGradient, mechanism: &Mechanism) -> Vec<i32> {
        let radius = match self.bug {
            Bug::SkippedClip => f64::INFINITY,
            Bug::WideClip => 1.1,
            _ => {
                let mut rng = ChaCha20Rng::from_rng(&mut UnwrapErr(SysRng));
                return quantise(clip(vector, mechanism), mechanism, &mut rng)
                    .values()
                    .to_vec();
            }
        };
        let values: Vec<f64> = vector
            .into_coordinates()
            .into_iter()
            .map(f64::from)
            .collect();
        let norm = values.iter().map(|x| x * x).sum::<f64>().sqrt();
        let factor = f64::from(mechanism.steps) * (radius / norm.max(1e-9)).min(1.0);
        values.iter().map(|x| to_grid(x * factor)).collect()
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "saturates; values are a few thousand steps"
)]
fn to_grid(x: f64) -> i32 {
    x.round() as i32
}

impl Pipeline for Planted {
    fn contribute(
        &mut self,
        ticket: &Ticket,
        device: u32,
        vector: ItemGradient,
    ) -> Result<Contribution, PipelineError> {
        if !self.answered.insert((device, ticket.round)) && self.bug != Bug::AnswersTwice {
            return Err(Refusal::AlreadyReserved.into());
        }
        let mechanism = self.noise_mechanism(&ticket.mechanism);
        let table = self
            .table
            .take()
            .unwrap_or_else(|| NoiseTable::new(&mechanism));
        let mut values = self.rounded(vector, &ticket.mechanism);
        let mut noise = vec![0; values.len()];
        table.fill(&mut noise, &mut self.rng(ticket.round, device));
        self.table = Some(table);
        values
            .iter_mut()
            .zip(noise)
            .for_each(|(value, noise)| *value += noise);

        let mut ring: Vec<u32> = values.into_iter().map(i32::cast_unsigned).collect();
        let (id, seed) = (
            ContributionId(UnwrapErr(SysRng).random()),
            MaskSeed::draw(&mut UnwrapErr(SysRng)),
        );
        if self.bug != Bug::NoMask {
            add_mask(&mut ring, &seed, &ticket.task, ticket.round, id);
        }
        let masked: Vec<u8> = ring
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let commitment_key = CommitmentKey::draw(&mut UnwrapErr(SysRng));
        let sealed = self.sealed(ticket, id, commit(&commitment_key, &masked), seed);
        Ok(Contribution {
            id,
            masked,
            commitment_key,
            sealed,
        })
    }
}
