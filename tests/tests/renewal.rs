//! Identities that live: a certificate is renewed before it ends, and for a while after.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SigningKey as _};
use rustls::pki_types::CertificateDer;
use tacit_privacy::canonical::digest;
use tacit_proto::v2;
use tacit_proto::v2::ContributionOutcome;
use tacit_round::keys::Context;
use tacit_sdk::{SdkError, Store, Unenrolled};
use tacit_tests::bare::{self, BareDevice, Contribution, Credentials, repeat};
use tacit_tests::deployment::{Deployment, Role, Settings};
use tacit_tests::enrolled::{self, Installation};
use tacit_types::{DeviceId, Timestamp};
use tacit_wire::clock;
use tacit_wire::pki::Authority;
use tokio::time::Instant;
use tonic::{Code, Status};

const DAY_MS: u64 = 86_400_000;
const DEADLINE: Duration = Duration::from_secs(20);

/// Certificate and key of an installation, as its files have them.
fn credentials(folder: &Path) -> Credentials {
    Credentials {
        chain: fs::read_to_string(folder.join("device.crt")).unwrap(),
        key: fs::read_to_string(folder.join("device.key")).unwrap(),
    }
}

fn leaf(credentials: &Credentials) -> CertificateDer<'static> {
    enrolled::leaf(credentials).unwrap()
}

fn device_of(credentials: &Credentials) -> DeviceId {
    enrolled::device_of(credentials).unwrap()
}

struct Fixture {
    deployment: Deployment,
    installation: Installation,
}

impl Fixture {
    async fn new() -> Self {
        let deployment = Deployment::running(Settings::default()).unwrap();
        let token = deployment.tokens().unwrap().remove(0);
        let installation = Installation::enrol(&deployment, &token).await.unwrap();
        Self {
            deployment,
            installation,
        }
    }

    async fn check_in(&self, with: Option<&Credentials>) -> Result<v2::CheckInResponse, Status> {
        let root = self.deployment.pki("root.crt").unwrap();
        BareDevice::new(&self.deployment.coordinator_address(), &root, with)
            .unwrap()
            .check_in()
            .await
    }

    async fn renew(
        &self,
        with: Option<&Credentials>,
        request: v2::RenewRequest,
    ) -> Result<v2::RenewResponse, Status> {
        let root = self.deployment.pki("root.crt").unwrap();
        let device = BareDevice::new(&self.deployment.coordinator_address(), &root, with).unwrap();
        let answer = device.connect().await?.renew(request).await?;
        Ok(answer.into_inner())
    }
}

/// A request for a new key, with the old certificate and a proof by `prover`.
fn asked(old: &Credentials, prover: &str) -> v2::RenewRequest {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let request = CertificateParams::default()
        .serialize_request(&key)
        .unwrap();
    let (request, old) = (request.der().to_vec(), leaf(old));
    let message = [digest(&old).0, digest(&request).0].concat();
    let prover = KeyPair::from_pem(prover).unwrap();
    v2::RenewRequest {
        signing_request: request.into(),
        old_certificate: old.to_vec().into(),
        old_proof: prover
            .sign(&Context::Renew.signed(&message))
            .unwrap()
            .into(),
    }
}

/// HOSTILE 132.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_renewed_in_time_and_its_first_use_ends_the_old_one() {
    let fixture = Fixture::new().await;
    let folder = fixture.installation.folder();
    let first = credentials(folder);
    // Two thirds of its life are not over.
    fixture
        .installation
        .agent
        .step(Timestamp(clock::now().0 + 10 * DAY_MS))
        .await
        .unwrap();
    assert_eq!(credentials(folder).chain, first.chain);

    fixture
        .installation
        .agent
        .step(Timestamp(clock::now().0 + 25 * DAY_MS))
        .await
        .unwrap();
    let second = credentials(folder);
    assert!(second.chain != first.chain && second.key != first.key);
    assert_eq!(device_of(&second), device_of(&first), "the account stays");
    let left: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("renewal"))
        .collect();
    assert_eq!(left, [""; 0]);

    // The step has used the new certificate: the old one is worth nothing, renewal included.
    assert!(fixture.check_in(Some(&second)).await.is_ok());
    let refused = fixture.check_in(Some(&first)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(
        refused.message().contains("replaced by a newer one"),
        "{refused}"
    );
    let again = fixture
        .renew(Some(&first), asked(&first, &first.key))
        .await;
    assert_eq!(again.unwrap_err().code(), Code::PermissionDenied);
    let proved = fixture.renew(None, asked(&first, &first.key)).await;
    assert_eq!(proved.unwrap_err().code(), Code::PermissionDenied);
    // Store and ledger are those of before.
    assert!(Store::open(folder).is_ok());
}

