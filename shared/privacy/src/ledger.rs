//! Whether one more release may be spent on this device; storage sits behind [`LedgerStore`].
//!
//! One ledger and one lifetime budget for all tasks and kinds. A reservation counts as spent from
//! the moment it is durable, whatever happens next, so a crash over-counts and never under-counts.
//! A [`SpendPermit`] exists only after that moment and can be used once.

use tacit_types::{Digest, RoundId, TaskId, Timestamp};

use crate::exact::Exact;
use crate::mechanism::{Mechanism, MechanismError};
use crate::record::time_bucket;
use crate::rho::Rho;

/// What the device's owner may lose, and how often they take part, from the pinned policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceBudget {
    /// Most that one release may cost.
    pub rho_release_max: Rho,
    /// Most that all releases together may cost, for ever.
    pub rho_lifetime: Rho,
    /// Most that the releases of one window may cost; a new window begins every `window_hours`.
    pub rho_window: Rho,
    /// Length of a window in hours, at least 1.
    pub window_hours: u32,
    /// Participation limit: most releases of one task.
    pub releases_max: u32,
    /// Minimum separation: rounds of one task from one participation to the next, at least 1.
    pub separation_min: u32,
}

impl DeviceBudget {
    /// No bound but the lifetime's: one window without end.
    pub fn lifetime(rho: Rho) -> Self {
        let (window_hours, releases_max) = (u32::MAX, u32::MAX);
        let (rho_release_max, rho_lifetime, rho_window) = (rho, rho, rho);
        Self {
            rho_release_max,
            rho_lifetime,
            rho_window,
            window_hours,
            releases_max,
            separation_min: 1,
        }
    }
}

/// One line of the device ledger, as it becomes durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Task of the release.
    pub task: TaskId,
    /// Round of the release; (task, round) is the key.
    pub round: RoundId,
    /// Hash of the ticket that was accepted.
    pub ticket: Digest,
    /// Price, counted as spent from now on.
    pub rho: Rho,
    /// Hour since the Unix epoch, never before that of an earlier line: setting the clock back
    /// opens no window again.
    pub hour: u64,
}

/// Durable storage of the device ledger.
pub trait LedgerStore {
    /// What storage can fail with.
    type Error;

    /// Every reservation ever made, whatever became of it, in any order.
    ///
    /// # Errors
    /// When storage fails or a line cannot be read: then nothing may be spent.
    fn reservations(&self) -> Result<Vec<Reservation>, Self::Error>;

    /// What this identity was counted for in all, as others hold, or zero. This total exceeds the
    /// sum of [`Self::reservations`] when this ledger was restored from an old copy or runs on two
    /// devices; the larger of the two counts.
    ///
    /// # Errors
    /// When storage fails.
    fn counted(&self) -> Result<Rho, Self::Error>;

    /// Writes a reservation; on `Ok` it survives power loss.
    ///
    /// # Errors
    /// When storage fails or the key exists.
    fn reserve(&mut self, reservation: &Reservation) -> Result<(), Self::Error>;
}

/// Why a release may not be spent: an outcome, not an error. Sums of rho are in units of 2^-64.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The ticket's numbers are not a sound mechanism.
    #[error("the ticket's mechanism is not sound: {0}")]
    Mechanism(#[from] MechanismError),
    /// One release would cost more than the policy allows.
    #[error("one release would cost rho {asked} of at most {allowed} (units of 2^-64)")]
    ReleaseTooDear {
        /// Price of this release.
        asked: Rho,
        /// The policy's bound.
        allowed: Rho,
    },
    /// The lifetime budget would be passed.
    #[error(
        "the device's lifetime budget is used up: {spent} spent, {asked} asked, {allowed} allowed \
         (units of 2^-64)"
    )]
    BudgetExhausted {
        /// Spent so far.
        spent: Rho,
        /// Price of this release.
        asked: Rho,
        /// The policy's bound.
        allowed: Rho,
    },
    /// The budget of the window would be passed; the next window may have room.
    #[error(
        "this window's budget is used up: {spent} spent, {asked} asked, {allowed} allowed (units \
         of 2^-64)"
    )]
    WindowExhausted {
        /// Spent in this window.
        spent: Rho,
        /// Price of this release.
        asked: Rho,
        /// The policy's bound.
        allowed: Rho,
    },
    /// The participation limit of the task is reached.
    #[error("this device has taken part in the task's most releases, {0}")]
    TooManyReleases(u32),
    /// Too close to an earlier participation in the same task.
    #[error("the last participation in this task is fewer than {0} rounds away")]
    TooSoon(u32),
    /// This round was already answered or forfeited; noise is never drawn twice.
    #[error("this round is already reserved")]
    AlreadyReserved,
}

