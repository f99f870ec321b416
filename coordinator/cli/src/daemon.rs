//! Runs a daemon: reads its configuration, sets up logs and signals, serves until told to stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tacit_server::ServerError;
use tacit_wire::{Shutdown, clock, config};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;
use crate::logs;

/// Options of a daemon.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Configuration file, TOML.
    #[arg(long)]
    config: PathBuf,
    /// Do everything a start does before it listens or writes, and exit: 0 when all is sound, 2
    /// when not.
    #[arg(long)]
    check_config: bool,
    /// What a line of the log on standard error is.
    #[arg(long, value_enum, default_value_t = logs::Format::Text)]
    log: logs::Format,
}

/// Options of the coordinator.
#[derive(clap::Args)]
pub(crate) struct CoordinatorOptions {
    #[command(flatten)]
    daemon: Options,
    /// As --check-config, and ask the helper for its terms over the connection a round would use:
    /// its key, the most and the fewest devices of a round, membership. 1 when it does not answer.
    #[arg(long)]
    check_helper: bool,
}

pub(crate) fn coordinator(options: &CoordinatorOptions) -> Result<(), Failure> {
    let CoordinatorOptions {
        daemon: options,
        check_helper,
    } = options;
    let mut settings: tacit_server::Config =
        config::read(&options.config).map_err(Failure::input)?;
    let base = folder_of(&options.config);
    let task = &mut settings.task;
    let (tls, enrolment) = (&mut settings.tls, &mut settings.enrolment);
    let paths = [
        &mut settings.state,
        &mut tls.certificate,
        &mut tls.key,
        &mut tls.root,
        &mut settings.signing.key,
        &mut enrolment.certificate,
        &mut enrolment.key,
        &mut enrolment.tokens,
        &mut task.catalogue,
    ];
    paths
        .into_iter()
        .chain(&mut enrolment.state)
        .chain(&mut task.start)
        .for_each(|path| *path = base.join(&*path));
    let named =
        |error: &ServerError| Failure::input(format!("{}: {error}", options.config.display()));
    let served = block_on(options.log, async |shutdown| {
        if !options.check_config && !check_helper {
            return tacit_server::serve(settings, clock::now, shutdown, announce).await;
        }
        let prepared = tacit_server::Prepared::new(settings, clock::now())?;
        match check_helper {
            true => prepared.check_helper().await,
            false => Ok(()),
        }
    })?;
    served.map_err(|error| match error {
        ServerError::OperatorConfig(_) => named(&error),
        other => Failure::Failed(other.into()),
    })
}

pub(crate) fn helper(options: &Options) -> Result<(), Failure> {
    let mut settings: tacit_helper::Config =
        config::read(&options.config).map_err(Failure::input)?;
    let base = folder_of(&options.config);
    let tls = &mut settings.tls;
    let paths = [
        &mut settings.state,
        &mut tls.certificate,
        &mut tls.key,
        &mut tls.root,
        &mut settings.signing.key,
    ];
    paths.into_iter().for_each(|path| *path = base.join(&*path));
    let named =
        |problem: String| Failure::input(format!("{}: {problem}", options.config.display()));
    let served = block_on(options.log, async |shutdown| match options.check_config {
        true => tacit_helper::Prepared::new(settings, clock::now()).map(drop),
        false => tacit_helper::serve(settings, clock::now, shutdown, announce).await,
    })?;
    served.map_err(|error| match error {
        tacit_helper::HelperError::OperatorConfig(problem) => named(problem),
        other => Failure::Failed(other.into()),
    })
}

/// Paths in a configuration file are relative to the file.
pub(crate) fn folder_of(config: &Path) -> PathBuf {
    config.parent().unwrap_or(Path::new("")).to_owned()
}

fn announce(address: SocketAddr) {
    tracing::info!(event = "listening", %address);
}

/// Runs a daemon's future with logs and signals: SIGTERM or SIGINT drains, a second one closes at
/// once.
fn block_on<T, F: Future<Output = T>>(
    format: logs::Format,
    serve: impl FnOnce(Shutdown) -> F,
) -> Result<T, Failure> {
    logs::start(format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let shutdown = Shutdown::default();
        let (mut terminate, mut interrupt) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        let told = shutdown.clone();
        let watch = tokio::spawn(async move {
            for token in [told.drain, told.close] {
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
                token.cancel();
            }
        });
        let served = serve(shutdown).await;
        watch.abort();
        Ok(served)
    })
}