/// HOSTILE 132: killed after any of the moves, with the next renewal due at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_cut_off_is_finished_before_the_next_begins() {
    const FILES: [[&str; 2]; 3] = [
        ["renewal.key", "device.key"],
        ["renewal.life", "device.life"],
        ["renewal.crt", "device.crt"],
    ];
    let fixture = Fixture::new().await;
    let folder = fixture.installation.folder();
    let step = |day: u64| {
        let now = Timestamp(clock::now().0 + day * DAY_MS);
        fixture.installation.agent.step(now)
    };
    for (moved, ended) in [(0, 25), (1, 25), (2, 25), (1, 35)] {
        let before = FILES.map(|[_, name]| fs::read(folder.join(name)).unwrap());
        step(25).await.unwrap();
        // Back to where a kill after so many moves leaves it, the old life in force.
        let places = FILES.iter().zip(&before).enumerate();
        for (place, ([next, name], before)) in places {
            if place >= moved {
                fs::rename(folder.join(name), folder.join(next)).unwrap();
            }
            if place >= moved || *name == "device.life" {
                fs::write(folder.join(name), before).unwrap();
            }
        }
        step(ended).await.unwrap();
        let own = credentials(folder);
        assert!(fixture.check_in(Some(&own)).await.is_ok(), "{moved}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_whose_answer_is_lost_leaves_the_old_certificate_in_force() {
    let fixture = Fixture::new().await;
    let first = credentials(fixture.installation.folder());
    let next = fixture
        .renew(Some(&first), asked(&first, &first.key))
        .await
        .unwrap();
    assert!(next.renew_after_ms > clock::now().0 + 20 * DAY_MS);
    assert!(next.valid_until_ms > next.renew_after_ms);
    assert!(
        fixture.check_in(Some(&first)).await.is_ok(),
        "nobody has used the next one yet"
    );
    // Asked again, for another key: the one that was lost is worth nothing, the last one is.
    let later = fixture
        .renew(Some(&first), asked(&first, &first.key))
        .await;
    assert!(later.is_ok());
    assert!(fixture.check_in(Some(&first)).await.is_ok());
}

/// HOSTILE 159: a server that starts before its clock is set renews by a clock that is far back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_ends_before_the_one_in_force_is_not_taken() {
    let fixture = Fixture::new().await;
    let folder = fixture.installation.folder();
    let first = credentials(folder);
    // As if what is in force had been made by a clock that is a year ahead of the coordinator's.
    let life = folder.join("device.life");
    let until = clock::now().0 + 365 * DAY_MS;
    fs::write(&life, format!("1 {until}\n")).unwrap();
    let now = clock::now();
    fixture.installation.agent.step(now).await.unwrap();
    assert_eq!(credentials(folder).chain, first.chain);
    assert_eq!(credentials(folder).key, first.key);
    assert!(!folder.join("renewal.crt").exists());

    // A life that cannot be read is no reason to keep what may have ended.
    fs::write(&life, "soon").unwrap();
    fixture.installation.agent.step(now).await.unwrap();
    assert!(credentials(folder).chain != first.chain);
}

/// HOSTILE 133.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_certificate_is_renewed_by_proof_of_its_key_and_not_for_ever() {
    let fixture = Fixture::new().await;
    let folder = fixture.installation.folder();
    let first = credentials(folder);
    // A device that slept past the end of its certificate, by its own clock.
    fixture
        .installation
        .agent
        .step(Timestamp(clock::now().0 + 31 * DAY_MS))
        .await
        .unwrap();
    let second = credentials(folder);
    assert!(second.chain != first.chain);
    assert_eq!(device_of(&second), device_of(&first));

    let authority = Authority::from_pem(
        &fixture.deployment.pki("issuing.crt").unwrap(),
        &fixture.deployment.pki("issuing.key").unwrap(),
    )
    .unwrap();
    let made = |id: u8, days_ago: u64| {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let request = CertificateParams::default()
            .serialize_request(&key)
            .unwrap();
        let then = Timestamp(clock::now().0 - days_ago * DAY_MS);
        let chain = authority
            .issue_device(request.der(), DeviceId([id; 16]), then)
            .unwrap();
        Credentials {
            chain,
            key: key.serialize_pem(),
        }
    };
    let (lately, long_ago, other) = (made(1, 60), made(2, 100), made(3, 0));
    let refused = |status: Result<v2::RenewResponse, Status>| status.unwrap_err();
    assert!(
        fixture.check_in(Some(&lately)).await.is_err(),
        "it has ended"
    );

    let stolen = refused(fixture.renew(None, asked(&lately, &other.key)).await);
    assert!(
        stolen.message().contains("its key was not proved"),
        "{stolen}"
    );
    let mut changed = asked(&lately, &lately.key);
    changed.signing_request = asked(&lately, &lately.key).signing_request;
    let changed = refused(fixture.renew(None, changed).await);
    assert!(
        changed.message().contains("its key was not proved"),
        "{changed}"
    );
    let late = refused(
        fixture
            .renew(None, asked(&long_ago, &long_ago.key))
            .await,
    );
    assert!(late.message().contains("ended too long ago"), "{late}");
    fs::write(folder.join("device.crt"), &long_ago.chain).unwrap();
    fs::write(folder.join("device.key"), &long_ago.key).unwrap();
    fs::write(folder.join("device.life"), "0 0\n").unwrap();
    let told = fixture.installation.agent.step(clock::now()).await;
    assert!(
        matches!(told, Err(SdkError::NotEnrolled(Unenrolled::Ended))),
        "{told:?}"
    );
    for der in [vec![], vec![0x30; 900], b"no certificate".to_vec()] {
        let mut nonsense = asked(&lately, &lately.key);
        nonsense.old_certificate = der.into();
        assert_eq!(
            refused(fixture.renew(None, nonsense).await).code(),
            Code::InvalidArgument
        );
    }
    let helper = Credentials {
        chain: fixture.deployment.pki("helper.crt").unwrap(),
        key: fixture.deployment.pki("helper.key").unwrap(),
    };
    let role = refused(fixture.renew(None, asked(&helper, &helper.key)).await);
    assert!(role.message().contains("it is not a device's"), "{role}");

    let renewed = fixture
        .renew(None, asked(&lately, &lately.key))
        .await
        .unwrap();
    let chain = Credentials {
        chain: renewed.certificate_chain,
        key: String::new(),
    };
    assert_eq!(device_of(&chain), DeviceId([1; 16]), "the account stays");
    let _ = repeat(Instant::now() + DEADLINE, || {
        fixture.check_in(Some(&second))
    })
    .await
    .unwrap();
}

