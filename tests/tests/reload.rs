//! What an operator changes while daemons serve is taken over without a restart, whole or not at
//! all.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::time::Duration;

use tacit_tests::bare::{BareDevice, Credentials, enrolled, repeat};
use tacit_tests::deployment::{Deployment, Role, Settings};
use tacit_tests::raw::Door;
use tokio::time::{Instant, sleep};

/// Whatever is waited for happens within this time.
const SOON: Duration = Duration::from_secs(20);

/// How often a process has logged an event.
fn count(deployment: &Deployment, role: Role, event: &str) -> usize {
    let event = format!("event=\"{event}\"");
    deployment.log(role).matches(&event).count()
}

async fn logged(deployment: &Deployment, role: Role, event: &str, times: usize) {
    let until = Instant::now() + SOON;
    while count(deployment, role, event) < times {
        assert!(
            Instant::now() < until,
            "{role:?}: {event}\n{}",
            deployment.log_tails()
        );
        sleep(Duration::from_millis(20)).await;
    }
}

fn device(deployment: &Deployment, own: &Credentials) -> BareDevice {
    let root = deployment.pki("root.crt").unwrap();
    BareDevice::new(&deployment.coordinator_address(), &root, Some(own)).unwrap()
}

/// The certificate that the coordinator shows now.
async fn shown(deployment: &Deployment, own: &Credentials) -> Vec<u8> {
    let root = deployment.pki("root.crt").unwrap();
    let door = Door::new(&deployment.coordinator_address(), &root, Some(own)).unwrap();
    let stream = door.knock().await.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    chain[0].to_vec()
}

/// What is renewed is shown, to devices and between the servers, without a restart; who is
/// connected notices nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewed_certificates_are_taken_over_while_serving() {
    let mut deployment = Deployment::running(Settings::default()).unwrap();
    let rows = "device,item,timestamp,value,type\n0,0,1,1,view\n";
    fs::write(deployment.path("interactions.csv"), rows).unwrap();
    let own = enrolled(&deployment, 1).unwrap().remove(0);
    let until = Instant::now() + SOON;
    repeat(until, || async {
        device(&deployment, &own).check_in().await
    })
    .await
    .unwrap();
    let mut connected = device(&deployment, &own).connect().await.unwrap();
    let before = shown(&deployment, &own).await;
    // Certificates tell seconds apart.
    sleep(Duration::from_millis(1100)).await;
    deployment
        .succeed(&["pki", "renew", "pki", "--new-keys"])
        .unwrap();
    for role in [Role::Coordinator, Role::Helper] {
        logged(&deployment, role, "reloaded", 1).await;
    }

    assert_ne!(shown(&deployment, &own).await, before);
    let status = tacit_proto::v2::RoundStatusRequest {};
    connected.round_status(status).await.unwrap();
    // A whole round, by the new certificates on both sides.
    deployment.start(Role::Devices).unwrap();
    deployment.finish(SOON).unwrap();
    deployment.verify().unwrap();
    for role in [Role::Coordinator, Role::Helper] {
        assert_eq!(count(&deployment, role, "reload_refused"), 0, "{role:?}");
    }
}

/// HOSTILE 75, k17: half a certificate, or a key that is not the certificate's, changes nothing; a
/// daemon that is killed over it starts with what is whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_certificate_leaves_the_old_one_in_force() {
    let mut deployment = Deployment::running(Settings::default()).unwrap();
    let own = enrolled(&deployment, 1).unwrap().remove(0);
    let until = Instant::now() + SOON;
    repeat(until, || async {
        device(&deployment, &own).check_in().await
    })
    .await
    .unwrap();
    let before = shown(&deployment, &own).await;
    let path = deployment.path("pki/coordinator.crt");
    let whole = fs::read_to_string(&path).unwrap();
    let helpers = deployment.pki("helper.crt").unwrap();
    for (times, text) in [&whole[..whole.len() / 4], "", &helpers]
        .iter()
        .enumerate()
    {
        fs::write(&path, text).unwrap();
        logged(&deployment, Role::Coordinator, "reload_refused", times + 1).await;
        assert_eq!(shown(&deployment, &own).await, before);
        device(&deployment, &own).check_in().await.unwrap();
    }

    let log = deployment.log(Role::Coordinator);
    assert!(
        log.contains("coordinator.crt: holds no PEM certificate"),
        "{log}"
    );
    assert!(
        log.contains("is not the certificate of urn:tacit:coordinator"),
        "{log}"
    );
    deployment.kill(Role::Coordinator).unwrap();
    let start = ["coordinator", "--config", "coordinator.toml"];
    assert_eq!(deployment.tacit(&start).unwrap().status.code(), Some(2));
    fs::write(&path, &whole).unwrap();
    deployment.start(Role::Coordinator).unwrap();
    let until = Instant::now() + SOON;
    repeat(until, || async {
        device(&deployment, &own).check_in().await
    })
    .await
    .unwrap();
}

