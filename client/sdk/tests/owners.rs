//! Several owners of one installation: nobody sees, changes or loses what is another's, and all of
//! them together have one ledger, one budget and one contribution: PRIVACY 11.1.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod updates;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use tacit_model::Model;
use tacit_model::family::spectral::SpectralModel;
use tacit_model::history::interaction::{Interaction, InteractionKind};
use tacit_model::rank::filter::Filter;
use tacit_privacy::ledger::Reservation;
use tacit_privacy::{DeviceBudget, LedgerStore, Rho, canonical};
use tacit_round::device::Status;
use tacit_round::policy::LogMark;
use tacit_sdk::store::{NAME_MAX, OWNERS_MAX, Pause};
use tacit_sdk::{Consent, Event, Feedback, Forget, Recommender, SdkError, Store};
use tacit_types::{Digest, ItemId, RoundId, TaskId, Timestamp};

const ITEMS: u32 = 20;
const ROUND: RoundId = RoundId(4);

fn task() -> TaskId {
    TaskId::new("films").unwrap()
}

fn viewed(item: u32) -> Interaction {
    Interaction {
        item: ItemId(item),
        timestamp: Some(Timestamp(u64::from(item) + 100)),
        value: 1.0,
        kind: InteractionKind::View,
        surface: 0,
    }
}

/// An installation with a model, as a refresh leaves it.
fn installation(folder: &Path) -> Recommender {
    let model = SpectralModel::genesis(ITEMS).to_bytes();
    assert!(Model::from_bytes(&model).is_ok());
    let (models, hash) = (folder.join("models"), canonical::digest(&model));
    fs::create_dir_all(&models).unwrap();
    fs::write(models.join(format!("{hash}.bin")), model).unwrap();
    fs::write(models.join("serving"), format!("films {hash} -\n")).unwrap();
    Recommender::open(folder).unwrap()
}

fn store(folder: &Path, owner: &str) -> Store {
    Store::open(folder).unwrap().for_owner(owner).unwrap()
}

fn reserve(store: &mut Store, round: RoundId) -> Result<(), SdkError> {
    let line = Reservation {
        task: task(),
        round,
        ticket: Digest([7; 32]),
        rho: Rho::saturating_from_units(1 << 60),
        hour: 9,
    };
    store.spending(LogMark::default()).reserve(&line)
}

/// Reserves the round and spools a contribution of whoever contributes.
fn spool(store: &mut Store) {
    reserve(store, ROUND).unwrap();
    let update = updates::sealed(&task(), ROUND, 64);
    store.spool(&update, Pause::NONE).unwrap();
}

fn listed(recommender: &Recommender) -> Vec<u32> {
    let list = recommender.recommend(ITEMS as usize, &Filter::default());
    list.iter().map(|one| one.item.0).collect()
}

fn export(recommender: &Recommender) -> serde_json::Value {
    serde_json::from_str(&recommender.export_my_data().unwrap()).unwrap()
}

#[test]
fn what_one_owner_did_and_chose_shows_to_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = installation(folder.path());
    let mut parent = nobody.for_owner("Ada").unwrap();
    let mut child = nobody.for_owner(" Tim\t").unwrap();
    let waits = |id: &str| Event {
        id: id.into(),
        timestamp: None,
        value: 1.0,
        kind: InteractionKind::View,
        surface: 0,
    };

    parent.record(viewed(3)).unwrap();
    parent
        .feedback(ItemId(5), Feedback::Hide, Timestamp(9))
        .unwrap();
    parent.choose_categories(&[2]).unwrap();
    parent.trust(Timestamp(1)..Timestamp(2)).unwrap();
    parent.record_event(&waits("a film of Ada's")).unwrap();
    child.record(viewed(7)).unwrap();
    child.record_event(&waits("a film of Tim's")).unwrap();
    child.set_consent(Consent::Receive).unwrap();

    let reopened = Recommender::open(folder.path()).unwrap();
    assert_eq!(reopened.owners().unwrap(), ["Ada", "Tim"]);
    let again = |name: &str| reopened.for_owner(name).unwrap();
    for parent in [parent, again("Ada")] {
        let list = listed(&parent);
        assert!(!list.contains(&3) && !list.contains(&5) && list.contains(&7));
        assert_eq!(parent.consent().unwrap(), Consent::Off);
        let export = export(&parent);
        assert_eq!(export["owner"], "Ada");
        assert_eq!(export["chosen_categories"], serde_json::json!([2]));
        assert_eq!(export["waiting"][0]["id"], "a film of Ada's");
        assert!(!export.to_string().contains("Tim"), "{export}");
    }
    for child in [child, again("Tim")] {
        let list = listed(&child);
        assert!(list.contains(&3) && list.contains(&5) && !list.contains(&7));
        assert_eq!(child.consent().unwrap(), Consent::Receive);
        assert_eq!(child.widest_consent().unwrap(), Consent::Receive);
        let export = export(&child);
        assert_eq!(export["interactions"].as_array().unwrap().len(), 1);
        for empty in ["trusted_periods", "chosen_categories"] {
            assert_eq!(export[empty], serde_json::json!([]), "{empty}");
        }
        assert!(!export.to_string().contains("Ada"), "{export}");
    }
    for nobody in [nobody, reopened] {
        assert_eq!(listed(&nobody).len(), ITEMS as usize);
        assert_eq!(nobody.consent().unwrap(), Consent::Off);
    }
}

