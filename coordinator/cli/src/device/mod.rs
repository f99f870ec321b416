//! Runs real devices: each with its own key, certificate, connection and store; few active at once.

mod inputs;
mod tally;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use tacit_data::Columns;
use tacit_model::history::interaction::Interaction;
use tacit_round::device::Outcome;
use tacit_round::keys::PublicKey;
use tacit_round::signed_policy::{PolicyRefusal, SignedPolicy};
use tacit_sdk::{Agent, Backoff, Consent, Deployment, SdkError, Step, Store, TableCache, identity};
use tacit_wire::{clock, config, files};
use tokio::sync::Semaphore;
use tokio::time::{interval, sleep};

use self::inputs::{Recorded, read_members, read_tokens};
pub(crate) use self::tally::Summary;
use self::tally::Tally;
use crate::daemon::folder_of;
use crate::failure::Failure;
use crate::logs;
use crate::say;
use crate::signals::Signals;

/// Devices active at once: each holds a connection, a store and one vector.
const ACTIVE_MAX: usize = 64;
/// File descriptors an active device may hold: socket, database, log, shared memory, temporary
/// file.
const FILES_PER_DEVICE: u64 = 6;
/// Time between two lines of `--progress`.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// Options.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Configuration file, TOML.
    #[arg(long)]
    config: PathBuf,
    /// Check the configuration and the files it names and exit: 0 when they are sound, 2 when not.
    #[arg(long)]
    check_config: bool,
    /// Devices to run in this process.
    #[arg(long, default_value_t = 1)]
    devices: u32,
    /// What a line of the log on standard error is.
    #[arg(long, value_enum, default_value_t = logs::Format::Text)]
    log: logs::Format,
    /// Print a summary as one JSON object when done.
    #[arg(long)]
    json: bool,
    /// Print the summary so far once a second, too, one JSON object a line.
    #[arg(long, requires = "json")]
    progress: bool,
}

/// The device process's configuration file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// `https://host:port` of the coordinator.
    coordinator: String,
    /// Name in its certificate.
    server_name: String,
    /// Root certificate, PEM.
    root: PathBuf,
    /// Policy signed by the publisher.
    policy: PathBuf,
    /// The publisher's key, as pinned in the app.
    publisher_key: PublicKey,
    /// Folder with one folder per installation.
    state: PathBuf,
    /// Enrolment tokens, one in hexadecimal a line; line i is for device i.
    tokens: PathBuf,
    /// Memberships issued by the helper's organisation, one a line; line i is for device i.
    members: Option<PathBuf>,
    /// Interactions recorded on first start, as an app would record them: `device` and `item` by
    /// number, `timestamp`, `value`, `type`, in any format of `--data`.
    interactions: Option<PathBuf>,
    /// The columns of `interactions`, as `--columns` names them: `user` is the device.
    columns: Option<String>,
}

impl Config {
    /// Reads the file; paths in it are relative to its folder.
    fn read(path: &Path) -> Result<Self, Failure> {
        let mut config: Self = config::read(path).map_err(Failure::input)?;
        let base = folder_of(path);
        for path in [
            &mut config.root,
            &mut config.policy,
            &mut config.state,
            &mut config.tokens,
        ] {
            *path = base.join(&*path);
        }
        config.interactions = config.interactions.map(|path| base.join(path));
        config.members = config.members.map(|path| base.join(path));
        Ok(config)
    }
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    drop(logs::start(options.log, None));
    check_file_limit(options.devices)?;
    let config = Config::read(&options.config)?;
    let deployment = deployment(&config, &options.config)?;
    let tokens = read_tokens(&config.tokens, options.devices)?;
    let members = config
        .members
        .as_deref()
        .map(|path| read_members(path, options.devices))
        .transpose()?;
    let recorded = recorded(&config)?;
    if options.check_config {
        return Ok(());
    }

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let (tally, devices) = (Arc::new(Tally::default()), options.devices);
    let running = run_all(
        &config.state,
        deployment,
        tokens,
        members.unwrap_or_default(),
        recorded,
        (options.progress, tally.clone()),
    );
    let ran = runtime.block_on(async { Signals::listen()?.or_stop(running).await });
    if matches!(ran, Ok(()) | Err(Failure::Stopped(_))) {
        tell(&tally.summary(devices), options.json)?;
    }
    ran
}

