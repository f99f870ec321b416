//! Handshakes that no client library makes by itself: chains, names, keys and offers that are not a
//! device's, over TCP to a real coordinator. Each ends in the handshake or right after it.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, KeyPair, PKCS_ED25519,
};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{
    AlertDescription, ClientConfig, HandshakeKind, RootCertStore, SignatureAlgorithm,
    SignatureScheme,
};
use tacit_tests::bare::{BareDevice, Credentials, repeat};
use tacit_tests::certified::{DEVICE, device_at, device_params, issuing, signed_by};
use tacit_tests::deployment::{Deployment, Role, Settings};
use tacit_wire::provider::provider;
use tacit_wire::{Peer, clock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Code;

/// HTTP/2 preface and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Whatever a test waits for happens within this time.
const SOON: Duration = Duration::from_secs(20);
/// Memory that one handshake may leave behind.
const LITTLE: u64 = 32 << 20;

/// How a connection went on after this end's part of the handshake.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The server said something of HTTP/2: it took the certificate.
    Served,
    /// The server said why not.
    Alert(AlertDescription),
    /// It closed without a word, or the word was lost with the connection.
    Closed,
}

/// A running deployment with a device certificate that is good.
async fn deployment() -> (Deployment, Credentials) {
    let deployment = Deployment::running(Settings::default()).unwrap();
    let good = device_at(&issuing(&deployment).unwrap(), clock::now()).unwrap();
    serves(&deployment, &good).await;
    (deployment, good)
}

/// Asserts that a device is served.
async fn serves(deployment: &Deployment, good: &Credentials) {
    let root = deployment.pki("root.crt").unwrap();
    let device = BareDevice::new(&deployment.coordinator_address(), &root, Some(good)).unwrap();
    let checked = repeat(Instant::now() + SOON, || device.check_in()).await;
    checked.expect("an honest device is served");
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap()
}

fn client(deployment: &Deployment, credentials: &Credentials) -> ClientConfig {
    let key = PrivateKeyDer::from_pem_slice(credentials.key.as_bytes()).unwrap();
    let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
    signing_by(deployment, &credentials.chain, key)
}

fn signing_by(deployment: &Deployment, chain: &str, key: Arc<dyn SigningKey>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for root in certificates(&deployment.pki("root.crt").unwrap()) {
        roots.add(root).unwrap();
    }
    // Not looked at here, as `with_client_auth_cert` would: some are spoilt.
    let own = CertifiedKey::new(certificates(chain), key);
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

async fn connect(port: u16, connector: &TlsConnector) -> io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = ServerName::try_from("localhost").unwrap();
    connector.connect(name, socket).await
}

/// Knocks at the coordinator and says how that ends.
async fn knock(deployment: &Deployment, config: ClientConfig) -> End {
    knock_at(deployment.coordinator_port(), config).await
}

async fn knock_at(port: u16, config: ClientConfig) -> End {
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = match connect(port, &connector).await {
        Ok(stream) => stream,
        Err(error) => return end(&error),
    };
    // What is refused may be closed already; why is read below.
    let _ = stream.write_all(PREFACE).await;
    let mut buffer = [0; 64];
    let read = timeout(SOON, stream.read(&mut buffer)).await;
    match read.expect("the server serves or closes") {
        Ok(1..) => End::Served,
        Ok(0) => End::Closed,
        Err(error) => end(&error),
    }
}

fn end(error: &io::Error) -> End {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(rustls::Error::AlertReceived(alert)) => End::Alert(*alert),
        _ => End::Closed,
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ED25519).unwrap()
}

