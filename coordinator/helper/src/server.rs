//! Runs the daemon: recover, bind, serve, drain.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use tacit_proto::v2::helper_server::HelperServer;
use tacit_types::Timestamp;
use tacit_wire::follow;
use tacit_wire::listener::{CountCalls, DRAIN_DEADLINE, Limits};
use tacit_wire::reload::{self, Source};
use tacit_wire::renewal::warn_of_ends;
use tacit_wire::revoked::Standing;
use tacit_wire::{Listener, Peer, Shutdown};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tonic::server::NamedService;
use tonic::transport::Server;

use crate::config::Config;
use crate::error::HelperError;
use crate::live::{Live, Reloading};
use crate::prepared::Prepared;
use crate::recovery;
use crate::service::Service;

/// Largest message of any service; 256 sealed seeds take about a third of it.
const MESSAGE_MAX: usize = 1 << 20;
/// Calls under way on one connection.
const CALLS_MAX: u32 = 64;
const HEADERS_MAX: u32 = 16 * 1024;

/// Serves until `shutdown` has drained.
///
/// Opens the state folder, making it on the first start, and recovers before it listens; when it
/// returns, the folder is closed. `on_bound` is told the address, which matters when `listen` asks
/// for port 0. What may change meanwhile is read again from `source` when it is asked to, and from
/// files that change.
///
/// # Errors
/// [`HelperError`]. A storage failure while serving also ends in one, after a drain: what is on the
/// disk is then known only to the next start.
pub async fn serve(
    config: Config,
    source: Source<Config>,
    now: fn() -> Timestamp,
    shutdown: Shutdown,
    on_bound: impl FnOnce(SocketAddr),
) -> Result<(), HelperError> {
    let Prepared {
        config,
        live,
        signing,
    } = Prepared::new(config, now())?;
    let (listen, running) = (config.listen.clone(), config.clone());
    let (in_use, closed) = oneshot::channel();
    let opening = move || recovery::open(&config, signing, now, in_use);
    let helper = tokio::task::spawn_blocking(opening)
        .await
        .map_err(|error| HelperError::Storage(error.to_string()))??;
    let network = |error: std::io::Error| HelperError::Network(format!("{listen}: {error}"));
    let socket = TcpListener::bind(&listen).await.map_err(network)?;
    on_bound(socket.local_addr().map_err(network)?);
    let standing = Standing::new(live.revoked.clone(), now);
    let (tls, front) = (live.tls.clone(), live.front.clone());
    stay_current(live, source, running, now, &shutdown);

    // Children, so that a storage failure stops this daemon and nothing else.
    let stop = Shutdown {
        drain: shutdown.drain.child_token(),
        close: shutdown.close.child_token(),
    };
    let service = Service::new(helper, stop.clone());
    tokio::spawn(service.clone().watch_deadlines());
    let limits = Limits::of_this_process(&front.get());
    let calls = CountCalls::new(&limits, stop.drain.clone());
    let listener = Listener::new(socket, tls, limits)
        .behind(front)
        .by(standing)
        .only(Peer::Coordinator);
    let serving = async {
        let served = run(service, listener, calls, stop.clone()).await;
        stop.drain.cancel();
        // Connections and the watch of deadlines let go of the state a moment after their last
        // call. Who starts the next daemon, or copies the folder, must find it whole.
        match closed.await {
            Ok(never) => match never {},
            Err(_) => served,
        }
    };
    tokio::select! {
        served = serving => served,
        never = close_late(stop.clone()) => match never {},
    }
}

/// Keeps what may change as its files say, and speaks of certificates that end.
fn stay_current(
    live: Live,
    source: Source<Config>,
    config: Config,
    now: fn() -> Timestamp,
    shutdown: &Shutdown,
) {
    let (list, revoked) = (live.list.clone(), live.revoked.clone());
    tokio::spawn(follow::revocations(list, revoked, shutdown.clone()));
    let ends = warn_of_ends(live.certificates.clone(), now, shutdown.clone());
    tokio::spawn(ends);
    let reloading = Reloading { live, now };
    tokio::spawn(reload::run(reloading, source, config, shutdown.clone()));
}

async fn run(
    service: Service,
    listener: Listener,
    calls: CountCalls,
    stop: Shutdown,
) -> Result<(), HelperError> {
    let (work, fault) = (service.work.clone(), service.fault.clone());
    let (mut health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<HelperServer<Service>>().await;
    let (drain, incoming) = (stop.drain.clone(), listener.incoming(stop));
    let drained = async move {
        drain.cancelled().await;
        // Ends health watches, which would hold the drain for ever.
        for name in ["", HelperServer::<Service>::NAME] {
            health.clear_service_status(name).await;
        }
    };
    let served = builder()
        .layer(calls)
        .add_service(health_service.max_decoding_message_size(MESSAGE_MAX))
        .add_service(HelperServer::new(service).max_decoding_message_size(MESSAGE_MAX))
        .serve_with_incoming_shutdown(incoming, drained)
        .await;
    work.close();
    work.wait().await;
    match fault.get() {
        Some(problem) => Err(problem.clone()),
        None => served.map_err(|error| HelperError::Network(error.to_string())),
    }
}

fn builder() -> Server {
    Server::builder()
        .concurrency_limit_per_connection(CALLS_MAX as usize)
        .max_concurrent_streams(CALLS_MAX)
        .http2_max_header_list_size(HEADERS_MAX)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
}

/// Closes connections hard when a drain takes too long, whoever began it.
async fn close_late(stop: Shutdown) -> Infallible {
    stop.drain.cancelled().await;
    sleep(DRAIN_DEADLINE).await;
    stop.close.cancel();
    pending().await
}
