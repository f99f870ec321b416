//! TCP and TLS under the client, which remember why TLS ended a connection: HTTP/2 passes on that
//! one broke, and not that the coordinator refused this installation's certificate.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, NamedGroup};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::http::Uri;
use tonic::codegen::{Service, StdError};

use crate::reason::Reason;

/// Why TLS ended a connection, once it has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended(Arc<Mutex<Option<Reason>>>);

impl Ended {
    pub(crate) fn reason(&self) -> Option<Reason> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, error: &io::Error) {
        if let Some(reason) = Reason::of_tls_in(error) {
            // The first says why; what fails after it only follows.
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(reason);
        }
    }
}

/// Makes one connection, whatever the scheme of the address: it is TLS.
pub(crate) struct Connector {
    tls: TlsConnector,
    name: ServerName<'static>,
    tcp: HttpConnector,
    ended: Ended,
}

impl Connector {
    pub(crate) fn new(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        limit: Duration,
        ended: Ended,
    ) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(limit));
        let tls = TlsConnector::from(config);
        Self {
            tls,
            name,
            tcp,
            ended,
        }
    }

    /// Connects, and negotiates TLS.
    pub(crate) async fn connect(self, address: Uri) -> Result<TokioIo<Watched>, StdError> {
        let mut tcp = self.tcp;
        poll_fn(|cx| tcp.poll_ready(cx)).await?;
        let socket = tcp.call(address).await?.into_inner();
        let stream = self.tls.connect(self.name, socket).await?;
        check_exchange(stream.get_ref().1)?;
        let ended = self.ended;
        Ok(TokioIo::new(Watched { stream, ended }))
    }
}

/// Holds what was negotiated against what alone is offered, before anything is said.
fn check_exchange(connection: &ClientConnection) -> io::Result<()> {
    let group = connection.negotiated_key_exchange_group();
    match group.map(|group| group.name()) {
        Some(NamedGroup::X25519MLKEM768) => Ok(()),
        other => Err(io::Error::other(format!(
            "keys were exchanged by {other:?}"
        ))),
    }
}

/// One connection that notes why TLS ended it.
pub(crate) struct Watched {
    stream: TlsStream<TcpStream>,
    ended: Ended,
}

impl Watched {
    /// Notes the error of a write. What the coordinator said before it closed still waits to be
    /// read then.
    fn write_failed(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Error {
        self.ended.note(&error);
        let mut buffer = [0; 1024];
        let mut buffer = ReadBuf::new(&mut buffer);
        if let Poll::Ready(Err(why)) = Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            self.ended.note(&why);
        }
        error
    }

    fn written<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        Poll::Ready(ready!(result).map_err(|error| self.write_failed(cx, error)))
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Poll::Ready(Err(error)) = &read {
            self.ended.note(error);
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.written(cx, result)
    }
}