/// A signal reads the configuration again: tokens and what is logged are taken over, and what needs
/// a restart is spoken of and waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_takes_over_what_may_change_and_says_what_waits() {
    let deployment = Deployment::with_open_round(Settings::default()).unwrap();
    fs::rename(
        deployment.path("pki/tokens.sha256"),
        deployment.path("pki/moved"),
    )
    .unwrap();
    let swap = |from: &str, to: &str| {
        deployment
            .configure(Role::Coordinator, from, to)
            .unwrap();
        deployment.hang_up(Role::Coordinator).unwrap();
    };
    swap("cohort = 4", "cohort = 5");
    logged(&deployment, Role::Coordinator, "reload_refused", 1).await;
    swap("pki/tokens.sha256", "pki/moved");
    logged(&deployment, Role::Coordinator, "reloaded", 1).await;
    let log = deployment.log(Role::Coordinator);
    assert!(log.contains("restart_needed=true"), "{log}");

    let token = deployment.tokens().unwrap().remove(0);
    BareDevice::enrol(&deployment, &token, Instant::now() + SOON)
        .await
        .unwrap();

    swap("listen =", "log = \"warn\"\nlisten =");
    let refused = count(&deployment, Role::Coordinator, "reload_refused") + 1;
    swap("cohort = 5", "cohort = many");
    logged(&deployment, Role::Coordinator, "reload_refused", refused).await;
    let reloaded = count(&deployment, Role::Coordinator, "reloaded");
    swap("cohort = many", "cohort = 4");
    sleep(Duration::from_millis(500)).await;
    assert_eq!(count(&deployment, Role::Coordinator, "reloaded"), reloaded);
    swap("log = \"warn\"", "log = \"info\"");
    logged(&deployment, Role::Coordinator, "reloaded", reloaded + 1).await;
}

/// What is read at a start only is spoken of when it changes, by both daemons.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_that_wait_for_a_restart_are_said() {
    let deployment = Deployment::with_open_round(Settings::default()).unwrap();
    let pace = ("check_ins_per_hour = 7200000", "check_ins_per_hour = 7200");
    let connections = ("[tls]", "[listener]\nconnections = 100\n\n[tls]");
    for (role, (was, changed)) in [
        (Role::Coordinator, pace),
        (Role::Coordinator, connections),
        (Role::Helper, connections),
    ] {
        for (from, to, waits) in [(was, changed, true), (changed, was, false)] {
            let before = count(&deployment, role, "reloaded");
            deployment.configure(role, from, to).unwrap();
            deployment.hang_up(role).unwrap();
            logged(&deployment, role, "reloaded", before + 1).await;
            let log = deployment.log(role);
            let said = log.lines().rfind(|line| line.contains("\"reloaded\""));
            let expected = format!("restart_needed={waits}");
            assert!(said.unwrap().contains(&expected), "{log}");
        }
    }
    // And what a start refuses is refused while serving.
    let few = "check_ins_per_hour = 10";
    deployment
        .configure(Role::Coordinator, pace.0, few)
        .unwrap();
    deployment.hang_up(Role::Coordinator).unwrap();
    logged(&deployment, Role::Coordinator, "reload_refused", 1).await;
    let log = deployment.log(Role::Coordinator);
    assert!(log.contains("fleet.check_ins_per_hour must be"), "{log}");
}
