//! One audit under way: who contributes to which round, with what auditor's randomness.

use rand::SeedableRng;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use rand_chacha::ChaCha20Rng;
use rand_distr::{Distribution, StandardNormal};
use tacit_round::rehearsal::Rehearsal;
use tacit_types::{ItemGradient, Kind, RoundId, TaskId};

use super::pipeline::{Contribution, Pipeline, PipelineError};
use super::settings::Prepared;

pub(super) struct Session<'a> {
    pub(super) prepared: &'a Prepared,
    /// The auditor's choices: directions and coin flips. The pipeline never sees it.
    pub(super) rng: ChaCha20Rng,
    pipeline: &'a mut dyn Pipeline,
    contributed: &'a mut dyn FnMut(),
    round: u32,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        prepared: &'a Prepared,
        pipeline: &'a mut dyn Pipeline,
        contributed: &'a mut dyn FnMut(),
    ) -> Self {
        let rng = ChaCha20Rng::seed_from_u64(prepared.settings.seed);
        Self {
            prepared,
            rng,
            pipeline,
            contributed,
            round: 0,
        }
    }

    /// Starts the next round.
    pub(super) fn next_round(&mut self) -> Rehearsal {
        self.round += 1;
        let task = TaskId::new("canary-audit").expect("a name of lower-case letters and '-'");
        Rehearsal::new(
            task,
            RoundId(self.round),
            Kind::Counts,
            self.prepared.mechanism.clone(),
            false,
            &mut UnwrapErr(SysRng),
        )
    }

    /// One device's contribution.
    pub(super) fn contribute(
        &mut self,
        round: &Rehearsal,
        device: u32,
        vector: Vec<f32>,
    ) -> Result<Contribution, PipelineError> {
        let vector = ItemGradient::new(vector);
        let contribution = self
            .pipeline
            .contribute(round.ticket(), device, vector)?;
        (self.contributed)();
        Ok(contribution)
    }

    /// The vector of a device that has nothing to say.
    pub(super) fn zero(&self) -> Vec<f32> {
        vec![0.0; self.prepared.settings.length as usize]
    }

    /// A uniformly random direction: a vector of norm 1 up to rounding.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "vectors are f32; what is lost is rounding"
    )]
    pub(super) fn direction(&mut self) -> Vec<f32> {
        let normal: Vec<f64> = (0..self.prepared.settings.length)
            .map(|_| StandardNormal.sample(&mut self.rng))
            .collect();
        let norm = normal
            .iter()
            .map(|x| x * x)
            .sum::<f64>()
            .sqrt()
            .max(f64::MIN_POSITIVE);
        normal.iter().map(|x| (x / norm) as f32).collect()
    }
}

/// Inner product of a direction with an opened sum, in grid steps.
pub(super) fn along<T: Copy + Into<f64>>(direction: &[f32], opened: &[T]) -> f64 {
    direction
        .iter()
        .zip(opened)
        .map(|(&x, &y)| f64::from(x) * y.into())
        .sum()
}
