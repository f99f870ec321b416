//! Supervises the demo's processes: restarts one that stops early, ends them all at the end.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, anyhow};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{interval, sleep, timeout};

use super::progress::Progress;
use super::world::World;
use crate::device::Summary;
use crate::failure::Failure;

/// A process that stops early is started again this often.
const RESTARTS_MAX: u32 = 20;

/// What the processes did.
pub(super) struct Ran {
    pub(super) summary: Summary,
    /// Largest resident memory of each process, added up.
    pub(super) peak_rss_bytes: u64,
}

/// Runs the federation to its end, through `rounds` rounds. Dropped earlier, it ends every process
/// first.
pub(super) async fn run(world: &World, rounds: usize, devices: u32) -> Result<Ran, Failure> {
    let mut daemons = [
        Daemon::start(world, "helper")?,
        Daemon::start(world, "coordinator")?,
    ];
    let mut progress = Progress::new(rounds, devices);
    let mut restarts = 0;
    let (summary, device_peak) = loop {
        let mut fleet = Fleet::start(world, devices)?;
        fleet.watch(world, &mut daemons, &mut progress).await?;
        let status = fleet.process.0.wait().await?;
        if status.success() {
            break (fleet.summary, fleet.peak_rss);
        }
        restarts += 1;
        if status.code() == Some(2) || restarts > RESTARTS_MAX {
            let words = world.last_words("device");
            return Err(anyhow!("the devices stopped: {status}; {words}").into());
        }
        // Time for the signal that may have ended them to reach this process too.
        sleep(Duration::from_millis(200)).await;
        progress.devices_restart();
        progress.note(format_args!(
            "the devices stopped ({status}); starting them again on the same state"
        ));
    };
    let mut peak_rss_bytes = device_peak + peak_rss(Some(std::process::id()));
    for daemon in daemons.into_iter().rev() {
        peak_rss_bytes += daemon.process.peak_rss();
        daemon.stop().await?;
    }
    Ok(Ran {
        summary,
        peak_rss_bytes,
    })
}

/// The process that runs the devices.
struct Fleet {
    process: Process,
    /// The newest it has given: a line a second, and one at its end.
    summary: Summary,
    peak_rss: u64,
}

impl Fleet {
    fn start(world: &World, devices: u32) -> Result<Self, Failure> {
        let devices = devices.to_string();
        let options = ["--json", "--progress", "--devices", &devices];
        Ok(Self {
            process: Process::start(world, "device", &options, Stdio::piped())?,
            summary: Summary::default(),
            peak_rss: 0,
        })
    }

    /// Watches all processes until this one says no more.
    async fn watch(
        &mut self,
        world: &World,
        daemons: &mut [Daemon],
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let output = self.process.0.stdout.take();
        let mut lines = BufReader::new(output.context("the devices' output")?).lines();
        let mut tick = interval(Duration::from_millis(500));
        loop {
            tokio::select! {
                line = lines.next_line() => {
                    let Some(line) = line? else { break };
                    self.summary = serde_json::from_str(&line).context("the devices' summary")?;
                    progress.acknowledged(self.summary.acknowledged);
                }
                _ = tick.tick() => {
                    self.peak_rss = self.peak_rss.max(self.process.peak_rss());
                    for daemon in &mut *daemons {
                        daemon.keep_running(world, progress)?;
                    }
                    progress.tell(world);
                }
            }
        }
        progress.tell(world);
        Ok(())
    }
}

/// A process of the deployment that does not outlive its owner.
struct Process(Child);

impl Process {
    /// Starts `role` on its configuration in `world`; standard error goes to its log.
    fn start(world: &World, role: &str, options: &[&str], output: Stdio) -> Result<Self, Failure> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(world.path(&format!("{role}.log")))?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(role)
            .arg("--config")
            .arg(world.path(&format!("{role}.toml")))
            .args(options)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(log);
        Ok(Self(command.spawn()?))
    }

    fn peak_rss(&self) -> u64 {
        peak_rss(self.0.id())
    }
}

impl Drop for Process {
    /// Kills it, and waits until it is gone: nobody may write into a folder that is being removed.
    fn drop(&mut self) {
        if self.0.start_kill().is_err() {
            return;
        }
        for _ in 0..1000 {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A daemon that is started again when it stops.
struct Daemon {
    role: &'static str,
    process: Process,
    restarts: u32,
}

impl Daemon {
    fn start(world: &World, role: &'static str) -> Result<Self, Failure> {
        Ok(Self {
            role,
            process: Process::start(world, role, &[], Stdio::null())?,
            restarts: 0,
        })
    }

    fn keep_running(&mut self, world: &World, progress: &Progress) -> Result<(), Failure> {
        let Some(status) = self.process.0.try_wait()? else {
            return Ok(());
        };
        if status.code() == Some(2) || self.restarts >= RESTARTS_MAX {
            let words = world.last_words(self.role);
            return Err(anyhow!("the {} stopped: {status}; {words}", self.role).into());
        }
        progress.note(format_args!(
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

    async fn stop(mut self) -> Result<(), Failure> {
        let child = &mut self.process.0;
        if let Some(pid) = child
            .id()
            .and_then(|pid| Pid::from_raw(pid.cast_signed()))
        {
            kill_process(pid, Signal::TERM)?;
        }
        let stopped = timeout(Duration::from_secs(30), child.wait()).await;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_leaves_no_process_behind() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let _entered = runtime.enter();
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _owned = Process(child);
            panic!("as a bug in the demo would");
        }));
        assert!(panicked.is_err());
        assert!(
            rustix::process::test_kill_process(pid).is_err(),
            "the process still runs"
        );
    }
}
