//! The coordinator daemon as a library: takes contributions, closes rounds, keeps the release
//! ledger, publishes factors.
//!
//! - [`Prepared`] what a start reads before it binds; `fleet` whether devices can take part at all,
//!   `terms` whether the helper will;
//! - [`service`] tonic handlers, which parse, call and map; [`status`] turns errors into gRPC
//!   codes; [`slots`] who may hold memory now; [`admission`] asks the helper which seeds open;
//!   `shelf` holds the published objects once for all who fetch them;
//! - [`driver`] one thread that owns the round machine, the partial sum and the store, and runs
//!   every effect;
//! - `tacit-plan` says what the task releases
//!   and makes the next model from an opened sum;
//! - [`storage`] durable state behind traits, [`enrolment`] that of all tasks' devices (`shared`
//!   opens what several tasks hold); [`ledger`] appends and signs release lines;
//! - [`board`] what handlers may know without asking the driver; [`open_round`] the round they
//!   share with it; [`census`] who has checked in lately; [`helper`] the client of the other party,
//!   [`standing`] how far it has come, `presence` whether it still knows the round;
//! - [`export`] writes what auditors get.

#![forbid(unsafe_code)]

pub mod admission;
pub mod board;
pub mod census;
pub mod config;
pub mod driver;
pub mod enrolment;
pub mod error;
pub mod export;
mod fleet;
pub mod helper;
pub mod ingest;
pub mod ledger;
mod live;
pub mod open_round;
mod pace;
mod prepared;
mod presence;
mod restore;
mod retention;
pub mod service;
mod shared;
mod shelf;
pub mod slots;
pub mod standing;
pub mod status;
pub mod storage;
mod terms;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tacit_proto::v2::coordinator_server::CoordinatorServer;
use tacit_types::Timestamp;
use tacit_wire::Shutdown;
use tacit_wire::follow;
use tacit_wire::listener::{CountCalls, Limits, Listener};
use tacit_wire::reload::{self, Source};
use tacit_wire::renewal::warn_of_ends;
use tacit_wire::revoked::Standing;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::transport::Server;

pub use config::Config;
pub use error::ServerError;
pub use prepared::Prepared;

use crate::admission::Admission;
use crate::board::Board;
use crate::census::Census;
use crate::driver::{Driver, Links};
use crate::enrolment::Enrolment;
use crate::live::{Live, Reloading};
use crate::service::{CoordinatorService, Parts};
use crate::storage::Stores;

/// Contributions waiting for the driver; each holds one vector.
const QUEUE_MAX: usize = 64;
/// A connection on which nothing came for so long is asked whether it lives, and closed without an
/// answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the coordinator until shutdown: recovers, binds, serves, drains. What may change meanwhile
/// is read again from `source` when it is asked to, and from files that change.
///
/// # Errors
/// [`ServerError::OperatorConfig`] before anything is written, for what the operator must fix;
/// other variants when storage or the network fails for good.
pub async fn serve(
    config: Config,
    source: Source<Config>,
    now: fn() -> Timestamp,
    shutdown: Shutdown,
    on_bound: impl FnOnce(SocketAddr),
) -> Result<(), ServerError> {
    let Prepared {
        config,
        live,
        inputs,
    } = Prepared::new(config, now())?;
    let socket = TcpListener::bind(&config.listen)
        .await
        .map_err(|error| {
            ServerError::OperatorConfig(format!(
                "listen = '{}': {error}",
                config.listen.escape_debug()
            ))
        })?;
    let address = socket
        .local_addr()
        .map_err(|error| ServerError::Internal(error.to_string()))?;

    let board = Arc::new(Board::new(config.task.cohort, config.fleet));
    let census = Census::new(config.task.deadline_seconds * 1000);
    let census = Arc::new(Mutex::new(census));
    let helper = live.helper.clone();
    let enrolment = Enrolment::open(
        live.issuing.clone(),
        live.revoked.clone(),
        config.deployment_state(),
    )?;
    let (queue, arrivals) = mpsc::channel(QUEUE_MAX);
    let links = Links {
        helper: helper.clone(),
        board: board.clone(),
        census: census.clone(),
        enrolment: enrolment.clone(),
        revoked: live.revoked.clone(),
        policy: live.policy.clone(),
        arrivals,
    };
    let (settings, stop) = (config.clone(), shutdown.clone());
    let (task, planned, partner) = (config.clone(), inputs.planned.clone(), helper.clone());
    let opened = blocking(move || {
        let stores = Stores::open(&settings)?;
        let driver = Driver::open(&settings, inputs, stores.clone(), links, now, stop)?;
        Ok((stores, driver))
    });
    let (stores, driver) = opened.await?;
    let days = config.enrolment.retention_days;
    tokio::spawn(retention::keep(
        enrolment.clone(),
        days,
        now,
        shutdown.clone(),
    ));
    let standing = Standing::new(live.revoked.clone(), now);
    let (tls, front) = (live.tls.clone(), live.front.clone());
    let policy = live.policy.clone();
    stay_current(live, source, config, now, &shutdown);
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_serving::<CoordinatorServer<CoordinatorService>>()
        .await;
    on_bound(address);

    let (admission, waiting) = Admission::new();
    let rounds = presence::Rounds::new(board.clone(), helper);
    let admitting = admission::run(waiting, |ticket, seeds| rounds.admit(ticket, seeds));
    let watching = rounds.watch();
    let parts = Parts {
        board,
        stores,
        census,
        enrolment,
        policy,
        admission,
        queue,
    };
    let service = CoordinatorService::new(parts, now, &shutdown.drain);
    let service =
        CoordinatorServer::new(service).max_decoding_message_size(service::MESSAGE_BYTES_MAX);
    let limits = Limits::of_this_process(&front.get());
    let serving = Server::builder()
        .layer(CountCalls::new(&limits, shutdown.drain.clone()))
        .max_concurrent_streams(16)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .initial_stream_window_size(service::WINDOW_BYTES)
        .http2_max_header_list_size(16 * 1024)
        .add_service(health)
        .add_service(service)
        .serve_with_incoming_shutdown(
            Listener::new(socket, tls, limits)
                .behind(front)
                .by(standing)
                .incoming(shutdown.clone()),
            shutdown.drain.clone().cancelled_owned(),
        );
    let runtime = tokio::runtime::Handle::current();
    let driving = async {
        let mut driven = pin!(blocking(move || driver.run(&runtime)));
        // Nobody waits for the answer: whatever was open and published is served meanwhile.
        let driven = tokio::select! {
            driven = &mut driven => driven,
            Err(problem) = terms::refuse_unmet(&partner, &task, &planned) => {
                shutdown.drain.cancel();
                driven.await.and(Err(problem))
            }
        };
        // Without its driver the daemon can do nothing: drain, so that it ends and is restarted.
        shutdown.drain.cancel();
        driven
    };
    let serving = async {
        tokio::select! {
            served = serving => served.map_err(|error| ServerError::Internal(error.to_string())),
            () = shutdown.drained() => Ok(()),
            // Every handler is gone.
            () = admitting => Ok(()),
            never = watching => match never {},
        }
    };
    let (driven, served) = tokio::join!(driving, serving);
    driven.and(served)
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

/// Runs the driver's work on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ServerError> + Send + 'static,
) -> Result<T, ServerError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ServerError::Internal(format!("driver: {error}")))?
}