/// The right to make exactly one release, with the numbers it was granted for.
///
/// No `Clone`, no public constructor: only [`spend`] makes one, after the reservation is durable.
#[derive(Debug)]
pub struct SpendPermit {
    task: TaskId,
    round: RoundId,
    ticket: Digest,
    mechanism: Mechanism,
}

impl SpendPermit {
    /// Numbers of the release this permit is for.
    pub fn mechanism(&self) -> &Mechanism {
        &self.mechanism
    }

    pub(crate) fn into_parts(self) -> (TaskId, RoundId, Digest) {
        (self.task, self.round, self.ticket)
    }
}

/// Asks whether a release fits, reserves it durably, and only then hands out the permit.
///
/// The price is recomputed here from the mechanism; nothing the coordinator claims about it is
/// used.
///
/// # Errors
/// Storage errors, in which case nothing may be sent. A refusal is the inner `Err`.
pub fn spend<S: LedgerStore>(
    store: &mut S,
    budget: DeviceBudget,
    task: &TaskId,
    round: RoundId,
    ticket: Digest,
    mechanism: &Mechanism,
    now: Timestamp,
) -> Result<Result<SpendPermit, Refusal>, S::Error> {
    let lines = store.reservations()?;
    let rho = match price(budget, mechanism) {
        Ok(rho) => rho,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let hour = lines
        .iter()
        .map(|line| line.hour)
        .fold(time_bucket(now), u64::max);
    let asked = Reservation {
        task: task.clone(),
        round,
        ticket,
        rho,
        hour,
    };
    if let Err(refusal) = admits(budget, &lines, store.counted()?, &asked) {
        return Ok(Err(refusal));
    }
    store.reserve(&asked)?;
    Ok(Ok(SpendPermit {
        task: asked.task,
        round,
        ticket,
        mechanism: mechanism.clone(),
    }))
}

/// Price of `mechanism`, if one release may cost so much.
fn price(budget: DeviceBudget, mechanism: &Mechanism) -> Result<Rho, Refusal> {
    mechanism.check()?;
    let asked = mechanism.rho();
    let allowed = budget.rho_release_max;
    if asked > allowed {
        Err(Refusal::ReleaseTooDear { asked, allowed })
    } else {
        Ok(asked)
    }
}

/// Refuses `asked` if it does not fit on top of everything before it.
fn admits(
    budget: DeviceBudget,
    lines: &[Reservation],
    counted: Rho,
    asked: &Reservation,
) -> Result<(), Refusal> {
    let same_task = || lines.iter().filter(|line| line.task == asked.task);
    if same_task().any(|line| line.round == asked.round) {
        return Err(Refusal::AlreadyReserved);
    }
    if same_task().count() >= budget.releases_max as usize {
        return Err(Refusal::TooManyReleases(budget.releases_max));
    }
    if same_task().any(|line| line.round.0.abs_diff(asked.round.0) < budget.separation_min) {
        return Err(Refusal::TooSoon(budget.separation_min));
    }
    let rho = asked.rho;
    let (spent, allowed) = (total(lines).max(counted), budget.rho_lifetime);
    if !fits(spent, rho, allowed) {
        return Err(Refusal::BudgetExhausted {
            spent,
            asked: rho,
            allowed,
        });
    }
    let window = |line: &Reservation| line.hour.over(u64::from(budget.window_hours.max(1)));
    let spent = total(
        lines
            .iter()
            .filter(|line| window(line) == window(asked)),
    );
    let allowed = budget.rho_window;
    if fits(spent, rho, allowed) {
        Ok(())
    } else {
        Err(Refusal::WindowExhausted {
            spent,
            asked: rho,
            allowed,
        })
    }
}

fn fits(spent: Rho, asked: Rho, allowed: Rho) -> bool {
    allowed.minus(spent).is_some_and(|left| asked <= left)
}

/// Sum of the prices of these lines.
pub fn total<'a>(lines: impl IntoIterator<Item = &'a Reservation>) -> Rho {
    lines
        .into_iter()
        .fold(Rho::ZERO, |sum, line| sum.compose(line.rho))
}

#[cfg(test)]
pub(crate) mod tests;
