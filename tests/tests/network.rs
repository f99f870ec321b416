//! Networks between real processes that stand still, lose, crawl, reset, buffer, cut off or do not
//! resolve: rounds end right, or what stops them is said. TCP sends lost packets again, so that
//! processes see them late; a packet that is lost for them does not exist.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tacit_tests::deployment::{Deployment, Role, Settings};
use tacit_tests::proxy::{Proxy, Then, Way};
use tokio::time::{Instant, sleep};

/// A task must be finished by then.
const DEADLINE: Duration = Duration::from_secs(120);
/// Long enough to meet requests and answers of a round.
const WHILE: Duration = Duration::from_secs(2);
/// How often a test looks.
const LOOK: Duration = Duration::from_millis(50);

/// A deployment whose four devices have something to send.
fn deployment(items: u32) -> Deployment {
    let deployment = Deployment::new(Settings {
        items,
        deadline_seconds: 600,
        ..Settings::default()
    });
    let deployment = deployment.unwrap();
    let rows: String = (0..4)
        .map(|device| format!("{device},{device},1,1,view\n"))
        .collect();
    let text = format!("device,item,timestamp,value,type\n{rows}");
    fs::write(deployment.path("interactions.csv"), text).unwrap();
    deployment
}

fn start(deployment: &mut Deployment) {
    for role in [Role::Helper, Role::Coordinator, Role::Devices] {
        deployment.start(role).unwrap();
    }
}

/// Puts a proxy before the helper.
async fn between_servers(deployment: &Deployment) -> Proxy {
    let helper = deployment.helper_address();
    let proxy = Proxy::start(&helper).await.unwrap();
    let configured = deployment.configure(Role::Coordinator, &helper, &proxy.address);
    configured.unwrap();
    proxy
}

/// Puts a proxy before the coordinator.
async fn before_devices(deployment: &Deployment) -> Proxy {
    let coordinator = deployment.coordinator_address();
    let proxy = Proxy::start(&coordinator).await.unwrap();
    let configured = deployment.configure(Role::Devices, &coordinator, &proxy.address);
    configured.unwrap();
    proxy
}

/// Waits for the end of the task; everybody's contribution is in its only release, once.
async fn finishes(deployment: &mut Deployment) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match deployment.ended(Role::Devices).unwrap() {
            Some(status) => break assert!(status.success(), "{status}"),
            None => sleep(LOOK).await,
        }
        assert!(Instant::now() < deadline, "the task was not finished");
    }
    let releases = deployment.releases().unwrap();
    assert_eq!(releases.len(), 1);
    assert_eq!(releases[0].contributors, 4);
    deployment.verify().unwrap();
}

/// Waits until a role's log holds all of these words.
async fn says(deployment: &Deployment, role: Role, words: &[&str]) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let log = deployment.log(role);
        if words.iter().all(|word| log.contains(word)) {
            return;
        }
        assert!(Instant::now() < deadline, "{words:?}");
        sleep(LOOK).await;
    }
}

/// HOSTILE 111: coordinator and helper lose each other again and again while devices wait, before
/// the request, before the answer and one way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_lose_each_other_finish_the_round() {
    for (up, down) in [(true, true), (false, true), (true, false)] {
        let mut deployment = deployment(64);
        let proxy = between_servers(&deployment).await;
        start(&mut deployment);
        let limits = proxy.limits.clone();
        let parting = tokio::spawn(async move {
            for _ in 0..4 {
                limits.held_up.store(up, Ordering::Relaxed);
                limits.held_down.store(down, Ordering::Relaxed);
                sleep(WHILE).await;
                limits.held_up.store(false, Ordering::Relaxed);
                limits.held_down.store(false, Ordering::Relaxed);
                sleep(WHILE / 10).await;
            }
        });
        finishes(&mut deployment).await;
        parting.await.unwrap();
    }
}

