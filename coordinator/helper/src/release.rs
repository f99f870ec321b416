//! One mask sum per round: opened, summed, recorded and signed, and only then said.

use bytes::Bytes;
use rayon::prelude::*;
use tacit_privacy::noise::helper_noise;
use tacit_privacy::record::Answered;
use tacit_privacy::{Mechanism, NoiseSeed, canonical};
use tacit_round::helper::{HelperRefusal, HelperRound, OpenedSet, SealedSeed};
use tacit_round::keys::SignatureBytes;
use tacit_round::mask::{PartialSum, set_digest};
use tacit_round::seal::MaskSeed;
use tacit_types::{ContributionId, Digest};
use tokio_util::sync::CancellationToken;

use crate::error::{Failure, no_randomness};
use crate::helper::Helper;
use crate::store::answers::Recorded;

/// Seeds summed between two looks at whether the daemon stops: a fraction of a second even for the
/// longest vectors.
const BATCH: usize = 16;

/// A set the coordinator asks for.
pub(crate) struct Ask {
    pub(crate) ticket: Digest,
    pub(crate) seeds: Vec<SealedSeed>,
}

/// What the helper says, now and whenever it is asked again.
pub(crate) struct Answer {
    pub(crate) line: Vec<u8>,
    pub(crate) signature: SignatureBytes,
    pub(crate) mask_sum: Bytes,
}

impl Helper {
    /// Most seeds a set of this round may have, answered or open.
    pub(crate) fn cohort_max(&self, ticket: Digest) -> Result<usize, Failure> {
        let row = self
            .store()
            .round(ticket)?
            .ok_or(HelperRefusal::UnknownRound)?;
        Ok(row.ticket()?.mechanism.cohort_max as usize)
    }

    /// Answers a set, or repeats the answer it got before.
    pub(crate) fn answer(&self, ask: &Ask, stop: &CancellationToken) -> Result<Answer, Failure> {
        let recorded = self.store().answer(ask.ticket)?;
        if let Some(recorded) = recorded {
            // Another call may have recorded it a moment ago: no answer leaves while its key is on
            // the disk.
            self.erase(ask.ticket)?;
            return repeat(
                recorded,
                set_digest(ask.seeds.iter().map(|seed| seed.contribution)),
            );
        }
        let open = self.open_round(ask.ticket)?;
        let opened = open.round.open_set(&ask.seeds)?;
        let mut mask_sum = sum(&open.round, opened.seeds(), stop)?;
        add_noise(&mut mask_sum, &open.round.ticket().mechanism)?;
        let mask_sum = mask_sum.to_bytes();
        let answered = answered(&open.round, ask.ticket, &opened, &mask_sum);
        // The latest deadline may have passed meanwhile.
        self.open_round(ask.ticket)?;
        // Kill point k8: summed, nothing written; a restart starts over.
        let now = (self.now)();
        let line = self
            .store()
            .record(&answered, &opened, &mask_sum, now, &self.signing)?;
        // Kill point k9: recorded, not said; a restart erases the key and repeats the answer.
        self.erase(ask.ticket)?;
        tracing::info!(
            event = "answered",
            task = %answered.task,
            round = answered.round.0,
            set = answered.contributors
        );
        Ok(Answer {
            line: line.bytes,
            signature: line.signature,
            mask_sum: mask_sum.into(),
        })
    }
}

fn repeat(recorded: Recorded, set: Digest) -> Result<Answer, Failure> {
    if recorded.set_digest != set {
        return Err(HelperRefusal::SecondAnswer.into());
    }
    let mask_sum = recorded.mask_sum.ok_or(Failure::AnswerGone)?.into();
    Ok(Answer {
        line: recorded.line,
        signature: recorded.signature,
        mask_sum,
    })
}

fn answered(
    round: &HelperRound,
    ticket_hash: Digest,
    opened: &OpenedSet,
    mask_sum: &[u8],
) -> Answered {
    Answered {
        task: round.ticket().task.clone(),
        round: round.ticket().round,
        ticket_hash,
        contributors: u32::try_from(opened.seeds().len()).unwrap_or(u32::MAX),
        set_digest: opened.set_digest,
        mask_digest: canonical::digest(mask_sum),
    }
}

/// Sums all masks, shared among the cores. Ring addition commutes, so every split gives the same
/// bytes.
fn sum(
    round: &HelperRound,
    seeds: &[(ContributionId, MaskSeed)],
    stop: &CancellationToken,
) -> Result<PartialSum, Failure> {
    let empty = || PartialSum::new(round.ticket().mechanism.sent_length());
    let share = seeds
        .len()
        .div_ceil(rayon::current_num_threads())
        .max(1);
    let shares = seeds.par_chunks(share).map(|share| {
        share.chunks(BATCH).try_fold(empty(), |sum, batch| {
            if stop.is_cancelled() {
                Err(Failure::Stopping)
            } else {
                Ok(merge(sum, &round.mask_sum(batch)))
            }
        })
    });
    shares.try_reduce(empty, |left, right| Ok(merge(left, &right)))
}

/// Adds the helper's own noise if the ticket says so: a fresh draw, which is kept with the answer
/// or never said.
fn add_noise(mask_sum: &mut PartialSum, mechanism: &Mechanism) -> Result<(), Failure> {
    if mechanism.helper_noise {
        let seed = NoiseSeed::from_os().map_err(|error| no_randomness(&error))?;
        let noise = helper_noise(mechanism, seed)
            .map_err(|error| HelperRefusal::Draft(error.to_string()))?;
        assert!(
            mask_sum.add_values(&noise),
            "both are of the mechanism's length"
        );
    }
    Ok(())
}

fn merge(mut left: PartialSum, right: &PartialSum) -> PartialSum {
    assert!(left.merge(right), "both are sums of one round's length");
    left
}
