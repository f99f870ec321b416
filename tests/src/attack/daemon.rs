//! What the system says of a process: memory, descriptors, processor time.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// Clock ticks a second, on every Linux of today.
const TICKS: f64 = 100.0;

/// A running process.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

impl Process {
    fn path(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.0))
    }

    fn read(self, name: &str) -> Result<String> {
        let path = self.path(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    /// Forgets the largest memory so far.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn forget_peak(self) -> Result<()> {
        Ok(fs::write(self.path("clear_refs"), "5")?)
    }

    /// The largest memory since it was forgotten, in bytes.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn peak(self) -> Result<u64> {
        let status = self.read("status")?;
        let mut lines = status.lines();
        let peak = lines.find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
        let kilobytes: u64 = peak.context("no VmHWM")?.trim().parse()?;
        Ok(kilobytes * 1024)
    }

    /// Descriptors open now.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn descriptors(self) -> Result<usize> {
        Ok(fs::read_dir(self.path("fd"))?.count())
    }

    /// Seconds of processor time it has had.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn processor(self) -> Result<f64> {
        let stat = self.read("stat")?;
        // The name in brackets may hold blanks; user and system time are the 12th and 13th after.
        let (_, rest) = stat.rsplit_once(") ").context("no name")?;
        let times = rest.split(' ').skip(11).take(2);
        let ticks: Result<Vec<f64>, _> = times.map(str::parse).collect();
        Ok(ticks?.iter().sum::<f64>() / TICKS)
    }
}
