//! Accepts connections over TLS 1.3: deadlines on handshake and first byte, caps on their number,
//! and an end for those that ask for nothing.
//!
//! - [`limits`](Limits) caps and times, from the descriptors the process has; `registry` every
//!   connection there is; `stream` the bytes of one, `frames` those that carry no data; `calls`
//!   what it has under way;
//! - `balancer` whom those in front speak for;
//! - `tls` settings; `shutdown` how a daemon ends; `rate` bounds log lines.

mod balancer;
mod calls;
mod frames;
mod limits;
mod rate;
mod registry;
mod shutdown;
mod stream;
mod tls;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;

pub use self::balancer::{Front, Network};
pub use self::calls::{CountCalls, HangUp};
pub use self::frames::FrameLimits;
pub use self::limits::{CONNECTIONS, Limits};
pub use self::shutdown::{DRAIN_DEADLINE, Shutdown};
pub use self::stream::PeerStream;
pub use self::tls::{ClientCertificate, leads_to, server_config};

use self::rate::Rate;
use self::registry::{Place, Registry};
use crate::current::Current;
use crate::identity::{Leaf, Peer};
use crate::revoked::Standing;

/// TLS handshake, with what a balancer says before it, and HTTP/2 preface must each finish within
/// this time.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// How long a peer that was refused in the handshake may take to hear of it.
const LINGER: Duration = Duration::from_millis(500);
/// How often the registry looks for connections that are over.
const SWEEP: Duration = Duration::from_millis(250);

/// A bound socket that turns into a stream of authenticated connections.
pub struct Listener {
    socket: TcpListener,
    tls: Current<ServerConfig>,
    limits: Limits,
    only: Option<Peer>,
    front: Current<Front>,
    standing: Standing,
}

impl Listener {
    /// Takes over a bound socket. The server that uses it needs the layer [`CountCalls`]: without
    /// it no request has a peer. Settings that change meanwhile are those of the next connection.
    pub fn new(socket: TcpListener, tls: impl Into<Current<ServerConfig>>, limits: Limits) -> Self {
        Self {
            socket,
            tls: tls.into(),
            limits,
            only: None,
            front: Current::default(),
            standing: Standing::default(),
        }
    }

    /// Hears from these balancers whom they speak for.
    #[must_use]
    pub fn behind(self, front: impl Into<Current<Front>>) -> Self {
        let front = front.into();
        Self { front, ..self }
    }

    /// Closes, within a second, every connection whose certificate holds no more.
    #[must_use]
    pub fn by(self, standing: Standing) -> Self {
        Self { standing, ..self }
    }

    /// Closes every connection of another peer right after its handshake.
    #[must_use]
    pub fn only(self, peer: Peer) -> Self {
        Self {
            only: Some(peer),
            ..self
        }
    }

    /// Connections whose handshake succeeded, until the drain begins. Ends by itself; failures are
    /// logged at a bounded rate.
    pub fn incoming(self, shutdown: Shutdown) -> ReceiverStream<io::Result<PeerStream>> {
        let (ready, connections) = mpsc::channel(64);
        let registry = Registry::new(
            self.limits.clone(),
            self.standing.clone(),
            shutdown.close.clone(),
        );
        let door = Arc::new(Door {
            tls: self.tls,
            only: self.only,
            front: self.front,
            standing: self.standing,
            limits: self.limits,
            registry: registry.clone(),
            failed: Rate::default(),
            refused: Rate::default(),
        });

        tokio::spawn(accept_until_drained(
            self.socket,
            door,
            ready,
            shutdown.clone(),
        ));

        tokio::spawn(sweep_until_drained(registry, shutdown));
        ReceiverStream::new(connections)
    }
}