#[test]
fn a_name_is_short_text_and_there_is_room_for_a_household() {
    let folder = tempfile::tempdir().unwrap();
    Store::create(folder.path()).unwrap().close();
    let refused = |name: &str| {
        let opened = Store::open(folder.path()).unwrap().for_owner(name);
        matches!(opened, Err(SdkError::Stop(_)))
    };
    let longest = "\u{e4}".repeat(NAME_MAX / 2);
    for name in ["", "  ", "a\nb", "\u{7f}", "\0", &format!("{longest}a")] {
        assert!(refused(name), "{name:?}");
        let mut store = Store::open(folder.path()).unwrap();
        assert!(store.remove_owner(name).is_err(), "{name:?}");
    }
    store(folder.path(), &longest);
    let quoted = "x'); DROP TABLE ledger; --";
    store(folder.path(), quoted);
    for number in 2..OWNERS_MAX {
        store(folder.path(), &number.to_string());
    }
    assert!(refused("one too many"));
    // Who is known needs no room, and who was removed makes some.
    let mut last = store(folder.path(), quoted);
    assert!(last.remove_owner("5").unwrap());
    assert!(!last.remove_owner("5").unwrap());
    store(folder.path(), "one more");
    assert_eq!(last.owners().unwrap().len(), OWNERS_MAX as usize);
}

/// HOSTILE 171: the budget is the installation's. Owners that come, go and come again neither add
/// to it nor reset it.
#[test]
fn no_number_of_owners_changes_what_may_be_spent() {
    let folder = tempfile::tempdir().unwrap();
    let mut lists = installation(folder.path());
    spool(&mut Store::open(folder.path()).unwrap());
    let counted = Rho::saturating_from_units(9 << 60);
    let mut nobody = Store::open(folder.path()).unwrap();
    nobody.raise_spent(counted, Rho::MAX).unwrap();
    let held = || {
        let store = Store::open(folder.path()).unwrap();
        (store.ledger().unwrap(), store.spent().unwrap())
    };
    let before = held();
    assert_eq!(before.1, counted);

    for _ in 0..3 {
        for number in 0..OWNERS_MAX {
            let mut owner = lists.for_owner(&number.to_string()).unwrap();
            owner.record(viewed(number)).unwrap();
            owner.set_consent(Consent::Contribute).unwrap();
            // Another owner's round is the same round: it cannot be reserved a second time.
            let mut store = store(folder.path(), &number.to_string());
            assert!(reserve(&mut store, ROUND).is_err());
            let budget = DeviceBudget::lifetime(Rho::MAX);
            let status = owner.privacy_status(budget, Timestamp(0)).unwrap();
            assert_eq!((status.spent, status.releases), (counted, 1));
            assert!(held() == before, "owner {number}");
        }
        for number in 0..OWNERS_MAX {
            assert!(lists.remove_owner(&number.to_string()).unwrap());
            assert!(held() == before, "owner {number} removed");
        }
    }
}

