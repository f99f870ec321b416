//! Whatever happens to the files of the store, it says so, or it says the truth: HOSTILE 92-95, 98,
//! 102-104, 121, 122.
//!
//! Two snapshots are damaged in many ways: one closed well, one as a killed process leaves it,
//! whose newest commits are in the log alone. After each damage the store must refuse with
//! [`SdkError::Stop`], which reads as "used up", or hold exactly what it held: same price spent,
//! same rounds with same status, same bytes to send. Flipped bits inside recorded interactions are
//! outside: they decide nothing about what is spent.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod updates;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tacit_model::history::interaction::{Interaction, InteractionKind};
use tacit_privacy::ledger::Reservation;
use tacit_privacy::{LedgerStore, Rho};
use tacit_round::device::Status;
use tacit_round::policy::LogMark;
use tacit_sdk::store::{Pause, Spooled};
use tacit_sdk::{SdkError, Store};
use tacit_types::{Digest, ItemId, RoundId, TaskId};
use tempfile::TempDir;

const STORE: &str = "store.sqlite";
const LOG: &str = "store.sqlite-wal";
const COUNT: &str = "store.count";

/// Files of an installation's store: name and bytes.
type Files = Vec<(&'static str, Vec<u8>)>;

/// All that decides what may be spent or sent.
#[derive(PartialEq)]
struct Truth {
    lines: Vec<(Reservation, Status)>,
    spent: Rho,
    mark: LogMark,
    spooled: Spooled,
}

fn task() -> TaskId {
    TaskId::new("films").unwrap()
}

fn truth(store: &Store) -> Result<Truth, SdkError> {
    Ok(Truth {
        lines: store.ledger()?,
        spent: store.spent()?,
        mark: store.mark(&task())?,
        spooled: store.spooled(&task(), RoundId(3))?,
    })
}

fn release(store: &mut Store, round: u32, status: Option<Status>) {
    let (round, ticket) = (RoundId(round), Digest([9; 32]));
    let rho = Rho::saturating_from_units(u128::from(round.0) << 60);
    let mark = store.mark(&task()).unwrap();
    let line = Reservation {
        task: task(),
        round,
        ticket,
        rho,
        hour: 500_000,
    };
    store.spending(mark).reserve(&line).unwrap();
    store
        .spool(&updates::sealed(&task(), round, 2250), Pause::NONE)
        .unwrap();
    if let Some(status) = status {
        store.finish(&task(), round, status).unwrap();
    }
}

fn read(folder: &Path) -> Files {
    let read = |name| Some((name, fs::read(folder.join(name)).ok()?));
    [STORE, LOG, COUNT]
        .into_iter()
        .filter_map(read)
        .collect()
}

/// The two snapshots, and what both hold.
fn snapshots() -> ([Files; 2], Truth) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::create(folder.path()).unwrap();
    let one = Interaction {
        item: ItemId(1),
        timestamp: None,
        value: 4.0,
        kind: InteractionKind::Rating,
        surface: 0,
    };
    store.record(&[one; 200]).unwrap();
    release(&mut store, 1, Some(Status::Acknowledged));
    store
        .raise_spent(Rho::saturating_from_units(5 << 60), Rho::MAX)
        .unwrap();
    store.close();
    let mut store = Store::open(folder.path()).unwrap();
    release(&mut store, 2, Some(Status::Forfeited));
    let mark = LogMark {
        generation: 2,
        size: 40,
        root: Digest([8; 32]),
        model_seq: 39,
        ..LogMark::default()
    };
    store.set_mark(&task(), mark).unwrap();
    release(&mut store, 3, None);
    let killed = read(folder.path());
    let truth = truth(&store).unwrap();
    store.close();
    ([read(folder.path()), killed], truth)
}

