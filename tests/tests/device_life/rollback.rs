//! Old copies, clones and clocks: HOSTILE 101, 109, 110, 121, 127.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tacit_privacy::{Refusal, Rho};
use tacit_round::device::Outcome;
use tacit_round::policy::TicketRefusal;
use tacit_sdk::{Agent, Deployment, SdkError, Store, TableCache, identity};
use tacit_tests::deployment::{self, Settings};
use tacit_tests::stand_in::{Round, StandIn, sign, to_proto};
use tacit_tests::{copy_folder, opt_in};
use tacit_types::{RoundId, Timestamp};

use tokio::time::{Instant, sleep};

use crate::{DEADLINE, contributions, enrolled, outcome, step};

/// Offers this round of the same task and says that the device was counted in `counted` rounds.
pub(crate) fn offer(stand_in: &StandIn, round: &Round, number: Option<u32>, counted: u32) {
    let mut ticket = round.ticket.clone();
    ticket.round = RoundId(number.unwrap_or(1));
    let offered = number.map(|_| to_proto(&sign(&ticket).unwrap()));
    stand_in.script(|script| (script.ticket, script.counted) = (offered, times(round, counted)));
}

pub(crate) fn times(round: &Round, count: u32) -> Rho {
    (0..count).fold(Rho::ZERO, |sum, _| {
        sum.compose(round.ticket.mechanism.rho())
    })
}

