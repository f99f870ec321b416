//! One connection's bytes, which end when the registry says so.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::transport::server::Connected;

use super::frames::Frames;
use super::registry::{Connection, Place};
use super::{HANDSHAKE_DEADLINE, Limits};
use crate::identity::{Peer, PeerInfo};

/// What each request of a connection is told.
#[derive(Clone)]
pub struct Visit {
    pub(super) info: PeerInfo,
    pub(super) connection: Arc<Connection>,
}

/// One authenticated connection. Fails when its first byte is late, it floods, or it has to close.
pub struct PeerStream {
    inner: TlsStream<TcpStream>,
    visit: Visit,
    /// Present until the first byte has arrived.
    preface: Option<Pin<Box<Sleep>>>,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    /// `None` for the other server, whose calls are the deployment's own.
    frames: Option<Frames>,
    _place: Place,
}

impl PeerStream {
    pub(super) fn new(inner: TlsStream<TcpStream>, place: Place, limits: &Limits) -> Self {
        let connection = place.connection().clone();
        let leaf = connection.leaf().copied();
        let peer = leaf.map(|leaf| leaf.peer);
        let bounded = match peer {
            None => Some(limits.frames_anonymous),
            Some(Peer::Device(_)) => Some(limits.frames),
            Some(_) => None,
        };
        Self {
            inner,
            preface: Some(Box::pin(sleep(HANDSHAKE_DEADLINE))),
            frames: bounded.map(|limits| Frames::new(limits, Instant::now())),
            closed: Box::pin(connection.closing().clone().cancelled_owned()),
            visit: Visit {
                info: PeerInfo {
                    peer,
                    key: leaf.and_then(|leaf| leaf.key),
                },
                connection,
            },
            _place: place,
        }
    }

    /// Writes fail too: a peer that reads nothing holds them up for ever.
    fn check_open(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.closed.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl Connected for PeerStream {
    type ConnectInfo = Visit;
    fn connect_info(&self) -> Visit {
        self.visit.clone()
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_open(cx)?;
        let before = buf.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        let came = &buf.filled()[before..];
        if !came.is_empty() {
            self.preface = None;
            let frames = self.frames.as_mut();
            if frames.is_some_and(|frames| !frames.came(came, Instant::now())) {
                tracing::debug!(event = "peer_flooded", peer = ?self.visit.info.peer);
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
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
        self.check_open(cx)?;
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        if let (Poll::Ready(Ok(bytes)), Some(frames)) = (&written, &mut self.frames) {
            frames.went(*bytes);
        }
        written
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_open(cx)?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_open(cx)?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
