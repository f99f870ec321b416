//! Checks that every charged line says what the ticket said that devices saw: the same mechanism
//! and assumptions, signed by both parties before anybody spent anything.

use std::collections::HashSet;
use std::path::Path;

use tacit_privacy::canonical;
use tacit_privacy::record::Charge;
use tacit_round::ticket::{SignedTicket, Ticket, TicketFile};

use crate::error::VerifyError;
use crate::files;
use crate::keys::Keys;
use crate::ledger::{self, Ledger};

const FOLDER: &str = "tickets";

/// Reads the ticket of every charged line; files that no line names are worth a warning.
pub(crate) fn check(
    dir: &Path,
    ledger: &Ledger,
    keys: &Keys,
    warnings: &mut Vec<String>,
) -> Result<(), VerifyError> {
    let present: HashSet<String> = files::names(dir, FOLDER)?.into_iter().collect();
    let mut named = HashSet::new();
    for entry in &ledger.entries {
        let name = format!("{}.json", entry.charge.ticket_hash);
        let file = format!("{FOLDER}/{name}");
        if !present.contains(&name) {
            return Err(VerifyError::line(
                ledger::FILE,
                entry.seq,
                format!("its ticket is missing: {file}"),
            ));
        }
        let ticket = read(&files::read_small(dir, &file)?, &entry.charge, keys)
            .map_err(|problem| VerifyError::file(file, problem))?;
        if let Some(field) = difference(&entry.charge, &ticket) {
            return Err(VerifyError::line(
                ledger::FILE,
                entry.seq,
                format!("{field} is not what its ticket says"),
            ));
        }
        named.insert(name);
    }
    let mut extra: Vec<&String> = present.difference(&named).collect();
    extra.sort();
    warnings.extend(
        extra
            .iter()
            .map(|name| format!("{FOLDER}/{name} is named by no line")),
    );
    Ok(())
}

fn read(bytes: &[u8], charge: &Charge, keys: &Keys) -> Result<Ticket, String> {
    let file: TicketFile = canonical::decode(bytes).map_err(|error| error.to_string())?;
    let signed = SignedTicket::from(file);
    if signed.hash() != charge.ticket_hash {
        return Err("the SHA-256 of its ticket is not its name".into());
    }
    if !signed.verifies(&keys.coordinator, &keys.helper) {
        return Err("is not signed by both parties".into());
    }
    Ticket::from_bytes(&signed.bytes).map_err(|error| error.to_string())
}

/// The first field in which a line differs from its ticket.
fn difference(charge: &Charge, ticket: &Ticket) -> Option<&'static str> {
    let same = [
        ("task", charge.task == ticket.task),
        ("round", charge.round == ticket.round),
        ("kind", charge.kind == ticket.kind.as_str()),
        (
            "model_in_hash",
            charge.model_in_hash == ticket.model_in_hash,
        ),
        ("mechanism", charge.mechanism == ticket.mechanism),
        (
            "dishonest_milli",
            charge.dishonest_milli == ticket.dishonest_milli,
        ),
        (
            "dropout_milli",
            charge.dropout_milli == ticket.dropout_milli,
        ),
    ];
    same.iter()
        .find(|(_, same)| !same)
        .map(|(field, _)| *field)
}