/// HOSTILE 63: the issuing authority may sign leaves only; an authority it signs is none.
#[tokio::test]
async fn a_chain_longer_than_its_authority_allows_is_cut_off() {
    let (deployment, good) = deployment().await;
    let (below, leaf) = (new_key(), new_key());
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params
        .distinguished_name
        .push(DnType::CommonName, "below");
    let below_signed = signed_by(&deployment, "issuing", &params, &below).unwrap();
    let authority = rcgen::Issuer::from_params(&params, &below);
    let device = device_params()
        .signed_by(&leaf, &authority)
        .unwrap()
        .pem();
    let longer = Credentials {
        chain: device + &below_signed.chain,
        key: leaf.serialize_pem(),
    };
    let end = knock(&deployment, client(&deployment, &longer)).await;
    assert_ne!(end, End::Served);
    assert_eq!(
        knock(&deployment, client(&deployment, &good)).await,
        End::Served
    );
}

/// A length as DER writes it.
fn der_length(length: usize) -> Vec<u8> {
    let bytes = length.to_be_bytes();
    let short: Vec<u8> = bytes
        .into_iter()
        .skip_while(|byte| *byte == 0)
        .collect();
    match length {
        0..128 => vec![u8::try_from(length).unwrap()],
        _ => [&[0x80 | u8::try_from(short.len()).unwrap()][..], &short].concat(),
    }
}

/// An extension of subject names that holds one URI of any bytes.
fn uri_of(bytes: &[u8]) -> CustomExtension {
    let name = [&[0x86][..], &der_length(bytes.len()), bytes].concat();
    let names = [&[0x30][..], &der_length(name.len()), &name].concat();
    CustomExtension::from_oid_content(&[2, 5, 29, 17], names)
}

/// HOSTILE 64: a name is ours to the last byte or nobody's.
#[tokio::test]
async fn a_name_that_only_looks_like_a_devices_is_cut_off() {
    let (deployment, _) = deployment().await;
    let good = Peer::Device(DEVICE).to_string().into_bytes();
    let with = |more: &[u8]| [&good[..], more].concat();
    let names = [
        ("good", good.clone()),
        ("a wildcard", b"urn:tacit:device:*".to_vec()),
        ("a zero byte", with(b"\0")),
        ("a zero byte and more", with(b"\0.example.org")),
        ("a line end", with(b"\n")),
        ("a blank before", [b" ", &good[..]].concat()),
        ("a path behind", with(b"/helper")),
        ("64 kB", with(&[b'0'; 1 << 16])),
        ("no UTF-8", with(b"\xff\xfe")),
        (
            "a letter that looks alike",
            String::from_utf8(good.clone())
                .unwrap()
                .replace('e', "\u{435}")
                .into_bytes(),
        ),
        ("no bytes", Vec::new()),
    ];
    for (what, name) in names {
        let mut params = device_params();
        params.subject_alt_names.clear();
        params.custom_extensions.push(uri_of(&name));
        let named = signed_by(&deployment, "issuing", &params, &new_key()).unwrap();
        let end = knock(&deployment, client(&deployment, &named)).await;
        assert_eq!(end == End::Served, what == "good", "{what}: {end:?}");
    }
}

/// HOSTILE 65: who a peer is stands in its subject alternative name; the common name is never read.
#[tokio::test]
async fn a_common_name_says_nothing() {
    let (deployment, _) = deployment().await;
    let root = deployment.pki("root.crt").unwrap();
    let named = |common: Peer, subject: Option<Peer>| {
        let mut params = device_params();
        params.subject_alt_names.clear();
        let common = common.to_string();
        params
            .distinguished_name
            .push(DnType::CommonName, common);
        if let Some(subject) = subject {
            let uri = subject.to_string().into_bytes();
            params.custom_extensions.push(uri_of(&uri));
        }
        signed_by(&deployment, "issuing", &params, &new_key()).unwrap()
    };
    let device = Peer::Device(DEVICE);
    let check_in = async |credentials: Credentials| {
        let address = deployment.coordinator_address();
        let peer = BareDevice::new(&address, &root, Some(&credentials)).unwrap();
        peer.check_in().await.map(|_| ())
    };
    let subject = named(Peer::Coordinator, Some(device));
    check_in(subject)
        .await
        .expect("a device by its subject");
    let coordinator = check_in(named(device, Some(Peer::Coordinator))).await;
    assert_eq!(coordinator.unwrap_err().code(), Code::PermissionDenied);
    let nobody = knock(&deployment, client(&deployment, &named(device, None))).await;
    assert_ne!(nobody, End::Served);
}