/// Says what the devices did; what they did not do, too.
fn tell(summary: &Summary, json: bool) -> Result<(), Failure> {
    if summary.acknowledged == 0 {
        tracing::warn!(
            event = "nothing_counted",
            "no update of these devices was counted: nothing was trained with them"
        );
    }
    if json {
        say::json(summary)?;
    }
    Ok(())
}

/// The interactions that devices begin with, by device number.
fn recorded(config: &Config) -> Result<Recorded, Failure> {
    let columns = config.columns.as_deref().map(str::parse::<Columns>);
    let columns = columns
        .transpose()
        .map_err(|error| Failure::input(format!("columns: {error}")))?;
    let Some(path) = &config.interactions else {
        return match columns {
            None => Ok(Recorded::new()),
            Some(_) => Err(Failure::input(
                "columns: there are no interactions to read by them; give interactions too",
            )),
        };
    };
    tacit_data::recorded(path, columns.as_ref()).map_err(Failure::input)
}

/// Refuses early what would fail late: too few file descriptors for the active devices.
pub(crate) fn check_file_limit(devices: u32) -> Result<(), Failure> {
    let need = FILES_PER_DEVICE * u64::from(devices).min(ACTIVE_MAX as u64) + 64;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile)
        .current
        .unwrap_or(u64::MAX);
    if limit < need {
        return Err(Failure::input(format!(
            "only {limit} open files are allowed and {need} are needed; run: ulimit -n {need}"
        )));
    }
    Ok(())
}

/// What the app of these devices ships with, by their configuration file.
pub(crate) fn shipped(path: &Path) -> Result<Deployment, Failure> {
    let config = Config::read(path)?;
    let deployment = deployment(&config, path)?;
    Ok(Arc::unwrap_or_clone(deployment))
}

fn deployment(config: &Config, path: &Path) -> Result<Arc<Deployment>, Failure> {
    let root = files::read_text(&config.root).map_err(Failure::input)?;
    files::read_certificates(&config.root, clock::now()).map_err(Failure::input)?;
    let policy = files::read_text(&config.policy).map_err(Failure::input)?;
    let policy: SignedPolicy = serde_json::from_str(&policy).map_err(|error| {
        let file = config.policy.display();
        Failure::input(format!(
            "{file}: not a signed policy ({error}); make one with: tacit pki policy"
        ))
    })?;
    policy
        .open(&config.publisher_key)
        .map_err(|refusal| bad_policy(config, path, &refusal))?;
    let deployment = Deployment::new(
        &config.coordinator,
        &config.server_name,
        &root,
        &policy,
        &config.publisher_key,
    );
    Ok(Arc::new(deployment.map_err(|error| {
        Failure::input(format!("{}: {error}", path.display()))
    })?))
}

/// Folder of one installation.
pub(crate) fn installation(state: &Path, device: u32) -> PathBuf {
    state.join(format!("{device:06}"))
}

/// Names the file to change: which of the two is wrong depends on what the publisher signed.
fn bad_policy(config: &Config, path: &Path, refusal: &PolicyRefusal) -> Failure {
    let (path, policy) = (path.display(), config.policy.display());
    Failure::input(match refusal {
        PolicyRefusal::Signature => format!(
            "{path}: publisher_key: {policy} is not signed by this key; give the one in the \
             publisher.pub that belongs to it"
        ),
        other => format!("{policy}: {other}; make one with: tacit pki policy"),
    })
}

async fn run_all(
    state: &Path,
    deployment: Arc<Deployment>,
    tokens: Vec<Vec<u8>>,
    members: Vec<String>,
    mut recorded: Recorded,
    (progress, tally): (bool, Arc<Tally>),
) -> Result<(), Failure> {
    let active = Arc::new(Semaphore::new(ACTIVE_MAX));
    let tables = TableCache::default();
    let devices = u32::try_from(tokens.len())?;
    let bar = progress_bar(devices);
    let mut running = tokio::task::JoinSet::new();
    let mut members = members.into_iter();
    for (device, token) in (0u32..).zip(tokens) {
        let folder = installation(state, device);
        if let Some(member) = members.next() {
            identity::keep_member(&folder, &member)?;
        }
        let life = Life {
            agent: Agent::new(&folder, deployment.clone(), tables.clone()),
            folder,
            deployment: deployment.clone(),
            active: active.clone(),
            tally: tally.clone(),
            bar: bar.clone(),
        };
        running.spawn(life.live(token, recorded.remove(&device).unwrap_or_default()));
    }
    let mut tick = interval(PROGRESS_EVERY);
    // One installation that needs a person does not stop the others; the first such reason ends the
    // command.
    let mut failed = None;
    loop {
        tokio::select! {
            ended = running.join_next() => {
                let Some(ended) = ended else { break };
                if let Err(failure) = ended? {
                    tracing::error!(event = "device_stopped", reason = %failure);
                    failed.get_or_insert(failure);
                }
            }
            _ = tick.tick(), if progress => say::json(&tally.summary(devices))?,
        }
    }
    bar.finish_and_clear();
    failed.map_or(Ok(()), Err)
}