/// HOSTILE 172: two owners' background tasks at once on one folder. Each has decided before the
/// other's commit, and one alone has a reservation and a contribution.
#[test]
fn two_owners_at_once_reserve_and_spool_one_contribution() {
    let folder = tempfile::tempdir().unwrap();
    installation(folder.path());
    for owner in ["Ada", "Tim"] {
        let mut store = store(folder.path(), owner);
        store.record(&[viewed(1)]).unwrap();
        store.set_consent(Consent::Contribute).unwrap();
    }
    let start = std::sync::Barrier::new(2);
    let take_part = |owner: &str, round: u32| {
        let mut store = store(folder.path(), owner);
        start.wait();
        let reserved = reserve(&mut store, RoundId(round));
        let update = updates::sealed(&task(), RoundId(round), 64);
        reserved.and_then(|()| store.spool(&update, Pause::NONE).map(drop))
    };
    for round in 1..=20 {
        let ended = std::thread::scope(|scope| {
            let ada = scope.spawn(|| take_part("Ada", round));
            let tim = scope.spawn(|| take_part("Tim", round));
            [ada, tim].map(|thread| thread.join().unwrap())
        });
        let won = ended.iter().filter(|ended| ended.is_ok()).count();
        assert_eq!(won, 1, "{ended:?}");
        let again = |error: &SdkError| matches!(error, SdkError::RetryLater { .. });
        assert!(
            ended
                .iter()
                .filter_map(|one| one.as_ref().err())
                .all(again),
            "{ended:?}"
        );

        let mut store = Store::open(folder.path()).unwrap();
        assert_eq!(store.ledger().unwrap().len(), round as usize);
        assert!(store.spooled(&task(), RoundId(round)).is_ok());
        let sent = Status::Acknowledged;
        store.finish(&task(), RoundId(round), sent).unwrap();
    }
}

/// HOSTILE 173: what waits to be sent goes if the history of who decides is in it, and stays if it
/// is not.
#[test]
fn a_waiting_contribution_is_erased_by_those_it_was_made_of_and_by_nobody_else() {
    type Decision = fn(&mut Store, &str) -> Result<(), SdkError>;
    let off: Decision = |store, _| store.set_consent(Consent::Off);
    let receive: Decision = |store, _| store.set_consent(Consent::Receive);
    let item: Decision = |store, _| store.forget(&Forget::Item(ItemId(19))).map(drop);
    let everything: Decision = |store, _| store.forget(&Forget::Everything).map(drop);
    let removed: Decision = |store, name| store.remove_owner(name).map(drop);
    for decide in [off, receive, item, everything, removed] {
        let folder = tempfile::tempdir().unwrap();
        installation(folder.path());
        for (owner, consent) in [
            ("Ada", Consent::Contribute),
            ("Eva", Consent::Contribute),
            ("Tim", Consent::Receive),
        ] {
            let mut store = store(folder.path(), owner);
            store.record(&[viewed(1)]).unwrap();
            store.set_consent(consent).unwrap();
        }
        let mut sending = Store::open(folder.path()).unwrap();
        assert_eq!(sending.histories().unwrap().all().len(), 2);
        spool(&mut sending);
        let spent = sending.spent().unwrap();
        let status = || {
            let store = Store::open(folder.path()).unwrap();
            assert_eq!(store.spent().unwrap(), spent);
            let waits = store.spooled(&task(), ROUND).is_ok();
            (store.status(&task(), ROUND).unwrap(), waits)
        };

        // Tim's history is not in it, and he may change his mind as often as he likes.
        let mut tim = store(folder.path(), "Tim");
        tim.set_consent(Consent::Contribute).unwrap();
        decide(&mut tim, "Tim").unwrap();
        assert_eq!(status(), (Some(Status::Spooled), true));
        let mut eva = store(folder.path(), "Eva");
        decide(&mut eva, "Eva").unwrap();
        assert_eq!(status(), (Some(Status::Forfeited), false));
        let sent = sending.finish(&task(), ROUND, Status::Acknowledged);
        assert!(matches!(sent, Err(SdkError::RetryLater { .. })), "{sent:?}");
    }
}

