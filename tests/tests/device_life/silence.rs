//! A device never hangs and never hammers: behind a proxy that goes silent, before a server that is
//! not its coordinator, and with a wrong clock.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tacit_round::device::{Outcome, Status};
use tacit_round::policy::TicketRefusal;
use tacit_sdk::{Agent, Deadlines, Deployment, Reason, SdkError, Store, TableCache};
use tacit_tests::proxy::Proxy;
use tacit_tests::stand_in::{Answer, Round, Said, StandIn};
use tacit_types::Timestamp;
use tacit_wire::clock;
use tacit_wire::pki::create_authorities;
use tokio::time::timeout;

use crate::{carries, contributions, enrolled, heard, outcome, step};

/// No step may take longer here, though the shortest limit is far below it.
const HELD: Duration = Duration::from_secs(15);
/// Bytes a connection carries before it goes silent: more than a handshake, less than an object.
const SOME: u64 = 40_000;
const DAY_MS: u64 = 86_400_000;

/// Limits of which none is met in a test; each test shortens the one it is about.
fn patient() -> Deadlines {
    let minute = Duration::from_secs(60);
    Deadlines {
        connect: minute,
        call: minute,
        progress: minute,
        keepalive: minute,
        step: minute,
    }
}

fn short() -> Duration {
    Duration::from_millis(700)
}

/// An enrolled installation that reaches its coordinator through a proxy.
async fn behind_proxy(round: &Round, folder: &Path) -> (StandIn, Proxy, Agent) {
    let stand_in = StandIn::start(round).await.unwrap();
    enrolled(&stand_in, folder).await;
    let proxy = Proxy::start(&stand_in.deployment.coordinator)
        .await
        .unwrap();
    let agent = told(&stand_in, folder, |deployment| {
        deployment.coordinator.clone_from(&proxy.address);
    });
    (stand_in, proxy, agent)
}

/// The reason and the wait of a step that must end in time and be repeated.
async fn later(agent: &Agent) -> (Reason, Duration) {
    match timeout(HELD, step(agent)).await.unwrap() {
        Err(SdkError::RetryLater { reason, after, .. }) => (reason, after),
        other => panic!("{other:?}"),
    }
}

/// HOSTILE 111: a download that stops half way ends by whichever limit is met first, costs
/// nothing, and the round is answered once the way is free.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_goes_silent_in_mid_download_does_not_hold_a_step() {
    let round = Round::counts(300).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (stand_in, proxy, agent) = behind_proxy(&round, folder.path()).await;
    let model = Bytes::from(round.model.to_bytes());
    let name = round.ticket.model_in_hash;
    let large = Bytes::from(vec![7; 400_000]);
    stand_in.script(|script| {
        script.objects.insert(name, large);
    });
    proxy.limits.down.store(SOME, Ordering::Relaxed);
    let limits: [fn(&mut Deadlines); 3] = [
        |limits| limits.progress = short(),
        |limits| limits.keepalive = short(),
        |limits| limits.step = 2 * short(),
    ];
    for (number, limit) in limits.into_iter().enumerate() {
        let mut deadlines = patient();
        limit(&mut deadlines);
        let agent = agent.clone().with_deadlines(deadlines);
        let (reason, _) = later(&agent).await;
        let known = matches!(reason, Reason::Silent | Reason::Unreachable);
        assert!(known, "limit {number}: {reason:?}");
    }
    heard(&stand_in, |said| matches!(said, Said::Fetch(_))).await;
    assert_eq!(proxy.connections.load(Ordering::Relaxed), 3);
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.ledger().unwrap().len(), 0, "nothing was spent");
    drop(store);

    proxy.limits.down.store(u64::MAX, Ordering::Relaxed);
    stand_in.script(|script| {
        script.objects.insert(name, model);
    });
    assert_eq!(outcome(&agent).await, Some(Outcome::Acknowledged));
}

