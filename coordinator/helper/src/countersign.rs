//! What the helper signs for the coordinator: one ticket per round, and tree heads that do not go
//! back or fork.

use std::sync::Arc;

use tacit_privacy::record::TreeHead;
use tacit_privacy::{canonical, merkle};
use tacit_round::helper::{DraftRefused, HelperRefusal, HelperRound, complete_draft};
use tacit_round::keys::{Context, SignatureBytes};
use tacit_round::ticket::{TICKET_BYTES_MAX, Ticket};
use tacit_types::{COHORT_MAX, Digest};

use crate::error::{Failure, StorageError};
use crate::helper::Helper;
use crate::keys;
use crate::messages::parse_signature;
use crate::open_round::OpenRound;
use crate::opening::ExpandedKey;
use crate::store::Store;
use crate::store::rounds::{RoundRow, State};

/// What became of a draft.
pub(crate) enum Countersigned {
    /// It is a ticket.
    Signed(RoundRow),
    /// It is refused, and nothing of it is kept: canonical JSON of a [`DraftRefused`], and the
    /// helper's signature over it.
    Refused(Vec<u8>, SignatureBytes),
}

impl Helper {
    /// Completes and signs a draft that `by` is the coordinator's signature of; the same draft
    /// gives the same bytes for as long as the round is not abandoned.
    ///
    /// The key is durable before the round, and the round with its ledger line before the signature
    /// leaves.
    pub(crate) fn countersign(&self, draft: &[u8], by: &[u8]) -> Result<Countersigned, Failure> {
        let asked = Ticket::from_bytes(draft)?;
        let by = parse_signature(by)?;
        let is_asked_for = self
            .coordinator_key
            .verifies(Context::Draft, draft, &by);
        if !is_asked_for {
            return Err(Failure::Malformed(
                "the draft is not signed by the coordinator this helper serves",
            ));
        }
        let mut store = self.store();
        if let Some(known) = store.round_of(&asked.task, asked.round)? {
            return repeat(known, draft).map(Countersigned::Signed);
        }
        match self.begin(&mut store, draft, by, asked) {
            Err(Failure::Refused(HelperRefusal::Draft(reason))) => self.refuse(draft, reason),
            begun => begun.map(Countersigned::Signed),
        }
    }

    /// Says under signature that this draft is refused. No other call has made a round of it: the
    /// store was held since it had none.
    fn refuse(&self, draft: &[u8], reason: String) -> Result<Countersigned, Failure> {
        tracing::info!(event = "draft_refused", reason);
        let draft = canonical::digest(draft);
        let bytes = canonical::encode(&DraftRefused { draft, reason })?;
        let signature = self.signing.sign(Context::Refusal, &bytes);
        Ok(Countersigned::Refused(bytes, signature))
    }

    /// Makes a round of a draft.
    fn begin(
        &self,
        store: &mut Store,
        draft: &[u8],
        by: SignatureBytes,
        asked: Ticket,
    ) -> Result<RoundRow, Failure> {
        if asked.deadline <= (self.now)() {
            let problem = "its deadline has passed by this helper's clock";
            return Err(HelperRefusal::Draft(problem.into()).into());
        }
        self.check_counted(store, &asked)?;
        check_history(store, &asked)?;
        let key = keys::draw()?;
        let ticket = complete_draft(asked, &key, &self.terms)?;
        let row = self.sign(draft, by, &ticket)?;
        let hash = row.ticket_hash;
        self.keys.write(hash, &key)?;
        let expanded = ExpandedKey::new(&key).map_err(StorageError::key)?;
        let crowded_out = store.add_round(&row, &ticket, (self.now)(), &self.signing)?;
        let round = HelperRound::new(ticket, hash, expanded, self.terms.issuer);
        self.open()
            .insert(hash, Arc::new(OpenRound::new(round, 0)));
        for oldest in crowded_out {
            self.erase(oldest)?;
        }
        Ok(row)
    }

    fn sign(
        &self,
        draft: &[u8],
        draft_signature: SignatureBytes,
        ticket: &Ticket,
    ) -> Result<RoundRow, Failure> {
        let bytes = ticket.to_bytes()?;
        if bytes.len() > TICKET_BYTES_MAX {
            return Err(
                HelperRefusal::Draft("the ticket would be too long for devices".into()).into(),
            );
        }
        if ticket.mechanism.cohort_max > COHORT_MAX {
            return Err(HelperRefusal::Draft(format!(
                "cohort_max is above this helper's {COHORT_MAX}"
            ))
            .into());
        }
        Ok(RoundRow {
            draft_digest: canonical::digest(draft),
            ticket_hash: canonical::digest(&bytes),
            signature: self.signing.sign(Context::Ticket, &bytes),
            draft_signature,
            ticket: bytes,
            state: State::Open,
        })
    }

    /// Signs a tree head, and remembers it, if the ledger under it continues the one signed before.
    pub(crate) fn countersign_head(
        &self,
        bytes: &[u8],
        signature: &SignatureBytes,
        proof: &HeadProof,
    ) -> Result<HeadAnswer, Failure> {
        let head = self.read_head(bytes, signature)?;
        let mut store = self.store();
        check_own(&store, &head)?;
        if let Some(newest) = store.newest_head(head.ledger_id)? {
            if proof.old_size != newest.size && head.size > newest.size {
                return Ok(HeadAnswer::ProveFrom(newest.size));
            }
            follows(&newest, &head, &proof.hashes).map_err(Failure::Head)?;
        }
        store.add_head(&head)?;
        Ok(HeadAnswer::Signed(self.signing.sign(Context::Head, bytes)))
    }

