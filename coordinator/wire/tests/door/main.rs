//! The listener under peers that connect and ask for nothing, in number.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod balancers;
mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use support::{SOON, Silent, World, limits};
use tacit_wire::current::Current;
use tacit_wire::listener::Limits;
use tacit_wire::revoked::Standing;
use tacit_wire::{Peer, clock};
use tokio::time::{sleep, timeout};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Time enough to see whether a connection was closed.
const MOMENT: Duration = Duration::from_millis(100);

async fn silent_ones(world: &World, who: Option<Peer>, number: usize) -> Vec<Silent> {
    let mut silent = Vec::new();
    for _ in 0..number {
        silent.extend(world.silent(who, true).await);
    }
    silent
}

async fn open(silent: &mut [Silent]) -> usize {
    let mut open = 0;
    for one in silent {
        open += usize::from(!one.closed_within(MOMENT).await);
    }
    open
}

async fn check(client: &mut HealthClient<tonic::transport::Channel>) -> Result<(), Code> {
    let asked = client.check(HealthCheckRequest::default());
    let answered = timeout(SOON, asked).await.expect("an answer in time");
    answered.map(|_| ()).map_err(|status| status.code())
}

/// HOSTILE 20: strangers that say their preface and nothing more are closed; who has a certificate
/// may stay longer.
#[tokio::test]
async fn a_stranger_without_a_call_is_closed_and_a_known_peer_is_not() {
    let world = World::new(limits(), None).await;
    let mut known = silent_ones(&world, Some(Peer::Helper), 1).await;
    for mut stranger in silent_ones(&world, None, 20).await {
        assert!(stranger.closed_within(SOON).await);
    }
    assert_eq!(open(&mut known).await, 1);
}

/// HOSTILE 20: a flood of silent strangers takes its share of connections and no more, and both an
/// honest stranger and a known peer are served meanwhile.
#[tokio::test]
async fn silent_strangers_displace_each_other_and_nobody_else() {
    let caps = Limits {
        anonymous: 8,
        per_address: 8,
        idle_anonymous: Duration::from_secs(60),
        idle_least: Duration::from_millis(1),
        ..limits()
    };
    let world = World::new(caps, None).await;
    let mut known = world.client(Some(Peer::Coordinator));
    check(&mut known).await.unwrap();
    let mut strangers = silent_ones(&world, None, 40).await;
    check(&mut world.client(None)).await.unwrap();
    check(&mut world.client(Some(Peer::Helper)))
        .await
        .unwrap();
    check(&mut known).await.unwrap();
    assert!(open(&mut strangers).await <= 8);
}

/// HOSTILE 67: a certificate's end ends its connections, with and without a call; strangers have
/// none that could end.
#[tokio::test]
async fn a_connection_ends_with_its_certificate() {
    static DAYS: AtomicU64 = AtomicU64::new(0);
    let now = || {
        let days = DAYS.load(Ordering::Relaxed);
        clock::now().plus_millis(days * 86_400_000)
    };
    let standing = Standing::new(Current::default(), now);
    let caps = Limits {
        idle_anonymous: Duration::from_secs(60),
        ..limits()
    };
    let world = World::by(standing, &[], caps, None).await;
    let mut silent = silent_ones(&world, Some(Peer::Helper), 1).await;
    let mut stranger = silent_ones(&world, None, 1).await;
    let mut client = world.client(Some(Peer::Helper));
    let watched = client
        .watch(HealthCheckRequest::default())
        .await
        .unwrap();
    let mut watched = watched.into_inner();
    watched.message().await.unwrap();

    DAYS.store(29, Ordering::Relaxed);
    sleep(Duration::from_millis(600)).await;
    assert_eq!(open(&mut silent).await, 1);
    DAYS.store(31, Ordering::Relaxed);
    assert!(silent[0].closed_within(SOON).await);
    let ended = timeout(SOON, watched.message()).await.unwrap();
    assert!(ended.is_err());
    assert_eq!(open(&mut stranger).await, 1);
}

/// HOSTILE 21: connections of one certificate displace each other and nobody else.
#[tokio::test]
async fn one_certificate_has_its_part_of_the_connections() {
    let caps = Limits {
        per_peer: 4,
        idle_least: Duration::from_millis(1),
        ..limits()
    };
    let world = World::new(caps, None).await;
    let mut other = silent_ones(&world, Some(Peer::Coordinator), 1).await;
    let mut many = silent_ones(&world, Some(Peer::Helper), 20).await;
    check(&mut world.client(Some(Peer::Coordinator)))
        .await
        .unwrap();
    assert!(open(&mut many).await <= 4);
    assert_eq!(open(&mut other).await, 1);
}

