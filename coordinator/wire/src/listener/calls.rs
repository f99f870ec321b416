//! Counts the calls of each connection, from the request until its answer's last byte, refuses
//! those of a certificate that holds no more, bounds health watches, and refuses what is not gRPC.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Bytes, Service, http};
use tower_layer::Layer;

use super::Limits;
use super::registry::Call;
use super::stream::Visit;

/// The one call of the health service that never ends by itself.
const WATCH: &str = "/grpc.health.v1.Health/Watch";

type Request = http::Request<Body>;
type Response = http::Response<Body>;

/// Makes a server's connections count their calls, and tells each request who makes it.
#[derive(Clone)]
pub struct CountCalls {
    limits: Limits,
    watches: Arc<Semaphore>,
    drain: CancellationToken,
}

impl CountCalls {
    /// `drain` ends every watch.
    pub fn new(limits: &Limits, drain: CancellationToken) -> Self {
        Self {
            limits: limits.clone(),
            watches: Arc::new(Semaphore::new(limits.watches)),
            drain,
        }
    }

    /// `None` when there are too many.
    fn watch(&self) -> Option<Watch> {
        let permit = self.watches.clone().try_acquire_owned().ok()?;
        let (drain, longest) = (self.drain.clone(), self.limits.watch);
        let over = async move {
            tokio::select! {
                () = drain.cancelled() => {}
                () = sleep(longest) => {}
            }
        };

        Some(Watch {
            _permit: permit,
            over: Box::pin(over),
        })
    }
}

impl<S> Layer<S> for CountCalls {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted {
            inner,
            counter: self.clone(),
        }
    }
}

/// A service whose calls are counted.
#[derive(Clone)]
pub struct Counted<S> {
    inner: S,
    counter: CountCalls,
}

impl<S> Service<Request> for Counted<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let mut fault = None;
        let call = request.extensions_mut().remove().map(|visit: Visit| {
            fault = visit.connection.fault();
            request.extensions_mut().insert(visit.info);
            let hang_up = HangUp(visit.connection.closing().clone());
            request.extensions_mut().insert(hang_up);
            visit.connection.begin_call()
        });

        if let Some(fault) = fault {
            let refused = Status::permission_denied(fault.to_string());
            return Box::pin(async move { Ok(refused.into_http()) });
        }

        if !is_grpc(&request) {
            return Box::pin(async { Ok(unsupported()) });
        }

        let mut watch = None;
        if request.uri().path() == WATCH {
            watch = self.counter.watch();
            if watch.is_none() {
                let many = Status::resource_exhausted("too many watches; use Check");
                return Box::pin(async move { Ok(many.into_http()) });
            }
        }

        let answer = self.inner.call(request);
        Box::pin(async move {
            let counted = |body| CountedBody {
                body,
                watch,
                _call: call,
            };
            Ok(answer.await?.map(|body| Body::new(counted(body))))
        })
    }
}

/// Closes the connection a request came by; found in every request's extensions.
#[derive(Clone, Debug)]
pub struct HangUp(CancellationToken);

impl HangUp {
    /// Closes it, whatever is under way on it.
    pub fn now(&self) {
        self.0.cancel();
    }
}

/// Whether a request is sent as gRPC, of any encoding; tonic does not ask.
fn is_grpc(request: &Request) -> bool {
    let content = request.headers().get(http::header::CONTENT_TYPE);
    content.is_some_and(|content| content.as_bytes().starts_with(b"application/grpc"))
}

fn unsupported() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response
}

/// A health watch under way, and when it has lasted long enough.
struct Watch {
    _permit: OwnedSemaphorePermit,
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// An answer that holds its call.
struct CountedBody {
    body: Body,
    watch: Option<Watch>,
    _call: Option<Call>,
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let over = |watch: &mut Watch| watch.over.as_mut().poll(cx).is_ready();
        if self.watch.as_mut().is_some_and(over) {
            self.watch = None;
            self.body = Body::empty();
            let mut trailers = http::HeaderMap::new();
            let status = Status::unavailable("a watch lasts a while only; watch again");
            status.add_header(&mut trailers)?;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }

        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
