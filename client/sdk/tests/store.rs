//! What the store promises while its files are sound: every step is durable, nothing is spent twice
//! or forgotten.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod updates;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use tacit_model::history::interaction::{Interaction, InteractionKind};
use tacit_privacy::ledger::{self, Reservation};
use tacit_privacy::{DeviceBudget, LedgerStore, Mechanism, Rho, Tier};
use tacit_round::contribute::SealedUpdate;
use tacit_round::device::Status;
use tacit_round::policy::LogMark;
use tacit_sdk::store::Pause;
use tacit_sdk::{SdkError, Store};
use tacit_types::{Digest, ItemId, RoundId, TaskId, Timestamp};

fn task() -> TaskId {
    TaskId::new("films").unwrap()
}

fn rho(units: u32) -> Rho {
    Rho::saturating_from_units(u128::from(units) << 64)
}

fn reservation(round: u32) -> Reservation {
    Reservation {
        task: task(),
        round: RoundId(round),
        ticket: Digest([1; 32]),
        rho: rho(round),
        hour: 7,
    }
}

fn reserve(store: &mut Store, line: &Reservation) -> Result<(), SdkError> {
    store.spending(LogMark::default()).reserve(line)
}

/// Durable commits of the device ledger, as noted beside the store.
fn commits(folder: &Path) -> u64 {
    let note = fs::read_to_string(folder.join("store.count")).unwrap();
    note.parse().unwrap()
}

fn sealed(round: u32) -> SealedUpdate {
    updates::sealed(&task(), RoundId(round), 10_000)
}

fn mechanism() -> Mechanism {
    Mechanism {
        tier: Tier::Helper,
        length: 320,
        row_width: 32,
        row_cap_milli: 1000,
        history_max: 10,
        nnz_max: 320,
        steps: 512,
        sigma2: 1 << 18,
        n_min: 90,
        cohort_max: 100,
        helper_noise: false,
    }
}

fn is_stop(result: Result<Store, SdkError>, words: &str) -> bool {
    let Err(SdkError::Stop(reason)) = result else {
        return false;
    };
    reason.contains(words) && reason.contains("store.")
}

#[test]
fn a_release_goes_reserved_spooled_acknowledged_and_stays_spent() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::create(folder.path()).unwrap();
    reserve(&mut store, &reservation(1)).unwrap();
    assert!(reserve(&mut store, &reservation(1)).is_err());
    assert_eq!(
        store.unfinished().unwrap(),
        Some((task(), RoundId(1), Status::Reserved))
    );
    let sealed = [1, 2].map(sealed);
    let spooled = store.spool(&sealed[0], Pause::NONE).unwrap();
    assert_eq!(spooled.masked(), sealed[0].masked());
    drop(store);
    let mut store = Store::open(folder.path()).unwrap();
    assert!(store.spooled(&task(), RoundId(1)).unwrap() == spooled);
    store
        .finish(&task(), RoundId(1), Status::Acknowledged)
        .unwrap();
    assert_eq!(store.unfinished().unwrap(), None);
    assert_eq!(store.spent().unwrap(), rho(1));
    for begun in [Status::Reserved, Status::Spooled] {
        assert!(
            matches!(
                store.finish(&task(), RoundId(1), begun),
                Err(SdkError::Bug(_))
            ),
            "a round ends once"
        );
    }
    store
        .finish(&task(), RoundId(1), Status::Forfeited)
        .unwrap();
    assert_eq!(
        store.status(&task(), RoundId(1)).unwrap(),
        Some(Status::Acknowledged)
    );
    for again in &sealed {
        assert!(store.spool(again, Pause::NONE).is_err());
    }
    store.close();
    let length = fs::metadata(Store::path(folder.path())).unwrap().len();
    assert!(length < 70_000, "the spool gives its space back: {length}");
}

#[test]
fn a_store_whose_creation_was_interrupted_is_created_again() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("store.new"), b"half").unwrap();
    assert!(is_stop(Store::open(folder.path()), "missing"));
    drop(Store::create(folder.path()).unwrap());
    fs::remove_file(Store::path(folder.path())).unwrap();
    // Killed after the note of its commits and before it stood under its name.
    drop(Store::create(folder.path()).unwrap());
    assert!(Store::open(folder.path()).is_ok() && !folder.path().join("store.new").exists());
}