/// HOSTILE 174: whoever is removed between reservation and spool is in no contribution.
#[test]
fn an_owner_who_goes_while_a_contribution_is_made_is_not_in_it_and_no_other_disturbs_it() {
    let folder = tempfile::tempdir().unwrap();
    installation(folder.path());
    for owner in ["Ada", "Tim"] {
        let mut store = store(folder.path(), owner);
        store.record(&[viewed(1)]).unwrap();
        store.set_consent(Consent::Contribute).unwrap();
    }
    // Who is not in it comes, changes their mind and goes, and costs the others nothing.
    let first = RoundId(ROUND.0 - 1);
    let mut making = Store::open(folder.path()).unwrap();
    reserve(&mut making, first).unwrap();
    let mut eva = store(folder.path(), "Eva");
    eva.record(&[viewed(2)]).unwrap();
    eva.set_consent(Consent::Receive).unwrap();
    eva.forget(&Forget::Everything).unwrap();
    assert!(eva.remove_owner("Eva").unwrap());
    let update = updates::sealed(&task(), first, 64);
    making.spool(&update, Pause::NONE).unwrap();
    making
        .finish(&task(), first, Status::Acknowledged)
        .unwrap();

    reserve(&mut making, ROUND).unwrap();
    let histories = making.histories().unwrap();
    assert_eq!(histories.all().len(), 2);
    let mut nobody = Store::open(folder.path()).unwrap();
    assert!(nobody.remove_owner("Tim").unwrap());

    let update = updates::sealed(&task(), ROUND, 64);
    let late = making.spool(&update, Pause::NONE);
    assert!(matches!(late, Err(SdkError::RetryLater { .. })));
    drop(making);
    let mut store = Store::open(folder.path()).unwrap();
    assert_eq!(store.unfinished().unwrap(), None);
    let status = store.status(&task(), ROUND).unwrap();
    assert_eq!(status, Some(Status::Forfeited));
    assert_eq!(store.histories().unwrap().all().len(), 1);
    assert!(reserve(&mut store, ROUND).is_err(), "its round is paid for");
}

/// HOSTILE 175: nothing of who was removed is in any file, their handles record nothing more, and
/// whoever gets the name next has nothing of theirs.
#[test]
fn an_owner_who_was_removed_is_gone_from_every_byte_and_their_handles_are_dead() {
    let folder = tempfile::tempdir().unwrap();
    let lists = installation(folder.path());
    let waits = |id: &str| Event {
        id: id.into(),
        timestamp: None,
        value: 1.0,
        kind: InteractionKind::View,
        surface: 0,
    };
    let held = |words: &[u8]| {
        let files = fs::read_dir(folder.path()).unwrap();
        let bytes = files.map(|file| fs::read(file.unwrap().path()).unwrap_or_default());
        bytes
            .into_iter()
            .any(|bytes| bytes.windows(words.len()).any(|part| part == words))
    };
    // A real of SQLite is eight bytes, most significant first.
    let rated = Interaction {
        value: 1234.5,
        ..viewed(3)
    };
    let theirs: [&[u8]; 3] = [b"Maximilian", b"film-98", &1234.5f64.to_be_bytes()];
    let mut ada = lists.for_owner("Ada").unwrap();
    ada.record_event(&waits("film-97")).unwrap();
    let mut max = lists.for_owner("Maximilian").unwrap();
    max.record(rated).unwrap();
    max.record_event(&waits("film-98")).unwrap();
    max.choose_categories(&[3]).unwrap();
    max.set_consent(Consent::Contribute).unwrap();
    spool(&mut Store::open(folder.path()).unwrap());
    assert!(theirs.iter().all(|words| held(words)));

    // While somebody reads the store its log keeps what the file no longer has; the call is
    // repeated.
    let reader = rusqlite::Connection::open(Store::path(folder.path())).unwrap();
    let look = "BEGIN; SELECT count(*) FROM owners";
    reader.execute_batch(look).unwrap();
    let busy = ada.remove_owner("Maximilian");
    assert!(matches!(busy, Err(SdkError::RetryLater { .. })), "{busy:?}");
    drop(reader);
    assert!(
        !ada.remove_owner("Maximilian").unwrap(),
        "gone since the first call"
    );
    for words in theirs {
        assert!(!held(words), "{words:?}");
    }
    assert!(held(b"film-97") && held(b"Ada"));
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.ledger().unwrap().len(), 1, "what was spent stays");
    drop(store);

    let next = lists.for_owner("Maximilian").unwrap();
    assert_eq!(next.consent().unwrap(), Consent::Off);
    assert!(next.recent().is_empty());
    let refused = [
        max.record(viewed(1)),
        max.record_event(&waits("film-98")).map(drop),
        max.choose_categories(&[3]),
        max.trust(Timestamp(1)..Timestamp(2)),
        max.set_consent(Consent::Contribute),
    ];
    for refused in refused {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("was removed"), "{refused}");
    }
    assert_eq!(max.consent().unwrap(), Consent::Off);
    let export = export(&next);
    for empty in ["interactions", "waiting", "chosen_categories"] {
        assert_eq!(export[empty], serde_json::json!([]), "{empty}");
    }
    // Who removes themselves has empty lists at once.
    assert_eq!(ada.recent().len(), 0);
    ada.record(viewed(2)).unwrap();
    assert!(ada.remove_owner("Ada").unwrap());
    assert!(ada.recent().is_empty());
}

