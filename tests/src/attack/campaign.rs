//! Every attack after another on one deployment, then one on a daemon with few descriptors, and
//! what must hold whatever the machine: the daemon lives and serves, its memory is bounded, it ends
//! when it is told to, and what it acknowledged is in the sum.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Signal, setpriority_process};
use tacit_wire::listener::{Front, Limits};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::daemon::Process;
use super::healthy::{Healthy, Measured};
use super::stage::Stage;
use super::{ATTACKERS, Attack, Size};
use crate::bare::{BareDevice, enrolled};
use crate::deployment::{Deployment, Role, Settings};

/// Vectors of this length are sent in four chunks.
const ITEMS: u32 = 50_000;
const MEGABYTE: u64 = 1 << 20;
/// What a coordinator may hold beside contributions and objects.
const MEMORY: u64 = 64 * MEGABYTE;
/// Contributions it holds at once.
const UPLOADS: u64 = 64;
/// Descriptors of the daemon that has few.
const FEW: usize = 128;
/// Lowest priority but for the idle class.
const NICE: i32 = 15;
/// SIGTERM ends the coordinator within this time. Its own deadline is 25 seconds: what holds a
/// drain until then is found here.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
/// And within this time of the last real upload.
const AFTER_UPLOADS: Duration = Duration::from_secs(5);
/// A round that is complete is released within this time.
const RELEASE_DEADLINE: Duration = Duration::from_secs(60);

/// What one attack did.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub attack: &'static str,
    /// Honest devices before it.
    pub before: Measured,
    /// Honest devices during it.
    pub during: Measured,
    /// Connections made, refused and closed, and what was sent on them.
    pub counts: [u64; 4],
    /// Largest memory of the coordinator, bytes.
    pub peak: u64,
    /// Most descriptors of it that were seen.
    pub descriptors: usize,
    /// Share of one processor it took.
    pub processor: f64,
}

impl Row {
    /// Connections the daemon ended.
    fn closed(&self) -> u64 {
        let [_opened, _refused, closed, _sent] = self.counts;
        closed
    }
}

/// What a campaign found.
#[derive(Clone, Debug)]
pub struct Report {
    /// One an attack.
    pub rows: Vec<Row>,
    /// Contributions acknowledged while the coordinator was attacked; all were in the sum.
    pub acknowledged: usize,
    /// From the later of SIGTERM and the last acknowledgement to the end, under attack.
    pub drain: Duration,
    /// Memory the coordinator may take, bytes.
    pub allowed: u64,
}

/// One deployment, attacked.
struct Siege {
    deployment: Deployment,
    healthy: Arc<Healthy>,
    stage: Stage,
    /// Taken when it ends.
    attackers: Option<Runtime>,
    size: Size,
    allowed: u64,
}

/// Plays every attack. `progress` is told what is played, and how much of all is done.
///
/// # Errors
/// The first thing that does not hold.
pub async fn run(size: Size, progress: impl Fn(&str, f64)) -> Result<Report> {
    // Attackers need descriptors too.
    Limits::of_this_process(&Front::default());
    let played = Attack::ALL.len() + 2;
    let mut done = 0.0;
    let mut tell = |what: &str| {
        progress(what, done / played as f64);
        done += 1.0;
    };
    let mut siege = Siege::new(size, &[]).await?;
    let mut rows = Vec::new();
    for attack in Attack::ALL {
        tell(attack.name());
        let row = siege.attack(attack, attack.name()).await;
        rows.push(row.with_context(|| attack.name())?);
    }
    tell("drain, restart, release");
    let ended = siege.end().await;
    let (drain, acknowledged) = ended.with_context(|| siege.deployment.log_tails())?;
    let allowed = siege.allowed;
    drop(siege);

    tell("few descriptors");
    let few = Size {
        cohort: 400,
        ..size
    };
    let limit = format!("ulimit -n {FEW} && exec \"$@\"");
    let limit = ["sh", "-c", &limit, "sh"].map(str::to_owned);
    let mut siege = Siege::new(few, &limit).await?;
    let name = "idle connections, 128 descriptors";
    let row = siege.attack(Attack::Idle, name).await.context(name)?;
    ensure!(
        row.descriptors <= FEW,
        "{} descriptors are open of {FEW}",
        row.descriptors
    );
    rows.push(row);
    let log = siege.deployment.log_tails();
    ensure!(
        !log.contains("damaged"),
        "no descriptors is not damage: {log}"
    );
    siege.end().await?;
    Ok(Report {
        rows,
        acknowledged,
        drain,
        allowed,
    })
}

