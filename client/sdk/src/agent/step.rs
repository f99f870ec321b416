//! What an app hears of one action.

use std::time::Duration;

use tacit_round::device::Outcome;

use crate::reason::Reason;

/// What one step did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// How a round ended for this device in this step, if one did.
    pub outcome: Option<Outcome>,
    /// When to call again; it grows while [`Self::later`] stays.
    pub retry_after: Duration,
    /// Why the open round has to wait, if it does.
    pub later: Option<Reason>,
    /// Whether a round is open that has no place for this device, or that it took part in.
    pub not_selected: bool,
    /// Whether a contribution is durable here, and its time to be sent has not come.
    pub prepared: bool,
    /// Whether no owner has consented to this ([`crate::Consent`]): nobody was asked.
    pub withheld: bool,
    /// Whether recommendations come from another model than before, once
    /// [`crate::Recommender::reload`] was called.
    pub new_model: bool,
    /// Whether the task has published its last model, which is now stored.
    pub finished: bool,
    /// Bytes of masked updates and sealed seeds sent in this step.
    pub bytes_up: u64,
    /// Bytes of objects fetched in this step.
    pub bytes_down: u64,
    /// Time spent waiting for the disk to make this step durable.
    pub committing: Duration,
}

impl Default for Step {
    /// Nothing done: call again in a second.
    fn default() -> Self {
        Self {
            outcome: None,
            retry_after: Duration::from_secs(1),
            later: None,
            not_selected: false,
            prepared: false,
            withheld: false,
            new_model: false,
            finished: false,
            bytes_up: 0,
            bytes_down: 0,
            committing: Duration::ZERO,
        }
    }
}
