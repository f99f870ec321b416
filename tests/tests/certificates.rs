//! Who may speak to whom: certificates that are missing, foreign, expired or of another role, and
//! key files that are wrong.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use bytes::Bytes;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SanType,
};
use tacit_proto::v2;
use tacit_proto::v2::helper_client::HelperClient;
use tacit_tests::bare::{BareDevice, CHECK_IN, Contribution, Credentials, repeat};
use tacit_tests::certified::{device_at, device_params, device_uri, issuing, signed_by};
use tacit_tests::deployment::{Deployment, Settings};
use tacit_types::{DeviceId, Digest, Timestamp};
use tacit_wire::dial::{Dialer, client_config, endpoint};
use tacit_wire::pki::{Authority, create_authorities};
use tacit_wire::{Peer, clock};
use time::OffsetDateTime;
use tokio::time::Instant;
use tonic::{Code, Status};

const DAY_MS: u64 = 86_400_000;
/// What a client makes of a connection that ends in a TLS alert, depending on when it notices.
const CUT_OFF: [Code; 4] = [
    Code::Unavailable,
    Code::Unknown,
    Code::Internal,
    Code::Cancelled,
];

fn before_now(days: u64) -> Timestamp {
    Timestamp(clock::now().0 - days * DAY_MS)
}

/// Signs spoilt parameters with the deployment's own issuing key.
fn signed(deployment: &Deployment, params: &CertificateParams, key: &KeyPair) -> Credentials {
    signed_by(deployment, "issuing", params, key).unwrap()
}

async fn check_in(
    deployment: &Deployment,
    credentials: Option<&Credentials>,
) -> Result<v2::CheckInResponse, Status> {
    let root = deployment.pki("root.crt").unwrap();
    BareDevice::new(&deployment.coordinator_address(), &root, credentials)
        .unwrap()
        .check_in()
        .await
}

/// A running deployment with a device certificate that is good.
async fn deployment() -> (Deployment, Credentials) {
    let deployment = Deployment::running(Settings::default()).unwrap();
    let good = device_at(&issuing(&deployment).unwrap(), clock::now()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(15);
    repeat(deadline, || check_in(&deployment, Some(&good)))
        .await
        .unwrap();
    (deployment, good)
}

/// HOSTILE 58-62, 64: refused during the handshake or right after it, before any
/// call is read.
#[tokio::test]
async fn a_certificate_that_is_not_a_devices_never_reaches_a_handler() {
    let (deployment, good) = deployment().await;
    let spoilt = |spoil: &dyn Fn(&mut CertificateParams)| {
        let mut params = device_params();
        spoil(&mut params);
        signed(
            &deployment,
            &params,
            &KeyPair::generate_for(&PKCS_ED25519).unwrap(),
        )
    };
    let foreign = create_authorities(clock::now()).unwrap();
    let foreign = Authority::from_pem(&foreign.issuing.chain, &foreign.issuing.key).unwrap();
    let own_key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let own = device_params().self_signed(&own_key).unwrap().pem();
    let leaf_end =
        good.chain.find("-----END CERTIFICATE-----").unwrap() + "-----END CERTIFICATE-----\n".len();
    let cases = [
        (
            "another authority",
            device_at(&foreign, clock::now()).unwrap(),
        ),
        (
            "self-signed",
            Credentials {
                chain: own,
                key: own_key.serialize_pem(),
            },
        ),
        (
            "expired a month ago",
            device_at(&issuing(&deployment).unwrap(), before_now(60)).unwrap(),
        ),
        (
            "expired",
            spoilt(&|params| {
                params.not_after = OffsetDateTime::now_utc() - time::Duration::seconds(1)
            }),
        ),
        (
            "not yet valid",
            spoilt(&|params| {
                params.not_before = OffsetDateTime::now_utc() + time::Duration::minutes(1)
            }),
        ),
        (
            "for servers only",
            spoilt(&|params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]
            }),
        ),
        (
            "an authority",
            spoilt(&|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        ),
        (
            "without a name",
            spoilt(&|params| params.subject_alt_names.clear()),
        ),
        (
            "two names",
            spoilt(&|params| params.subject_alt_names.push(device_uri())),
        ),
        (
            "a DNS name",
            spoilt(&|params| {
                params.subject_alt_names = vec![SanType::DnsName("a.b".try_into().unwrap())]
            }),
        ),
        (
            "an unknown role",
            spoilt(&|params| {
                params.subject_alt_names =
                    vec![SanType::URI("urn:tacit:operator".try_into().unwrap())];
            }),
        ),
        (
            "a chain without its authority",
            Credentials {
                chain: good.chain[..leaf_end].to_owned(),
                key: good.key.clone(),
            },
        ),
    ];
    for (name, credentials) in &cases {
        let status = check_in(&deployment, Some(credentials))
            .await
            .expect_err(name);
        assert!(CUT_OFF.contains(&status.code()), "{name}: {status:?}");
    }
    // The same parameters unspoilt are accepted; with another key type they are not, though the
    // issuer would have to make such a certificate first (77).
    assert!(
        check_in(&deployment, Some(&spoilt(&|_| ())))
            .await
            .is_ok()
    );
    let p256 = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let other_key = signed(&deployment, &device_params(), &p256);
    let refused = check_in(&deployment, Some(&other_key))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(refused.message().contains("no Ed25519 key"), "{refused}");
}

