//! The helper half of a round: which sets it will sum, and only once.
//!
//! The helper trusts nothing the coordinator says but what both signed. It enforces the minimum set
//! from the ticket it countersigned, one answer per round, and one use per seed; the answer, the
//! used seeds and its own ledger line become durable together before anything is said.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tacit_privacy::canonical::NotCanonical;
use tacit_types::{Commitment, ContributionId, Digest};

use crate::keys::PublicKey;
use crate::mask::{PartialSum, set_digest};
use crate::seal::{Binding, MaskSeed, Opener, OpeningKey, SCHEME_ID};
use crate::ticket::{SCHEMA, Ticket};

/// Why the helper refuses. Nothing is revealed and nothing changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HelperRefusal {
    /// The draft cannot be read or is not sound.
    #[error("the draft ticket is not acceptable: {0}")]
    Draft(String),
    /// No such round, or its key is erased.
    #[error("this round is unknown, answered with its key erased, or abandoned")]
    UnknownRound,
    /// Another ticket was countersigned for this (task, round).
    #[error("another ticket was already countersigned for this round")]
    SecondTicket,
    /// Fewer contributions than the countersigned ticket's minimum.
    #[error("the set has {got} contributions, the ticket needs at least {need}")]
    SetTooSmall {
        /// Size of the set asked for.
        got: usize,
        /// ceil(n_min / (1 - f)).
        need: u32,
    },
    /// More contributions than the ring was proved for.
    #[error("the set has more contributions than the ticket's cohort")]
    SetTooLarge,
    /// The same contribution or the same seed twice, or a seed used before.
    #[error("a contribution or seed is repeated or was used before")]
    Repeated,
    /// A seed carries no proof that its device was enrolled by this helper's organisation.
    #[error("contribution {0} does not come from a member")]
    NotMember(ContributionId),
    /// Two contributions of one member.
    #[error("contribution {0} is the second of one member")]
    SecondOfMember(ContributionId),
    /// A seed does not open.
    #[error("contribution {0} has a seed that does not open")]
    BadSeed(ContributionId),
    /// This round was answered for another set.
    #[error("this round was already answered for another set")]
    SecondAnswer,
}

impl From<NotCanonical> for HelperRefusal {
    fn from(error: NotCanonical) -> Self {
        Self::Draft(error.to_string())
    }
}

/// What the helper signs, in canonical JSON with [`Context::Refusal`](crate::keys::Context), when
/// it refuses a draft and keeps nothing of it: no ticket of this draft exists or will, so the
/// number of its round is free.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DraftRefused {
    /// SHA-256 of the draft's bytes.
    pub draft: Digest,
    /// Why, in words.
    pub reason: String,
}

/// One sealed seed as the coordinator forwards it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSeed {
    /// Name of the contribution.
    pub contribution: ContributionId,
    /// The sealed bytes.
    pub sealed: Vec<u8>,
    /// Commitment to the masked bytes it is bound to.
    pub commitment: Commitment,
}

/// What a helper countersigns.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Smallest `n_min`: honest devices that hide one another.
    pub honest_min: u32,
    /// Who issues memberships; without an issuer no ticket may ask for them.
    pub issuer: Option<PublicKey>,
    /// Whether every ticket must ask for them.
    pub membership_required: bool,
}

/// Completes a draft with this round's sealing key.
///
/// # Errors
/// [`HelperRefusal::Draft`] unless the draft is a sound ticket of [`SCHEMA`] with an empty key and
/// assumptions the helper can enforce.
pub fn complete_draft(
    draft: Ticket,
    key: &OpeningKey,
    terms: &Terms,
) -> Result<Ticket, HelperRefusal> {
    let refuse = |what: &str| Err(HelperRefusal::Draft(what.to_owned()));
    if draft.schema != SCHEMA || draft.scheme_id != SCHEME_ID {
        return refuse("another version");
    }
    if !draft.sealing_key.is_empty() {
        return refuse("it already has a sealing key");
    }
    if let Err(error) = draft.mechanism.check() {
        return refuse(&error.to_string());
    }
    if draft.dishonest_milli >= 1000 || draft.set_min() > draft.mechanism.cohort_max {
        return refuse("no set can be large enough");
    }
    if draft.deadline >= draft.latest_deadline {
        return refuse("its latest deadline does not come after its deadline");
    }
    if draft.mechanism.n_min < terms.honest_min {
        return refuse("n_min is below this helper's minimum");
    }
    if draft.membership && terms.issuer.is_none() {
        return refuse("it asks for memberships and this helper knows no issuer");
    }
    if !draft.membership && terms.membership_required {
        return refuse("this helper serves members only: membership must be true");
    }
    Ok(Ticket {
        sealing_key: hex::encode(key.sealing_key()),
        ..draft
    })
}

