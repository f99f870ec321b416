//! A server behind the listener, and raw clients that misbehave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tacit_wire::current::Current;
use tacit_wire::dial::{Dialer, client_config, endpoint};
use tacit_wire::listener::{ClientCertificate, CountCalls, Front, Limits, Listener, server_config};
use tacit_wire::pki::{Authority, Credentials, create_authorities};
use tacit_wire::revoked::Standing;
use tacit_wire::{Peer, Shutdown, clock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Server};
use tonic_health::pb::health_client::HealthClient;

/// HTTP/2 preface and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Whatever a test waits for happens within this time.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Limits small enough to be met within a test.
pub(crate) fn limits() -> Limits {
    Limits {
        idle_anonymous: Duration::from_millis(600),
        idle_least: Duration::from_millis(100),
        idle_draining: Duration::from_millis(200),
        ..Limits::default()
    }
}

pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: Shutdown,
    pub(crate) served: JoinHandle<Result<(), tonic::transport::Error>>,
    root: String,
    coordinator: Credentials,
    helper: Credentials,
}

impl World {
    /// Serves the health service with these limits, to everybody or to one peer.
    pub(crate) async fn new(limits: Limits, only: Option<Peer>) -> Self {
        Self::behind(&[], limits, only).await
    }

    /// As [`Self::new`], where these addresses are balancers.
    pub(crate) async fn behind(balancers: &[&str], limits: Limits, only: Option<Peer>) -> Self {
        Self::by(Standing::default(), balancers, limits, only).await
    }

    /// As [`Self::behind`], where certificates hold as `standing` says.
    pub(crate) async fn by(
        standing: Standing,
        balancers: &[&str],
        limits: Limits,
        only: Option<Peer>,
    ) -> Self {
        let made = create_authorities(clock::now()).unwrap();
        let authority = Authority::from_pem(&made.issuing.chain, &made.issuing.key).unwrap();
        let issue = |peer| {
            authority
                .issue_server(peer, &["localhost".to_owned()], clock::now())
                .unwrap()
        };
        let (coordinator, helper) = (issue(Peer::Coordinator), issue(Peer::Helper));
        let roots = certificates(&made.root.chain);
        let config = server_config(
            certificates(&coordinator.chain),
            key(&coordinator),
            &roots,
            ClientCertificate::Optional,
            &Current::default(),
        )
        .unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let shutdown = Shutdown::default();
        let calls = CountCalls::new(&limits, shutdown.drain.clone());
        let balancers = balancers
            .iter()
            .map(|one| one.parse().unwrap())
            .collect();
        let mut listener = Listener::new(socket, config, limits)
            .behind(Front {
                balancers,
                ..Front::default()
            })
            .by(standing);
        if let Some(peer) = only {
            listener = listener.only(peer);
        }
        let (_, health) = tonic_health::server::health_reporter();
        let served = Server::builder()
            .layer(calls)
            .add_service(health)
            .serve_with_incoming_shutdown(
                listener.incoming(shutdown.clone()),
                shutdown.drain.clone().cancelled_owned(),
            );
        Self {
            address,
            served: tokio::spawn(served),
            shutdown,
            root: made.root.chain,
            coordinator,
            helper,
        }
    }

    fn credentials(&self, who: Option<Peer>) -> Option<&Credentials> {
        who.map(|peer| match peer {
            Peer::Coordinator => &self.coordinator,
            _ => &self.helper,
        })
    }

    /// A connection that has said its preface, or not even that, and says nothing more. `None` when
    /// it was turned away before.
    pub(crate) async fn silent(&self, who: Option<Peer>, preface: bool) -> Option<Silent> {
        self.introduced(&[], who, preface).await
    }

    /// As [`Self::silent`], after `header`.
    pub(crate) async fn introduced(
        &self,
        header: &[u8],
        who: Option<Peer>,
        preface: bool,
    ) -> Option<Silent> {
        let config = self.tls(who);
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(header).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, socket).await.ok()?;
        if preface {
            stream.write_all(PREFACE).await.ok()?;
            stream.flush().await.ok()?;
        }
        Some(Silent(stream))
    }

    /// An honest client, with these credentials or none.
    pub(crate) fn client(&self, who: Option<Peer>) -> HealthClient<Channel> {
        let endpoint = endpoint(&format!("https://{}", self.address)).unwrap();
        let dialer = Dialer::new(self.tls(who), "localhost").unwrap();
        HealthClient::new(endpoint.connect_with_connector_lazy(dialer))
    }

    fn tls(&self, who: Option<Peer>) -> ClientConfig {
        let own = self.credentials(who);
        let own = own.map(|own| (&own.chain[..], &own.key[..]));
        client_config(&self.root, own).unwrap()
    }
}

/// A client that only listens.
pub(crate) struct Silent(TlsStream<TcpStream>);

impl Silent {
    /// Whether the server closes it within this time.
    pub(crate) async fn closed_within(&mut self, limit: Duration) -> bool {
        let mut buffer = [0; 1024];
        let ended = async {
            // What the server says meanwhile, its settings for one, is no end.
            while self
                .0
                .read(&mut buffer)
                .await
                .is_ok_and(|read| read > 0)
            {}
        };
        timeout(limit, ended).await.is_ok()
    }

    /// Whether the server says its settings: it serves this connection.
    pub(crate) async fn is_served(&mut self) -> bool {
        let mut buffer = [0; 16];
        let said = timeout(SOON, self.0.read(&mut buffer)).await;
        said.expect("served or closed")
            .is_ok_and(|read| read > 0)
    }
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap()
}

fn key(own: &Credentials) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap()
}