/// One installation, from enrolment to the last model.
struct Life {
    agent: Agent,
    folder: PathBuf,
    deployment: Arc<Deployment>,
    active: Arc<Semaphore>,
    tally: Arc<Tally>,
    bar: ProgressBar,
}

impl Life {
    async fn live(self, token: Vec<u8>, recorded: Vec<Interaction>) -> Result<(), Failure> {
        self.enrol(&token).await?;
        self.record(recorded).await?;
        loop {
            let slot = self.active.acquire().await?;
            let stepped = self.step().await;
            drop(slot);
            match stepped {
                Ok(step) if step.finished => return Ok(()),
                Ok(step) => sleep(step.retry_after).await,
                Err(SdkError::RetryLater { after, .. }) => sleep(after).await,
                Err(error) => {
                    return Err(Failure::input(format!(
                        "{}: {error}",
                        self.folder.display()
                    )));
                }
            }
        }
    }

    async fn enrol(&self, token: &[u8]) -> Result<(), Failure> {
        let mut backoff = Backoff::default();
        loop {
            let slot = self.active.acquire().await?;
            let enrolled = identity::enrol(&self.folder, &self.deployment, token).await;
            drop(slot);
            match enrolled {
                Ok(()) => return Ok(()),
                Err(SdkError::RetryLater { reason, detail, .. }) => {
                    sleep(backoff.later(reason, &detail, Duration::ZERO)).await;
                }
                Err(error) => {
                    return Err(Failure::input(format!(
                        "{}: {error}",
                        self.folder.display()
                    )));
                }
            }
        }
    }

    /// Lets the installation contribute, which is what this command is for, and records the given
    /// interactions once: an installation that has any is left alone.
    async fn record(&self, recorded: Vec<Interaction>) -> Result<(), Failure> {
        let _slot = self.active.acquire().await?;
        let folder = self.folder.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut store = Store::open(&folder)?;
            if store.consent()? != Consent::Contribute {
                store.set_consent(Consent::Contribute)?;
            }
            if !recorded.is_empty() && store.interactions()?.is_empty() {
                store.record(&recorded)?;
            }
            Ok::<_, SdkError>(())
        });
        Ok(done.await??)
    }

    async fn step(&self) -> Result<Step, SdkError> {
        let start = clock::now();
        let step = self.agent.step(start).await?;
        let add = |counter: &AtomicU64, amount: u64| {
            counter.fetch_add(amount, Ordering::Relaxed);
        };
        add(
            &self.tally.active_micros,
            1000 * clock::now().millis_since(start),
        );
        add(
            &self.tally.commit_micros,
            u64::try_from(step.committing.as_micros()).unwrap_or(0),
        );
        add(&self.tally.bytes_up, step.bytes_up);
        add(&self.tally.bytes_down, step.bytes_down);
        let counter = match &step.outcome {
            Some(Outcome::Acknowledged) => &self.tally.acknowledged,
            Some(Outcome::TooLate) => &self.tally.too_late,
            Some(Outcome::Forfeited) => &self.tally.forfeited,
            Some(refused @ (Outcome::TicketRefused(_) | Outcome::SpendRefused(_))) => {
                tracing::warn!(event = "ticket_refused", reason = ?refused);
                &self.tally.refused
            }
            None => return Ok(step),
        };
        add(counter, 1);
        self.bar.inc(1);
        Ok(step)
    }
}

/// Counts releases; visible only on a terminal.
fn progress_bar(devices: u32) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template(
        "{spinner} {msg}: {pos} private updates sent, {per_sec}, {elapsed}",
    );
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.set_message(format!("{devices} devices"));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
