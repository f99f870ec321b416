//! What every device of a deployment was counted for, over all its tasks.
//!
//! A task counts in its own store, in the commit that records a release. Here it repeats the totals
//! of those who took part, so that a device which comes back as an old copy of itself hears of all
//! of them, whichever task it asks (of a task beside its own as of the last release of its own).
//! Totals and not differences: what is repeated after a crash changes nothing.

use tacit_privacy::Rho;
use tacit_types::{DeviceId, Digest, TaskId};

use super::Answer;

/// Totals by task and device, shared by the coordinators of all tasks.
///
/// A call that another process holds up for too long is answered with
/// [`StorageBusy`](crate::ServerError::StorageBusy), changing nothing.
pub trait Accounts: Send + Sync {
    /// What this device was counted for in all tasks together.
    fn spent(&self, device: DeviceId) -> Answer<Rho>;

    /// Sets what `task` counted these devices for in all. With the last piece of what a ledger line
    /// counted comes the line's hash.
    fn settle(
        &self,
        task: TaskId,
        totals: Vec<(DeviceId, Rho)>,
        line: Option<Digest>,
    ) -> Answer<()>;

    /// What `task` counted devices for: the first `limit` after this one, in the order of their
    /// ids.
    fn totals(
        &self,
        task: TaskId,
        after: Option<DeviceId>,
        limit: usize,
    ) -> Answer<Vec<(DeviceId, Rho)>>;

    /// Hash of the line up to which this task is settled; `None` before its first piece, zeros when
    /// it never got further than that.
    fn settled(&self, task: TaskId) -> Answer<Option<Digest>>;
}
