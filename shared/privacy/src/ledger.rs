//! Whether one more release may be spent on this device; storage sits behind [`LedgerStore`].
//!
//! One ledger and one lifetime budget for all tasks and kinds. A reservation counts as spent from the moment it is durable,
//! whatever happens next, so a crash over-counts and never under-counts. A [`SpendPermit`] exists only after that moment and
//! can be used once.

use tacit_types::{Digest, RoundId, TaskId};

use crate::mechanism::{Mechanism, MechanismError};
use crate::rho::Rho;

/// What the device's owner may lose in total, from the pinned policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceBudget {
    /// Most that one release may cost.
    pub rho_release_max: Rho,
    /// Most that all releases together may cost.
    pub rho_lifetime: Rho,
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
}

/// Durable storage of the device ledger.
pub trait LedgerStore {
    /// What storage can fail with.
    type Error;

    /// Sum of every reservation ever made, whatever became of it.
    ///
    /// # Errors
    /// When storage fails.
    fn spent(&self) -> Result<Rho, Self::Error>;

    /// Whether (task, round) is already reserved.
    ///
    /// # Errors
    /// When storage fails.
    fn is_reserved(&self, task: &TaskId, round: RoundId) -> Result<bool, Self::Error>;

    /// Writes a reservation; on `Ok` it survives power loss.
    ///
    /// # Errors
    /// When storage fails or the key exists.
    fn reserve(&mut self, reservation: &Reservation) -> Result<(), Self::Error>;
}

/// Why a release may not be spent: an outcome, not an error.
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
        "the device's lifetime budget is used up: {spent} spent, {asked} asked, {allowed} allowed (units of 2^-64)"
    )]
    BudgetExhausted {
        /// Spent so far.
        spent: Rho,
        /// Price of this release.
        asked: Rho,
        /// The policy's bound.
        allowed: Rho,
    },
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
/// The price is recomputed here from the mechanism; nothing the coordinator claims about it is used.
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
) -> Result<Result<SpendPermit, Refusal>, S::Error> {
    if store.is_reserved(task, round)? {
        return Ok(Err(Refusal::AlreadyReserved));
    }
    let asked = match price(budget, mechanism, store.spent()?) {
        Ok(asked) => asked,
        Err(refusal) => return Ok(Err(refusal)),
    };
    store.reserve(&Reservation { task: task.clone(), round, ticket, rho: asked })?;
    Ok(Ok(SpendPermit { task: task.clone(), round, ticket, mechanism: mechanism.clone() }))
}

/// Price of `mechanism` if it fits beside `spent`.
fn price(budget: DeviceBudget, mechanism: &Mechanism, spent: Rho) -> Result<Rho, Refusal> {
    mechanism.check()?;
    let asked = mechanism.rho();
    if asked > budget.rho_release_max {
        return Err(Refusal::ReleaseTooDear { asked, allowed: budget.rho_release_max });
    }
    match budget.rho_lifetime.minus(spent) {
        Some(left) if asked <= left => Ok(asked),
        _ => Err(Refusal::BudgetExhausted { spent, asked, allowed: budget.rho_lifetime }),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::mechanism::tests::example;

    #[derive(Default)]
    struct Memory(Vec<Reservation>);

    impl LedgerStore for Memory {
        type Error = Infallible;
        fn spent(&self) -> Result<Rho, Infallible> {
            Ok(self.0.iter().fold(Rho::ZERO, |sum, line| sum.compose(line.rho)))
        }
        fn is_reserved(&self, task: &TaskId, round: RoundId) -> Result<bool, Infallible> {
            Ok(self.0.iter().any(|line| &line.task == task && line.round == round))
        }
        fn reserve(&mut self, reservation: &Reservation) -> Result<(), Infallible> {
            self.0.push(reservation.clone());
            Ok(())
        }
    }

    fn ask(
        store: &mut Memory,
        budget: DeviceBudget,
        round: u32,
        mechanism: &Mechanism,
    ) -> Result<SpendPermit, Refusal> {
        let task = TaskId::new("films").unwrap();
        spend(store, budget, &task, RoundId(round), Digest([0; 32]), mechanism).unwrap_or_else(|never| match never {})
    }

    pub(crate) fn permit_for(mechanism: &Mechanism) -> SpendPermit {
        let budget = DeviceBudget { rho_release_max: Rho::MAX, rho_lifetime: Rho::MAX };
        ask(&mut Memory::default(), budget, 1, mechanism).unwrap()
    }

    #[test]
    fn a_reservation_is_spent_and_a_round_is_answered_once() {
        let (mut store, price) = (Memory::default(), example().rho());
        let budget = DeviceBudget { rho_release_max: price, rho_lifetime: price.compose(price) };
        assert!(ask(&mut store, budget, 1, &example()).is_ok());
        assert_eq!(ask(&mut store, budget, 1, &example()).unwrap_err(), Refusal::AlreadyReserved);
        assert!(ask(&mut store, budget, 2, &example()).is_ok());
        assert!(matches!(ask(&mut store, budget, 3, &example()), Err(Refusal::BudgetExhausted { .. })));
        assert_eq!(store.0.len(), 2);
    }

    #[test]
    fn a_release_that_is_too_dear_or_unsound_reserves_nothing() {
        let mut store = Memory::default();
        let cheap = DeviceBudget { rho_release_max: Rho::from_units(1), rho_lifetime: Rho::MAX };
        assert!(matches!(ask(&mut store, cheap, 1, &example()), Err(Refusal::ReleaseTooDear { .. })));
        let rich = DeviceBudget { rho_release_max: Rho::MAX, rho_lifetime: Rho::MAX };
        let quiet = Mechanism { sigma2: 1, ..example() };
        assert!(matches!(ask(&mut store, rich, 1, &quiet), Err(Refusal::Mechanism(_))));
        assert!(store.0.is_empty());
    }
}
