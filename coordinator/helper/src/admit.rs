//! Says which seeds open while uploads still stream, so that one bad device cannot spoil a set that is already fixed.

use rayon::prelude::*;
use tacit_round::helper::SealedSeed;
use tacit_types::Digest;

use crate::error::Failure;
use crate::helper::Helper;

impl Helper {
    /// For each seed: whether it opens, was not used in an earlier round and did not come with another contribution.
    /// `None` stands for one that is malformed.
    pub(crate) fn admit(&self, ticket: Digest, seeds: &[Option<SealedSeed>]) -> Result<Vec<bool>, Failure> {
        let round = self.open_round(ticket)?;
        let fingerprints: Vec<_> =
            seeds.par_iter().map(|seed| seed.as_ref().and_then(|seed| round.round.fingerprint(seed))).collect();
        let store = self.store();
        let admit = |(seed, fingerprint): (&Option<SealedSeed>, Option<Digest>)| match (seed, fingerprint) {
            (Some(seed), Some(fingerprint)) => {
                Ok(!store.is_used(fingerprint)? && round.admit(fingerprint, seed.contribution))
            }
            _ => Ok(false),
        };
        seeds.iter().zip(fingerprints).map(admit).collect()
    }
}
