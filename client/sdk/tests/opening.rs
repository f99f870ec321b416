//! Opening an installation: at once, with whatever there is, and never anew where it would give a
//! budget back.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod updates;

use std::fs;
use std::path::Path;

use tacit_model::family::spectral::SpectralModel;
use tacit_model::rank::filter::Filter;
use tacit_model::{Interaction, InteractionKind};
use tacit_privacy::ledger::Reservation;
use tacit_privacy::{LedgerStore, Rho, canonical};
use tacit_round::device::Status;
use tacit_round::policy::LogMark;
use tacit_sdk::store::Pause;
use tacit_sdk::{Consent, Event, Forget, Recommender, SdkError, Store};
use tacit_types::{Digest, ItemId, RoundId, TaskId, Timestamp};

const ITEMS: u32 = 20;

fn viewed(item: u32) -> Interaction {
    Interaction {
        item: ItemId(item),
        timestamp: Some(Timestamp(7)),
        value: 1.0,
        kind: InteractionKind::View,
        surface: 0,
    }
}

/// Leaves a model as a refresh does; gives where it lies.
fn adopt(folder: &Path) -> std::path::PathBuf {
    adopt_with(folder, None)
}

fn adopt_with(folder: &Path, catalogue: Option<&str>) -> std::path::PathBuf {
    let (bytes, models) = (
        SpectralModel::genesis(ITEMS).to_bytes(),
        folder.join("models"),
    );
    let hash = canonical::digest(&bytes);
    fs::create_dir_all(&models).unwrap();
    let path = models.join(format!("{hash}.bin"));
    fs::write(&path, bytes).unwrap();
    let named = catalogue.map(|text| {
        let hash = canonical::digest(text.as_bytes());
        fs::write(models.join(format!("{hash}.bin")), text).unwrap();
        hash.to_string()
    });
    let named = named.unwrap_or_else(|| "-".into());
    fs::write(models.join("serving"), format!("films {hash} {named}\n")).unwrap();
    path
}

fn listed(recommender: &Recommender) -> usize {
    recommender
        .recommend(ITEMS as usize, &Filter::default())
        .len()
}

/// HOSTILE 152.
#[test]
fn an_installation_opens_and_keeps_what_is_done_whatever_became_of_its_model() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("made on first use");
    let mut recommender = Recommender::open(&folder).unwrap();
    assert!(!recommender.has_model());
    assert_eq!(listed(&recommender), 0);
    recommender.record(viewed(3)).unwrap();
    assert!(!recommender.reload().unwrap());

    let model = adopt(&folder);
    assert!(recommender.reload().unwrap());
    assert_eq!(
        listed(&recommender),
        ITEMS as usize - 1,
        "one was met before"
    );
    assert!(!recommender.reload().unwrap(), "the same model again");
    assert!(recommender.record(viewed(ITEMS)).is_err());

    let whole = fs::read(&model).unwrap();
    let mut flipped = whole.clone();
    flipped[40] ^= 1;
    for damaged in [&whole[..whole.len() / 2], &flipped[..], &[]] {
        fs::write(&model, damaged).unwrap();
        let opened = Recommender::open(&folder).unwrap();
        assert!(!opened.has_model());
        assert_eq!(opened.recent().len(), 1);
        assert!(!recommender.reload().unwrap());
        assert_eq!(
            listed(&recommender),
            ITEMS as usize - 1,
            "the old one stays"
        );
    }
    fs::remove_file(&model).unwrap();
    std::os::unix::fs::symlink("loop.bin", folder.join("models/loop.bin")).unwrap();
    fs::rename(folder.join("models/loop.bin"), &model).unwrap();
    assert!(!Recommender::open(&folder).unwrap().has_model());
}

fn watched(id: &str, at: u64) -> Event {
    Event {
        id: id.into(),
        timestamp: Some(Timestamp(at)),
        value: 1.0,
        kind: InteractionKind::View,
        surface: 0,
    }
}

/// HOSTILE 157: an app records by its own ids before, and without, a catalogue that names them.
#[test]
fn an_unknown_id_waits_for_its_catalogue_and_can_be_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut recommender = Recommender::open(folder).unwrap();
    for (id, at) in [("film-3", 5), ("film-99", 6), ("film-3", 7), ("film-98", 8)] {
        assert!(!recommender.record_event(&watched(id, at)).unwrap());
    }
    for id in ["", "a\tb", &"x".repeat(513)] {
        assert!(recommender.record_event(&watched(id, 1)).is_err());
    }
    drop(recommender);
    let mut recommender = Recommender::open(folder).unwrap();
    assert_eq!(recommender.recent().len(), 0);
    let data = recommender.export_my_data().unwrap();
    assert!(data.contains("film-98"), "{data}");

    let lines: String = (0..ITEMS)
        .map(|item| format!("film-{item}\tF\t\n"))
        .collect();
    adopt_with(folder, Some(&lines));
    assert!(recommender.reload().unwrap());
    let recent: Vec<_> = recommender
        .recent()
        .iter()
        .map(|one| one.item.0)
        .collect();
    assert_eq!(recent, [3, 3]);
    assert!(
        recommender
            .record_event(&watched("film-4", 9))
            .unwrap()
    );

    let period = Forget::Period(Timestamp(6)..Timestamp(8));
    assert_eq!(recommender.forget(&period).unwrap(), 2);
    let other = Forget::Waiting("film-98".into());
    assert_eq!(recommender.forget(&other).unwrap(), 1);
    recommender
        .record_event(&watched("film-97", 9))
        .unwrap();
    assert_eq!(recommender.forget(&Forget::Everything).unwrap(), 3);
    drop(recommender);
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap_or_default();
        let left = bytes.windows(6).any(|part| part == b"film-9");
        assert!(!left, "{}", path.display());
    }
}