/// Runs `openssl` in the deployment's `pki` folder; `None` when it is not installed.
fn openssl(deployment: &Deployment, arguments: &str) -> Option<std::process::Output> {
    let mut openssl = Command::new("openssl");
    openssl
        .args(arguments.split(' '))
        .current_dir(deployment.path("pki"))
        .stdin(Stdio::null());
    openssl.output().ok()
}

/// A key that `openssl` signs with, however weak it is.
#[derive(Clone, Debug)]
struct OpensslKey {
    folder: PathBuf,
    rsa: bool,
}

impl OpensslKey {
    fn new(deployment: &Deployment, kind: &str) -> Self {
        Self {
            folder: deployment.path("pki"),
            rsa: kind.starts_with("rsa"),
        }
    }
}

impl SigningKey for OpensslKey {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(self.clone()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        if self.rsa {
            SignatureAlgorithm::RSA
        } else {
            SignatureAlgorithm::ECDSA
        }
    }
}

impl Signer for OpensslKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        fs::write(self.folder.join("message"), message).unwrap();
        let padding = if self.rsa {
            "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest "
        } else {
            ""
        };
        let arguments = format!("dgst -sha256 {padding}-sign weak.key message");
        let mut openssl = Command::new("openssl");
        openssl.args(arguments.split(' '));
        let signed = openssl.current_dir(&self.folder).output().unwrap();
        assert!(signed.status.success(), "{signed:?}");
        Ok(signed.stdout)
    }

    fn scheme(&self) -> SignatureScheme {
        if self.rsa {
            SignatureScheme::RSA_PSS_SHA256
        } else {
            SignatureScheme::ECDSA_NISTP256_SHA256
        }
    }
}