fn lay(files: &Files) -> TempDir {
    // In memory where there is such a file system: thousands of stores are opened, and none has to
    // survive power loss.
    let folder = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// Opens and reads everything: whether it still held the truth. Anything but that or a stop that
/// names the file fails.
fn judge(folder: &Path, truth: &Truth, what: &str) -> bool {
    let read = Store::open(folder).and_then(|store| {
        store.interactions()?;
        self::truth(&store)
    });
    match read {
        Ok(held) => {
            assert!(
                held == *truth,
                "{what}: the store says something else and does not know it"
            );
            true
        }
        Err(SdkError::Stop(reason)) => {
            assert!(
                reason.contains("store."),
                "{what}: no file is named: {reason}"
            );
            false
        }
        Err(error) => panic!("{what}: {error:?}"),
    }
}

/// Applies `damage` to one file of a snapshot; whether the store still held the truth.
fn damaged(
    files: &Files,
    name: &str,
    truth: &Truth,
    what: &str,
    damage: impl Fn(&mut Vec<u8>),
) -> bool {
    let mut files = files.clone();
    damage(
        &mut files
            .iter_mut()
            .find(|(other, _)| *other == name)
            .unwrap()
            .1,
    );
    judge(lay(&files).path(), truth, what)
}

fn length(files: &Files, name: &str) -> usize {
    files
        .iter()
        .find(|(other, _)| *other == name)
        .unwrap()
        .1
        .len()
}

#[test]
fn sound_snapshots_hold_the_truth() {
    let (snapshots, truth) = snapshots();
    assert_eq!(
        truth.spent,
        Rho::saturating_from_units(10 << 60),
        "5 counted, then 2 and 3"
    );
    assert_eq!(truth.lines.len(), 3);
    for files in &snapshots {
        assert!(judge(lay(files).path(), &truth, "sound"));
    }
    assert!(
        snapshots[0].iter().all(|(name, _)| *name != LOG) && length(&snapshots[1], LOG) > 30_000
    );
}

/// HOSTILE 92, 94.
#[test]
fn a_file_cut_anywhere_is_noticed() {
    let ([closed, killed], truth) = snapshots();
    for (files, name, step) in [
        (&closed, STORE, 509),
        (&killed, STORE, 1021),
        (&killed, LOG, 509),
    ] {
        for cut in (0..length(files, name))
            .step_by(step)
            .chain([length(files, name) - 1])
        {
            let held = damaged(
                files,
                name,
                &truth,
                &format!("{name} cut to {cut}"),
                |bytes| bytes.truncate(cut),
            );
            // A cut log loses commits that the note beside the store still counts.
            assert!(!held || name == STORE, "{name} cut to {cut}");
        }
    }
    for cut in 0..20 {
        assert!(
            !damaged(&closed, COUNT, &truth, "count cut", |bytes| bytes
                .truncate(cut))
                || cut > 0,
            "{cut}"
        );
    }
}

/// HOSTILE 93: single bits, spread over every page of store and log.
#[test]
fn a_flipped_bit_is_noticed_or_harmless() {
    let ([closed, killed], truth) = snapshots();
    for (files, name, step) in [
        (&closed, STORE, 101),
        (&closed, COUNT, 1),
        (&killed, LOG, 151),
    ] {
        let (mut noticed, mut tried) = (0, 0);
        for at in (0..length(files, name)).step_by(step) {
            let flip = |bytes: &mut Vec<u8>| bytes[at] ^= 1 << (at % 8);
            noticed += u32::from(!damaged(
                files,
                name,
                &truth,
                &format!("{name} bit of {at}"),
                flip,
            ));
            tried += 1;
        }
        println!("{name}: {noticed} of {tried} noticed");
        assert!(noticed > 0);
    }
}

/// HOSTILE 93, aimed: every byte of every guarded value, with a bit that leaves digits digits and
/// letters letters.
#[test]
fn a_flipped_bit_in_a_guarded_value_is_always_noticed() {
    let ([closed, _], truth) = snapshots();
    let store = &closed
        .iter()
        .find(|(name, _)| *name == STORE)
        .unwrap()
        .1;
    let third = Rho::saturating_from_units(3 << 60).to_string();
    let (masked, sealed) = (&truth.spooled.masked()[..64], &truth.spooled.sealed()[..64]);
    for needle in [
        third.as_bytes(),
        b"acknowledged",
        b"forfeited",
        b"spooled",
        &[9; 32],
        &[8; 32],
        masked,
        sealed,
    ] {
        let start = store
            .windows(needle.len())
            .position(|window| window == needle)
            .unwrap();
        for at in start..start + needle.len() {
            let held = damaged(&closed, STORE, &truth, "guarded", |bytes| bytes[at] ^= 1);
            assert!(!held, "byte {at} of {:?}", String::from_utf8_lossy(needle));
        }
    }
}

/// HOSTILE 95, 101: rows taken out, log or store put back from before.
#[test]
fn commits_that_went_missing_are_noticed() {
    let ([closed, killed], truth) = snapshots();
    let without_log: Files = killed
        .iter()
        .filter(|(name, _)| *name != LOG)
        .cloned()
        .collect();
    assert!(!judge(lay(&without_log).path(), &truth, "log deleted"));
    // The store before its log was folded in, beside the note of today: the file alone was
    // restored.
    let older: Files = vec![
        killed[0].clone(),
        closed
            .iter()
            .find(|(name, _)| *name == COUNT)
            .unwrap()
            .clone(),
    ];
    assert!(!judge(lay(&older).path(), &truth, "store restored"));
    for statement in [
        "DELETE FROM ledger WHERE round = 1",
        "DELETE FROM ledger",
        "DELETE FROM elsewhere",
        "DELETE FROM mark",
        "DELETE FROM spool",
        "DELETE FROM seal",
        "UPDATE seal SET commits = commits + 1",
        "UPDATE spool SET deadline = deadline + 1",
        "UPDATE ledger SET rho = '1' WHERE round = 1",
        "UPDATE ledger SET status = 'reserved' WHERE round = 3",
        "UPDATE ledger SET round = 4 WHERE round = 3",
        "INSERT INTO ledger SELECT 'books', round, ticket, rho, hour, status FROM ledger",
    ] {
        let folder = lay(&closed);
        let db = rusqlite::Connection::open(folder.path().join(STORE)).unwrap();
        assert!(db.execute(statement, []).unwrap() > 0, "{statement}");
        drop(db);
        assert!(!judge(folder.path(), &truth, statement));
    }
}

/// HOSTILE 102, 104: something else stands where a file should be. None of it may hang.
#[test]
fn what_is_not_the_file_is_refused() {
    let ([closed, killed], truth) = snapshots();
    for (files, name) in [(&closed, STORE), (&killed, LOG), (&closed, COUNT)] {
        for other in ["folder", "pipe", "empty", "text"] {
            let folder = lay(files);
            let path = folder.path().join(name);
            fs::remove_file(&path).unwrap();
            match other {
                "folder" => fs::create_dir(&path).unwrap(),
                "pipe" => assert!(
                    std::process::Command::new("mkfifo")
                        .arg(&path)
                        .status()
                        .unwrap()
                        .success()
                ),
                "empty" => fs::write(&path, b"").unwrap(),
                _ => fs::write(&path, "not a database".repeat(1000)).unwrap(),
            }
            assert!(
                !judge(folder.path(), &truth, &format!("{other} for {name}")),
                "{other} for {name}"
            );
        }
    }
    let folder = lay(&closed);
    let db = rusqlite::Connection::open(folder.path().join(STORE)).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    assert!(!judge(folder.path(), &truth, "newer version"));
    assert!(
        matches!(Store::create(folder.path()), Err(SdkError::Stop(_))),
        "a newer store is left alone"
    );
}

/// HOSTILE 98, 103: without the right to write nothing is spent. Root may write anywhere; then all
/// must still hold.
#[test]
fn a_store_that_may_not_be_written_spends_nothing() {
    let ([closed, _], truth) = snapshots();
    let reserve = |folder: &Path| {
        let line = Reservation {
            round: RoundId(4),
            ..truth.lines[0].0.clone()
        };
        Store::open(folder).and_then(|mut store| store.spending(truth.mark).reserve(&line))
    };
    for (name, mode) in [(STORE, 0o000), (STORE, 0o400), (COUNT, 0o000), ("", 0o500)] {
        let folder = lay(&closed);
        let path = folder.path().join(name);
        let before = fs::metadata(&path).unwrap().permissions();
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let writable = |name| {
            fs::OpenOptions::new()
                .write(true)
                .open(folder.path().join(name))
                .is_ok()
        };
        let may_write = writable(STORE)
            && writable(COUNT)
            && fs::write(folder.path().join("probe"), b"").is_ok();
        let reserved = reserve(folder.path());
        fs::set_permissions(&path, before).unwrap();
        assert_eq!(reserved.is_ok(), may_write, "{name} {mode:o}");
        assert!(
            matches!(reserved, Ok(()) | Err(SdkError::Stop(_))),
            "{name} {mode:o}: {reserved:?}"
        );
        assert!(
            Store::open(folder.path()).unwrap().spent().unwrap() >= truth.spent,
            "{name} {mode:o}"
        );
    }
}