    /// A head that the coordinator signed.
    pub(crate) fn read_head(
        &self,
        bytes: &[u8],
        signature: &SignatureBytes,
    ) -> Result<TreeHead, Failure> {
        let head: TreeHead = canonical::decode(bytes)
            .map_err(|_| Failure::Malformed("head is not a canonical head"))?;
        let own = &self.coordinator_key;
        if own.verifies(Context::Head, bytes, signature) {
            Ok(head)
        } else {
            Err(Failure::Head(
                "it is not signed by the coordinator this helper serves",
            ))
        }
    }
}

/// Shows that a head continues the ledger of `old_size` lines.
pub(crate) struct HeadProof {
    pub(crate) old_size: u64,
    pub(crate) hashes: Vec<Digest>,
}

/// What became of a head.
pub(crate) enum HeadAnswer {
    Signed(SignatureBytes),
    /// The proof must start from the newest head signed: its number of lines.
    ProveFrom(u64),
}

/// Whether a head says of this helper's ledger what it is: who signs it signs that nothing is left
/// out of either.
pub(crate) fn check_own(store: &Store, head: &TreeHead) -> Result<(), Failure> {
    let own = store.end_beside(head.ledger_id)?;
    if (head.helper_size, head.helper_last_hash) == (own.size, own.last_hash) {
        Ok(())
    } else {
        Err(Failure::Head(
            "its helper_size or helper_last_hash is not that of this helper's ledger",
        ))
    }
}

/// Whether a draft agrees with what is kept of its task.
fn check_history(store: &Store, asked: &Ticket) -> Result<(), Failure> {
    let ledger = asked.logged.head.head.ledger_id;
    if store
        .task_of(ledger)?
        .is_some_and(|known| known != asked.task)
    {
        let problem = "its ledger is another task's";
        return Err(HelperRefusal::Draft(problem.into()).into());
    }
    if store
        .ledger_of_task(&asked.task)?
        .is_some_and(|known| known != ledger)
    {
        let problem = "the task stands in another ledger: go on with the state it began with";
        return Err(HelperRefusal::Draft(problem.into()).into());
    }

    let generation = asked.logged.head.head.generation;
    if let Some(newest) = store.newest_head(ledger)?
        && newest.generation != generation
    {
        let problem = format!(
            "its ledger's generation is {generation}, and the newest head this helper signed is of \
             generation {}",
            newest.generation
        );
        return Err(HelperRefusal::Draft(problem).into());
    }

    let (stated, certified) = (asked.free_rounds, store.certified(&asked.task)?);
    if stated < certified {
        let problem = format!(
            "its free_rounds is {stated}, and this helper has certified {certified} rounds of the \
             task that cost nothing"
        );
        return Err(HelperRefusal::Draft(problem).into());
    }
    Ok(())
}

fn repeat(known: RoundRow, draft: &[u8]) -> Result<RoundRow, Failure> {
    if known.draft_digest != canonical::digest(draft) {
        return Err(HelperRefusal::SecondTicket.into());
    }
    // A ticket whose key is gone would only make devices spend for nothing.
    if known.state == State::Abandoned {
        Err(HelperRefusal::UnknownRound.into())
    } else {
        Ok(known)
    }
}

/// Whether `head` may be signed after `newest`: not behind it, in the same ledger and generation.
fn follows(newest: &TreeHead, head: &TreeHead, proof: &[Digest]) -> Result<(), &'static str> {
    if head.generation < newest.generation || head.size < newest.size {
        return Err("a newer one was signed");
    }
    if head.generation > newest.generation {
        return Err("it is of a new generation, which begins with a restore");
    }
    // A proof for the same size is empty: the roots must be equal.
    let proof = if head.size == newest.size { &[] } else { proof };
    if merkle::verify_consistency((newest.size, newest.root), (head.size, head.root), proof) {
        Ok(())
    } else {
        Err("it does not continue the one signed before, so the ledger has forked")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u8) -> Vec<Digest> {
        (0..count).map(|line| merkle::leaf(&[line])).collect()
    }

    fn head(generation: u32, leaves: &[Digest]) -> TreeHead {
        let size = leaves.len() as u64;
        TreeHead {
            ledger_id: Digest([1; 32]),
            generation,
            size,
            root: merkle::root(leaves),
            helper_size: 0,
            helper_last_hash: Digest([0; 32]),
        }
    }

    #[test]
    fn heads_only_move_forward() {
        let newest = head(2, &leaves(10));
        let forked = [&leaves(9)[..], &[Digest([9; 32])]].concat();
        for (generation, next, allowed) in [
            (2, leaves(10), true),
            (2, leaves(11), true),
            (3, leaves(10), false),
            (2, forked.clone(), false),
            (3, forked, false),
            (2, leaves(9), false),
            (3, leaves(9), false),
            (1, leaves(11), false),
        ] {
            let proof = merkle::consistency_proof(&next, 10).unwrap_or_default();
            assert_eq!(
                follows(&newest, &head(generation, &next), &proof).is_ok(),
                allowed,
                "{generation} {next:?}"
            );
        }
    }

    #[test]
    fn a_fork_at_a_larger_size_has_no_proof() {
        let newest = head(2, &leaves(10));
        let mut forked = leaves(13);
        forked[4] = Digest([9; 32]);
        for proof in [
            merkle::consistency_proof(&forked, 10),
            merkle::consistency_proof(&leaves(13), 10),
            None,
        ] {
            assert!(follows(&newest, &head(2, &forked), &proof.unwrap_or_default()).is_err());
        }
    }
}
