//! What the devices of a process did, counted together.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// What a run did, for `--json`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) devices: u32,
    pub(crate) acknowledged: u64,
    pub(crate) forfeited: u64,
    pub(crate) too_late: u64,
    pub(crate) refused: u64,
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
    pub(crate) active_seconds: f64,
    pub(crate) commit_seconds: f64,
}

/// Counters shared by all devices of the process.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) acknowledged: AtomicU64,
    pub(super) forfeited: AtomicU64,
    pub(super) too_late: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) bytes_up: AtomicU64,
    pub(super) bytes_down: AtomicU64,
    pub(super) active_micros: AtomicU64,
    pub(super) commit_micros: AtomicU64,
}

impl Tally {
    /// The counts so far.
    pub(super) fn summary(&self, devices: u32) -> Summary {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Summary {
            devices,
            acknowledged: count(&self.acknowledged),
            forfeited: count(&self.forfeited),
            too_late: count(&self.too_late),
            refused: count(&self.refused),
            bytes_up: count(&self.bytes_up),
            bytes_down: count(&self.bytes_down),
            active_seconds: count(&self.active_micros) as f64 / 1e6,
            commit_seconds: count(&self.commit_micros) as f64 / 1e6,
        }
    }
}