/// HOSTILE 49: deduplication goes by account, not by certificate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_with_two_certificates_in_one_round_counts_once() {
    let fixture = Fixture::new().await;
    fixture.deployment.open_round().unwrap();
    let root = fixture.deployment.pki("root.crt").unwrap();
    let address = fixture.deployment.coordinator_address();
    let device = |own: &Credentials| BareDevice::new(&address, &root, Some(own)).unwrap();
    let first = bare::enrolled(&fixture.deployment, 1)
        .unwrap()
        .remove(0);
    let until = Instant::now() + DEADLINE;
    let (ticket, hash) = device(&first).ticket(until).await.unwrap();
    let sent = Contribution::new(&ticket, hash, vec![1; 64]).unwrap();
    let answer = device(&first).send_until_answered(&sent, until).await;
    assert_eq!(answer.unwrap(), ContributionOutcome::Accepted);

    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let request = CertificateParams::default();
    let request = v2::RenewRequest {
        signing_request: request
            .serialize_request(&key)
            .unwrap()
            .der()
            .to_vec()
            .into(),
        ..v2::RenewRequest::default()
    };
    let renewed = fixture.renew(Some(&first), request).await.unwrap();
    let second = Credentials {
        chain: renewed.certificate_chain,
        key: key.serialize_pem(),
    };
    let other = Contribution::new(&ticket, hash, vec![2; 64]).unwrap();
    let answer = device(&second)
        .send_until_answered(&other, until)
        .await;
    assert_eq!(answer.unwrap(), ContributionOutcome::Refused);
    let answer = device(&second).send_until_answered(&sent, until).await;
    assert_eq!(answer.unwrap(), ContributionOutcome::Accepted);
    let status = v2::RoundStatusRequest {};
    let mut client = device(&second).connect().await.unwrap();
    let status = client.round_status(status).await.unwrap().into_inner();
    assert_eq!(status.received, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_renewed_with_their_keys_and_devices_go_on() {
    let mut fixture = Fixture::new().await;
    let files = [
        "coordinator.crt",
        "helper.crt",
        "coordinator.key",
        "helper.key",
        "issuing.crt",
    ];
    let read = |deployment: &Deployment| files.map(|name| deployment.pki(name).unwrap());
    let before = read(&fixture.deployment);
    // Certificates tell seconds apart.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let renewed = fixture
        .deployment
        .tacit(&["pki", "renew", "pki"])
        .unwrap();
    let said = String::from_utf8(renewed.stdout).unwrap();
    assert!(
        renewed.status.success(),
        "{}",
        String::from_utf8_lossy(&renewed.stderr)
    );
    assert_eq!(said, "renewed coordinator.crt\nrenewed helper.crt\n");
    let after = read(&fixture.deployment);
    assert!(after[0] != before[0] && after[1] != before[1]);
    assert_eq!(
        after[2..],
        before[2..],
        "keys stay, and the authority is young"
    );

    for role in [Role::Helper, Role::Coordinator] {
        fixture.deployment.crash(role).unwrap();
    }
    let own = credentials(fixture.installation.folder());
    let answered = repeat(Instant::now() + DEADLINE, || fixture.check_in(Some(&own)));
    assert!(answered.await.is_ok());
}
