//! HTTP for one person on this machine: few connections, small requests, no waiting for ever.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::X_CONTENT_TYPE_OPTIONS;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tacit_sdk::SdkError;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::action::Action;
use super::device::Device;
use super::guard::Guard;
use super::query::Query;
use crate::failure::Failure;

/// Connections at a time; a browser opens six.
const CONNECTIONS_MAX: usize = 16;
/// Bytes of a request's head, and of its body.
const HEAD_MAX: usize = 16 * 1024;
const BODY_MAX: usize = 4 * 1024;
/// Within which a head arrives on an open connection, and within which a body does.
const PATIENCE: Duration = Duration::from_secs(10);
/// After a connection that could not be taken up.
const RECOVERY: Duration = Duration::from_millis(100);

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// The page runs what came with it, asks whoever served it, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const PROTECTION: [(HeaderName, &str); 5] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const JSON: &str = "application/json";

type Answer = Response<Full<Bytes>>;

/// What every connection needs.
struct Site {
    guard: Guard,
    device: Device,
}

/// Serves for ever. Dropped, it ends every connection.
pub(super) async fn serve(
    listener: TcpListener,
    guard: Guard,
    device: Device,
) -> Result<(), Failure> {
    let site = Arc::new(Site { guard, device });
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let place = places.clone().acquire_owned().await;
        let place = place.context("places are never closed")?;
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, perhaps: others are given back in a moment.
            sleep(RECOVERY).await;
            continue;
        };
        let site = site.clone();
        connections.spawn(async move {
            converse(stream, site).await;
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(stream: TcpStream, site: Arc<Site>) {
    let answering = service_fn(|request| {
        let site = site.clone();
        async move { Ok::<Answer, Infallible>(site.answer(request).await) }
    });

    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), answering)
        .await;
    // Whoever breaks off a connection knows it already.
    drop(served);
}

impl Site {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let admitted = self.guard.admit(&head.method, path, &head.headers);
        let wanted = match admitted {
            Ok(wanted) => wanted,
            Err(status) => return refused(status),
        };

        if head.method == Method::POST {
            return match wanted {
                "do" => self.act(body).await,
                _ => refused(StatusCode::NOT_FOUND),
            };
        }
        match wanted {
            "" => found(HTML, PAGE),
            "page.css" => found(CSS, STYLE),
            "page.js" => found(JAVASCRIPT, SCRIPT),
            "state" => told(self.device.state()),
            "find" => self.find(head.uri.query()),
            _ => refused(StatusCode::NOT_FOUND),
        }
    }

    fn find(&self, query: Option<&str>) -> Answer {
        let Some(query) = query.and_then(Query::read) else {
            return refused(StatusCode::BAD_REQUEST);
        };
        let found = self.device.find(&query.words, query.from);
        told(Ok(found))
    }

    async fn act(&self, body: Incoming) -> Answer {
        let announced = body.size_hint().lower();
        if announced > BODY_MAX as u64 {
            return refused(StatusCode::PAYLOAD_TOO_LARGE);
        }

        let reading = Limited::new(body, BODY_MAX).collect();
        let Ok(read) = timeout(PATIENCE, reading).await else {
            return refused(StatusCode::REQUEST_TIMEOUT);
        };

        let Ok(read) = read else {
            return refused(StatusCode::PAYLOAD_TOO_LARGE);
        };

        match serde_json::from_slice::<Action>(&read.to_bytes()) {
            Ok(action) => told(self.device.act(action)),
            Err(_) => refused(StatusCode::BAD_REQUEST),
        }
    }
}

/// What the device said, or why it could not.
fn told(said: Result<impl Serialize, SdkError>) -> Answer {
    let (status, text) = match said {
        Ok(said) => (StatusCode::OK, serde_json::to_string(&said)),
        Err(error) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            serde_json::to_string(&error.to_string()),
        ),
    };

    match text {
        Ok(text) => answer(status, JSON, text),
        Err(_) => refused(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn found(kind: &'static str, text: &'static str) -> Answer {
    answer(StatusCode::OK, kind, text)
}

fn refused(status: StatusCode) -> Answer {
    let reason = status.canonical_reason().unwrap_or_default();
    answer(status, "text/plain", reason)
}

fn answer(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    let kind = HeaderValue::from_static(kind);
    headers.insert(CONTENT_TYPE, kind);
    for (name, value) in PROTECTION {
        let value = HeaderValue::from_static(value);
        headers.insert(name, value);
    }
    answer
}
