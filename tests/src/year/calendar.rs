//! The wall clock of a deployment's processes, moved by libfaketime.
//!
//! The library is preloaded into every process. At each reading of the clock it reads from a file
//! how far that is ahead, so all processes go forward together, in the middle of whatever they do.
//! Monotonic clocks stay real: what sleeps or waits does so for as long as ever.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tacit_types::Timestamp;
use tacit_wire::clock;
use tempfile::TempDir;

/// Where Debian's package `faketime` has it, below a folder of the architecture. The other one of
/// the package shows threads that read the clock at once the real one, now and then.
const LIBRARIES: &str = "/usr/lib";
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";
/// Days of a month; also the window of the devices' policy.
pub const MONTH_DAYS: u32 = 30;
const DAY_SECONDS: u64 = 86_400;
const DAY_MINUTES: u32 = 1440;
const MONTH_SECONDS: u64 = MONTH_DAYS as u64 * DAY_SECONDS;

/// Which day it is for all processes.
pub struct Calendar {
    folder: TempDir,
    library: PathBuf,
    /// Seconds between the real clock and day 0, which begins a window of the policy.
    ahead: u64,
    day: u32,
    /// Of the day, as far as anybody had to wait for them.
    minutes: u32,
}

impl Calendar {
    /// Day 0; nothing where the library is not installed.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn begin() -> Result<Option<Self>> {
        let Some(library) = find_library() else {
            return Ok(None);
        };

        let real = clock::now().0 / 1000;
        let calendar = Self {
            folder: tempfile::Builder::new()
                .prefix("tacit-calendar-")
                .tempdir()?,
            library,
            ahead: MONTH_SECONDS - real % MONTH_SECONDS,
            day: 0,
            minutes: 0,
        };
        calendar.write()?;
        Ok(Some(calendar))
    }

    /// What a process needs in its environment to live by this calendar.
    pub fn environment(&self) -> Vec<(String, String)> {
        let (library, file) = (self.library.display(), self.file());
        let variables = [
            ("LD_PRELOAD", library.to_string()),
            ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
        ];
        variables
            .map(|(name, value)| (name.to_owned(), value))
            .into()
    }

    /// The day it is.
    pub fn day(&self) -> u32 {
        self.day
    }

    /// What the processes read from their clocks now.
    pub fn now(&self) -> Timestamp {
        clock::now().plus_millis(1000 * self.seconds_ahead())
    }

    /// Goes forward to a day; on a later one already, stays there.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn go_to(&mut self, day: u32) -> Result<()> {
        if day > self.day {
            (self.day, self.minutes) = (day, 0);
        }
        self.write()
    }

    /// Goes forward within the day, or into the next.
    ///
    /// # Errors
    /// When its file cannot be written.
    pub fn pass_minutes(&mut self, minutes: u32) -> Result<()> {
        let passed = self.minutes + minutes;
        self.day += passed / DAY_MINUTES;
        self.minutes = passed % DAY_MINUTES;
        self.write()
    }

    fn seconds_ahead(&self) -> u64 {
        let of_day = u64::from(self.minutes) * 60;
        self.ahead + u64::from(self.day) * DAY_SECONDS + of_day
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ahead")
    }

    /// In one step: a process that found half of it would see the real clock.
    fn write(&self) -> Result<()> {
        let next = self.folder.path().join("next");
        fs::write(&next, format!("+{}\n", self.seconds_ahead()))?;
        Ok(fs::rename(next, self.file())?)
    }
}

fn find_library() -> Option<PathBuf> {
    let architectures = fs::read_dir(LIBRARIES).ok()?.flatten();
    let candidates = architectures.map(|entry| entry.path().join(LIBRARY));
    let mut there = candidates.filter(|path: &PathBuf| Path::is_file(path));
    there.next()
}
