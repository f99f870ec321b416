//! Enrolment tokens: single ones, whose digests the coordinator knows, and those that the key of
//! the app's backend signs.

use std::fs;
use std::path::{Path, PathBuf};

use tacit_privacy::canonical::digest;
use tacit_round::token::Token;
use tacit_server::enrolment::TokenList;
use tacit_types::{Digest, Timestamp};
use tacit_wire::{clock, files};
use zeroize::Zeroizing;

use super::keys::{random, random_hex, read_signing_key};
use crate::failure::Failure;
use crate::say;

/// What devices get, one a line.
const SECRET: &str = "tokens.txt";
/// What the coordinator knows of them.
const KNOWN: &str = "tokens.sha256";
const DAY_MS: u64 = 24 * 3_600_000;

/// What is to be done.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Folder made by `tacit pki init`.
    dir: PathBuf,
    /// Make so many.
    #[arg(long, required_unless_present_any = ["list", "revoke"])]
    count: Option<u32>,
    /// Add them to the files that are there.
    #[arg(long, requires = "count")]
    append: bool,
    /// Days until they end; without it they do not.
    #[arg(long, requires = "count", value_parser = clap::value_parser!(u32).range(1..=400))]
    expires: Option<u32>,
    /// Sign them with `tokens.sign`, as the app's backend would on demand: no list, but `token_key`
    /// in the coordinator's file.
    #[arg(long, requires = "expires")]
    sign: bool,
    /// Show what the coordinator knows of each, and when it ends.
    #[arg(long, conflicts_with_all = ["count", "revoke"])]
    list: bool,
    /// Take tokens off the list, by themselves or by their digest. One that was used stays used.
    #[arg(long, num_args = 1.., value_name = "TOKEN", conflicts_with = "count")]
    revoke: Vec<Digest>,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    let Options { dir, .. } = options;
    let Some(count) = options.count else {
        return match options.list {
            true => list(dir),
            false => revoke(dir, &options.revoke),
        };
    };

    let ends = options.expires.map(|days| {
        let left = u64::from(days) * DAY_MS;
        clock::now().plus_millis(left)
    });
    match (ends.filter(|_| options.sign), options.append) {
        (Some(ends), append) => sign(dir, count, ends, append)?,
        (None, true) => append_single(dir, count, ends)?,
        (None, false) => make_ending(dir, count, ends)?,
    }
    say::result(format_args!(
        "made {count} tokens in {}\n",
        dir.join(SECRET).display()
    ))
}

/// Makes single tokens that do not end, and the digests the coordinator knows them by.
pub(crate) fn make(dir: &Path, count: u32) -> Result<(), Failure> {
    make_ending(dir, count, None)
}

fn make_ending(dir: &Path, count: u32, ends: Option<Timestamp>) -> Result<(), Failure> {
    let (secret, known) = draw(count, ends)?;
    // The list first, as in `append_single`.
    files::write_new_public(&dir.join(KNOWN), &known.to_text())?;
    Ok(files::write_new_secret(&dir.join(SECRET), &secret)?)
}

fn append_single(dir: &Path, count: u32, ends: Option<Timestamp>) -> Result<(), Failure> {
    let (secret, new) = draw(count, ends)?;
    let mut known = TokenList::read(&dir.join(KNOWN)).map_err(Failure::input)?;
    known.0.extend(new.0);
    // The list first: a token that nobody has is no harm, one that nobody knows would be.
    replace_list(dir, &known)?;
    append(dir, &secret)
}

/// Single tokens, a line each, and their list.
fn draw(count: u32, ends: Option<Timestamp>) -> Result<(Zeroizing<String>, TokenList), Failure> {
    let (mut secret, mut known) = (Zeroizing::new(String::new()), TokenList::default());
    for _ in 0..count {
        let token = random_hex()?;
        known.0.insert(digest(&hex::decode(&token)?), ends);
        *secret += &token;
        *secret += "\n";
    }
    Ok((secret, known))
}

/// Signs tokens as a backend would.
fn sign(dir: &Path, count: u32, ends: Timestamp, more: bool) -> Result<(), Failure> {
    let backend = read_signing_key(dir, "tokens")?;
    let mut secret = Zeroizing::new(String::new());
    for _ in 0..count {
        let token = Token {
            id: random()?,
            ends,
        };
        *secret += &hex::encode(token.sign(&backend));
        *secret += "\n";
    }
    match more {
        true => append(dir, &secret),
        false => Ok(files::write_new_secret(&dir.join(SECRET), &secret)?),
    }
}

/// Adds lines to the tokens that are there.
fn append(dir: &Path, lines: &str) -> Result<(), Failure> {
    let path = dir.join(SECRET);
    let bad = |error| Failure::input(format!("{}: {error}", path.display()));
    let mut text = Zeroizing::new(fs::read_to_string(&path).map_err(bad)?);
    *text += lines;
    files::replace_private(&path, text.as_bytes()).map_err(bad)
}

fn replace_list(dir: &Path, list: &TokenList) -> Result<(), Failure> {
    let path = dir.join(KNOWN);
    files::replace_public(&path, &list.to_text())
        .map_err(|error| Failure::input(format!("{}: {error}", path.display())))
}

fn list(dir: &Path) -> Result<(), Failure> {
    let known = TokenList::read(&dir.join(KNOWN)).map_err(Failure::input)?;
    let now = clock::now();
    let mut text = String::new();
    for (token, ends) in &known.0 {
        let left = match ends {
            None => "does not end".to_owned(),
            Some(ends) if *ends <= now => "has ended".to_owned(),
            Some(ends) => format!("ends in {} days", ends.millis_since(now) / DAY_MS),
        };
        text += &format!("{token} {left}\n");
    }
    say::result(text)
}

/// Takes tokens off the list; one that is not on it is an error, and nothing is changed then.
fn revoke(dir: &Path, tokens: &[Digest]) -> Result<(), Failure> {
    let mut known = TokenList::read(&dir.join(KNOWN)).map_err(Failure::input)?;
    for token in tokens {
        let removed = known
            .0
            .remove(&digest(&token.0))
            .or(known.0.remove(token));
        if removed.is_none() {
            let path = dir.join(KNOWN);
            let problem = format!("{}: has no token {token}", path.display());
            return Err(Failure::input(problem));
        }
    }
    replace_list(dir, &known)?;
    say::result(format_args!(
        "took {} tokens off {}\n",
        tokens.len(),
        dir.join(KNOWN).display()
    ))
}