/// HOSTILE 26, 57, 61: a call without a certificate, or with one of another role, is told so.
#[tokio::test]
async fn calls_without_a_device_certificate_are_refused_in_words() {
    let (deployment, good) = deployment().await;
    let root = deployment.pki("root.crt").unwrap();
    let server = |name: &str| Credentials {
        chain: deployment.pki(&format!("{name}.crt")).unwrap(),
        key: deployment.pki(&format!("{name}.key")).unwrap(),
    };
    deployment.open_round().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let device = BareDevice::new(&deployment.coordinator_address(), &root, Some(&good)).unwrap();
    let (ticket, hash) = device.ticket(deadline).await.unwrap();
    let contribution = Contribution::new(&ticket, hash, vec![1; 64]).unwrap();
    let cases = [
        (
            None,
            Code::Unauthenticated,
            "a client certificate of this deployment is needed; enrol first",
        ),
        (
            Some(server("coordinator")),
            Code::PermissionDenied,
            "only devices may call this",
        ),
        (
            Some(server("helper")),
            Code::PermissionDenied,
            "only devices may call this",
        ),
    ];
    for (credentials, code, message) in cases {
        let peer = BareDevice::new(
            &deployment.coordinator_address(),
            &root,
            credentials.as_ref(),
        )
        .unwrap();
        let mut client = peer.connect().await.unwrap();
        let mut spoofed = tonic::Request::new(CHECK_IN);
        spoofed.metadata_mut().insert(
            "x-device-id",
            "09090909090909090909090909090909".parse().unwrap(),
        );
        let hash = Bytes::copy_from_slice(&Digest([0; 32]).0);
        let refusals = [
            client.check_in(spoofed).await.err(),
            client.fetch(v2::FetchRequest { hash }).await.err(),
            client
                .round_status(v2::RoundStatusRequest {})
                .await
                .err(),
            peer.send(&contribution).await.err(),
        ];
        for refusal in refusals {
            let status = refusal.expect("refused");
            assert_eq!((status.code(), status.message()), (code, message));
        }
    }
    let status = device
        .connect()
        .await
        .unwrap()
        .round_status(v2::RoundStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(status.received, 0, "a refused contribution was counted");
}

/// HOSTILE 21, 57, 59, 61: the helper speaks to the coordinator and keeps a connection of nobody
/// else.
#[tokio::test]
async fn the_helper_answers_the_coordinator_only() {
    let (deployment, good) = deployment().await;
    let foreign = create_authorities(clock::now()).unwrap();
    let foreign = Authority::from_pem(&foreign.issuing.chain, &foreign.issuing.key).unwrap();
    let foreign = foreign
        .issue_server(Peer::Coordinator, &["localhost".to_owned()], clock::now())
        .unwrap();
    let foreign = Credentials {
        chain: foreign.chain,
        key: foreign.key,
    };
    let helper = Credentials {
        chain: deployment.pki("helper.crt").unwrap(),
        key: deployment.pki("helper.key").unwrap(),
    };
    let peers = [
        ("a device", Some(&good)),
        ("itself", Some(&helper)),
        ("a coordinator of another authority", Some(&foreign)),
        ("nobody", None),
    ];
    for (name, credentials) in peers {
        let root = deployment.pki("root.crt").unwrap();
        let own = credentials.map(|own| (&own.chain[..], &own.key[..]));
        let tls = client_config(&root, own).unwrap();
        let dialer = Dialer::new(tls, "localhost").unwrap();
        let endpoint = endpoint(&deployment.helper_address())
            .unwrap()
            .timeout(Duration::from_secs(5));
        let refused = match endpoint.connect_with_connector(dialer).await {
            Ok(channel) => {
                let ticket_hash = Bytes::copy_from_slice(&[0; 32]);
                HelperClient::new(channel)
                    .abandon(v2::AbandonRequest {
                        ticket_hash,
                        certify: true,
                    })
                    .await
                    .expect_err(name)
            }
            Err(error) => Status::unavailable(error.to_string()),
        };
        assert!(CUT_OFF.contains(&refused.code()), "{name}: {refused:?}");
    }
}

/// HOSTILE 20, 71: an offer of TLS 1.0 to 1.2 and plain text get an alert or a closed connection,
/// never an answer.
#[tokio::test]
async fn older_tls_and_plain_text_are_refused() {
    let (deployment, good) = deployment().await;
    let offers = [1, 2, 3].map(older_client_hello);
    for (name, bytes, alert) in [
        ("TLS 1.0", &offers[0][..], true),
        ("TLS 1.1", &offers[1], true),
        ("TLS 1.2", &offers[2], true),
        (
            "HTTP/1.1",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            false,
        ),
        (
            "HTTP/2 without TLS",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            false,
        ),
    ] {
        let mut socket = TcpStream::connect(("127.0.0.1", deployment.coordinator_port())).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(8)))
            .unwrap();
        socket.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        // A reset is as good an end as a close.
        let _ = socket.read_to_end(&mut answer);
        assert!(
            answer.len() <= 7 && answer.first().is_none_or(|&kind| kind == 21),
            "{name}: {answer:?}"
        );
        if alert {
            assert_eq!(
                answer,
                [21, 3, 3, 0, 2, 2, 70],
                "{name}: expected a fatal protocol_version alert"
            );
        }
    }
    assert!(check_in(&deployment, Some(&good)).await.is_ok());
}