/// What the store should hold of one owner.
#[derive(Default)]
struct Kept {
    interactions: Vec<Interaction>,
    consent: Consent,
}

/// A few hundred things that three owners do in any order, each on a handle of that moment, against
/// what each of them should have.
#[test]
fn whatever_owners_do_in_any_order_each_has_exactly_their_own() {
    for seed in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        installation(folder.path());
        let mut random = StdRng::seed_from_u64(seed);
        let mut kept: BTreeMap<&str, Kept> = BTreeMap::new();
        for _ in 0..60 {
            let name = ["Ada", "Eva", "Tim"][random.random_range(0..3)];
            let mut store = store(folder.path(), name);
            act(&mut store, name, &mut kept, &mut random);
            drop(store);
            compare(folder.path(), &kept, seed);
        }
    }
}

fn act(
    store: &mut Store,
    name: &'static str,
    kept: &mut BTreeMap<&str, Kept>,
    random: &mut impl Rng,
) {
    let own = kept.entry(name).or_default();
    let item = random.random_range(0..5);
    match random.random_range(0..6) {
        0..=2 => {
            store.record(&[viewed(item)]).unwrap();
            own.interactions.push(viewed(item));
        }
        3 => {
            let before = own.interactions.len();
            own.interactions.retain(|one| one.item.0 != item);
            let gone = store.forget(&Forget::Item(ItemId(item))).unwrap();
            assert_eq!(gone, before - own.interactions.len());
        }
        4 => {
            let all = [Consent::Off, Consent::Receive, Consent::Contribute];
            own.consent = all[random.random_range(0..3)];
            store.set_consent(own.consent).unwrap();
        }
        _ => {
            assert!(store.remove_owner(name).unwrap());
            kept.remove(name);
        }
    }
}

fn compare(folder: &Path, kept: &BTreeMap<&str, Kept>, seed: u64) {
    let nobody = Store::open(folder).unwrap();
    assert!(nobody.interactions().unwrap().is_empty());
    let mut names = nobody.owners().unwrap();
    names.sort();
    assert!(names.iter().eq(kept.keys()), "seed {seed}: {names:?}");
    let widest = kept.values().map(|own| own.consent).max();
    assert_eq!(nobody.widest_consent().unwrap(), widest.unwrap_or_default());

    let gives = |own: &&Kept| own.consent == Consent::Contribute && !own.interactions.is_empty();
    let given: usize = kept
        .values()
        .filter(gives)
        .map(|own| own.interactions.len())
        .sum();
    let histories = nobody.histories().unwrap();
    assert_eq!(histories.all().concat().len(), given, "seed {seed}");
    assert_eq!(histories.all().len(), kept.values().filter(gives).count());
    for (name, own) in kept {
        let store = store(folder, name);
        assert!(store.interactions().unwrap() == own.interactions);
        assert_eq!(store.consent().unwrap(), own.consent, "seed {seed}: {name}");
        let is_in = histories.all().contains(&own.interactions);
        assert!(!gives(&own) || is_in, "seed {seed}: {name}");
    }
}
