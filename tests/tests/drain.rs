//! How long a daemon takes to end when it is told to.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::net::TcpStream;
use std::process::ExitStatus;
use std::time::Duration;

use tacit_tests::bare::{BareDevice, Contribution};
use tacit_tests::deployment::{Deployment, Role, Settings};
use tokio::time::{Instant, sleep};
use tokio_stream::StreamExt;

/// Well before the deadline of a drain, 25 seconds.
const SOON: Duration = Duration::from_secs(10);

async fn ended_soon(deployment: &mut Deployment, role: Role) -> Option<ExitStatus> {
    let deadline = Instant::now() + SOON;
    while Instant::now() < deadline {
        if let Some(status) = deployment.ended(role).unwrap() {
            return Some(status);
        }
        sleep(Duration::from_millis(50)).await;
    }
    None
}

async fn enrolled(deployment: &Deployment) -> BareDevice {
    let token = deployment.tokens().unwrap().remove(0);
    let deadline = Instant::now() + Duration::from_secs(30);
    BareDevice::enrol(deployment, &token, deadline)
        .await
        .unwrap()
}

/// HOSTILE 20, 106: neither a device without a call nor a peer that never shook hands holds a
/// daemon that is to end.
#[tokio::test]
async fn idle_peers_do_not_hold_a_daemon_that_is_to_end() {
    let mut deployment = Deployment::with_open_round(Settings::default()).unwrap();
    let device = enrolled(&deployment).await;
    let mut idle = device.connect().await.unwrap();
    idle.round_status(tacit_proto::v2::RoundStatusRequest {})
        .await
        .unwrap();
    let _silent = TcpStream::connect(("127.0.0.1", deployment.coordinator_port())).unwrap();
    for role in [Role::Coordinator, Role::Helper] {
        deployment.terminate(role).unwrap();
        let status = ended_soon(&mut deployment, role).await;
        assert!(
            status.is_some_and(|status| status.success()),
            "{role:?}: {status:?}"
        );
    }
}

/// HOSTILE 106: an upload under way holds the drain; a second SIGTERM ends it.
#[tokio::test]
async fn a_second_signal_ends_a_drain() {
    let mut deployment = Deployment::with_open_round(Settings::default()).unwrap();
    let device = enrolled(&deployment).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    let (ticket, hash) = device.ticket(deadline).await.unwrap();
    let contribution = Contribution::new(&ticket, hash, vec![1; 64]).unwrap();
    let header = contribution.parts().swap_remove(0);
    let mut client = device.connect().await.unwrap();
    let upload = tokio::spawn(async move {
        client
            .contribute(tokio_stream::once(header).chain(tokio_stream::pending()))
            .await
    });
    sleep(Duration::from_millis(500)).await;
    deployment.terminate(Role::Coordinator).unwrap();
    sleep(Duration::from_millis(1500)).await;
    assert!(!upload.is_finished());
    assert!(deployment.ended(Role::Coordinator).unwrap().is_none());
    deployment.terminate(Role::Coordinator).unwrap();
    assert!(
        ended_soon(&mut deployment, Role::Coordinator)
            .await
            .is_some()
    );
    assert!(upload.await.unwrap().is_err());
}
