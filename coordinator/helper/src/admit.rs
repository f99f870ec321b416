//! Says which seeds open while uploads still stream, so that one bad device cannot spoil a set that
//! is already fixed.

use rayon::prelude::*;
use tacit_round::helper::SealedSeed;
use tacit_types::Digest;

use crate::error::Failure;
use crate::helper::Helper;
use crate::store::admitted::Candidate;

impl Helper {
    /// For each seed: whether it opens, was not used in an earlier round and did not come with
    /// another contribution; and, when the ticket asks for members, whether it is a member's first.
    /// `None` stands for one that is malformed. What is admitted is durable when this returns.
    pub(crate) fn admit(
        &self,
        ticket: Digest,
        seeds: &[Option<SealedSeed>],
    ) -> Result<Vec<bool>, Failure> {
        let round = self.open_round(ticket)?;
        let open = |seed: &Option<SealedSeed>| {
            let seed = seed.as_ref()?;
            Some(Candidate {
                contribution: seed.contribution,
                seed: round.round.look(seed).ok()?,
            })
        };
        let candidates: Vec<_> = seeds.par_iter().map(open).collect();
        let mut store = self.store();
        let admitted = store.admit(ticket, &candidates, round.room())?;
        round.note_admitted(admitted.new);
        Ok(admitted.verdicts)
    }
}
