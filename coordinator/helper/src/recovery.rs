//! Opens or makes the state folder and brings the key files in line with the database.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use tacit_round::helper::HelperRound;
use tacit_round::keys::SigningKey;
use tacit_types::{Digest, Timestamp};
use tacit_wire::files;
use tokio::sync::oneshot;

use crate::config::Config;
use crate::error::{HelperError, StorageError};
use crate::helper::Helper;
use crate::keys::KeyFolder;
use crate::open_round::OpenRound;
use crate::opening::ExpandedKey;
use crate::store::Store;
use crate::store::rounds::RoundRow;

/// Opens the state and recovers. `in_use` is dropped when the state is closed again.
pub(crate) fn open(
    config: &Config,
    signing: SigningKey,
    now: fn() -> Timestamp,
    in_use: oneshot::Sender<Infallible>,
) -> Result<Helper, HelperError> {
    files::private_folder(&config.state)
        .map_err(|error| StorageError::file(&config.state, &error))?;
    // The store's lock comes first: nobody touches key files of a state folder another process
    // uses.
    let mut store = Store::open(&config.state, signing.public())?;
    if config.restored {
        // Whatever was open may have been answered since the copy.
        store.begin_generation(&[])?;
        tracing::warn!(event = "restored", state = %config.state.display());
    }
    let helper = Helper {
        signing,
        coordinator_key: config.coordinator_key,
        terms: config.terms(),
        now,
        state: config.state.clone(),
        restored: config.restored,
        keys: KeyFolder::open(&config.state)?,
        store: Mutex::new(store),
        open: Mutex::default(),
        _in_use: in_use,
    };
    recover(&helper)?;
    Ok(helper)
}

/// Loads the keys of open rounds and erases every other.
///
/// A round is made after its key and ended before its key is erased, so a crash leaves a key too
/// many, never one too few. A missing key means the database came from a backup, which may have
/// forgotten used seeds: a new generation begins and every earlier key is destroyed.
fn recover(helper: &Helper) -> Result<(), StorageError> {
    let mut store = helper.store();
    let rows = store.open_rounds()?;
    let mut open = HashMap::new();
    for row in &rows {
        if let Some(round) = load(helper, &store, row)? {
            open.insert(row.ticket_hash, Arc::new(round));
        }
    }
    if open.len() < rows.len() {
        let lost: Vec<Digest> = rows
            .iter()
            .map(|row| row.ticket_hash)
            .filter(|hash| !open.contains_key(hash))
            .collect();
        tracing::warn!(
            event = "keys_lost",
            rounds = lost.len(),
            abandoned = rows.len()
        );
        store.begin_generation(&lost)?;
        open.clear();
    }
    helper
        .keys
        .erase_all_but(|ticket| open.contains_key(&ticket))?;
    *helper.open() = open;
    Ok(())
}

/// The round with its key, if the key file holds the key the ticket names.
fn load(helper: &Helper, store: &Store, row: &RoundRow) -> Result<Option<OpenRound>, StorageError> {
    let ticket = row.ticket()?;
    let Some(key) = helper.keys.read(row.ticket_hash)? else {
        return Ok(None);
    };
    if ticket.sealing_key_bytes() != Some(key.sealing_key()) {
        return Ok(None);
    }
    let key = ExpandedKey::new(&key).map_err(StorageError::key)?;
    let round = HelperRound::new(ticket, row.ticket_hash, key, helper.terms.issuer);
    Ok(Some(OpenRound::new(
        round,
        store.admitted(row.ticket_hash)?,
    )))
}
