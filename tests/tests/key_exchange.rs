//! Every connection is made with X25519MLKEM768, and with nothing less: whichever end is asked to
//! do without refuses.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    AlertDescription, ClientConfig, Error, NamedGroup, PeerIncompatible, RootCertStore,
    ServerConfig,
};
use tacit_sdk::tls::ring;
use tacit_sdk::{Reason, SdkError, identity};
use tacit_tests::deployment::{Deployment, Settings};
use tacit_tests::enrolled::shipped;
use tacit_wire::dial::client_config;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Whatever a test waits for happens within this time.
const SOON: Duration = Duration::from_secs(20);

/// What everybody offers who has not heard of ML-KEM.
fn without_hybrid() -> Arc<CryptoProvider> {
    let kx_groups = vec![kx_group::X25519, kx_group::SECP256R1];
    let every = aws_lc_rs::default_provider();
    Arc::new(CryptoProvider { kx_groups, ..every })
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap()
}

async fn connect(port: u16, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
}

/// Connects to a daemon that has just started.
async fn connect_once_there(port: u16, config: ClientConfig) -> TlsStream<TcpStream> {
    let until = Instant::now() + SOON;
    loop {
        match connect(port, config.clone()).await {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < until, "port {port}: {error}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn tls(error: &std::io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// HOSTILE 149.
#[tokio::test]
async fn both_daemons_exchange_keys_by_the_hybrid_and_turn_away_who_cannot() {
    let deployment = Deployment::running(Settings::default()).unwrap();
    let root = deployment.pki("root.crt").unwrap();
    let chain = deployment.pki("coordinator.crt").unwrap();
    let key = deployment.pki("coordinator.key").unwrap();
    let mut roots = RootCertStore::empty();
    for root in certificates(&root) {
        roots.add(root).unwrap();
    }
    for port in [deployment.coordinator_port(), deployment.helper_port()] {
        let ours = client_config(&root, Some((&chain, &key))).unwrap();
        let stream = connect_once_there(port, ours).await;
        let group = stream.get_ref().1.negotiated_key_exchange_group();
        let group = group.map(|group| group.name());
        assert_eq!(group, Some(NamedGroup::X25519MLKEM768), "port {port}");

        let older = ClientConfig::builder_with_provider(without_hybrid())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let refused = connect(port, older).await.unwrap_err();
        let alert = Error::AlertReceived(AlertDescription::HandshakeFailure);
        assert_eq!(tls(&refused), Some(&alert), "port {port}");
    }
}

/// A server with the certificate of `role` that has not heard of ML-KEM: its address, and what
/// becomes of its first connection.
async fn older_server(deployment: &Deployment, role: &str) -> (String, JoinHandle<Error>) {
    let chain = certificates(&deployment.pki(&format!("{role}.crt")).unwrap());
    let key = deployment.pki(&format!("{role}.key")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(without_hybrid())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];

    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", socket.local_addr().unwrap());
    let first = tokio::spawn(async move {
        let (stream, _) = socket.accept().await.unwrap();
        let accepted = TlsAcceptor::from(Arc::new(config)).accept(stream);
        let error = accepted.await.map(drop).unwrap_err();
        tls(&error).cloned().unwrap()
    });
    (address, first)
}

async fn assert_nothing_in_common(first: JoinHandle<Error>) {
    let error = timeout(SOON, first).await.unwrap().unwrap();
    let expected = Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon);
    assert_eq!(error, expected);
}

/// HOSTILE 149: whoever answers has the right certificate, and still learns nothing.
#[tokio::test]
async fn a_device_does_not_enrol_without_the_hybrid() {
    let deployment = Deployment::new(Settings::default()).unwrap();
    let (address, first) = older_server(&deployment, "coordinator").await;
    let root = deployment.pki("root.crt").unwrap();
    let shipped = shipped(&deployment, &root).unwrap();
    let mut shipped = tacit_sdk::Deployment::clone(&shipped);
    shipped.coordinator = address;
    let folder = tempfile::tempdir().unwrap();
    let token = &deployment.tokens().unwrap()[0];
    let enrolled = identity::enrol(folder.path(), &shipped, token).await;
    let unreachable = matches!(
        enrolled,
        Err(SdkError::RetryLater {
            reason: Reason::Unreachable,
            ..
        })
    );
    assert!(unreachable, "{enrolled:?}");
    assert_nothing_in_common(first).await;
}

/// HOSTILE 149.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_does_not_ask_a_helper_without_the_hybrid() {
    let deployment = Deployment::new(Settings::default()).unwrap();
    let (address, first) = older_server(&deployment, "helper").await;
    let config = std::fs::read_to_string(deployment.path("coordinator.toml")).unwrap();
    let config = config.replace(&deployment.helper_address(), &address);
    std::fs::write(deployment.path("coordinator.toml"), config).unwrap();
    let check = [
        "coordinator",
        "--config",
        "coordinator.toml",
        "--check-helper",
    ];
    let asked = tokio::task::spawn_blocking(move || deployment.tacit(&check).unwrap());
    assert_nothing_in_common(first).await;
    let asked = asked.await.unwrap();
    assert_eq!(asked.status.code(), Some(1), "{asked:?}");
}

/// What a device's provider and a daemon's agree on, or the error of the device.
fn exchange(spoil: impl FnOnce(&mut Vec<u8>)) -> Result<bool, Error> {
    let device = ring::provider();
    let daemon = aws_lc_rs::default_provider();
    let daemon = daemon
        .kx_groups
        .iter()
        .find(|group| group.name() == NamedGroup::X25519MLKEM768)
        .unwrap();
    let begun = device.kx_groups[0].start().unwrap();
    assert_eq!(begun.pub_key().len(), 1184 + 32);
    let mut theirs = daemon.start_and_complete(begun.pub_key()).unwrap();
    spoil(&mut theirs.pub_key);
    let ours = begun.complete(&theirs.pub_key)?;
    Ok(ours.secret_bytes() == theirs.secret.secret_bytes())
}

/// HOSTILE 149: the exchange that ring lacks is the one AWS-LC has, and takes nothing else.
#[test]
fn the_exchange_of_a_device_is_the_daemons() {
    let offered: Vec<NamedGroup> = ring::provider()
        .kx_groups
        .iter()
        .map(|group| group.name())
        .collect();
    assert_eq!(offered, [NamedGroup::X25519MLKEM768]);
    for _ in 0..100 {
        assert_eq!(exchange(|_| {}), Ok(true));
    }
    // What was changed on the way gives both ends secrets of their own (FIPS 203, implicit
    // rejection), so no handshake stands on it.
    for place in [0, 500, 1087, 1088, 1100] {
        assert_eq!(exchange(|share| share[place] ^= 1), Ok(false), "{place}");
    }
    for length in [0, 32, 1087, 1088, 1119, 1121] {
        let refused = exchange(|share| share.resize(length, 7));
        assert!(refused.is_err(), "{length}");
    }
    // A point of low order makes half of the secret zero whatever the key.
    assert!(exchange(|share| share[1088..].fill(0)).is_err());
    let provider = ring::provider();
    let answered = provider.kx_groups[0].start_and_complete(&[0; 1216]);
    assert!(answered.is_err(), "a device answers no handshake");
}

/// HOSTILE 149: a device as it ships, by ring, against both daemons.
#[tokio::test]
async fn a_device_by_ring_exchanges_keys_with_both_daemons() {
    let deployment = Deployment::running(Settings::default()).unwrap();
    let mut roots = RootCertStore::empty();
    for root in certificates(&deployment.pki("root.crt").unwrap()) {
        roots.add(root).unwrap();
    }
    let chain = certificates(&deployment.pki("coordinator.crt").unwrap());
    let key = deployment.pki("coordinator.key").unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    for port in [deployment.coordinator_port(), deployment.helper_port()] {
        let device = ClientConfig::builder_with_provider(ring::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .unwrap();
        let stream = connect_once_there(port, device).await;
        let group = stream.get_ref().1.negotiated_key_exchange_group();
        let group = group.map(|group| group.name());
        assert_eq!(group, Some(NamedGroup::X25519MLKEM768), "port {port}");
    }
}