/// HOSTILE 21: where every connection of a certificate has a call, one more is refused; the calls
/// go on.
#[tokio::test]
async fn a_connection_with_a_call_is_not_closed_for_another() {
    let caps = Limits {
        per_peer: 2,
        idle: Duration::from_millis(100),
        ..limits()
    };
    let world = World::new(caps, None).await;
    let mut watches = Vec::new();
    for _ in 0..2 {
        let mut client = world.client(Some(Peer::Helper));
        let watch = client
            .watch(HealthCheckRequest::default())
            .await
            .unwrap();
        watches.push((client, watch.into_inner()));
    }
    sleep(Duration::from_millis(500)).await;
    assert!(
        check(&mut world.client(Some(Peer::Helper)))
            .await
            .is_err()
    );
    for (client, watch) in &mut watches {
        assert!(watch.message().await.unwrap().is_some());
        check(client).await.unwrap();
    }
}

/// HOSTILE 20: health watches are bounded in number and time; checks are not.
#[tokio::test]
async fn a_health_watch_ends_and_there_are_only_so_many() {
    let caps = Limits {
        watches: 1,
        watch: Duration::from_millis(300),
        ..limits()
    };
    let world = World::new(caps, None).await;
    let mut client = world.client(Some(Peer::Helper));
    let watch = client
        .watch(HealthCheckRequest::default())
        .await
        .unwrap();
    let second = client.watch(HealthCheckRequest::default()).await;
    assert_eq!(second.unwrap_err().code(), Code::ResourceExhausted);
    check(&mut client).await.unwrap();
    let mut watch = watch.into_inner();
    assert!(watch.message().await.unwrap().is_some());
    let ended = timeout(SOON, watch.message()).await.unwrap();
    assert_eq!(ended.unwrap_err().code(), Code::Unavailable);
    client
        .watch(HealthCheckRequest::default())
        .await
        .unwrap();
}

/// HOSTILE 20, 67: a stranger cannot hold a connection by a call that never ends, and nobody holds
/// one for longer than its age.
#[tokio::test]
async fn a_strangers_endless_call_and_an_old_connection_end() {
    let caps = Limits {
        calls_anonymous: Duration::from_millis(300),
        age: Duration::from_millis(300),
        ..limits()
    };
    let world = World::new(caps, None).await;
    let watch = world
        .client(None)
        .watch(HealthCheckRequest::default())
        .await;
    let mut watch = watch.unwrap().into_inner();
    assert!(watch.message().await.unwrap().is_some());
    let cut = timeout(SOON, watch.message()).await.unwrap();
    assert!(cut.is_err());
    let mut old = world.silent(Some(Peer::Helper), true).await.unwrap();
    assert!(old.closed_within(SOON).await);
}

/// HOSTILE 20, 106: idle connections, one without its preface and a watch do not hold a drain,
/// which would last until its deadline of 25 seconds.
#[tokio::test]
async fn idle_connections_do_not_hold_a_drain() {
    let world = World::new(limits(), None).await;
    let _silent = [
        world.silent(None, true).await.unwrap(),
        world.silent(None, false).await.unwrap(),
        world.silent(Some(Peer::Helper), true).await.unwrap(),
    ];
    let mut client = world.client(Some(Peer::Helper));
    let _watch = client
        .watch(HealthCheckRequest::default())
        .await
        .unwrap();
    world.shutdown.drain.cancel();
    timeout(Duration::from_secs(4), world.served)
        .await
        .expect("the drain ends before anything is closed hard")
        .unwrap()
        .unwrap();
}

/// HOSTILE 21: a server for one peer closes every other right after its handshake.
#[tokio::test]
async fn a_server_for_one_peer_keeps_no_other() {
    let world = World::new(limits(), Some(Peer::Coordinator)).await;
    for who in [None, Some(Peer::Helper)] {
        for _ in 0..20 {
            if let Some(mut turned_away) = world.silent(who, false).await {
                assert!(turned_away.closed_within(Duration::from_secs(2)).await);
            }
        }
    }
    check(&mut world.client(Some(Peer::Coordinator)))
        .await
        .unwrap();
}