/// HOSTILE 155: what opens on first use must not make a lost ledger anew.
#[test]
fn a_store_that_is_missing_where_there_was_one_is_not_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    drop(Recommender::open(folder).unwrap());
    fs::write(folder.join("device.crt"), "enrolled").unwrap();
    let store = fs::read(Store::path(folder)).unwrap();
    fs::remove_file(Store::path(folder)).unwrap();
    let refused = Recommender::open(folder).err().unwrap().to_string();
    assert!(refused.contains("budget counts as used up"), "{refused}");

    // Without a certificate, what was written is noted beside the store.
    fs::remove_file(folder.join("device.crt")).unwrap();
    fs::write(Store::path(folder), store).unwrap();
    let mut recommender = Recommender::open(folder).unwrap();
    recommender.set_consent(Consent::Receive).unwrap();
    drop(recommender);
    fs::remove_file(Store::path(folder)).unwrap();
    let refused = Recommender::open(folder).err().unwrap().to_string();
    assert!(refused.contains("budget counts as used up"), "{refused}");
}

/// A store with a contribution that was not sent, and what was spent on it.
fn unsent(folder: &Path, round: RoundId) -> (Store, TaskId, Rho) {
    let task = TaskId::new("films").unwrap();
    let mut store = Store::create(folder).unwrap();
    store.set_consent(Consent::Contribute).unwrap();
    store.record(&[viewed(1)]).unwrap();
    let line = Reservation {
        task: task.clone(),
        round,
        ticket: Digest([7; 32]),
        rho: Rho::saturating_from_units(1 << 60),
        hour: 9,
    };
    let mut spending = store.spending(LogMark::default());
    spending.reserve(&line).unwrap();
    let update = updates::sealed(&task, round, 64);
    store.spool(&update, Pause::NONE).unwrap();
    let spent = store.spent().unwrap();
    (store, task, spent)
}

/// PRIVACY 11.9; HOSTILE 154: opting out and forgetting reach what was made and not sent, and give
/// no budget back.
#[test]
fn opting_out_or_forgetting_erases_an_unsent_contribution_and_the_spend_stays() {
    let off = |store: &mut Store| store.set_consent(Consent::Off);
    let receive = |store: &mut Store| store.set_consent(Consent::Receive);
    let forget = |store: &mut Store| store.forget(&Forget::Item(ItemId(9))).map(drop);
    type Decision = fn(&mut Store) -> Result<(), SdkError>;
    let decisions: [(Decision, Consent); 3] = [
        (off, Consent::Off),
        (receive, Consent::Receive),
        (forget, Consent::Contribute),
    ];
    for (decide, consent) in decisions {
        let folder = tempfile::tempdir().unwrap();
        let round = RoundId(4);
        let (mut sending, task, spent) = unsent(folder.path(), round);
        // The app decides over its own connection, opened before the round was.
        let mut store = Store::open(folder.path()).unwrap();
        decide(&mut store).unwrap();
        drop(store);

        assert_eq!(sending.unfinished().unwrap(), None);
        assert!(sending.spooled(&task, round).is_err());
        let again = sending.finish(&task, round, Status::Acknowledged);
        assert!(
            matches!(again, Err(SdkError::RetryLater { .. })),
            "{again:?}"
        );
        drop(sending);

        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.consent().unwrap(), consent);
        assert_eq!(store.status(&task, round).unwrap(), Some(Status::Forfeited));
        assert_eq!(store.spent().unwrap(), spent);
        assert_eq!(store.interactions().unwrap().len(), 1);
    }
}

/// HOSTILE 154: a consent nobody gave, by a flipped row, is no consent.
#[test]
fn a_consent_that_was_changed_behind_the_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    Store::create(folder.path())
        .unwrap()
        .set_consent(Consent::Off)
        .unwrap();
    let db = rusqlite::Connection::open(Store::path(folder.path())).unwrap();
    db.execute("UPDATE owners SET consent = 'contribute'", [])
        .unwrap();
    drop(db);
    let refused = Store::open(folder.path()).err().unwrap().to_string();
    assert!(refused.contains("damaged"), "{refused}");
}
