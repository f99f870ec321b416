//! Several owners of one installation, whose processes step at once, are killed, lose an owner and
//! come back from an old copy: PRIVACY 11.1.

use std::path::Path;
use std::time::Duration;

use tacit_model::history::interaction::{Interaction, InteractionKind};
use tacit_privacy::Rho;
use tacit_round::device::{Outcome, Status};
use tacit_sdk::{Consent, SdkError, Store};
use tacit_tests::copy_folder;
use tacit_tests::stand_in::{Round, StandIn};
use tacit_types::{ItemId, Timestamp};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::kills::Victim;
use crate::rollback::{offer, times};
use crate::{DEADLINE, contributions, enrolled, outcome};

/// Adds owners who used one item each; whether they contribute.
fn household(folder: &Path, owners: &[(&str, Consent)]) {
    for ((name, consent), item) in owners.iter().zip(0..) {
        let mut owner = Store::open(folder).unwrap().for_owner(name).unwrap();
        let viewed = Interaction {
            item: ItemId(item),
            timestamp: Some(Timestamp(u64::from(item))),
            value: 1.0,
            kind: InteractionKind::View,
            surface: 0,
        };
        owner.record(&[viewed]).unwrap();
        owner.set_consent(*consent).unwrap();
    }
}

/// Removes an owner, however often another process is in the way.
async fn remove(folder: &Path, name: &str) {
    let until = Instant::now() + DEADLINE;
    loop {
        let removed = Store::open(folder).and_then(|mut store| store.remove_owner(name));
        match removed {
            Ok(_) => return,
            Err(SdkError::RetryLater { .. }) if Instant::now() < until => {}
            Err(error) => panic!("{error}"),
        }
        sleep(Duration::from_millis(2)).await;
    }
}

const BOTH: [(&str, Consent); 2] = [("Ada", Consent::Contribute), ("Tim", Consent::Contribute)];

/// HOSTILE 172: background tasks of two owners are two processes on one folder.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_of_two_owners_at_once_send_one_contribution() {
    let mut victim = Victim::new().await;
    household(&victim.device(), &BOTH);
    let untouched = victim.device();
    for n in 1..=8 {
        victim.use_copy(&untouched, n);
        let before = contributions(&victim.stand_in).len();
        let both = [victim.spawn("step"), victim.spawn("step")];
        for child in both {
            let ended = spawn_blocking(|| child.wait_with_output().unwrap());
            let said = ended.await.unwrap();
            let said = String::from_utf8_lossy(&said.stderr).into_owned();
            assert!(!said.contains("panicked"), "{n}: {said}");
        }
        victim.resumes("").await;
        let (status, spent) = victim.ledger();
        assert_eq!(spent, victim.price(), "{n}");
        let sent = &contributions(&victim.stand_in)[before..];
        // One process may have come in the way of the other's bytes, or have repeated them.
        let names: Vec<_> = sent.iter().map(|messages| messages.first()).collect();
        assert!(names.windows(2).all(|pair| pair[0] == pair[1]), "{n}");
        let arrived = !sent.is_empty();
        assert_eq!(arrived, status == Some(Status::Acknowledged), "{n}");
    }
}

/// HOSTILE 174: killed between reservation, spool and sending, and then an owner goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_who_goes_after_a_kill_takes_what_waits_with_them() {
    let mut victim = Victim::new().await;
    let receives = ("Eva", Consent::Receive);
    household(&victim.device(), &[BOTH[0], BOTH[1], receives]);
    let untouched = victim.device();
    for (n, killed, leaves, ended) in [
        (1, "reserve", "Tim", Status::Forfeited),
        (2, "spool", "Tim", Status::Forfeited),
        (3, "spool", "Eva", Status::Acknowledged),
    ] {
        victim.use_copy(&untouched, n);
        assert!(!victim.run(killed).await.0, "{killed}");
        remove(&victim.device(), leaves).await;
        let sends = ended == Status::Acknowledged;
        let first = if sends { "Some(Acknowledged)" } else { "None" };
        victim.resumes(first).await;
        victim.resumes("None").await;
        assert_eq!(victim.ledger(), (Some(ended), victim.price()), "{leaves}");
        assert_eq!(contributions(&victim.stand_in).len(), usize::from(sends));
    }
}

/// HOSTILE 174: at any moment of a step of another process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_who_goes_while_another_process_steps_leaves_one_round_paid_once() {
    let mut victim = Victim::new().await;
    household(&victim.device(), &BOTH);
    let untouched = victim.device();
    let mut ends = [0; 2];
    for n in 1..=16 {
        victim.use_copy(&untouched, n);
        let before = contributions(&victim.stand_in).len();
        let child = victim.spawn("step");
        sleep(Duration::from_millis(u64::from(n) * 6)).await;
        remove(&victim.device(), "Tim").await;
        let ended = spawn_blocking(|| child.wait_with_output().unwrap());
        let said = ended.await.unwrap();
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(!said.contains("panicked"), "{n}: {said}");
        victim.resumes("").await;

        let (status, spent) = victim.ledger();
        assert_eq!(spent, victim.price(), "{n}");
        let sent = contributions(&victim.stand_in).len() - before;
        assert!(sent <= 1, "{n}: {sent} contributions");
        let counted = status == Some(Status::Acknowledged);
        assert!(counted || status == Some(Status::Forfeited), "{n}");
        assert!(!counted || sent == 1, "{n}");
        ends[usize::from(counted)] += 1;
        let store = victim.store();
        assert_eq!(store.owners().unwrap(), ["Ada"]);
        assert_eq!(store.histories().unwrap().all().len(), 1);
    }
    assert_ne!(ends[1], 0, "nobody went before a step or after it");
}

/// HOSTILE 171: an old copy knows neither the owners nor what was spent on their account, and new
/// owners of it have no budget of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_added_to_an_old_copy_have_what_the_coordinator_counted_spent() {
    let mut round = Round::counts(300).unwrap();
    round.policy.rho_lifetime = times(&round, 3);
    let all = times(&round, 10);
    let round = round.after(all).unwrap();
    let stand_in = StandIn::start(&round).await.unwrap();
    let base = tempfile::tempdir().unwrap();
    let (device, old) = (base.path().join("device"), base.path().join("old"));
    let agent = enrolled(&stand_in, &device).await;
    copy_folder(&device, &old).unwrap();
    household(&device, &BOTH);
    for number in 1..=2 {
        offer(&stand_in, &round, Some(number), number - 1);
        assert_eq!(outcome(&agent).await, Some(Outcome::Acknowledged));
    }

    copy_folder(&old, &device).unwrap();
    let spent = || -> Rho { Store::open(&device).unwrap().spent().unwrap() };
    assert_eq!(spent(), Rho::ZERO);
    household(&device, &[("Eva", Consent::Contribute), BOTH[0]]);
    offer(&stand_in, &round, Some(3), 2);
    assert_eq!(outcome(&agent).await, Some(Outcome::Acknowledged));
    assert_eq!(spent(), times(&round, 3));
    household(&device, &[("Max", Consent::Contribute)]);
    offer(&stand_in, &round, Some(4), 3);
    let refused = outcome(&agent).await;
    assert!(
        matches!(refused, Some(Outcome::SpendRefused(_))),
        "{refused:?}"
    );
    assert_eq!(
        (spent(), contributions(&stand_in).len()),
        (times(&round, 3), 3)
    );
}