impl Siege {
    /// A deployment whose coordinator runs under `wrapper`, a round open.
    async fn new(size: Size, wrapper: &[String]) -> Result<Self> {
        let mut deployment = Deployment::new(Settings {
            cohort: size.cohort.into(),
            items: ITEMS,
            deadline_seconds: 3600,
            ..Settings::default()
        })?;
        deployment.start(Role::Helper)?;
        deployment.start_under(wrapper, Role::Coordinator)?;
        deployment.open_round()?;
        let mut credentials = enrolled(&deployment, ATTACKERS + size.cohort)?;
        let honest = credentials.split_off(ATTACKERS.into());
        let (address, root) = (
            deployment.coordinator_address(),
            deployment.pki("root.crt")?,
        );
        let device = BareDevice::new(&address, &root, Some(&honest[0]))?;
        let deadline = Instant::now() + Duration::from_secs(60);
        let open = device.ticket(deadline).await?;
        // Selected before anybody attacks: what is measured is the uploads.
        for other in &honest[1..] {
            let other = BareDevice::new(&address, &root, Some(other))?;
            other.ticket(deadline).await?;
        }
        let object = device.check_in().await?.catalogue_hash;
        let vector = u64::from(open.0.mechanism.length) * 4;
        let catalogue = deployment.path("catalogue.txt").metadata()?.len();
        let healthy = Healthy::new(&deployment, honest, open.clone(), size.pace)?;
        let stage = Stage::new(&deployment, &credentials, open, object, size.connections)?;
        Ok(Self {
            deployment,
            healthy: Arc::new(healthy),
            stage,
            attackers: Some(attackers()?),
            size,
            // The model is not larger than the catalogue's vector.
            allowed: MEMORY + UPLOADS * vector + catalogue + vector,
        })
    }

    fn process(&self) -> Result<Process> {
        self.deployment.process(Role::Coordinator).map(Process)
    }

    /// Begins an attack.
    fn play(&self, attack: Attack) -> Result<JoinHandle<()>> {
        let attackers = self.attackers.as_ref().context("attackers are gone")?;
        Ok(attackers.spawn(attack.play(self.stage.clone())))
    }

    /// One attack, and whether the coordinator lives through it.
    async fn attack(&mut self, attack: Attack, name: &'static str) -> Result<Row> {
        let process = self.process()?;
        let before = self.healthy.work(self.size.before).await?;
        self.stage.counts.take();
        process.forget_peak()?;
        let (used, begun) = (process.processor()?, Instant::now());
        let playing = self.play(attack)?;
        if attack == Attack::HelperAway {
            self.deployment.signal(Role::Helper, Signal::STOP)?;
        }
        let watching = Watching::new(process);
        let during = self.healthy.work(self.size.during).await?;
        let processor = (process.processor()? - used) / begun.elapsed().as_secs_f64();
        if attack == Attack::HelperAway {
            self.deployment.signal(Role::Helper, Signal::CONT)?;
        }
        playing.abort();
        let row = Row {
            attack: name,
            before,
            during,
            counts: self.stage.counts.take(),
            peak: process.peak()?,
            descriptors: watching.end(),
            processor,
        };
        let ended = self.deployment.ended(Role::Coordinator)?;
        ensure!(ended.is_none(), "the coordinator ended: {ended:?}");
        ensure!(
            row.peak <= self.allowed,
            "{} bytes of memory, and {} are allowed",
            row.peak,
            self.allowed
        );
        ensure!(
            !row.during.looks.is_empty(),
            "no honest device was served: {:?}",
            row.during
        );
        ensure!(
            !attack.is_flood() || row.closed() > 0,
            "no connection that flooded was closed"
        );
        self.healthy.settle().await?;
        Ok(row)
    }

