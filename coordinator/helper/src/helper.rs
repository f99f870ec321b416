//! What the daemon holds while it runs. What it does with it is in `countersign`, `admit` and
//! `release`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tacit_round::helper::{HelperRefusal, Terms};
use tacit_round::keys::{PublicKey, SignatureBytes, SigningKey};
use tacit_round::nobody_entered::NobodyEntered;
use tacit_types::{Digest, Timestamp};
use tokio::sync::oneshot;

use crate::error::{Failure, StorageError};
use crate::keys::KeyFolder;
use crate::open_round::OpenRound;
use crate::store::Store;

/// The helper. Every method may wait for the disk, so all are called off the runtime's threads.
pub(crate) struct Helper {
    /// Identity key: signs tickets, heads and ledger lines.
    pub(crate) signing: SigningKey,
    /// Whose tree heads are countersigned.
    pub(crate) coordinator_key: PublicKey,
    /// What is countersigned.
    pub(crate) terms: Terms,
    /// The clock.
    pub(crate) now: fn() -> Timestamp,
    /// Key files.
    pub(crate) keys: KeyFolder,
    /// Folder of the state, to be named.
    pub(crate) state: PathBuf,
    /// Whether the operator says that the state is an older copy.
    pub(crate) restored: bool,
    /// Decides between calls that race: whatever is written there first holds. Locked before
    /// `open`, never after.
    pub(crate) store: Mutex<Store>,
    /// Rounds with a key, by ticket hash.
    pub(crate) open: Mutex<HashMap<Digest, Arc<OpenRound>>>,
    /// Never sent on. Dropped last, so whoever waits for that knows that the database is closed.
    pub(crate) _in_use: oneshot::Sender<Infallible>,
}

impl Helper {
    /// The durable state. A panic elsewhere has rolled its transaction back, so the state is whole.
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The open rounds.
    pub(crate) fn open(&self) -> MutexGuard<'_, HashMap<Digest, Arc<OpenRound>>> {
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// One open round.
    pub(crate) fn open_round(&self, ticket: Digest) -> Result<Arc<OpenRound>, Failure> {
        let known = self.open().get(&ticket).cloned();
        let now = (self.now)();
        known
            .filter(|open| now < open.round.ticket().latest_deadline)
            .ok_or(HelperRefusal::UnknownRound.into())
    }

    /// Ends every open round whose latest deadline has passed by this helper's clock, whatever
    /// anybody says, and erases its key.
    pub(crate) fn end_overdue(&self) -> Result<(), Failure> {
        let now = (self.now)();
        let overdue = |open: &OpenRound| open.round.ticket().latest_deadline <= now;
        let mut ended: Vec<Digest> = Vec::new();
        for (ticket, open) in self.open().iter() {
            ended.extend(overdue(open).then_some(*ticket));
        }
        for ticket in ended {
            let mut store = self.store();
            store.abandon(ticket, "its latest deadline has passed")?;
            self.erase(ticket)?;
        }
        Ok(())
    }

    /// Abandons a round unless it is answered, and certifies that nobody entered it where that is
    /// asked for and so. Repeating it changes nothing, and a round that has ended by itself is
    /// certified as well.
    ///
    /// Nothing is signed before the round has ended for good and its key is gone: whatever stops
    /// this in between, no seed of a certified round is admitted or opened afterwards.
    pub(crate) fn abandon(
        &self,
        ticket: Digest,
        certify: bool,
    ) -> Result<Option<(NobodyEntered, SignatureBytes)>, Failure> {
        let mut store = self.store();
        store
            .round(ticket)?
            .ok_or(HelperRefusal::UnknownRound)?;
        store.abandon(ticket, "the coordinator asked for it")?;
        // Killed here, it has ended and its key is still there; the next start erases it.
        self.erase(ticket)?;
        if !certify {
            return Ok(None);
        }

        let Some(generation) = store.certify(ticket)? else {
            return Ok(None);
        };
        // Killed here, it is certified and not said; whoever asks again is told.
        let certificate = NobodyEntered {
            ticket_hash: ticket,
            generation,
        };
        let signature = certificate.sign(&self.signing);
        tracing::info!(event = "round_certified_empty", %ticket, generation);
        Ok(Some((certificate, signature)))
    }

    /// Erases a round's key from disk and memory. The store must already say that the round is not
    /// open.
    ///
    /// Disk first: whoever no longer finds the round open finds no key file either.
    pub(crate) fn erase(&self, ticket: Digest) -> Result<(), StorageError> {
        self.keys.erase(ticket)?;
        self.open().remove(&ticket);
        Ok(())
    }
}