async fn accept_until_drained(
    socket: TcpListener,
    door: Arc<Door>,
    ready: mpsc::Sender<io::Result<PeerStream>>,
    shutdown: Shutdown,
) {
    let failed = Rate::default();
    loop {
        let accepted = tokio::select! {
            () = shutdown.drain.cancelled() => return,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((socket, address)) => {
                if let Some(place) = door.enter_stranger(address.ip()) {
                    tokio::spawn(
                        door.clone()
                            .greet(socket, address, place, ready.clone()),
                    );
                }
            }
            Err(error) => {
                // Out of file descriptors, usually: shed load and try again.
                let now = Instant::now();
                if let Some(times) = failed.count(now) {
                    tracing::warn!(event = "accept_failed", times, %error);
                }
                door.registry.shed(now);
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Shakes hands. Who is refused is let read why before the connection goes: closed with bytes of
/// the peer's unread it would be reset, and what TLS said could be lost on the way.
async fn shake(tls: &TlsAcceptor, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    match tls.accept(socket).into_fallible().await {
        Ok(stream) => Ok(stream),
        Err((error, mut socket)) => {
            let _ = socket.shutdown().await;
            let _ = timeout(LINGER, read_away(&mut socket)).await;
            Err(error)
        }
    }
}

/// Reads what a peer still sends, up to a bound.
async fn read_away(socket: &mut TcpStream) {
    let mut buffer = [0; 4096];
    for _ in 0..16 {
        if !matches!(socket.read(&mut buffer).await, Ok(1..)) {
            return;
        }
    }
}

async fn sweep_until_drained(registry: Arc<Registry>, shutdown: Shutdown) {
    let mut drain = None;
    loop {
        tokio::select! {
            () = shutdown.close.cancelled() => return,
            () = shutdown.drain.cancelled(), if drain.is_none() => drain = Some(Instant::now()),
            () = sleep(SWEEP) => {}
        }
        let any = registry.sweep(Instant::now(), drain);
        if drain.is_some() && !any {
            return;
        }
    }
}

/// Decides who comes in.
struct Door {
    tls: Current<ServerConfig>,
    only: Option<Peer>,
    front: Current<Front>,
    standing: Standing,
    limits: Limits,
    registry: Arc<Registry>,
    failed: Rate,
    refused: Rate,
}

impl Door {
    /// Shakes hands and passes the connection on.
    async fn greet(
        self: Arc<Self>,
        mut socket: TcpStream,
        mut address: SocketAddr,
        mut place: Place,
        ready: mpsc::Sender<io::Result<PeerStream>>,
    ) {
        let until = Instant::now() + HANDSHAKE_DEADLINE;
        if self.front.get().has(address.ip()) {
            let introduced = balancer::read_source(&mut socket);
            match self.in_time(until, &place, address, introduced).await {
                None => return,
                // The balancer itself, which asks whether anybody is there.
                Some(None) => {}
                Some(Some(source)) => {
                    let Some(own) = self.enter_stranger(source.ip()) else {
                        return;
                    };
                    (address, place) = (source, own);
                }
            }
        }

        let _ = socket.set_nodelay(true);
        let tls = TlsAcceptor::from(self.tls.get());
        let shaken = shake(&tls, socket);
        let Some(stream) = self.in_time(until, &place, address, shaken).await else {
            return;
        };

        let Some(leaf) = self.leaf(&stream) else {
            return;
        };

        let place = match leaf {
            None => Some(place),
            Some(leaf) => self.placed(self.registry.enter_known(leaf, Instant::now())),
        };

        if let Some(place) = place {
            // The receiver is gone only when the server has stopped.
            let stream = PeerStream::new(stream, place, &self.limits);
            let _ = ready.send(Ok(stream)).await;
        }
    }

    /// The end of a part of the handshake; `None`, which is logged, when it fails, is late or its
    /// place goes to another.
    async fn in_time<T>(
        &self,
        until: Instant,
        place: &Place,
        address: SocketAddr,
        part: impl Future<Output = io::Result<T>>,
    ) -> Option<T> {
        let error = tokio::select! {
            () = place.connection().closing().cancelled() => "closed for another".into(),
            done = timeout_at(until, part) => match done {
                Ok(Ok(done)) => return Some(done),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "deadline passed".to_owned(),
            },
        };

        if let Some(times) = self.failed.count(Instant::now()) {
            tracing::info!(event = "tls_handshake_failed", times, %address, error);
        }

        None
    }

    /// The certificate that was shown, or none for a stranger; nothing when it is not to come in.
    #[allow(
        clippy::option_option,
        reason = "no certificate is not the same as refused"
    )]
    fn leaf(&self, stream: &TlsStream<TcpStream>) -> Option<Option<Leaf>> {
        let chain = stream.get_ref().1.peer_certificates();
        let shown = chain.and_then(<[_]>::first);
        let leaf = shown.and_then(|leaf| Leaf::read(leaf));
        if shown.is_some() && leaf.is_none() {
            self.refuse("certificate names no known role");
            return None;
        }

        if self.only.is_some() && leaf.map(|leaf| leaf.peer) != self.only {
            self.refuse("not the peer this server is for");
            return None;
        }

        // Listed since TLS looked at it.
        if let Some(fault) = leaf.and_then(|leaf| self.standing.fault(&leaf)) {
            self.refuse(&fault.to_string());
            return None;
        }

        Some(leaf)
    }

    fn enter_stranger(&self, address: IpAddr) -> Option<Place> {
        self.placed(self.registry.enter_stranger(address, Instant::now()))
    }

    fn placed(&self, place: Option<Place>) -> Option<Place> {
        if place.is_none() {
            self.refuse("too many connections, and none of them idle");
        }
        place
    }

    fn refuse(&self, error: &str) {
        if let Some(times) = self.refused.count(Instant::now()) {
            tracing::info!(event = "peer_refused", times, error);
        }
    }
}
