//! What an installation has spent of its privacy budget.

use tacit_privacy::ledger::total;
use tacit_privacy::record::time_bucket;
use tacit_privacy::{DeviceBudget, Rho};
use tacit_types::Timestamp;

use crate::error::SdkError;
use crate::store::Store;

/// What this installation has spent and may spend, for its owners to read: one budget for all of
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivacyStatus {
    /// Spent so far, whatever became of the releases; includes `unrecorded`.
    pub spent: Rho,
    /// Most that may ever be spent.
    pub lifetime: Rho,
    /// Number of releases this installation knows of.
    pub releases: usize,
    /// Spent in the current window.
    pub window_spent: Rho,
    /// Most that may be spent in one window.
    pub window: Rho,
    /// What this identity was counted for beyond those releases: its folder was restored from an
    /// old copy, or runs twice.
    pub unrecorded: Rho,
}

impl PrivacyStatus {
    /// Reads the device ledger.
    pub(crate) fn read(
        store: &Store,
        budget: DeviceBudget,
        now: Timestamp,
    ) -> Result<Self, SdkError> {
        let lines = store.reservations()?;
        // As the ledger counts: no window before that of an earlier release opens again.
        let hour = lines
            .iter()
            .map(|line| line.hour)
            .fold(time_bucket(now), u64::max);
        let window = |hour: u64| hour / u64::from(budget.window_hours.max(1));
        Ok(Self {
            spent: store.spent()?,
            lifetime: budget.rho_lifetime,
            releases: lines.len(),
            window_spent: total(
                lines
                    .iter()
                    .filter(|line| window(line.hour) == window(hour)),
            ),
            window: budget.rho_window,
            unrecorded: store.unrecorded()?,
        })
    }
}
