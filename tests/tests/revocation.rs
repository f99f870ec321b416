//! A device or a server that is revoked is out within a second, whatever it has open, and a list
//! that cannot be read lets nobody back in.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SigningKey as _};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tacit_privacy::canonical::digest;
use tacit_privacy::record::Event;
use tacit_proto::v2;
use tacit_round::keys::Context;
use tacit_sdk::{SdkError, Unenrolled};
use tacit_tests::bare::{BareDevice, Contribution, Credentials, enrolled, repeat};
use tacit_tests::deployment::{Deployment, Role, Settings};
use tacit_tests::enrolled::{self, Installation};
use tacit_tests::raw::{Door, End};
use tacit_types::DeviceId;
use tacit_wire::clock;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

/// Whatever is waited for happens within this time.
const SOON: Duration = Duration::from_secs(20);
/// Time in which a list that is bad is looked at several times.
const MOMENT: Duration = Duration::from_millis(700);

fn bare(deployment: &Deployment, own: Option<&Credentials>) -> BareDevice {
    let root = deployment.pki("root.crt").unwrap();
    BareDevice::new(&deployment.coordinator_address(), &root, own).unwrap()
}

async fn check_in(
    deployment: &Deployment,
    own: &Credentials,
) -> Result<v2::CheckInResponse, Status> {
    bare(deployment, Some(own)).check_in().await
}

fn door(deployment: &Deployment, own: &Credentials) -> Door {
    let root = deployment.pki("root.crt").unwrap();
    Door::new(&deployment.coordinator_address(), &root, Some(own)).unwrap()
}

fn device_of(credentials: &Credentials) -> DeviceId {
    enrolled::device_of(credentials).unwrap()
}

fn revoke(deployment: &Deployment, arguments: &[&str]) -> String {
    let command = [&["pki", "revoke", "pki"], arguments].concat();
    String::from_utf8(deployment.succeed(&command).unwrap()).unwrap()
}

/// Waits until a process has logged these words.
async fn logged(deployment: &Deployment, role: Role, words: &str) {
    let until = Instant::now() + SOON;
    while !deployment.log(role).contains(words) {
        assert!(Instant::now() < until, "{role:?} does not say {words}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// A renewal of a certificate by proof of its key.
async fn renew_by_proof(deployment: &Deployment, own: &Credentials) -> Status {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let request = CertificateParams::default();
    let request = request.serialize_request(&key).unwrap().der().to_vec();
    let old = CertificateDer::from_pem_slice(own.chain.as_bytes()).unwrap();
    let message = [digest(&old).0, digest(&request).0].concat();
    let proof = KeyPair::from_pem(&own.key).unwrap();
    let proof = proof.sign(&Context::Renew.signed(&message)).unwrap();
    let request = v2::RenewRequest {
        signing_request: request.into(),
        old_certificate: old.to_vec().into(),
        old_proof: proof.into(),
    };
    let mut client = bare(deployment, None).connect().await.unwrap();
    client.renew(request).await.unwrap_err()
}

/// HOSTILE 66, 67, 79: the connections a device has open are closed, no other gets in, and neither
/// certificate nor key buys a new one. Others notice nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_device_is_cut_off_at_once_and_stays_out() {
    let mut deployment = Deployment::running(Settings::default()).unwrap();
    let devices = enrolled(&deployment, 2).unwrap();
    let (lost, other) = (&devices[0], &devices[1]);
    for own in [lost, other] {
        repeat(Instant::now() + SOON, || check_in(&deployment, own))
            .await
            .unwrap();
    }

    let mut live = door(&deployment, lost).connect().await.unwrap();
    let mut others = door(&deployment, other).connect().await.unwrap();
    let said = revoke(&deployment, &[&device_of(lost).to_string()]);
    assert_eq!(
        said,
        "added 1 to pki/revoked.txt, which has 1 entries now\n"
    );
    let stream = live.stream();
    let end = live.answer(stream, SOON).await.end;
    assert!(matches!(end, End::Closed | End::GoAway(_)), "{end:?}");
    let stream = others.stream();
    assert_eq!(others.answer(stream, MOMENT).await.end, End::Silent);

    assert!(check_in(&deployment, lost).await.is_err());
    check_in(&deployment, other).await.unwrap();
    let refused = renew_by_proof(&deployment, lost).await;
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("has been revoked"), "{refused}");

    // The list outlives the process.
    deployment.crash(Role::Coordinator).unwrap();
    repeat(Instant::now() + SOON, || check_in(&deployment, other))
        .await
        .unwrap();
    assert!(check_in(&deployment, lost).await.is_err());
}

/// HOSTILE 66: the SDK says what has happened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_hears_that_it_is_revoked() {
    let deployment = Deployment::running(Settings::default()).unwrap();
    let token = deployment.tokens().unwrap().remove(0);
    let device = Installation::enrol(&deployment, &token).await.unwrap();
    device.agent.step(clock::now()).await.unwrap();
    let own = device.credentials().unwrap();
    revoke(&deployment, &[&device_of(&own).to_string()]);
    logged(&deployment, Role::Coordinator, "revocations_read").await;
    match device.agent.step(clock::now()).await {
        Err(error @ SdkError::NotEnrolled(Unenrolled::Revoked)) => {
            let why = error.to_string();
            assert!(why.contains("has been revoked"), "{why}");
        }
        Ok(_) => panic!("let in"),
        Err(other) => panic!("{other}"),
    }
}