/// HOSTILE 90: what its owner did is in it, in the log too.
#[test]
fn nobody_but_its_owner_may_read_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::create(folder.path()).unwrap();
    reserve(&mut store, &reservation(1)).unwrap();
    let mut seen = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{:?}",
            entry.file_name()
        );
        seen += 1;
    }
    assert!(seen >= 3, "the store, its log and its count");
    store.close();
    let path = Store::path(folder.path());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    Store::open(folder.path()).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "an open store is closed to others");
}

/// HOSTILE 122.
#[test]
fn a_deleted_ledger_reads_as_exhausted_and_is_not_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::create(folder.path()).unwrap();
    reserve(&mut store, &reservation(1)).unwrap();
    store.close();
    fs::remove_file(Store::path(folder.path())).unwrap();
    assert!(is_stop(Store::open(folder.path()), "used up"));
    assert!(is_stop(Store::create(folder.path()), "used up"));
    assert!(!Store::path(folder.path()).exists());
}

#[test]
fn interactions_come_back_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::create(folder.path()).unwrap();
    let one = |item, at: Option<u64>| Interaction {
        item: ItemId(item),
        timestamp: at.map(Timestamp),
        value: 4.0,
        kind: InteractionKind::Rating,
        surface: 0,
    };
    store.record(&[one(3, Some(9)), one(1, None)]).unwrap();
    store.record(&[one(2, Some(1))]).unwrap();
    assert!(store.interactions().unwrap() == [one(3, Some(9)), one(1, None), one(2, Some(1))]);
}

/// HOSTILE 101: after an old copy came back, what the coordinator counted stays spent beside
/// everything spent later.
#[test]
fn what_the_coordinator_counted_is_added_to_and_never_goes_down() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::create(folder.path()).unwrap();
    reserve(&mut store, &reservation(1)).unwrap();
    for (counted, spent) in [(0, 1), (1, 1), (5, 5), (3, 5), (5, 5)] {
        store.raise_spent(rho(counted), Rho::MAX).unwrap();
        assert_eq!(store.spent().unwrap(), rho(spent), "counted {counted}");
    }
    reserve(&mut store, &reservation(2)).unwrap();
    store.close();
    let mut store = Store::open(folder.path()).unwrap();
    assert_eq!(
        (store.spent().unwrap(), store.unrecorded().unwrap()),
        (rho(7), rho(4)),
        "5 known of, then 2 more"
    );
    store.raise_spent(rho(8), Rho::MAX).unwrap();
    assert_eq!(store.spent().unwrap(), rho(8));
    store.raise_spent(Rho::MAX, Rho::MAX).unwrap();
    assert_eq!(store.spent().unwrap(), Rho::MAX);
}

/// HOSTILE 130.
#[test]
fn a_count_is_believed_only_as_far_as_signed_ledgers_back_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::create(folder.path()).unwrap();
    reserve(&mut store, &reservation(1)).unwrap();
    let (films, books) = (TaskId::new("films").unwrap(), TaskId::new("books").unwrap());
    assert_eq!(store.backed(None).unwrap(), Rho::ZERO);
    store.raise_spent(Rho::MAX, Rho::ZERO).unwrap();
    assert_eq!(store.spent().unwrap(), rho(1));

    for (task, total) in [(&films, 3), (&books, 4)] {
        let rho_total = rho(total);
        let mark = LogMark {
            rho_total,
            ..LogMark::default()
        };
        store.set_mark(task, mark).unwrap();
        assert_eq!(store.mark(task).unwrap(), mark);
    }
    assert_eq!(store.backed(None).unwrap(), rho(7));
    assert_eq!(store.backed(Some((&films, rho(5)))).unwrap(), rho(9));

    // What the ledgers hold is taken over; the rest of the claim is not, and leaves nothing behind.
    store.raise_spent(Rho::MAX, rho(7)).unwrap();
    assert_eq!(store.spent().unwrap(), rho(7));
    let mut spending = store.spending(LogMark::default()).believing(Rho::MAX);
    assert_eq!(spending.counted().unwrap(), Rho::MAX);
    spending = spending.believing(rho(1));
    assert_eq!(spending.counted().unwrap(), rho(7));
}

