//! Accepts connections over TLS 1.3 with deadlines on the handshake and on the first byte after it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use crate::identity::{Peer, PeerInfo};

/// TLS handshake and HTTP/2 preface must each finish within this time.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// Handshakes under way at once; more wait in the kernel's queue.
const HANDSHAKES_MAX: usize = 512;
/// After the drain begins, connections still open are closed hard when this has passed.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(25);

/// How a daemon is asked to stop: first politely, then hard.
#[derive(Clone, Default)]
pub struct Shutdown {
    /// Stop accepting and finish what is in flight.
    pub drain: CancellationToken,
    /// Close every connection now.
    pub close: CancellationToken,
}

impl Shutdown {
    /// Starts the drain and closes hard once its deadline has passed.
    pub async fn begin(&self) {
        self.drain.cancel();
        self.drained().await;
    }

    /// Waits for the drain to begin and then for its deadline, and closes hard what is left.
    pub async fn drained(&self) {
        self.drain.cancelled().await;
        tokio::select! {
            () = self.close.cancelled() => {}
            () = sleep(DRAIN_DEADLINE) => self.close.cancel(),
        }
    }
}

/// Whether a peer without a certificate may connect. Each call decides what such a peer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// Needed.
    Required,
    /// Checked when shown: for enrolment.
    Optional,
}

/// TLS settings of a server.
///
/// # Errors
/// When key and certificate do not belong together or the roots are empty.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: &[CertificateDer<'static>],
    client: ClientCertificate,
) -> Result<ServerConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut store = RootCertStore::empty();
    for root in roots {
        store
            .add(root.clone())
            .map_err(|error| format!("root certificate: {error}"))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider.clone());
    let verifier = match client {
        ClientCertificate::Required => verifier,
        ClientCertificate::Optional => verifier.allow_unauthenticated(),
    };
    let verifier = verifier
        .build()
        .map_err(|error| format!("root certificate: {error}"))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| format!("key and certificate do not fit together: {error}"))?;
    // No resumption: a resumed session would skip the certificate check, and revocation with it.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// A bound socket that turns into a stream of authenticated connections.
pub struct Listener {
    socket: TcpListener,
    tls: TlsAcceptor,
}

impl Listener {
    /// Takes over a bound socket.
    pub fn new(socket: TcpListener, config: ServerConfig) -> Self {
        Self {
            socket,
            tls: TlsAcceptor::from(Arc::new(config)),
        }
    }

    /// Connections whose handshake succeeded, until the drain begins. Ends by itself; failed
    /// handshakes are logged.
    pub fn incoming(self, shutdown: Shutdown) -> ReceiverStream<io::Result<PeerStream>> {
        let (ready, connections) = mpsc::channel(64);
        tokio::spawn(self.accept_until_drained(ready, shutdown));
        ReceiverStream::new(connections)
    }

    async fn accept_until_drained(
        self,
        ready: mpsc::Sender<io::Result<PeerStream>>,
        shutdown: Shutdown,
    ) {
        let slots = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        loop {
            let accepted = tokio::select! {
                () = shutdown.drain.cancelled() => return,
                accepted = async {
                    let slot = slots.clone().acquire_owned().await;
                    (slot, self.socket.accept().await)
                } => accepted,
            };
            match accepted {
                (Ok(slot), Ok((socket, _))) => {
                    let (tls, ready, close) =
                        (self.tls.clone(), ready.clone(), shutdown.close.clone());
                    tokio::spawn(async move {
                        let _slot = slot;
                        if let Some(stream) = handshake(&tls, socket, close).await {
                            // The receiver is gone only when the server has stopped.
                            let _ = ready.send(Ok(stream)).await;
                        }
                    });
                }
                (_, Err(error)) => {
                    // Out of file descriptors, usually: shed load and try again.
                    tracing::warn!(event = "accept_failed", %error);
                    sleep(Duration::from_millis(50)).await;
                }
                (Err(_), _) => return,
            }
        }
    }
}

async fn handshake(
    tls: &TlsAcceptor,
    socket: TcpStream,
    close: CancellationToken,
) -> Option<PeerStream> {
    let _ = socket.set_nodelay(true);
    match timeout(HANDSHAKE_DEADLINE, tls.accept(socket)).await {
        Ok(Ok(stream)) => PeerStream::new(stream, close),
        Ok(Err(error)) => {
            tracing::info!(event = "tls_handshake_failed", %error);
            None
        }
        Err(_) => {
            tracing::info!(event = "tls_handshake_failed", error = "deadline passed");
            None
        }
    }
}

/// One authenticated connection. Fails its reads when the first byte is late or the daemon closes
/// hard.
pub struct PeerStream {
    inner: TlsStream<TcpStream>,
    info: PeerInfo,
    /// Present until the first byte has arrived.
    preface: Option<Pin<Box<Sleep>>>,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl PeerStream {
    /// `None` for a peer whose certificate is valid but names nobody we know.
    fn new(inner: TlsStream<TcpStream>, close: CancellationToken) -> Option<Self> {
        let peer = match inner.get_ref().1.peer_certificates().and_then(<[_]>::first) {
            None => None,
            Some(leaf) => match Peer::from_certificate(leaf) {
                Some(peer) => Some(peer),
                None => {
                    tracing::info!(
                        event = "peer_refused",
                        error = "certificate names no known role"
                    );
                    return None;
                }
            },
        };
        let preface = Some(Box::pin(sleep(HANDSHAKE_DEADLINE)));
        Some(Self {
            inner,
            info: PeerInfo { peer },
            preface,
            closed: Box::pin(close.cancelled_owned()),
        })
    }
}

impl Connected for PeerStream {
    type ConnectInfo = PeerInfo;
    fn connect_info(&self) -> PeerInfo {
        self.info.clone()
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.closed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.preface = None;
        }
        let late = self
            .preface
            .as_mut()
            .is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready());
        if late && result.is_pending() {
            Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
        } else {
            result
        }
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
