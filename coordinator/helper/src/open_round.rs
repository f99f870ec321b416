//! One open round in memory: its ticket, its key, who waits for its answer, and which seeds were admitted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tacit_round::helper::HelperRound;
use tacit_round::seal::OpeningKey;
use tacit_round::ticket::Ticket;
use tacit_types::{ContributionId, Digest};

/// An open round.
pub(crate) struct OpenRound {
    /// Opens whole sets.
    pub(crate) round: HelperRound,
    /// Held while an answer is computed, so that a second call waits instead of computing it again.
    pub(crate) answering: Arc<tokio::sync::Mutex<()>>,
    /// Fingerprint of every admitted seed and the contribution it came with.
    admitted: Mutex<HashMap<Digest, ContributionId>>,
}

impl OpenRound {
    /// An open round of a countersigned ticket.
    pub(crate) fn new(ticket: Ticket, ticket_hash: Digest, key: OpeningKey) -> Self {
        Self {
            round: HelperRound::new(ticket, ticket_hash, key),
            answering: Arc::default(),
            admitted: Mutex::default(),
        }
    }

    /// Takes note of an admitted seed; `false` when another contribution came with the same one.
    ///
    /// Forgotten at a restart. That is safe: a repeated seed is refused again when the set is summed, only later.
    pub(crate) fn admit(&self, fingerprint: Digest, contribution: ContributionId) -> bool {
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        // Twice the cohort leaves room for uploads that broke off after their seed was admitted.
        let full = admitted.len() >= 2 * self.round.ticket().mechanism.cohort_max as usize;
        match admitted.get(&fingerprint) {
            Some(first) => *first == contribution,
            None if full => true,
            None => admitted.insert(fingerprint, contribution).is_none(),
        }
    }
}
