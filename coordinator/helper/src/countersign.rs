//! What the helper signs for the coordinator: one ticket per round, and tree heads that do not go back or fork.

use std::sync::Arc;

use tacit_privacy::canonical;
use tacit_privacy::record::TreeHead;
use tacit_round::helper::{HelperRefusal, complete_draft};
use tacit_round::keys::{Context, SignatureBytes};
use tacit_round::ticket::{TICKET_BYTES_MAX, Ticket};

use crate::error::Failure;
use crate::helper::Helper;
use crate::keys;
use crate::open_round::OpenRound;
use crate::store::rounds::{RoundRow, State};

/// Largest cohort countersigned: its sealed seeds, some 320 MiB, are held in memory while they are summed.
pub(crate) const COHORT_MAX: u32 = 1 << 18;

impl Helper {
    /// Completes and signs a draft; the same draft gives the same bytes for as long as the round is not abandoned.
    ///
    /// The key is durable before the round, and the round before the signature leaves.
    pub(crate) fn countersign(&self, draft: &[u8]) -> Result<RoundRow, Failure> {
        let asked = Ticket::from_bytes(draft)?;
        let mut store = self.store();
        if let Some(known) = store.round_of(&asked.task, asked.round)? {
            return repeat(known, draft);
        }
        let key = keys::draw()?;
        let ticket = complete_draft(draft, &key, self.n_min_min)?;
        let row = self.sign(draft, &ticket)?;
        self.keys.write(row.ticket_hash, &key)?;
        let crowded_out = store.add_round(&row, &ticket)?;
        let hash = row.ticket_hash;
        let round = OpenRound::new(ticket, hash, key);
        self.open().insert(hash, Arc::new(round));
        for oldest in crowded_out {
            self.erase(oldest)?;
        }
        Ok(row)
    }

    fn sign(&self, draft: &[u8], ticket: &Ticket) -> Result<RoundRow, Failure> {
        let bytes = ticket.to_bytes()?;
        if bytes.len() > TICKET_BYTES_MAX {
            return Err(HelperRefusal::Draft("the ticket would be too long for devices".into()).into());
        }
        if ticket.mechanism.cohort_max > COHORT_MAX {
            return Err(HelperRefusal::Draft(format!("cohort_max is above this helper's {COHORT_MAX}")).into());
        }
        Ok(RoundRow {
            draft_digest: canonical::digest(draft),
            ticket_hash: canonical::digest(&bytes),
            signature: self.signing.sign(Context::Ticket, &bytes),
            ticket: bytes,
            state: State::Open,
        })
    }

    /// Signs a tree head, and remembers it, unless it goes back behind or forks from one signed before.
    pub(crate) fn countersign_head(&self, bytes: &[u8], signature: &SignatureBytes) -> Result<SignatureBytes, Failure> {
        let head: TreeHead =
            canonical::decode(bytes).map_err(|_| Failure::Malformed("head is not a canonical head"))?;
        if !self.coordinator_key.verifies(Context::Head, bytes, signature) {
            return Err(Failure::Head("it is not signed by the coordinator this helper serves"));
        }
        let mut store = self.store();
        if let Some(newest) = store.newest_head(head.ledger_id)? {
            follows(&newest, &head).map_err(Failure::Head)?;
        }
        store.set_head(&head)?;
        Ok(self.signing.sign(Context::Head, bytes))
    }
}

fn repeat(known: RoundRow, draft: &[u8]) -> Result<RoundRow, Failure> {
    if known.draft_digest != canonical::digest(draft) {
        return Err(HelperRefusal::SecondTicket.into());
    }
    // A ticket whose key is gone would only make devices spend for nothing.
    if known.state == State::Abandoned { Err(HelperRefusal::UnknownRound.into()) } else { Ok(known) }
}

/// Whether `head` may be signed after `newest`. Same size, same lines: whatever the generation.
fn follows(newest: &TreeHead, head: &TreeHead) -> Result<(), &'static str> {
    if head.generation < newest.generation || head.size < newest.size {
        return Err("a newer one was signed");
    }
    if head.size == newest.size && head.root != newest.root {
        return Err("another one of this size was signed, so the ledger has forked");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tacit_types::Digest;

    use super::*;

    #[test]
    fn heads_only_move_forward() {
        let head = |generation, size, root| TreeHead {
            ledger_id: Digest([1; 32]),
            generation,
            size,
            root: Digest([root; 32]),
        };
        let newest = head(2, 10, 7);
        for (next, allowed) in [
            (head(2, 10, 7), true),
            (head(2, 11, 8), true),
            (head(3, 10, 7), true),
            (head(2, 10, 8), false),
            (head(3, 10, 8), false),
            (head(2, 9, 7), false),
            (head(3, 9, 7), false),
            (head(1, 11, 8), false),
        ] {
            assert_eq!(follows(&newest, &next).is_ok(), allowed, "{next:?}");
        }
    }
}