fn spent(folder: &Path) -> Rho {
    Store::open(folder).unwrap().spent().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_restored_from_an_old_copy_still_counts_what_was_counted() {
    let mut round = Round::counts(300).unwrap();
    round.policy.rho_lifetime = times(&round, 4);
    let all = times(&round, 10);
    let round = round.after(all).unwrap();
    let stand_in = StandIn::start(&round).await.unwrap();
    let base = tempfile::tempdir().unwrap();
    let (device, old) = (base.path().join("device"), base.path().join("old"));
    let agent = enrolled(&stand_in, &device).await;
    copy_folder(&device, &old).unwrap();
    for number in 1..=2 {
        offer(&stand_in, &round, Some(number), number - 1);
        assert_eq!(outcome(&agent).await, Some(Outcome::Acknowledged));
    }
    assert_eq!(spent(&device), times(&round, 2));

    copy_folder(&old, &device).unwrap();
    assert_eq!(spent(&device), Rho::ZERO);
    offer(&stand_in, &round, Some(3), 2);
    assert_eq!(outcome(&agent).await, Some(Outcome::Acknowledged));
    assert_eq!(
        spent(&device),
        times(&round, 3),
        "two that were forgotten, and a third"
    );
    // It is durable, whatever the coordinator says later.
    offer(&stand_in, &round, Some(4), 0);
    assert_eq!(outcome(&agent).await, Some(Outcome::Acknowledged));
    offer(&stand_in, &round, Some(5), 4);
    let refused = outcome(&agent).await;
    assert!(
        matches!(
            refused,
            Some(Outcome::SpendRefused(Refusal::BudgetExhausted { .. }))
        ),
        "{refused:?}"
    );
    assert_eq!(
        (spent(&device), contributions(&stand_in).len()),
        (times(&round, 4), 4)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_put_back_without_its_folder_stops_the_installation() {
    let round = Round::counts(300).unwrap();
    let stand_in = StandIn::start(&round).await.unwrap();
    let base = tempfile::tempdir().unwrap();
    let (device, old) = (base.path().join("device"), base.path().join("old"));
    let agent = enrolled(&stand_in, &device).await;
    copy_folder(&device, &old).unwrap();
    assert_eq!(outcome(&agent).await, Some(Outcome::Acknowledged));
    std::fs::copy(Store::path(&old), Store::path(&device)).unwrap();
    let stopped = step(&agent).await;
    assert!(
        matches!(&stopped, Err(SdkError::Stop(reason)) if reason.contains("used up")),
        "{stopped:?}"
    );
    std::fs::remove_file(Store::path(&device)).unwrap();
    let stopped = step(&agent).await;
    assert!(
        matches!(&stopped, Err(SdkError::Stop(reason)) if reason.contains("missing")),
        "{stopped:?}"
    );
    // Enrolling anew with the same key makes no fresh ledger either.
    std::fs::remove_file(tacit_sdk::identity::certificate_path(&device)).unwrap();
    let again = tacit_sdk::identity::enrol(&device, &stand_in.deployment, &[1; 32]).await;
    assert!(
        matches!(&again, Err(SdkError::Stop(reason)) if reason.contains("used up")),
        "{again:?}"
    );
    assert_eq!(contributions(&stand_in).len(), 1);
}

/// HOSTILE 130: nobody signs the count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_count_no_ledger_backs_stops_an_installation_only_as_long_as_it_is_claimed() {
    let round = Round::counts(300).unwrap();
    let paid = times(&round, 2);
    let round = round.after(paid).unwrap();
    let stand_in = StandIn::start(&round).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let agent = enrolled(&stand_in, folder.path()).await;

    offer(&stand_in, &round, Some(1), 0);
    stand_in.script(|script| script.counted = Rho::MAX);
    let refused = outcome(&agent).await;
    let exhausted = matches!(
        refused,
        Some(Outcome::SpendRefused(Refusal::BudgetExhausted { spent, .. })) if spent == Rho::MAX
    );
    assert!(exhausted, "{refused:?}");
    assert_eq!(contributions(&stand_in).len(), 0);
    // What both parties signed for may be true, and stays; the rest of the claim does not.
    assert_eq!(spent(folder.path()), paid);

    offer(&stand_in, &round, Some(1), 2);
    assert_eq!(outcome(&agent).await, Some(Outcome::Acknowledged));
    assert_eq!(spent(folder.path()), times(&round, 3));
}

/// Both live on, and take turns; each knows at its next check-in what the identity was counted for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clones_of_one_installation_share_one_budget() {
    let mut round = Round::counts(300).unwrap();
    round.policy.rho_lifetime = times(&round, 5);
    let all = times(&round, 10);
    let round = round.after(all).unwrap();
    let stand_in = StandIn::start(&round).await.unwrap();
    let base = tempfile::tempdir().unwrap();
    let folders = [base.path().join("one"), base.path().join("two")];
    enrolled(&stand_in, &folders[0]).await;
    copy_folder(&folders[0], &folders[1]).unwrap();
    let clones = [
        enrolled(&stand_in, &folders[0]).await,
        enrolled(&stand_in, &folders[1]).await,
    ];
    for number in 1..=5u32 {
        let turn = number as usize % 2;
        offer(&stand_in, &round, Some(number), number - 1);
        assert_eq!(
            outcome(&clones[turn]).await,
            Some(Outcome::Acknowledged),
            "round {number}"
        );
        assert_eq!(
            spent(&folders[turn]),
            times(&round, number),
            "round {number}"
        );
        // Between rounds a clone believes what the ledgers it has seen account for.
        offer(&stand_in, &round, None, number);
        for clone in &clones {
            assert_eq!(outcome(clone).await, None);
        }
        assert!(
            spent(&folders[turn]) >= times(&round, number),
            "round {number}"
        );
    }
    offer(&stand_in, &round, Some(6), 5);
    for clone in &clones {
        let refused = outcome(clone).await;
        assert!(
            matches!(
                refused,
                Some(Outcome::SpendRefused(Refusal::BudgetExhausted { .. }))
            ),
            "{refused:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_clock_refuses_or_answers_once_and_never_pays_less() {
    let mut round = Round::counts(300).unwrap();
    (round.policy.rho_window, round.policy.window_hours) = (times(&round, 1), 1);
    let stand_in = StandIn::start(&round).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let agent = enrolled(&stand_in, folder.path()).await;
    let (deadline, year) = (round.ticket.latest_deadline.0, 365 * 24 * 3_600_000);
    let at = async |number: u32, clock: u64| {
        offer(&stand_in, &round, Some(number), 0);
        agent.step(Timestamp(clock)).await.unwrap().outcome
    };
    for late in [deadline, deadline + year, u64::MAX] {
        assert_eq!(
            at(1, late).await,
            Some(Outcome::TicketRefused(TicketRefusal::Expired)),
            "{late}"
        );
    }
    assert_eq!(at(1, deadline - 1).await, Some(Outcome::Acknowledged));
    for (number, clock) in [(1, 0), (1, deadline - 1)] {
        assert_eq!(at(number, clock).await, None, "answered already");
    }
    // The ticket reads as one that would keep a contribution on disk for years.
    for clock in [0, 1, deadline - year] {
        assert_eq!(
            at(2, clock).await,
            Some(Outcome::TicketRefused(TicketRefusal::OutsidePolicy(
                "deadline"
            ))),
            "{clock}"
        );
    }
    for clock in [
        deadline - 192 * 3_600_000,
        deadline - 3_600_000,
        deadline - 1,
    ] {
        let refused = at(2, clock).await;
        assert!(
            matches!(
                refused,
                Some(Outcome::SpendRefused(Refusal::WindowExhausted { .. }))
            ),
            "{clock}: {refused:?}"
        );
    }
    assert_eq!(
        (spent(folder.path()), contributions(&stand_in).len()),
        (times(&round, 1), 1)
    );
}

/// Eight installations of a real deployment, in this process.
async fn real_devices(running: &deployment::Deployment) -> Vec<(PathBuf, Agent)> {
    let policy = serde_json::from_str(&running.pki("policy.json").unwrap()).unwrap();
    let publisher =
        serde_json::from_value(running.pki("publisher.pub").unwrap().trim().into()).unwrap();
    let (address, root) = (
        running.coordinator_address(),
        running.pki("root.crt").unwrap(),
    );
    let deployment =
        Arc::new(Deployment::new(&address, "localhost", &root, &policy, &publisher).unwrap());
    let mut devices = Vec::new();
    for (number, token) in running
        .tokens()
        .unwrap()
        .into_iter()
        .take(8)
        .enumerate()
    {
        let folder = running.path(&format!("device-{number}"));
        let token: [u8; 32] = token.try_into().unwrap();
        let deadline = Instant::now() + DEADLINE;
        while let Err(error) = identity::enrol(&folder, &deployment, &token).await {
            assert!(
                matches!(error, SdkError::RetryLater { .. }) && Instant::now() < deadline,
                "{error}"
            );
            sleep(Duration::from_millis(50)).await;
        }
        opt_in(&folder).unwrap();
        devices.push((
            folder.clone(),
            Agent::new(&folder, deployment.clone(), TableCache::default()),
        ));
    }
    devices
}

/// The real coordinator's count, through the real policy: one of eight installations is restored
/// after the first release to what it was before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_restored_in_the_middle_of_a_real_task_ends_with_what_the_others_spent() {
    // Too little signal for a head Gram, so that first factors are random: the first gradient
    // replaces them, and nobody may take that for drift.
    let task = "rounds = 3\nfactors = 8\n";
    let settings = Settings {
        cohort: 8,
        items: 400,
        epsilon: 200.0,
        task,
        ..Settings::default()
    };
    let running = deployment::Deployment::running(settings).unwrap();
    let devices = real_devices(&running).await;
    let old = running.path("old");
    copy_folder(&devices[0].0, &old).unwrap();
    let (mut restored, mut finished) = (false, 0);
    let deadline = Instant::now() + DEADLINE;
    while finished < devices.len() {
        assert!(Instant::now() < deadline, "the task did not end");
        if !restored && !running.releases().unwrap().is_empty() {
            copy_folder(&old, &devices[0].0).unwrap();
            restored = true;
        }
        finished = 0;
        for (_, agent) in &devices {
            match step(agent).await {
                Ok(step) => {
                    assert!(
                        !matches!(step.outcome, Some(Outcome::TicketRefused(_))),
                        "{step:?}"
                    );
                    finished += usize::from(step.finished);
                }
                Err(SdkError::RetryLater { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
    let stores: Vec<Store> = devices
        .iter()
        .map(|(folder, _)| Store::open(folder).unwrap())
        .collect();
    let all = stores[1].spent().unwrap();
    assert!(restored && all > Rho::ZERO);
    assert!(
        stores
            .iter()
            .all(|store| store.spent().unwrap() == all),
        "the restored one spent another sum"
    );
    let (one, other) = (
        stores[0].ledger().unwrap().len(),
        stores[1].ledger().unwrap().len(),
    );
    assert!(one < other, "{one} and {other} lines");
    assert!(stores[0].unrecorded().unwrap() > Rho::ZERO);
}