/// HOSTILE 111: an upload that stops half way leaves the spooled bytes, which are sent once
/// the way is free; the same for one whose answer never comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_goes_silent_in_mid_upload_costs_no_second_release() {
    let round = Round::counts(40_000).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (stand_in, proxy, agent) = behind_proxy(&round, folder.path()).await;
    let deadlines = Deadlines {
        keepalive: short(),
        ..patient()
    };
    let agent = agent.with_deadlines(deadlines);
    proxy.limits.up.store(SOME, Ordering::Relaxed);
    let ended = timeout(HELD, step(&agent)).await.unwrap().unwrap();
    assert_eq!(ended.outcome, None);
    let known = matches!(ended.later, Some(Reason::Silent | Reason::Unreachable));
    assert!(known, "{ended:?}");
    let store = Store::open(folder.path()).unwrap();
    let (task, number) = (&round.ticket.task, round.ticket.round);
    assert_eq!(store.status(task, number).unwrap(), Some(Status::Spooled));
    let spooled = store.spooled(task, number).unwrap();
    drop(store);
    assert_eq!(contributions(&stand_in).len(), 0);

    proxy.limits.up.store(u64::MAX, Ordering::Relaxed);
    stand_in.script(|script| script.contribute = Answer::Withhold);
    let impatient = Deadlines {
        call: short(),
        ..patient()
    };
    let ended = timeout(HELD, step(&agent.clone().with_deadlines(impatient))).await;
    assert_eq!(ended.unwrap().unwrap().later, Some(Reason::Silent));
    stand_in.script(|script| script.contribute = Answer::Give);
    assert_eq!(outcome(&agent).await, Some(Outcome::Acknowledged));
    for sent in contributions(&stand_in) {
        assert!(carries(&sent, &spooled), "other bytes than those spooled");
    }
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(store.ledger().unwrap().len(), 1);
    assert_eq!(store.spent().unwrap(), round.ticket.mechanism.rho());
}

/// The installation's agent, told something else of its coordinator.
fn told(stand_in: &StandIn, folder: &Path, change: impl FnOnce(&mut Deployment)) -> Agent {
    let mut deployment = (*stand_in.deployment).clone();
    change(&mut deployment);
    Agent::new(folder, Arc::new(deployment), TableCache::default())
}

/// HOSTILE 59 and 111: who answers under another name or root, and nobody at all, are told
/// apart by type, and each is asked less and less.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_name_root_or_address_is_told_apart_and_not_hammered() {
    let stand_in = StandIn::start(&Round::counts(300).unwrap())
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    enrolled(&stand_in, folder.path()).await;
    let other = create_authorities(clock::now()).unwrap().root.chain;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://{}", closed.local_addr().unwrap());
    drop(closed);

    let name = told(&stand_in, folder.path(), |deployment| {
        deployment.server_name = "other.example".into();
    });
    let root = told(&stand_in, folder.path(), |deployment| {
        deployment.root_certificate = other;
    });
    let absent = told(&stand_in, folder.path(), |deployment| {
        deployment.coordinator = address;
    });
    for (agent, expected, first) in [
        (name, Reason::ServerName, 15),
        (root, Reason::Untrusted, 15),
        (absent, Reason::Unreachable, 0),
    ] {
        let mut waits = Vec::new();
        for _ in 0..4 {
            let (reason, after) = later(&agent).await;
            assert_eq!(reason, expected);
            waits.push(after);
        }
        assert!(waits[0] >= Duration::from_secs(first), "{waits:?}");
        assert!(waits[3] >= 4 * waits[0], "{expected:?}: {waits:?}");
        assert!(waits.is_sorted(), "{expected:?}: {waits:?}");
    }
    assert_eq!(stand_in.recorded().len(), 0, "no call came through");
}

