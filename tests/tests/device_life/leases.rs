//! What a device makes of its lease: it spends only while it stands, and sends at its time.

use std::time::Duration;

use prost::Message;
use tacit_proto::v2;
use tacit_round::device::{Outcome, Status};
use tacit_round::policy::TicketRefusal;
use tacit_round::refusal::RefusalCode;
use tacit_sdk::{Agent, SdkError, Store, TableCache};
use tacit_tests::stand_in::{Round, Said, StandIn};
use tacit_types::Timestamp;
use tacit_wire::clock;

use super::{carries, contributions, enrolled, outcome, step};

/// HOSTILE 147: what is ready early waits, durable, and asks nobody until its time has come; then
/// the same bytes are sent, by whatever process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contribution_is_sent_at_the_time_its_lease_fixed() {
    let round = Round::counts(300).unwrap();
    let stand_in = StandIn::start(&round).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let agent = enrolled(&stand_in, folder.path()).await;
    stand_in.script(|script| script.send_after_ms = 600_000);

    let begun = clock::now();
    let first = agent.step(begun).await.unwrap();
    assert_eq!(first.outcome, None);
    assert!(first.retry_after > Duration::from_secs(590), "{first:?}");
    let (task, number) = (&round.ticket.task, round.ticket.round);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.status(task, number).unwrap(), Some(Status::Spooled));
    let spooled = store.spooled(task, number).unwrap();
    drop(store);

    let said = stand_in.recorded()[0].len();
    let again = Agent::new(
        folder.path(),
        stand_in.deployment.clone(),
        TableCache::default(),
    );
    let early = again.step(begun.plus_millis(590_000)).await.unwrap();
    assert!(early.retry_after <= Duration::from_secs(11), "{early:?}");
    assert_eq!(stand_in.recorded()[0].len(), said, "nobody was asked");

    let due = begun.plus_millis(700_000);
    let sent = again.step(due).await.unwrap();
    assert_eq!(sent.outcome, Some(Outcome::Acknowledged));
    let all = contributions(&stand_in);
    assert!(all.len() == 1 && carries(&all[0], &spooled));
}

/// A clock that was put back does not hold it up for years.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_put_back_ends_the_wait() {
    let round = Round::counts(300).unwrap();
    let stand_in = StandIn::start(&round).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let agent = enrolled(&stand_in, folder.path()).await;
    stand_in.script(|script| script.send_after_ms = 600_000);
    assert_eq!(outcome(&agent).await, None);
    let back = agent.step(Timestamp(1)).await.unwrap();
    assert_eq!(back.outcome, Some(Outcome::Acknowledged));
}

/// A short wait is waited for with the connection open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_wait_is_part_of_the_step() {
    let round = Round::counts(300).unwrap();
    let stand_in = StandIn::start(&round).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let agent = enrolled(&stand_in, folder.path()).await;
    stand_in.script(|script| script.send_after_ms = 900);
    let begun = clock::now();
    assert_eq!(outcome(&agent).await, Some(Outcome::Acknowledged));
    assert!(
        clock::now().millis_since(begun) >= 900,
        "sent before its time"
    );
}

/// HOSTILE 148: a lease that has ended, or none, costs nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_spent_without_a_lease_that_stands() {
    let round = Round::counts(300).unwrap();
    let stand_in = StandIn::start(&round).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let agent = enrolled(&stand_in, folder.path()).await;
    stand_in.script(|script| script.valid_ms = 0);
    let ended = step(&agent).await;
    assert!(
        matches!(ended, Err(SdkError::RetryLater { .. })),
        "{ended:?}"
    );

    let ticket = round.signed.clone();
    stand_in.script(|script| script.ticket = None);
    assert_eq!(outcome(&agent).await, None);
    let store = Store::open(folder.path()).unwrap();
    assert!(store.ledger().unwrap().is_empty());
    drop(store);

    stand_in.script(|script| {
        script.ticket = Some(tacit_tests::stand_in::to_proto(&ticket));
        script.valid_ms = 60_000;
    });
    assert_eq!(outcome(&agent).await, Some(Outcome::Acknowledged));
}

/// HOSTILE 144: the next check-in says why the last ticket was refused, whatever process it is in,
/// and has the same length whatever it says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_in_says_why_the_last_ticket_was_refused_in_the_same_length() {
    let mut round = Round::counts(300).unwrap();
    let sound = round.policy.history_max;
    round.policy.history_max = 1;
    let stand_in = StandIn::start(&round).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let agent = enrolled(&stand_in, folder.path()).await;
    let refused = outcome(&agent).await;
    let outside = TicketRefusal::OutsidePolicy("history_max");
    assert_eq!(refused, Some(Outcome::TicketRefused(outside)));
    assert!(sound > 1);

    let again = Agent::new(
        folder.path(),
        stand_in.deployment.clone(),
        TableCache::default(),
    );
    outcome(&again).await;
    let calls = stand_in.recorded().remove(0);
    let asked: Vec<v2::CheckInRequest> = calls
        .into_iter()
        .filter_map(|call| match call.said {
            Said::CheckIn(asked) => Some(asked),
            _ => None,
        })
        .collect();
    let said: Vec<_> = asked
        .iter()
        .map(|asked| asked.refusal.unwrap())
        .collect();
    assert_eq!(said, [0, RefusalCode::Policy as u32]);
    let lengths: Vec<usize> = asked.iter().map(Message::encoded_len).collect();
    assert_eq!(lengths[0], lengths[1]);
}