/// A ClientHello that offers TLS 1.`minor - 1` with ECDHE-ECDSA-AES128-GCM-SHA256, X25519 and
/// Ed25519, and nothing newer.
fn older_client_hello(minor: u8) -> Vec<u8> {
    let extensions = [
        &[0, 10, 0, 4, 0, 2, 0, 29][..],
        &[0, 13, 0, 4, 0, 2, 8, 7],
        &[0, 11, 0, 2, 1, 0],
        &[0, 23, 0, 0],
    ]
    .concat();
    let extensions_len = u8::try_from(extensions.len()).unwrap();
    let body = [
        &[3, minor][..],
        &[7; 32],
        &[0],
        &[0, 2, 0xc0, 0x2b],
        &[1, 0],
        &[0, extensions_len],
        &extensions,
    ]
    .concat();
    let body_len = u8::try_from(body.len()).unwrap();
    [&[22, 3, 1, 0, body_len + 4, 1, 0, 0, body_len][..], &body].concat()
}

/// HOSTILE 60, 74, 82, 87, 90, 104: exit code 2, one line that names the file, and no task in the
/// state folder.
#[test]
fn wrong_key_and_certificate_files_are_named_and_nothing_starts() {
    let deployment = Deployment::new(Settings::default()).unwrap();
    let then = before_now(400);
    let old = create_authorities(then).unwrap();
    let expired = Authority::from_pem(&old.issuing.chain, &old.issuing.key).unwrap();
    let expired = expired
        .issue_server(Peer::Coordinator, &["localhost".to_owned()], then)
        .unwrap();
    fs::write(deployment.path("pki/expired.crt"), expired.chain).unwrap();
    let open = deployment.path("pki/open.key");
    fs::copy(deployment.path("pki/coordinator.key"), &open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let open = deployment.path("pki/open.sign");
    fs::copy(deployment.path("pki/coordinator.sign"), &open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o640)).unwrap();
    fs::copy(
        deployment.path("pki/root.crt"),
        deployment.path("pki/private.key"),
    )
    .unwrap();
    fs::set_permissions(
        deployment.path("pki/private.key"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    foreign_files(&deployment);
    for role in ["coordinator", "helper"] {
        let whole = deployment.pki(&format!("{role}.crt")).unwrap();
        fs::write(deployment.path("pki/half.crt"), &whole[..whole.len() / 3]).unwrap();
    }
    fs::create_dir(deployment.path("pki/folder")).unwrap();
    let mut mkfifo = std::process::Command::new("mkfifo");
    let made = mkfifo
        .arg(deployment.path("pki/pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    std::os::unix::fs::symlink("loop.crt", deployment.path("pki/loop.crt")).unwrap();

    let certificates = [
        "absent.crt",
        "half.crt",
        "expired.crt",
        "tokens.txt",
        "folder",
        "loop.crt",
        "foreign.crt",
        "other-role.crt",
    ];
    let keys = ["absent.key", "open.key", "private.key", "folder"];
    let seeds = ["absent.sign", "open.sign", "root.crt", "folder"];
    for role in ["coordinator", "helper"] {
        let good = fs::read_to_string(deployment.path(&format!("{role}.toml"))).unwrap();
        let own = |file: &str| format!("\"pki/{role}.{file}\"");
        let mut cases: Vec<(String, &str)> = Vec::new();
        cases.extend(certificates.map(|file| (own("crt"), file)));
        cases.extend(keys.map(|file| (own("key"), file)));
        cases.extend(seeds.map(|file| (own("sign"), file)));
        cases.extend(["absent.crt", "folder"].map(|file| ("\"pki/root.crt\"".to_owned(), file)));
        if role == "coordinator" {
            cases.push(("\"pki/issuing.crt\"".to_owned(), "absent.crt"));
            cases.extend(
                ["absent.key", "open.key"].map(|file| ("\"pki/issuing.key\"".to_owned(), file)),
            );
            cases.extend(
                ["absent.txt", "issuing.crt"]
                    .map(|file| ("\"pki/tokens.sha256\"".to_owned(), file)),
            );
            cases.push(("\"catalogue.txt\"".to_owned(), "absent.txt"));
            // Nobody writes into it: reading it would wait for ever.
            cases.push(("\"catalogue.txt\"".to_owned(), "pipe"));
            cases.push(("\"pki/tokens.sha256\"".to_owned(), "pipe"));
            cases.push(("\"pki/issuing.crt\"".to_owned(), "foreign-issuing.crt"));
        }
        for (from, file) in cases {
            assert!(good.contains(&from), "{role}: no {from} to replace");
            fs::write(
                deployment.path("bad.toml"),
                good.replacen(&from, &format!("\"pki/{file}\""), 1),
            )
            .unwrap();
            let told = refused_alike(&deployment, role, file);
            for name in [
                "store.sqlite",
                "coordinator.sqlite",
                "ledger",
                "objects",
                "keys",
            ] {
                assert!(
                    !deployment.path(role).join(name).exists(),
                    "{told}{name} was written"
                );
            }
        }
        // A key that does not belong to its certificate.
        let other = if role == "coordinator" {
            "helper"
        } else {
            "coordinator"
        };
        let mixed = good.replace(&own("key"), &format!("\"pki/{other}.key\""));
        fs::write(deployment.path("bad.toml"), mixed).unwrap();
        refused_alike(&deployment, role, "do not fit together");
        // What stands in a sample in place of the other party's key.
        let key = fs::read_to_string(deployment.path(&format!("pki/{other}.pub"))).unwrap();
        let placeholder = good.replace(key.trim(), &"0".repeat(64));
        assert_ne!(placeholder, good, "{role}: no key to replace");
        fs::write(deployment.path("bad.toml"), placeholder).unwrap();
        refused_alike(&deployment, role, "is a placeholder");
        // A state folder that is a file.
        let state = format!("state = \"{role}\"");
        assert!(good.contains(&state), "{role}: no {state} to replace");
        let no_folder = good.replacen(&state, "state = \"bad.toml\"", 1);
        fs::write(deployment.path("bad.toml"), no_folder).unwrap();
        refused_alike(&deployment, role, "bad.toml: is not a folder");
        let arguments = [role, "--config", &format!("{role}.toml"), "--check-config"];
        let output = deployment.tacit(&arguments).unwrap();
        assert!(
            output.status.success() && !deployment.path(role).exists(),
            "{output:?}"
        );
    }
}

/// Certificates of another deployment, and one of another role that fits each server's key.
fn foreign_files(deployment: &Deployment) {
    let now = before_now(0);
    let foreign = create_authorities(now).unwrap();
    fs::write(
        deployment.path("pki/foreign-issuing.crt"),
        &foreign.issuing.chain,
    )
    .unwrap();
    let foreign = Authority::from_pem(&foreign.issuing.chain, &foreign.issuing.key).unwrap();
    let names = ["localhost".to_owned()];
    let server = foreign
        .issue_server(Peer::Coordinator, &names, now)
        .unwrap();
    fs::write(deployment.path("pki/foreign.crt"), server.chain).unwrap();
    let device =
        issuing(deployment)
            .unwrap()
            .issue_server(Peer::Device(DeviceId([1; 16])), &names, now);
    fs::write(deployment.path("pki/other-role.crt"), device.unwrap().chain).unwrap();
}

/// A start with `bad.toml` and a check of it say the same, in one line with `words`, and end with
/// exit code 2. Gives what was said.
fn refused_alike(deployment: &Deployment, role: &str, words: &str) -> String {
    let said = [&[][..], &["--check-config"]].map(|more| {
        let arguments = [&[role, "--config", "bad.toml"], more].concat();
        let output = deployment.tacit(&arguments).unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(
            said.lines().count() == 1 && said.contains(words),
            "{arguments:?}: {said}"
        );
        said
    });
    assert_eq!(said[0], said[1]);
    let [said, _] = said;
    said
}
