//! What one step of an installation did, by what an app can make of it.

use std::time::Duration;

use tacit_privacy::ledger::Refusal;
use tacit_round::device;

use super::conditions::Missing;
use crate::agent::Step;
use crate::error::SdkError;
use crate::reason::{Reason, Unenrolled};

/// When a step that nothing stands against but the host's conditions may be tried again.
const CONDITIONS_CHANGE: Duration = Duration::from_secs(15 * 60);

/// What one step did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stepped {
    /// How it ended.
    pub outcome: Outcome,
    /// When to call again.
    pub call_again: Duration,
    /// Bytes of a contribution sent.
    pub bytes_up: u64,
    /// Bytes of models and catalogues fetched.
    pub bytes_down: u64,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// A contribution was counted.
    Contributed,
    /// A contribution is ready and durable, and its time to be sent has not come.
    Prepared,
    /// One was spent on, and the round ended without it.
    Missed,
    /// Lists come from a new model.
    NewModel,
    /// A round is open, and this device has no place in it, or has had it.
    NotSelected,
    /// There is nothing to take part in just now, and nothing new.
    NothingOpen,
    /// The task is over; its last model serves here.
    Retired,
    /// The conditions or the consent for it are missing; nobody was asked.
    NotNow(Missing),
    /// Something is not as it should be and mends itself: the network, the coordinator, this
    /// device's memory.
    TryLater(Reason),
    /// This device's clock is wrong by at least so much.
    ClockWrong {
        /// Milliseconds.
        by_ms: u64,
        /// Whether it is ahead, and not behind.
        ahead: bool,
    },
    /// The budget has no room for this release: for good, or in this window.
    BudgetUsed {
        /// Whether no later window has room.
        for_good: bool,
    },
    /// What was offered is not what the app's publisher allows. Nothing was spent.
    Declined(String),
    /// This installation has no identity that the coordinator takes: enrol it with a new token.
    NeedsEnrolment(Unenrolled),
    /// It was cancelled. The next step goes on with what is durable.
    Cancelled,
}

impl Stepped {
    /// Nothing was done, because this is missing.
    pub(super) fn not_now(missing: Missing) -> Self {
        Self::nothing(Outcome::NotNow(missing), CONDITIONS_CHANGE)
    }

    pub(super) fn unenrolled(why: Unenrolled) -> Self {
        Self::nothing(Outcome::NeedsEnrolment(why), CONDITIONS_CHANGE)
    }

    fn nothing(outcome: Outcome, call_again: Duration) -> Self {
        Self {
            outcome,
            call_again,
            bytes_up: 0,
            bytes_down: 0,
        }
    }

    /// What an action of the agent comes to; `None` stands for one that was cancelled.
    ///
    /// # Errors
    /// What no waiting and no enrolment mends.
    pub(super) fn of(ended: Result<Option<Step>, SdkError>) -> Result<Self, SdkError> {
        match ended {
            Ok(Some(step)) => Ok(Self {
                outcome: outcome(&step),
                call_again: step.retry_after,
                bytes_up: step.bytes_up,
                bytes_down: step.bytes_down,
            }),
            Ok(None) => Ok(Self::nothing(Outcome::Cancelled, Duration::ZERO)),
            Err(SdkError::RetryLater { after, reason, .. }) => {
                Ok(Self::nothing(waiting_for(reason), after))
            }
            Err(SdkError::NotEnrolled(why)) => Ok(Self::unenrolled(why)),
            Err(error) => Err(error),
        }
    }
}

fn outcome(step: &Step) -> Outcome {
    if step.withheld {
        return Outcome::NotNow(Missing::Consent);
    }
    match (&step.later, &step.outcome) {
        (Some(reason), _) => waiting_for(*reason),
        (None, Some(ended)) => of_round(ended),
        (None, None) if step.new_model => Outcome::NewModel,
        (None, None) if step.finished => Outcome::Retired,
        (None, None) if step.prepared => Outcome::Prepared,
        (None, None) if step.not_selected => Outcome::NotSelected,
        (None, None) => Outcome::NothingOpen,
    }
}