#[test]
fn numbers_the_store_cannot_hold_are_refused_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::create(folder.path()).unwrap();
    for hour in [u64::MAX, 1 << 63] {
        let refused = reserve(
            &mut store,
            &Reservation {
                hour,
                ..reservation(1)
            },
        );
        assert!(matches!(refused, Err(SdkError::Stop(_))), "{hour}");
        assert_eq!(
            (store.ledger().unwrap().len(), store.unfinished().unwrap()),
            (0, None)
        );
    }
    let last = Reservation {
        hour: (1 << 63) - 1,
        ..reservation(1)
    };
    reserve(&mut store, &last).unwrap();
    let mark = LogMark {
        size: 1 << 63,
        ..LogMark::default()
    };
    assert!(matches!(
        store.set_mark(&task(), mark),
        Err(SdkError::Stop(_))
    ));
    let with_spend = store.spending(mark).reserve(&reservation(2));
    assert!(matches!(with_spend, Err(SdkError::Stop(_))));
    assert_eq!(store.mark(&task()).unwrap(), LogMark::default());
    assert_eq!(store.ledger().unwrap().len(), 1);
}

/// Neither may be durable without the other: a spend without its mark would let the coordinator go
/// back behind it.
#[test]
fn a_reservation_and_its_mark_are_one_commit() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::create(folder.path()).unwrap();
    let mark = LogMark {
        size: 40,
        root: Digest([8; 32]),
        ..LogMark::default()
    };
    let before = commits(folder.path());
    store.spending(mark).reserve(&reservation(1)).unwrap();
    assert_eq!(commits(folder.path()), before + 1);
    assert_eq!(store.mark(&task()).unwrap(), mark);

    let later = LogMark { size: 41, ..mark };
    assert!(store.spending(later).reserve(&reservation(1)).is_err());
    assert_eq!(store.mark(&task()).unwrap(), mark, "a spend that failed");
    assert_eq!(commits(folder.path()), before + 1);
}

/// Two processes on one folder: the one that decided on old numbers writes nothing and begins
/// again.
#[test]
fn a_decision_made_on_old_numbers_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Store::create(folder.path()).unwrap();
    let mut second = Store::open(folder.path()).unwrap();
    reserve(&mut first, &reservation(1)).unwrap();
    let late = reserve(&mut second, &reservation(2));
    assert!(matches!(late, Err(SdkError::RetryLater { .. })), "{late:?}");
    first.spool(&sealed(1), Pause::NONE).unwrap();
    assert!(
        second
            .finish(&task(), RoundId(1), Status::Forfeited)
            .is_err()
    );
    drop(second);
    let second = Store::open(folder.path()).unwrap();
    assert_eq!(
        second.status(&task(), RoundId(1)).unwrap(),
        Some(Status::Spooled)
    );
    assert_eq!(second.spent().unwrap(), rho(1));
}

/// HOSTILE 109, 110, 127, on a real store that is closed between releases: each of these clocks in
/// turn opens at most one new window, and going back opens none.
#[test]
fn no_clock_opens_a_window_twice() {
    let folder = tempfile::tempdir().unwrap();
    Store::create(folder.path()).unwrap().close();
    let mechanism = mechanism();
    let price = mechanism.rho();
    let day = 24;
    let budget = DeviceBudget {
        rho_window: price,
        window_hours: day,
        ..DeviceBudget::lifetime(Rho::MAX)
    };
    let year = 365 * 24 * 3_600_000;
    let now = 55 * year;
    let clocks = [
        now,
        now,
        now - year,
        0,
        now,
        now + year,
        now,
        now - year,
        now + year,
        0,
        u64::MAX,
        now,
        u64::MAX,
        0,
    ];
    let mut granted = Vec::new();
    for (clock, round) in clocks.into_iter().zip(1..) {
        let mut store = Store::open(folder.path()).unwrap();
        let spent = ledger::spend(
            &mut store.spending(LogMark::default()),
            budget,
            &task(),
            RoundId(round),
            Digest([1; 32]),
            &mechanism,
            Timestamp(clock),
        );
        if spent.unwrap().is_ok() {
            granted.push(clock);
        }
        store.close();
    }
    assert_eq!(granted, [now, now + year, u64::MAX]);
    let store = Store::open(folder.path()).unwrap();
    let windows: Vec<u64> = store
        .ledger()
        .unwrap()
        .iter()
        .map(|(line, _)| line.hour / u64::from(day))
        .collect();
    assert!(windows.is_sorted_by(|one, next| one < next), "{windows:?}");
    assert_eq!(store.spent().unwrap(), price.compose(price).compose(price));
}

/// An app and its background task may hold the store at once: what one commits while the other
/// opens is not damage.
#[test]
fn opening_while_another_process_commits_finds_nothing_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = Store::create(folder.path()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for size in 1..=300 {
                writer
                    .set_mark(
                        &task(),
                        LogMark {
                            size,
                            ..LogMark::default()
                        },
                    )
                    .unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            match Store::open(folder.path()) {
                Ok(_) | Err(SdkError::RetryLater { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
}
