//! A thousand installations that enrol at once, and those that are there already.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::sync::Arc;
use std::time::Duration;

use tacit_tests::bare::{BareDevice, CHECK_IN, enrolled};
use tacit_tests::deployment::{Deployment, Settings};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const INSTALLATIONS: u32 = 1000;
/// All of them are enrolled within this time.
const SOON: Duration = Duration::from_secs(60);

/// HOSTILE 81: everybody gets a certificate, although one address may have fewer connections
/// without one at a time, and whoever is connected is answered at the first try meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_enrolments_at_once_are_answered_and_check_ins_go_on() {
    let settings = Settings {
        tokens: INSTALLATIONS,
        ..Settings::default()
    };
    let deployment = Deployment::running(settings).unwrap();
    let (address, root) = (
        deployment.coordinator_address(),
        deployment.pki("root.crt").unwrap(),
    );
    let known = enrolled(&deployment, 1).unwrap().remove(0);
    let known = BareDevice::new(&address, &root, Some(&known)).unwrap();
    let deadline = Instant::now() + SOON;
    while known.check_in().await.is_err() {
        assert!(Instant::now() < deadline, "the coordinator has not started");
        sleep(Duration::from_millis(50)).await;
    }

    let mut connected = known.connect().await.unwrap();
    let deployment = Arc::new(deployment);
    let mut enrolling = JoinSet::new();
    for token in deployment.tokens().unwrap() {
        let deployment = deployment.clone();
        enrolling.spawn(async move {
            let device = BareDevice::enrol(&deployment, &token, deadline).await;
            device.map(drop)
        });
    }
    let mut check_ins = 0;
    while !enrolling.is_empty() {
        connected.check_in(CHECK_IN).await.unwrap();
        check_ins += 1;
        while let Some(done) = enrolling.try_join_next() {
            done.unwrap().unwrap();
        }
    }
    assert!(check_ins > 1, "nobody checked in meanwhile");
}
