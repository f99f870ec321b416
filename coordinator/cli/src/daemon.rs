//! Runs a daemon: reads its configuration, sets up logs and signals, serves until told to stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tacit_server::ServerError;
use tacit_wire::reload::Source;
use tacit_wire::{Shutdown, clock, config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

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
    /// The state folder was put back from an older copy; for one start. Rounds that were lost are
    /// charged, and nothing of them goes on.
    #[arg(long)]
    restored: bool,
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
    let mut settings = read_coordinator(&options.config)?;
    settings.restored = options.restored;
    let named =
        |error: &ServerError| Failure::input(format!("{}: {error}", options.config.display()));
    let log = settings.log.clone();
    let served = block_on(options.log, log.as_deref(), async |running| {
        if !options.check_config && !check_helper {
            let Running {
                shutdown,
                reload,
                choose,
            } = running;
            let path = options.config.clone();
            let read = move || read_coordinator(&path).map_err(|error| error.to_string());
            let taken = move |settings: &tacit_server::Config| choose(settings.log.as_deref());
            let source = Source::new(reload, read, taken);
            return tacit_server::serve(settings, source, clock::now, shutdown, announce).await;
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

fn read_coordinator(path: &Path) -> Result<tacit_server::Config, Failure> {
    let mut settings: tacit_server::Config = config::read(path).map_err(Failure::input)?;
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
        &mut task.catalogue,
    ];
    let base = folder_of(path);
    paths
        .into_iter()
        .chain(&mut settings.policy)
        .chain(&mut tls.revoked)
        .chain(&mut enrolment.tokens)
        .chain(&mut enrolment.roots)
        .chain(&mut enrolment.state)
        .chain(&mut task.start)
        .for_each(|path| *path = base.join(&*path));
    logs::check(settings.log.as_deref())?;
    Ok(settings)
}

pub(crate) fn helper(options: &Options) -> Result<(), Failure> {
    let mut settings = read_helper(&options.config)?;
    settings.restored = options.restored;
    let named =
        |problem: String| Failure::input(format!("{}: {problem}", options.config.display()));
    let log = settings.log.clone();
    let served = block_on(options.log, log.as_deref(), async |running| {
        if options.check_config {
            return tacit_helper::Prepared::new(settings, clock::now()).map(drop);
        }
        let Running {
            shutdown,
            reload,
            choose,
        } = running;
        let path = options.config.clone();
        let read = move || read_helper(&path).map_err(|error| error.to_string());
        let taken = move |settings: &tacit_helper::Config| choose(settings.log.as_deref());
        let source = Source::new(reload, read, taken);
        tacit_helper::serve(settings, source, clock::now, shutdown, announce).await
    })?;
    served.map_err(|error| match error {
        tacit_helper::HelperError::OperatorConfig(problem) => named(problem),
        other => Failure::Failed(other.into()),
    })
}

fn read_helper(path: &Path) -> Result<tacit_helper::Config, Failure> {
    let mut settings: tacit_helper::Config = config::read(path).map_err(Failure::input)?;
    let tls = &mut settings.tls;
    let paths = [
        &mut settings.state,
        &mut tls.certificate,
        &mut tls.key,
        &mut tls.root,
        &mut settings.signing.key,
    ];
    let base = folder_of(path);
    paths
        .into_iter()
        .chain(&mut tls.revoked)
        .for_each(|path| *path = base.join(&*path));
    logs::check(settings.log.as_deref())?;
    Ok(settings)
}

/// Paths in a configuration file are relative to the file.
pub(crate) fn folder_of(config: &Path) -> PathBuf {
    config.parent().unwrap_or(Path::new("")).to_owned()
}

fn announce(address: SocketAddr) {
    tracing::info!(event = "listening", %address);
}

/// What a daemon that runs is told.
struct Running {
    shutdown: Shutdown,
    /// Notified when its files are to be read again.
    reload: Arc<Notify>,
    choose: logs::Choose,
}

/// Runs a daemon's future with logs and signals: SIGHUP reloads, SIGTERM or SIGINT drains, a second
/// one closes at once.
fn block_on<T, F: Future<Output = T>>(
    format: logs::Format,
    log: Option<&str>,
    serve: impl FnOnce(Running) -> F,
) -> Result<T, Failure> {
    let choose = logs::start(format, log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (shutdown, reload) = (Shutdown::default(), Arc::new(Notify::new()));
        let (mut terminate, mut interrupt) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        let mut hang_up = signal(SignalKind::hangup())?;
        let (told, asked) = (shutdown.clone(), reload.clone());
        let watch = tokio::spawn(async move {
            for token in [told.drain, told.close] {
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
                token.cancel();
            }
        });
        let listen = tokio::spawn(async move {
            while hang_up.recv().await.is_some() {
                asked.notify_one();
            }
        });
        let served = serve(Running {
            shutdown,
            reload,
            choose,
        });
        let served = served.await;
        watch.abort();
        listen.abort();
        Ok(served)
    })
}
