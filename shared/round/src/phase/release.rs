//! The sum is open. The ledger line comes first; only a durable line may be followed by a published
//! model.

use crate::coordinator::{Coordinator, Effect, Input};

/// State of the phase.
#[derive(Debug)]
pub struct Release;

impl Release {
    pub(crate) fn handle(self, input: Input) -> (Coordinator, Option<Effect>) {
        match input {
            Input::Recorded => (Coordinator::Closed, Some(Effect::Publish)),
            _ => (Coordinator::Release(self), None),
        }
    }
}