/// HOSTILE 68: a list that is damaged, missing or open to others leaves the one before in force
/// while the daemon runs, which it says, and stops a start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_list_lets_nobody_back_in_and_stops_a_start() {
    let mut deployment = Deployment::running(Settings::default()).unwrap();
    let devices = enrolled(&deployment, 2).unwrap();
    let list = deployment.path("pki/revoked.txt");
    revoke(&deployment, &[&device_of(&devices[0]).to_string()]);
    let whole = fs::read_to_string(&list).unwrap();
    repeat(Instant::now() + SOON, || check_in(&deployment, &devices[1]))
        .await
        .unwrap();

    let bad = [
        ("cut short", Some(&whole[..49])),
        ("expected 'tacit revoked 1'", Some("nobody\n")),
        ("cannot be read", None),
    ];
    for (words, text) in bad {
        match text {
            Some(text) => fs::write(&list, text).unwrap(),
            None => fs::remove_file(&list).unwrap(),
        }
        logged(&deployment, Role::Coordinator, words).await;
        assert!(check_in(&deployment, &devices[0]).await.is_err(), "{words}");
        check_in(&deployment, &devices[1]).await.unwrap();
        let check = [
            "coordinator",
            "--config",
            "coordinator.toml",
            "--check-config",
        ];
        let refused = deployment.tacit(&check).unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(
            said.contains("revoked.txt: ") && said.contains(words),
            "{said}"
        );
    }

    deployment.kill(Role::Coordinator).unwrap();
    let start = ["coordinator", "--config", "coordinator.toml"];
    assert_eq!(deployment.tacit(&start).unwrap().status.code(), Some(2));
    fs::write(&list, &whole).unwrap();
    deployment.start(Role::Coordinator).unwrap();
    repeat(Instant::now() + SOON, || check_in(&deployment, &devices[1]))
        .await
        .unwrap();
    assert!(check_in(&deployment, &devices[0]).await.is_err());
}

/// HOSTILE 66: the helper turns away a coordinator whose key somebody else has, until it has a
/// certificate with another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_helper_turns_away_a_coordinator_whose_key_is_revoked() {
    let deployment = Deployment::running(Settings::default()).unwrap();
    let check = [
        "coordinator",
        "--config",
        "coordinator.toml",
        "--check-helper",
    ];
    let answers = || deployment.tacit(&check).unwrap().status.code();
    let until = Instant::now() + SOON;
    while answers() != Some(0) {
        assert!(Instant::now() < until, "the helper does not answer");
    }

    revoke(&deployment, &["--certificate", "pki/coordinator.crt"]);
    logged(&deployment, Role::Helper, "revocations_read").await;
    assert_eq!(answers(), Some(1));
    deployment
        .succeed(&["pki", "renew", "pki", "--new-keys"])
        .unwrap();
    assert_eq!(answers(), Some(0));
}

/// PRIVACY 11.4; HOSTILE 136: a round in which more devices were revoked after they were folded
/// than it assumes dishonest is abandoned and charged; no sum of it is opened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_of_too_many_revoked_devices_is_abandoned_and_charged() {
    let deployment = Deployment::with_open_round(Settings::default()).unwrap();
    let devices = enrolled(&deployment, 4).unwrap();
    let until = Instant::now() + SOON;
    let (ticket, hash) = bare(&deployment, Some(&devices[0]))
        .ticket(until)
        .await
        .unwrap();
    let send = |own| {
        let contribution = Contribution::new(&ticket, hash, vec![1; 64]).unwrap();
        let device = bare(&deployment, Some(own));
        async move {
            device.ticket(until).await.unwrap();
            device
                .send_until_answered(&contribution, until)
                .await
                .unwrap()
        }
    };
    for own in &devices[..3] {
        assert_eq!(send(own).await, v2::ContributionOutcome::Accepted);
    }
    revoke(&deployment, &[&device_of(&devices[0]).to_string()]);
    logged(&deployment, Role::Coordinator, "revocations_read").await;
    send(&devices[3]).await;
    logged(&deployment, Role::Coordinator, "round_abandoned").await;
    let until = Instant::now() + SOON;
    let abandoned = loop {
        let lines = deployment.lines().unwrap();
        let abandoned = lines.into_iter().find_map(|line| match line.event {
            Event::Abandoned(abandoned) => Some(abandoned),
            _ => None,
        });
        match abandoned {
            Some(abandoned) => break abandoned,
            None => assert!(Instant::now() < until, "no line says so"),
        }
        sleep(Duration::from_millis(50)).await;
    };
    assert!(
        abandoned.reason.contains("were revoked"),
        "{}",
        abandoned.reason
    );
    assert_eq!(
        (abandoned.contributors, abandoned.charge.rho_total),
        (4, abandoned.charge.rho)
    );
    assert_eq!(deployment.releases().unwrap().len(), 0);
}
