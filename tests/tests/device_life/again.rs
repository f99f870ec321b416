//! The same round asked for a hundred times gives one ciphertext: HOSTILE 22, 50, 56, 105, 111,
//! 124.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use tacit_proto::v2::ContributeRequest;
use tacit_round::device::{Outcome, Status};
use tacit_sdk::{Agent, SdkError, Store};
use tacit_tests::stand_in::{Answer, Round, StandIn};
use tacit_types::Timestamp;
use tokio::time::timeout;

use crate::{contributions, enrolled, outcome, step};

/// Spent with the mark of its ledger, spooled, ended: each waits for the disk once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_takes_three_durable_commits() {
    let round = Round::counts(300).unwrap();
    let stand_in = StandIn::start(&round).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let agent = enrolled(&stand_in, folder.path()).await;
    let commits = || -> u64 {
        let note = std::fs::read_to_string(folder.path().join("store.count")).unwrap();
        note.parse().unwrap()
    };
    let before = commits();
    assert_eq!(outcome(&agent).await, Some(Outcome::Acknowledged));
    assert_eq!(commits(), before + 3);
    assert_eq!(outcome(&agent).await, None);
    assert_eq!(commits(), before + 3, "a round it has answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_asked_for_a_hundred_times_gets_one_ciphertext() {
    let round = Round::counts(300).unwrap();
    let stand_in = StandIn::start(&round).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let first = enrolled(&stand_in, folder.path()).await;
    let mut agents = vec![first];
    for ask in 0..70 {
        // A new agent on the same folder is what a restart is; some keep the old one.
        if ask % 3 == 0 {
            agents.push(enrolled(&stand_in, folder.path()).await);
        }
        let agent = agents.last().unwrap();
        match ask % 4 {
            // The answer is lost.
            0 | 1 => {
                stand_in.script(|script| script.contribute = Answer::Lose);
                assert_eq!(step(agent).await.unwrap().outcome, None, "ask {ask}");
            }
            // The answer does not come, and the app stops the action at any moment.
            2 => {
                stand_in.script(|script| script.contribute = Answer::Withhold);
                let stopped = timeout(Duration::from_millis(ask * 3), step(agent)).await;
                assert!(stopped.is_err(), "ask {ask}: {stopped:?}");
            }
            // Two actions at once, as of an app and its background task.
            _ => {
                stand_in.script(|script| script.contribute = Answer::Lose);
                for both in <[_; 2]>::from(tokio::join!(step(agent), step(&agents[0]))) {
                    let fine = matches!(&both, Ok(step) if step.outcome.is_none())
                        || matches!(both, Err(SdkError::RetryLater { .. }));
                    assert!(fine, "ask {ask}: {both:?}");
                }
            }
        }
    }
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(
        store
            .status(&round.ticket.task, round.ticket.round)
            .unwrap(),
        Some(Status::Spooled)
    );
    assert_eq!(store.spent().unwrap(), round.ticket.mechanism.rho());
    drop(store);

    stand_in.script(|script| script.contribute = Answer::Give);
    let agent = enrolled(&stand_in, folder.path()).await;
    assert_eq!(outcome(&agent).await, Some(Outcome::Acknowledged));
    for ask in 0..29 {
        assert_eq!(outcome(&agent).await, None, "ask {ask}");
    }
    let sent = contributions(&stand_in);
    let encoded = |sent: &Vec<ContributeRequest>| format!("{sent:?}");
    let distinct: BTreeSet<String> = sent.iter().map(encoded).collect();
    assert!(sent.len() > 50, "only {} were sent", sent.len());
    assert_eq!(distinct.len(), 1, "two ciphertexts for one round");
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(
        (store.ledger().unwrap().len(), store.spent().unwrap()),
        (1, round.ticket.mechanism.rho())
    );
}

/// An installation whose contributions all get lost, with the round it is asked for.
async fn unheard(folder: &Path) -> (Round, StandIn, Agent) {
    let round = Round::counts(300).unwrap();
    let stand_in = StandIn::start(&round).await.unwrap();
    let agent = enrolled(&stand_in, folder).await;
    stand_in.script(|script| script.contribute = Answer::Lose);
    (round, stand_in, agent)
}

/// A finished task's coordinator is away for good: what was meant for it is erased all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_are_dropped_at_the_deadline_even_when_there_is_nobody_to_ask() {
    let folder = tempfile::tempdir().unwrap();
    let (round, stand_in, agent) = unheard(folder.path()).await;
    let deadline = round.ticket.latest_deadline;
    assert_eq!(
        agent
            .step(Timestamp(deadline.0 - 2))
            .await
            .unwrap()
            .outcome,
        None
    );
    drop(stand_in);
    assert!(
        agent.step(Timestamp(deadline.0 - 1)).await.is_err(),
        "nobody is there"
    );
    let (task, number) = (&round.ticket.task, round.ticket.round);
    assert!(
        Store::open(folder.path())
            .unwrap()
            .spooled(task, number)
            .is_ok(),
        "not yet"
    );
    assert_eq!(
        agent.step(deadline).await.unwrap().outcome,
        Some(Outcome::TooLate)
    );
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(
        (
            store.status(task, number).unwrap(),
            store.unfinished().unwrap()
        ),
        (Some(Status::Forfeited), None)
    );
    assert!(store.spooled(task, number).is_err(), "the bytes are gone");
}

/// What nobody could take before the deadline is not kept for ever: from then on the same bytes are
/// erased, not sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_reach_nobody_before_the_deadline_are_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let (round, stand_in, agent) = unheard(folder.path()).await;
    let deadline = round.ticket.latest_deadline;
    for before in [deadline.0 - 3_600_000, deadline.0 - 1] {
        assert_eq!(
            agent.step(Timestamp(before)).await.unwrap().outcome,
            None,
            "{before}"
        );
    }
    assert_eq!(contributions(&stand_in).len(), 2);
    let (task, number) = (&round.ticket.task, round.ticket.round);
    assert!(
        Store::open(folder.path())
            .unwrap()
            .spooled(task, number)
            .is_ok()
    );

    stand_in.script(|script| (script.contribute, script.ticket) = (Answer::Give, None));
    assert_eq!(
        agent.step(deadline).await.unwrap().outcome,
        Some(Outcome::TooLate)
    );
    assert_eq!(
        agent.step(Timestamp(0)).await.unwrap().outcome,
        None,
        "a clock set back brings nothing back"
    );
    assert_eq!(contributions(&stand_in).len(), 2);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.status(task, number).unwrap(), Some(Status::Forfeited));
    assert!(store.spooled(task, number).is_err(), "the bytes are gone");
    assert_eq!(store.spent().unwrap(), round.ticket.mechanism.rho());
}