fn waiting_for(reason: Reason) -> Outcome {
    match reason {
        Reason::ClockAhead { by_ms } => Outcome::ClockWrong { by_ms, ahead: true },
        Reason::ClockBehind { by_ms } => Outcome::ClockWrong {
            by_ms,
            ahead: false,
        },
        Reason::OwnCertificate => Outcome::NeedsEnrolment(Unenrolled::NotTaken),
        Reason::Revoked => Outcome::NeedsEnrolment(Unenrolled::Revoked),
        reason => Outcome::TryLater(reason),
    }
}

/// How a round ended for this device.
fn of_round(ended: &device::Outcome) -> Outcome {
    match ended {
        device::Outcome::Acknowledged => Outcome::Contributed,
        device::Outcome::TooLate | device::Outcome::Forfeited => Outcome::Missed,
        device::Outcome::TicketRefused(refusal) => Outcome::Declined(refusal.to_string()),
        device::Outcome::SpendRefused(refusal) => of_ledger(refusal),
    }
}

/// Why the device's own ledger refused.
fn of_ledger(refusal: &Refusal) -> Outcome {
    match refusal {
        Refusal::BudgetExhausted { .. } | Refusal::TooManyReleases(_) => {
            Outcome::BudgetUsed { for_good: true }
        }
        Refusal::WindowExhausted { .. } | Refusal::TooSoon(_) => {
            Outcome::BudgetUsed { for_good: false }
        }
        Refusal::AlreadyReserved => Outcome::NotSelected,
        other => Outcome::Declined(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use tacit_round::policy::TicketRefusal;

    use super::*;

    /// Every ending of a step has an outcome of its own.
    #[test]
    fn what_an_app_has_to_tell_apart_is_told_apart() {
        let with = |change: fn(&mut Step)| {
            let mut step = Step::default();
            change(&mut step);
            outcome(&step)
        };
        let declined = TicketRefusal::Signature;
        let clock = Outcome::ClockWrong {
            by_ms: 7,
            ahead: true,
        };
        assert_eq!(with(|_| {}), Outcome::NothingOpen);
        assert_eq!(with(|step| step.not_selected = true), Outcome::NotSelected);
        assert_eq!(with(|step| step.prepared = true), Outcome::Prepared);
        assert_eq!(with(|step| step.finished = true), Outcome::Retired);
        assert_eq!(with(|step| step.new_model = true), Outcome::NewModel);
        let late = with(|step| step.later = Some(Reason::ClockAhead { by_ms: 7 }));
        assert_eq!(late, clock);
        let refused = device::Outcome::TicketRefused(declined.clone());
        assert_eq!(of_round(&refused), Outcome::Declined(declined.to_string()));
        let not_taken = Outcome::NeedsEnrolment(Unenrolled::NotTaken);
        assert_eq!(waiting_for(Reason::OwnCertificate), not_taken);
    }

    #[test]
    fn a_budget_that_is_used_says_whether_for_good() {
        let for_good = of_ledger(&Refusal::TooManyReleases(3));
        assert_eq!(for_good, Outcome::BudgetUsed { for_good: true });
        let for_now = of_ledger(&Refusal::TooSoon(3));
        assert_eq!(for_now, Outcome::BudgetUsed { for_good: false });
    }

    #[test]
    fn what_only_a_person_mends_stays_an_error() {
        let stopped = Stepped::of(Err(SdkError::Stop("the disk is full".into())));
        assert!(matches!(stopped, Err(SdkError::Stop(_))));
        let cancelled = Stepped::of(Ok(None)).unwrap();
        assert_eq!(cancelled.outcome, Outcome::Cancelled);
        let revoked = Stepped::of(Err(SdkError::NotEnrolled(Unenrolled::Revoked))).unwrap();
        let expected = Outcome::NeedsEnrolment(Unenrolled::Revoked);
        assert_eq!(revoked.outcome, expected);
    }
}
