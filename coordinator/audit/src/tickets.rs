//! Checks that every line of a round says what the ticket said that devices saw: the same mechanism
//! and assumptions, signed by both parties before anybody spent anything.

use std::collections::HashSet;
use std::path::Path;

use tacit_privacy::canonical;
use tacit_privacy::record::{Charge, Empty};
use tacit_round::ticket::{SignedTicket, Ticket, TicketFile};
use tacit_types::Digest;

use crate::empty;
use crate::error::VerifyError;
use crate::files;
use crate::keys::Keys;
use crate::ledger::{self, Ledger};

const FOLDER: &str = "tickets";

/// Reads the ticket of every line of a round; files that no line names are worth a warning.
pub(crate) fn check(
    dir: &Path,
    ledger: &Ledger,
    keys: &Keys,
    warnings: &mut Vec<String>,
) -> Result<(), VerifyError> {
    let present: HashSet<String> = files::names(dir, FOLDER)?.into_iter().collect();
    let mut named = HashSet::new();
    for (seq, hash, line) in lines(ledger) {
        let name = format!("{hash}.json");
        let file = format!("{FOLDER}/{name}");
        let wrong = |problem: String| VerifyError::line(ledger::FILE, seq, problem);
        if !present.contains(&name) {
            return Err(wrong(format!("its ticket is missing: {file}")));
        }
        let ticket = read(&files::read_small(dir, &file)?, hash, keys)
            .map_err(|problem| VerifyError::file(file, problem))?;
        let differs = match line {
            Said::Charge(charge) => difference(charge, &ticket),
            Said::Empty(empty) => empty::difference(empty, &ticket),
        };
        if let Some(field) = differs {
            return Err(wrong(format!("{field} is not what its ticket says")));
        }
        let (stated, before) = (ticket.free_rounds, ledger.empty.before(seq));
        if stated != before {
            return Err(wrong(format!(
                "its ticket's free_rounds is {stated} and {before} such lines stand before it"
            )));
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

/// What a line says of its round.
enum Said<'a> {
    Charge(&'a Charge),
    Empty(&'a Empty),
}

/// Every line of a round, with its place and its ticket: first those that cost something.
fn lines(ledger: &Ledger) -> impl Iterator<Item = (u64, Digest, Said<'_>)> {
    let charged = ledger.entries.iter().map(|entry| {
        let charge = &entry.charge;
        (entry.seq, charge.ticket_hash, Said::Charge(charge))
    });
    let empty = ledger.empty.all().iter().map(|empty| {
        let line = &empty.line;
        (empty.seq, line.ticket_hash, Said::Empty(line))
    });
    charged.chain(empty)
}

fn read(bytes: &[u8], hash: Digest, keys: &Keys) -> Result<Ticket, String> {
    let file: TicketFile = canonical::decode(bytes).map_err(|error| error.to_string())?;
    let signed = SignedTicket::from(file);
    if signed.hash() != hash {
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