/// HOSTILE 112: one packet in a hundred, in ten, in two is lost, between devices and coordinator
/// and between the servers. Where every other one is, few handshakes end within their five seconds:
/// the round ends once the network is better.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_packets_make_a_round_slower_and_nothing_else() {
    for (lost, lasts) in [(0.01, true), (0.1, true), (0.5, false)] {
        let mut deployment = deployment(64);
        let proxies = [
            between_servers(&deployment).await,
            before_devices(&deployment).await,
        ];
        let way = Way {
            lost,
            ..Way::default()
        };
        proxies.iter().for_each(|proxy| proxy.limits.set(way));
        start(&mut deployment);
        if !lasts {
            sleep(5 * WHILE).await;
            let better = Way::default();
            proxies
                .iter()
                .for_each(|proxy| proxy.limits.set(better));
        }
        finishes(&mut deployment).await;
    }
}

/// HOSTILE 113: 64 kbit/s each way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_link_makes_a_round_slower_and_nothing_else() {
    let mut deployment = deployment(64);
    let proxy = before_devices(&deployment).await;
    proxy.limits.set(Way {
        rate: Some(8000),
        ..Way::default()
    });
    start(&mut deployment);
    finishes(&mut deployment).await;
}

/// HOSTILE 114: every connection is reset in mid-upload, until one is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_reset_in_mid_stream_is_sent_again() {
    let mut deployment = deployment(20_000);
    let proxy = before_devices(&deployment).await;
    proxy.limits.up.store(40_000, Ordering::Relaxed);
    proxy.limits.set(Way {
        then: Then::Reset,
        ..Way::default()
    });
    start(&mut deployment);
    // Four enrolments go through; a step of each device is reset, then some again.
    while proxy.connections.load(Ordering::Relaxed) < 14 {
        assert!(deployment.ended(Role::Devices).unwrap().is_none());
        sleep(LOOK).await;
    }
    assert!(deployment.log(Role::Devices).contains("\"waiting\""));
    proxy.limits.up.store(u64::MAX, Ordering::Relaxed);
    finishes(&mut deployment).await;
}

/// HOSTILE 115: a name that does not resolve is said, by devices and by the coordinator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_does_not_resolve_is_said() {
    let mut deployment = deployment(64);
    let (coordinator, helper) = (
        deployment.coordinator_address(),
        deployment.helper_address(),
    );
    let nobody = "https://no-such-host.invalid:7420";
    deployment
        .configure(Role::Devices, &coordinator, nobody)
        .unwrap();
    deployment
        .configure(Role::Coordinator, &helper, nobody)
        .unwrap();
    deployment.start(Role::Coordinator).unwrap();
    deployment.start(Role::Devices).unwrap();
    let name = "no-such-host.invalid";
    says(&deployment, Role::Devices, &["\"waiting\"", name]).await;
    let absent = ["\"helper_unavailable\"", name];
    says(&deployment, Role::Coordinator, &absent).await;
    for role in [Role::Devices, Role::Coordinator] {
        assert!(deployment.ended(role).unwrap().is_none(), "{role:?}");
    }
}

/// HOSTILE 115: everything on IPv6 alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_federation_on_ipv6_alone_works() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        println!("SKIPPED: this machine has no IPv6");
        return;
    }
    let mut deployment = deployment(64);
    for role in [Role::Helper, Role::Coordinator, Role::Devices] {
        deployment
            .configure(role, "127.0.0.1:", "[::1]:")
            .unwrap();
    }
    start(&mut deployment);
    finishes(&mut deployment).await;
}

/// HOSTILE 116: a proxy that gathers bytes before it passes them on changes nothing; one that cuts
/// every connection off at a megabyte lets short vectors through, and for a long one the device
/// says what happens and sends it when it can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_buffers_works_and_one_that_cuts_off_is_said() {
    let mut buffered = deployment(64);
    let proxy = before_devices(&buffered).await;
    proxy.limits.set(Way {
        gather: 1 << 20,
        ..Way::default()
    });
    start(&mut buffered);
    finishes(&mut buffered).await;

    let mut long = deployment(300_000);
    let proxy = before_devices(&long).await;
    proxy.limits.up.store(1 << 20, Ordering::Relaxed);
    proxy.limits.set(Way {
        then: Then::Close,
        ..Way::default()
    });
    start(&mut long);
    says(&long, Role::Devices, &["\"waiting\"", "cannot be reached"]).await;
    proxy.limits.up.store(u64::MAX, Ordering::Relaxed);
    finishes(&mut long).await;
}