/// An open round at the helper: the ticket it countersigned and the key of that round only.
#[derive(Debug)]
pub struct HelperRound {
    ticket: Ticket,
    ticket_hash: Digest,
    key: Box<dyn Opener>,
    issuer: Option<PublicKey>,
}

/// What is remembered of a seed that may be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admissible {
    /// SHA-256 of the seed.
    pub fingerprint: Digest,
    /// Who sent it, when the ticket asks for members.
    pub member: Option<PublicKey>,
}

/// Opened seeds of one set, ready to be summed and recorded.
pub struct OpenedSet {
    /// Digest of the set.
    pub set_digest: Digest,
    /// Fingerprints of the seeds, to be remembered for ever.
    pub fingerprints: Vec<Digest>,
    seeds: Vec<(ContributionId, MaskSeed)>,
}

impl HelperRound {
    /// An open round of a ticket this helper countersigned, and who issues memberships.
    pub fn new(
        ticket: Ticket,
        ticket_hash: Digest,
        key: impl Opener + 'static,
        issuer: Option<PublicKey>,
    ) -> Self {
        Self {
            ticket,
            ticket_hash,
            key: Box::new(key),
            issuer,
        }
    }

    /// The ticket.
    pub fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    /// Opens one seed under this round's key and binding; gives its member too when the ticket asks
    /// for one.
    fn open(&self, seed: &SealedSeed) -> Result<(MaskSeed, Option<PublicKey>), HelperRefusal> {
        let binding = Binding {
            task: &self.ticket.task,
            round: self.ticket.round,
            ticket: self.ticket_hash,
            length: self.ticket.mechanism.sent_length(),
            contribution: seed.contribution,
            commitment: seed.commitment,
        };
        let opened = self.key.open(&seed.sealed, &binding);
        let (mask_seed, proof) = opened.map_err(|_| HelperRefusal::BadSeed(seed.contribution))?;
        if !self.ticket.membership {
            return Ok((mask_seed, None));
        }
        match self.issuer {
            Some(issuer) if proof.verifies(&issuer, &binding.associated_data()) => {
                Ok((mask_seed, Some(proof.member)))
            }
            _ => Err(HelperRefusal::NotMember(seed.contribution)),
        }
    }

    /// Looks at one seed before its bytes are added.
    ///
    /// # Errors
    /// [`HelperRefusal::BadSeed`] or [`HelperRefusal::NotMember`]; nobody else is held up by it.
    pub fn look(&self, seed: &SealedSeed) -> Result<Admissible, HelperRefusal> {
        self.open(seed).map(|(seed, member)| Admissible {
            fingerprint: seed.fingerprint(),
            member,
        })
    }

    /// Checks a whole set and opens its seeds. Size and repeats are checked before any key is used.
    ///
    /// # Errors
    /// [`HelperRefusal`]; the caller still has to check that no fingerprint was used in an earlier
    /// round.
    pub fn open_set(&self, seeds: &[SealedSeed]) -> Result<OpenedSet, HelperRefusal> {
        let need = self.ticket.set_min();
        if seeds.len() < need as usize {
            return Err(HelperRefusal::SetTooSmall {
                got: seeds.len(),
                need,
            });
        }
        if seeds.len() > self.ticket.mechanism.cohort_max as usize {
            return Err(HelperRefusal::SetTooLarge);
        }
        let ids: BTreeSet<_> = seeds.iter().map(|seed| seed.contribution).collect();
        if ids.len() != seeds.len() {
            return Err(HelperRefusal::Repeated);
        }
        let mut members = BTreeSet::new();
        let mut opened = Vec::with_capacity(seeds.len());
        for seed in seeds {
            let (mask_seed, member) = self.open(seed)?;
            if member.is_some_and(|member| !members.insert(member)) {
                return Err(HelperRefusal::SecondOfMember(seed.contribution));
            }
            opened.push((seed.contribution, mask_seed));
        }
        let fingerprints: Vec<Digest> = opened
            .iter()
            .map(|(_, seed)| seed.fingerprint())
            .collect();
        if fingerprints.iter().collect::<BTreeSet<_>>().len() != fingerprints.len() {
            return Err(HelperRefusal::Repeated);
        }
        Ok(OpenedSet {
            set_digest: set_digest(ids),
            fingerprints,
            seeds: opened,
        })
    }

    /// Sums the masks of an opened set. Any split of the set gives the same sum, so callers may
    /// share the work.
    pub fn mask_sum(&self, seeds: &[(ContributionId, MaskSeed)]) -> PartialSum {
        let mut sum = PartialSum::new(self.ticket.mechanism.sent_length());
        for (contribution, seed) in seeds {
            sum.add_mask(seed, &self.ticket.task, self.ticket.round, *contribution);
        }
        sum
    }
}

impl OpenedSet {
    /// The opened seeds, for [`HelperRound::mask_sum`].
    pub fn seeds(&self) -> &[(ContributionId, MaskSeed)] {
        &self.seeds
    }
}
