//! The set is fixed; the helper is asked for exactly its mask sum, as often as it takes.

use tacit_types::ContributionId;

use crate::coordinator::{Coordinator, Effect, Input};
use crate::mask::set_digest;
use crate::phase::release::Release;

/// State of the phase.
#[derive(Debug)]
pub struct Closing {
    set: Vec<ContributionId>,
}

impl Closing {
    /// Fixes the set and asks. Also the way to resume: asking again is idempotent at the helper.
    pub fn start(set: Vec<ContributionId>) -> (Coordinator, Option<Effect>) {
        let ask = Effect::AskHelper(set.clone());
        (Coordinator::Closing(Self { set }), Some(ask))
    }

    pub(crate) fn handle(self, input: Input) -> (Coordinator, Option<Effect>) {
        match input {
            Input::Answered(answer)
                if answer.set_digest == set_digest(self.set.iter().copied())
                    && answer.contributors as usize == self.set.len() =>
            {
                (Coordinator::Release(Release), Some(Effect::Record(answer)))
            }
            Input::Answered(_) => Coordinator::abandon(
                "the helper answered for another set than it was asked for".into(),
            ),
            Input::HelperRefused(reason) => {
                Coordinator::abandon(format!("the helper refused the set: {reason}"))
            }
            _ => (Coordinator::Closing(self), None),
        }
    }
}
