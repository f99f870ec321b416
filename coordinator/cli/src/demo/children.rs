//! Supervises the demo's processes: restarts one that stops early, ends them all at the end.

use std::fs::File;
use std::io::IsTerminal;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, anyhow};
use rustix::process::{Pid, Signal, kill_process};
use tacit_privacy::convert::{epsilon, shown};
use tacit_privacy::record::{Event, Line};
use tacit_types::{Delta, Kind};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::world::World;
use crate::device::Summary;
use crate::failure::Failure;
use crate::say;

/// A process that stops early is started again this often.
const RESTARTS_MAX: u32 = 20;

/// What the processes did.
pub(super) struct Ran {
    pub(super) summary: Summary,
    /// Largest resident memory of each process, added up.
    pub(super) peak_rss_bytes: u64,
}

/// Runs the federation to its end.
pub(super) fn run(world: &World, devices: u32) -> Result<Ran, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut helper = Daemon::start(world, "helper")?;
        let mut coordinator = Daemon::start(world, "coordinator")?;
        let (mut restarts, mut narrator) = (0, Narrator::default());
        let (summary, device_peak) = loop {
            let mut fleet = fleet(world, devices)?;
            let pid = fleet.id();
            let mut peak = 0;
            let mut output = fleet.stdout.take().context("the devices' output")?;
            let mut text = String::new();
            let reading = tokio::io::AsyncReadExt::read_to_string(&mut output, &mut text);
            tokio::pin!(reading);
            loop {
                tokio::select! {
                    read = &mut reading => { read?; break; }
                    () = sleep(Duration::from_millis(500)) => {
                        peak = peak.max(peak_rss(pid));
                        helper.keep_running(world)?;
                        coordinator.keep_running(world)?;
                        narrator.tell(world);
                    }
                    _ = tokio::signal::ctrl_c() => return Err(anyhow!("interrupted").into()),
                }
            }
            let status = fleet.wait().await?;
            narrator.tell(world);
            if status.success() {
                break (
                    serde_json::from_str::<Summary>(&text).context("the devices' summary")?,
                    peak,
                );
            }
            restarts += 1;
            if status.code() == Some(2) || restarts > RESTARTS_MAX {
                return Err(anyhow!(
                    "the devices stopped: {status}; see {}",
                    world.path("").display()
                )
                .into());
            }
            say::note(format_args!(
                "the devices stopped ({status}); starting them again on the same state"
            ));
        };
        let peak_rss_bytes =
            device_peak + coordinator.peak() + helper.peak() + peak_rss(Some(std::process::id()));
        coordinator.stop().await?;
        helper.stop().await?;
        Ok(Ran {
            summary,
            peak_rss_bytes,
        })
    })
}

fn fleet(world: &World, devices: u32) -> Result<Child, Failure> {
    let mut command = command(world, "device")?;
    command
        .args(["--json", "--devices", &devices.to_string()])
        .stdout(Stdio::piped());
    Ok(command.spawn()?)
}

fn command(world: &World, role: &str) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg(role)
        .arg("--config")
        .arg(world.path(&format!("{role}.toml")))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    Ok(command)
}

/// Says one line for every line the coordinator adds to the ledger.
#[derive(Default)]
struct Narrator {
    told: usize,
}

impl Narrator {
    fn tell(&mut self, world: &World) {
        let ledger =
            std::fs::read_to_string(world.ledger().join("ledger.jsonl")).unwrap_or_default();
        for line in ledger.lines().skip(self.told) {
            self.told += 1;
            let Ok(line) = Line::from_bytes(line.as_bytes()) else {
                continue;
            };
            let said = match &line.event {
                Event::Release(release) => format!("{} devices summed", release.contributors),
                Event::Abandoned(abandoned) => format!("abandoned: {}", abandoned.reason),
                _ => continue,
            };
            let Some(charge) = line.charge() else {
                continue;
            };
            let what = Kind::parse(&charge.kind).map_or("Unknown kind", Kind::title);
            let spent =
                Delta::new(super::DELTA).map_or(0.0, |delta| epsilon(charge.rho_total, 0, delta));
            // On a terminal the devices' progress line is being drawn here: clear it first.
            let clear = if std::io::stderr().is_terminal() {
                "\r\x1b[2K"
            } else {
                ""
            };
            say::note(format_args!(
                "{clear}round {}: {what:<25} {said}, epsilon so far {}",
                charge.round,
                shown(spent)
            ));
        }
    }
}

/// A daemon that is started again when it stops.
struct Daemon {
    role: &'static str,
    child: Child,
    restarts: u32,
}

impl Daemon {
    fn start(world: &World, role: &'static str) -> Result<Self, Failure> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(world.path(&format!("{role}.log")))?;
        let child = command(world, role)?
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Self {
            role,
            child,
            restarts: 0,
        })
    }

    fn keep_running(&mut self, world: &World) -> Result<(), Failure> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(());
        };
        if status.code() == Some(2) || self.restarts >= RESTARTS_MAX {
            let log = world.path(&format!("{}.log", self.role));
            return Err(
                anyhow!("the {} stopped: {status}; see {}", self.role, log.display()).into(),
            );
        }
        say::note(format_args!(
            "the {} stopped ({status}); starting it again on the same state",
            self.role
        ));
        let restarts = self.restarts + 1;
        *self = Self {
            restarts,
            ..Self::start(world, self.role)?
        };
        Ok(())
    }

    fn peak(&self) -> u64 {
        peak_rss(self.child.id())
    }

    async fn stop(mut self) -> Result<(), Failure> {
        if let Some(pid) = self
            .child
            .id()
            .and_then(|pid| Pid::from_raw(pid.cast_signed()))
        {
            kill_process(pid, Signal::TERM)?;
        }
        let stopped = timeout(Duration::from_secs(30), self.child.wait()).await;
        stopped.with_context(|| format!("the {} did not stop within 30 seconds", self.role))??;
        Ok(())
    }
}

/// Largest resident memory of a process so far, 0 when it cannot be read.
fn peak_rss(pid: Option<u32>) -> u64 {
    let read = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid?)).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    read().unwrap_or(0) * 1024
}