    /// SIGTERM in the middle of an attack and of uploads, then a restart and the rest of the round.
    async fn end(&mut self) -> Result<(Duration, usize)> {
        let playing = self.play(Attack::Together)?;
        sleep(self.size.during.min(Duration::from_secs(6))).await;
        let healthy = self.healthy.clone();
        let work = self.size.before;
        let working = tokio::spawn(async move { healthy.work(work).await });
        sleep(work / 2).await;
        self.deployment.terminate(Role::Coordinator)?;
        let asked = Instant::now();
        let ended = self.ended(asked + DRAIN_DEADLINE).await?;
        playing.abort();
        working.await??;
        let last = self.healthy.last_acknowledged().unwrap_or(asked);
        let drain = ended - last.max(asked);
        ensure!(
            drain <= AFTER_UPLOADS,
            "the coordinator ended {drain:?} after the last upload"
        );

        self.deployment.restart(Role::Coordinator)?;
        self.healthy.settle().await?;
        let acknowledged = self.healthy.acknowledged();
        let received = self.healthy.received().await?;
        ensure!(
            received == acknowledged,
            "{acknowledged} were acknowledged, and {received} are there"
        );
        self.release().await?;
        Ok((drain, acknowledged))
    }

    /// Waits for the coordinator to end by itself, and well.
    async fn ended(&mut self, deadline: Instant) -> Result<Instant> {
        loop {
            if let Some(status) = self.deployment.ended(Role::Coordinator)? {
                ensure!(status.success(), "the coordinator ended with {status}");
                return Ok(Instant::now());
            }
            ensure!(
                Instant::now() < deadline,
                "SIGTERM did not end the coordinator in {DRAIN_DEADLINE:?}"
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Completes the round: its sum must hold every contribution once. The task of a large cohort
    /// has more rounds than this one.
    async fn release(&mut self) -> Result<()> {
        self.healthy.complete().await?;
        let deadline = Instant::now() + RELEASE_DEADLINE;
        let release = loop {
            if let Some(release) = self.deployment.releases()?.into_iter().next() {
                break release;
            }
            ensure!(Instant::now() < deadline, "nothing was released");
            sleep(Duration::from_millis(20)).await;
        };
        ensure!(release.contributors == u32::from(self.size.cohort));
        ensure!(
            release.sum_digest == self.healthy.digest_of_sum(),
            "the released sum is not the sum of what was acknowledged"
        );
        Ok(())
    }
}

impl Drop for Siege {
    fn drop(&mut self) {
        // Where futures run, none may wait for threads to end.
        if let Some(attackers) = self.attackers.take() {
            attackers.shutdown_background();
        }
    }
}

/// Threads of low priority.
fn attackers() -> Result<Runtime> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(|| {
            // Where it is not allowed, figures are worse and no check is.
            let _ = setpriority_process(None, NICE);
        })
        .build();
    Ok(runtime?)
}

/// Looks at a process's descriptors again and again.
struct Watching {
    most: Arc<AtomicUsize>,
    looking: JoinHandle<()>,
}

impl Watching {
    fn new(process: Process) -> Self {
        let most = Arc::new(AtomicUsize::new(0));
        let seen = most.clone();
        let looking = tokio::spawn(async move {
            while let Ok(open) = process.descriptors() {
                seen.fetch_max(open, Ordering::Relaxed);
                sleep(Duration::from_millis(100)).await;
            }
        });
        Self { most, looking }
    }

    fn end(self) -> usize {
        self.looking.abort();
        self.most.load(Ordering::Relaxed)
    }
}
