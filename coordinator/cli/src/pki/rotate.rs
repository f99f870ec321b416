//! A new root, with a time in which both are trusted.
//!
//! Every step can be repeated, and `root.next.crt` stands from the first to the last: a rotation
//! that was cut off is taken up where it stood, with the same new root.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use tacit_round::keys::Context;
use tacit_round::root::SignedRoot;
use tacit_types::Timestamp;
use tacit_wire::pki::{Credentials, PkiError};
use tacit_wire::{clock, renewal, rotation};

use super::renew::{self, Folder};
use crate::failure::Failure;
use crate::say;

/// Roots that older ones vouch for, in a deployment's folder.
pub(super) const FILE: &str = "roots.txt";
const NEXT_CERTIFICATE: &str = "root.next.crt";
const NEXT_KEY: &str = "root.next.key";
const KEY: &str = "root.key";
const OLD_KEY: &str = "root.old.key";

/// Puts a new root before the old one, and renews what servers show.
pub(super) fn rotate(dir: &Path) -> Result<(), Failure> {
    let (folder, now) = (Folder { dir }, clock::now());
    let there = |name: &str| dir.join(name).exists();
    match (there(NEXT_CERTIFICATE), there(NEXT_KEY)) {
        // Everything but this was done.
        (true, false) => {}
        (true, true) => turn(&folder, now)?,
        (false, _) => {
            if certificates(&folder, "root.crt")?.len() > 1 {
                let problem = "root.crt: the last rotation is not finished; run tacit pki rotate \
                               with --finish first";
                return Err(Failure::input(problem));
            }
            let next = rotation::next_root(now)?;
            folder.replace_secret(NEXT_KEY, &next.key)?;
            folder.replace(NEXT_CERTIFICATE, &next.chain)?;
            turn(&folder, now)?;
        }
    }
    renew::renew(dir, false)?;
    // Last: while it is there, this rotation is taken up instead of another begun.
    remove(&folder, NEXT_CERTIFICATE)?;
    say::result("made a new root\n")?;
    say::note(format_args!(
        "copy root.crt, issuing.crt, {FILE} and the servers' .crt files to their machines and ship \
         root.crt with the app; when every device has renewed, after 90 days, run: tacit pki \
         rotate {} --finish",
        dir.display()
    ));
    Ok(())
}

/// Ends the time in which both are trusted.
pub(super) fn finish(dir: &Path) -> Result<(), Failure> {
    let folder = Folder { dir };
    if dir.join(NEXT_CERTIFICATE).exists() {
        let problem = "a rotation was cut off; run tacit pki rotate without --finish first";
        return Err(Failure::input(problem));
    }

    for name in ["root.crt", "issuing.crt"] {
        let all = certificates(&folder, name)?;
        folder.replace(name, &all[0])?;
    }
    renew::renew(dir, false)?;
    say::note(format_args!(
        "copy root.crt, issuing.crt and the servers' .crt files to their machines; {OLD_KEY} is \
         needed no more"
    ));
    Ok(())
}

fn turn(folder: &Folder<'_>, now: Timestamp) -> Result<(), Failure> {
    let next = Credentials {
        chain: folder.public(NEXT_CERTIFICATE)?,
        key: folder.secret(NEXT_KEY)?.to_string(),
    };
    let mut trusted = certificates(folder, "root.crt")?;
    trusted.retain(|root| *root != next.chain);
    let first = trusted.first().cloned();
    let none = || Failure::input("root.crt: has no root but the next one");
    // The old key has its new name between the last two steps.
    let kept = [KEY, OLD_KEY].map(|name| (folder.dir.join(name).exists(), name));
    let key = kept.iter().find(|(there, _)| *there);
    let missing = || Failure::input("root.key: missing; only it can vouch for the next root");
    let old = Credentials {
        chain: first.ok_or_else(none)?,
        key: folder.secret(key.ok_or_else(missing)?.1)?.to_string(),
    };

    let certificate = rotation::der(&next.chain)?;
    let message = Context::Root.signed(&certificate);
    let vouched = rotation::vouch(&old, &next, &message, now)
        .map_err(|error| folder.named("root.key", &error))?;
    list(folder, certificate, &vouched.signature)?;
    let issuing_key = folder.secret("issuing.key")?;
    let issuing = renewal::renew_issuing(&issuing_key, &next.chain, &next.key, now)
        .map_err(|error| folder.named("issuing.crt", &error))?;
    folder.replace("issuing.crt", &(issuing + &vouched.cross))?;
    folder.replace("root.crt", &(next.chain.clone() + &trusted.concat()))?;
    if kept[0].0 {
        rename(folder, KEY, OLD_KEY)?;
    }
    rename(folder, NEXT_KEY, KEY)
}

/// Adds the new root to those that devices are told of, unless it is there.
fn list(folder: &Folder<'_>, certificate: Vec<u8>, signature: &[u8]) -> Result<(), Failure> {
    let root = SignedRoot::new(certificate, signature);
    let bug = || Failure::input("root.next.crt: is larger than a root may be");
    let line = format!("{}\n", root.ok_or_else(bug)?);
    let mut text = match folder.dir.join(FILE).exists() {
        true => folder.public(FILE)?,
        false => String::new(),
    };
    if !text.contains(&line) {
        text += &line;
        folder.replace(FILE, &text)?;
    }
    Ok(())
}

fn certificates(folder: &Folder<'_>, name: &str) -> Result<Vec<String>, Failure> {
    let named = |error: PkiError| folder.named(name, &error);
    let all = rotation::certificates(&folder.public(name)?).map_err(named)?;
    match all.is_empty() {
        true => Err(named(PkiError::Request("holds no certificate"))),
        false => Ok(all),
    }
}

fn rename(folder: &Folder<'_>, from: &str, to: &str) -> Result<(), Failure> {
    let from = folder.dir.join(from);
    fs::rename(&from, folder.dir.join(to))
        .map_err(|error| Failure::input(format!("{}: {error}", from.display())))
}

fn remove(folder: &Folder<'_>, name: &str) -> Result<(), Failure> {
    let path = folder.dir.join(name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Failure::input(format!("{}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}