/// HOSTILE 60, 83 and 109: a coordinator's certificate that has ended, or that is not valid yet,
/// says by how much; ten minutes are within what a fresh one allows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_outside_its_time_is_a_reason_with_the_difference() {
    let round = Round::counts(300).unwrap();
    let now = clock::now().0;
    let folder = tempfile::tempdir().unwrap();
    let good = StandIn::start(&round).await.unwrap();
    enrolled(&good, folder.path()).await;
    let fresh = StandIn::certified(&round, Timestamp(now + 600_000)).await;
    let other = tempfile::tempdir().unwrap();
    enrolled(&fresh.unwrap(), other.path()).await;
    for (then, ended) in [(now - 100 * DAY_MS, true), (now + 2 * DAY_MS, false)] {
        let stand_in = StandIn::certified(&round, Timestamp(then))
            .await
            .unwrap();
        let agent = told(&stand_in, folder.path(), |_| {});
        let (reason, after) = later(&agent).await;
        let by_ms = match reason {
            Reason::CertificateExpired { by_ms } if ended => by_ms,
            Reason::ClockBehind { by_ms } if !ended => by_ms,
            other => panic!("{other:?}"),
        };
        assert!(by_ms > DAY_MS, "{reason:?}");
        assert!(after >= Duration::from_secs(15), "{after:?}");
    }
}

/// HOSTILE 60: what the coordinator says of this installation's own certificate is told by type,
/// every time, though TLS 1.3 says it only once the client takes the connection to stand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_own_certificate_that_is_refused_is_a_reason() {
    let round = Round::counts(300).unwrap();
    let stand_in = StandIn::start(&round).await.unwrap();
    let (ended, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let then = Timestamp(clock::now().0 - 60 * DAY_MS);
    stand_in.script(|script| script.certified = Some(then));
    let agent = enrolled(&stand_in, ended.path()).await;
    // Of another deployment's authority, which signs devices of its own.
    let foreign = StandIn::start(&round).await.unwrap();
    enrolled(&foreign, other.path()).await;
    let foreign = told(&stand_in, other.path(), |_| {});
    for agent in [agent, foreign] {
        for _ in 0..20 {
            let (reason, after) = later(&agent).await;
            assert_eq!(reason, Reason::OwnCertificate);
            assert!(after >= Duration::from_secs(15), "{after:?}");
        }
    }
    assert_eq!(stand_in.recorded().len(), 0, "no call came through");
}

/// An address without TLS is never spoken to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_without_tls_stops_a_step() {
    let stand_in = StandIn::start(&Round::counts(300).unwrap())
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    enrolled(&stand_in, folder.path()).await;
    let plain = told(&stand_in, folder.path(), |deployment| {
        deployment.coordinator = deployment.coordinator.replace("https", "http");
    });
    let stopped = step(&plain).await;
    assert!(
        matches!(&stopped, Err(SdkError::Stop(why)) if why.contains("must start with https://")),
        "{stopped:?}"
    );
}

/// HOSTILE 83 and 109: with a clock ten minutes ahead a device checks in ever more seldom while the
/// ticket it takes for ended is still offered, and is back at once when the clock is right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_ahead_leads_to_few_check_ins() {
    let round = Round::counts(300).unwrap();
    let stand_in = StandIn::start(&round).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let agent = enrolled(&stand_in, folder.path()).await;
    let ahead = round.ticket.latest_deadline.plus_millis(600_000);
    let (mut waited, mut check_ins) = (Duration::ZERO, 0);
    while waited < Duration::from_secs(600) {
        let ended = agent.step(ahead).await.unwrap();
        let refused = Outcome::TicketRefused(TicketRefusal::Expired);
        assert_eq!(ended.outcome, Some(refused));
        assert_eq!(ended.later, Some(Reason::ClockAhead { by_ms: 600_000 }));
        waited += ended.retry_after;
        check_ins += 1;
    }
    assert!(check_ins <= 12, "{check_ins} check-ins in ten minutes");

    let ended = agent.step(clock::now()).await.unwrap();
    assert_eq!(ended.outcome, Some(Outcome::Acknowledged));
    assert!(ended.later.is_none() && ended.retry_after < Duration::from_secs(1));
}
