//! One HTTP/2 connection, as a generated client calls it. A step uses one and is done with it, so
//! there is nothing here that reconnects, balances or buffers.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response, Uri};
use tonic::codegen::{Service, StdError};

use crate::connector::Connector;
use crate::deadlines::Deadlines;

/// The connection. It ends when this is dropped.
pub(crate) struct Http2 {
    sender: SendRequest<Body>,
    /// Within this time a call must be answered.
    limit: Duration,
}

impl Http2 {
    /// Connects to `https://host:port`, TLS included.
    pub(crate) async fn connect(
        connector: Connector,
        address: Uri,
        deadlines: &Deadlines,
    ) -> Result<Self, StdError> {
        let connecting = timeout(deadlines.connect, connector.connect(address));
        let stream = connecting.await.map_err(|_| silent())??;
        let mut settings = Builder::new(TokioExecutor::new());
        settings
            .timer(TokioTimer::new())
            .keep_alive_interval(deadlines.keepalive)
            .keep_alive_timeout(deadlines.keepalive);
        let (sender, connection) = settings.handshake(stream).await?;
        // Why it ended is said by the call that it ended, and by what watches the stream.
        tokio::spawn(async {
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            limit: deadlines.call,
        })
    }
}

fn silent() -> io::Error {
    io::Error::from(io::ErrorKind::TimedOut)
}

impl Service<Request<Body>> for Http2 {
    type Response = Response<Incoming>;
    type Error = StdError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, StdError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        self.sender.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answering = timeout(self.limit, self.sender.send_request(request));
        Box::pin(async {
            let answered = answering.await.map_err(|_| silent())?;
            Ok(answered?)
        })
    }
}