/// HOSTILE 69: a key or a signature that is too weak for TLS 1.3 does not get in, though it was
/// certified as the coordinator's. OpenSSL signs for the client: nothing else here would use such a
/// key. The server is the helper, which serves nobody without a certificate.
#[tokio::test]
async fn weak_keys_and_signatures_are_cut_off() {
    let (deployment, good) = deployment().await;
    let made = |arguments: &str| {
        let output = openssl(&deployment, arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {said}");
        Some(())
    };
    let uri = Peer::Coordinator;
    fs::write(
        deployment.path("pki/leaf.cnf"),
        format!("subjectAltName=URI:{uri}\nextendedKeyUsage=clientAuth\n"),
    )
    .unwrap();
    fs::write(
        deployment.path("pki/ca.cnf"),
        "basicConstraints=critical,CA:TRUE,pathlen:0\n",
    )
    .unwrap();
    let request = "req -new -nodes -subj /CN=x -out request -keyout";
    let sign = "x509 -req -in request -days 2 -extfile";
    // An authority with a key that can sign with SHA-1, below the root.
    if made(&format!("{request} rsa.key -newkey rsa:2048")).is_none() {
        println!("SKIPPED: openssl is not installed");
        return;
    }
    let root = "-CA root.crt -CAkey root.key -out rsa.crt";
    made(&format!("{sign} ca.cnf {root}"));
    let cases = [
        (
            "P-256",
            "ec -pkeyopt ec_paramgen_curve:P-256",
            "issuing",
            "",
        ),
        ("RSA-1024", "rsa:1024", "issuing", ""),
        (
            "P-224",
            "ec -pkeyopt ec_paramgen_curve:P-224",
            "issuing",
            "",
        ),
        (
            "SHA-256 of RSA",
            "ec -pkeyopt ec_paramgen_curve:P-256",
            "rsa",
            "-sha256",
        ),
        (
            "SHA-1",
            "ec -pkeyopt ec_paramgen_curve:P-256",
            "rsa",
            "-sha1",
        ),
    ];
    for (name, key, authority, hash) in cases {
        made(&format!("{request} weak.key -newkey {key}"));
        let by = format!("-CA {authority}.crt -CAkey {authority}.key -out weak.crt {hash}");
        made(format!("{sign} leaf.cnf {by}").trim_end());
        let chain = ["weak", authority].map(|one| deployment.pki(&format!("{one}.crt")).unwrap());
        let key = OpensslKey::new(&deployment, key);
        let config = signing_by(&deployment, &chain.concat(), Arc::new(key));
        let end = knock_at(deployment.helper_port(), config).await;
        let strong = name == "P-256" || name == "SHA-256 of RSA";
        assert_eq!(end == End::Served, strong, "{name}: {end:?}");
    }
    serves(&deployment, &good).await;
}

/// HOSTILE 70: neither a hundred authorities that could each have signed the next, nor a message of
/// a megabyte, costs the server more than its handshake.
#[tokio::test]
async fn a_huge_chain_is_cut_off_and_memory_stays() {
    let (deployment, good) = deployment().await;
    let key = new_key();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "again");
    let again = |serial: u64| {
        let mut params = params.clone();
        params.serial_number = Some(serial.into());
        params.self_signed(&key).unwrap().pem()
    };
    let authority = rcgen::Issuer::from_params(&params, &key);
    let leaf = new_key();
    let device = device_params()
        .signed_by(&leaf, &authority)
        .unwrap()
        .pem();
    let before = deployment.memory(Role::Coordinator).unwrap();
    for length in [100, 3_000] {
        let between: String = (0..length).map(again).collect();
        let chain = Credentials {
            chain: device.clone() + &between,
            key: leaf.serialize_pem(),
        };
        assert!(length < 1000 || chain.chain.len() > 1 << 20);
        let end = knock(&deployment, client(&deployment, &chain)).await;
        assert_ne!(end, End::Served, "{length}");
        serves(&deployment, &good).await;
    }
    let grown = deployment.memory(Role::Coordinator).unwrap();
    assert!(grown < before + LITTLE, "from {before} to {grown} bytes");
}

/// HOSTILE 72: a client that wants to speak something else is told so.
#[tokio::test]
async fn a_wrong_application_protocol_is_refused() {
    let (deployment, good) = deployment().await;
    for protocols in [
        vec![b"http/1.1".to_vec()],
        vec![b"h3".to_vec(), b"h2c".to_vec()],
    ] {
        let mut config = client(&deployment, &good);
        config.alpn_protocols = protocols;
        let end = knock(&deployment, config).await;
        assert_eq!(end, End::Alert(AlertDescription::NoApplicationProtocol));
    }
}

/// HOSTILE 73: no ticket is given, so that no session is resumed, no early data can be sent, and
/// every connection shows its certificate; TLS 1.3 has no renegotiation.
#[tokio::test]
async fn no_session_is_resumed() {
    let (deployment, good) = deployment().await;
    let mut config = client(&deployment, &good);
    config.resumption = Resumption::in_memory_sessions(8);
    let connector = TlsConnector::from(Arc::new(config));
    for _ in 0..3 {
        let port = deployment.coordinator_port();
        let mut stream = connect(port, &connector).await.unwrap();
        stream.write_all(PREFACE).await.unwrap();
        stream.flush().await.unwrap();
        let mut buffer = [0; 64];
        let read = timeout(SOON, stream.read(&mut buffer)).await.unwrap();
        assert!(read.unwrap() > 0);
        let (_, session) = stream.get_ref();
        assert_eq!(session.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(session.tls13_tickets_received(), 0);
    }
}
