use super::*;
use crate::MemoryLedger;
use crate::mechanism::tests::example;

const HOUR: u64 = 3_600_000;

fn at(
    store: &mut MemoryLedger,
    budget: DeviceBudget,
    (task, round, hour): (&str, u32, u64),
) -> Result<SpendPermit, Refusal> {
    let (task, now) = (TaskId::new(task).unwrap(), Timestamp(hour * HOUR));
    spend(
        store,
        budget,
        &task,
        RoundId(round),
        Digest([0; 32]),
        &example(),
        now,
    )
    .unwrap_or_else(|never| match never {})
}

fn ask(store: &mut MemoryLedger, budget: DeviceBudget, round: u32) -> Result<SpendPermit, Refusal> {
    at(store, budget, ("films", round, 1))
}

pub(crate) fn permit_for(mechanism: &Mechanism) -> SpendPermit {
    let (mut store, budget) = (MemoryLedger::default(), DeviceBudget::lifetime(Rho::MAX));
    let (task, ticket) = (TaskId::new("films").unwrap(), Digest([0; 32]));
    spend(
        &mut store,
        budget,
        &task,
        RoundId(1),
        ticket,
        mechanism,
        Timestamp(0),
    )
    .unwrap()
    .unwrap()
}

fn times(count: u32) -> Rho {
    (0..count).fold(Rho::ZERO, |sum, _| sum.compose(example().rho()))
}

#[test]
fn a_reservation_is_spent_and_a_round_is_answered_once() {
    let (mut store, budget) = (MemoryLedger::default(), DeviceBudget::lifetime(times(2)));
    let permit = ask(&mut store, budget, 1).unwrap();
    assert_eq!(permit.mechanism(), &example());
    assert_eq!(
        permit.into_parts(),
        (TaskId::new("films").unwrap(), RoundId(1), Digest([0; 32]))
    );
    assert_eq!(
        ask(&mut store, budget, 1).unwrap_err(),
        Refusal::AlreadyReserved
    );
    assert!(ask(&mut store, budget, 2).is_ok());
    let exhausted = Refusal::BudgetExhausted {
        spent: times(2),
        asked: times(1),
        allowed: times(2),
    };
    assert_eq!(ask(&mut store, budget, 3).unwrap_err(), exhausted);
    assert_eq!(store.lines().len(), 2);
    assert_eq!(total(store.lines()), times(2));
}

#[test]
fn one_budget_serves_all_tasks_and_a_round_number_belongs_to_its_task() {
    let (mut store, budget) = (MemoryLedger::default(), DeviceBudget::lifetime(times(2)));
    assert!(at(&mut store, budget, ("films", 1, 1)).is_ok());
    assert!(at(&mut store, budget, ("books", 1, 1)).is_ok());
    assert!(matches!(
        at(&mut store, budget, ("games", 1, 1)),
        Err(Refusal::BudgetExhausted { .. })
    ));
}

#[test]
fn the_last_unit_of_a_budget_may_be_spent_and_not_one_more() {
    for (missing, allowed) in [(0u128, true), (1, false)] {
        let budget = DeviceBudget::lifetime(
            times(1)
                .minus(Rho::saturating_from_units(missing))
                .unwrap(),
        );
        let budget = DeviceBudget {
            rho_release_max: Rho::MAX,
            ..budget
        };
        assert_eq!(
            ask(&mut MemoryLedger::default(), budget, 1).is_ok(),
            allowed
        );
    }
}

#[test]
fn what_others_hold_spent_counts_when_it_is_more() {
    let budget = DeviceBudget::lifetime(times(3));
    for (counted, allowed) in [(0, true), (1, true), (2, true), (3, false)] {
        let mut store = MemoryLedger::restored(times(counted));
        assert_eq!(ask(&mut store, budget, 1).is_ok(), allowed, "{counted}");
    }
    let mut store = MemoryLedger::restored(times(1));
    assert!(
        (1..=3).all(|round| ask(&mut store, budget, round).is_ok()),
        "the larger counts, not the sum"
    );
}

#[test]
fn a_window_renews_with_time_and_not_with_a_clock_set_back() {
    let budget = DeviceBudget {
        rho_window: times(1),
        window_hours: 24,
        ..DeviceBudget::lifetime(times(9))
    };
    let mut store = MemoryLedger::default();
    assert!(at(&mut store, budget, ("films", 1, 100)).is_ok());
    let full = Refusal::WindowExhausted {
        spent: times(1),
        asked: times(1),
        allowed: times(1),
    };
    assert_eq!(at(&mut store, budget, ("films", 2, 119)).unwrap_err(), full);
    assert_eq!(
        at(&mut store, budget, ("films", 2, 1)).unwrap_err(),
        full,
        "back"
    );
    assert!(at(&mut store, budget, ("films", 2, 120)).is_ok());
    // A year ahead and back again: that window stays the current one.
    assert!(at(&mut store, budget, ("films", 3, 120 + 8_760)).is_ok());
    assert_eq!(at(&mut store, budget, ("films", 4, 200)).unwrap_err(), full);
    assert_eq!(
        store
            .lines()
            .iter()
            .map(|line| line.hour)
            .collect::<Vec<_>>(),
        [100, 120, 8_880]
    );
}

#[test]
fn taking_part_is_limited_in_number_and_separation() {
    let budget = DeviceBudget {
        releases_max: 2,
        separation_min: 3,
        ..DeviceBudget::lifetime(times(9))
    };
    let mut store = MemoryLedger::default();
    assert!(ask(&mut store, budget, 5).is_ok());
    for round in [3, 4, 6, 7] {
        assert_eq!(
            ask(&mut store, budget, round).unwrap_err(),
            Refusal::TooSoon(3),
            "{round}"
        );
    }
    assert!(
        at(&mut store, budget, ("books", 6, 1)).is_ok(),
        "another task"
    );
    assert!(ask(&mut store, budget, 8).is_ok());
    assert_eq!(
        ask(&mut store, budget, 20).unwrap_err(),
        Refusal::TooManyReleases(2)
    );
}

#[test]
fn a_release_that_is_too_dear_or_unsound_reserves_nothing() {
    let mut store = MemoryLedger::default();
    let (asked, allowed) = (
        times(1),
        times(1).minus(Rho::saturating_from_units(1)).unwrap(),
    );
    let cheap = DeviceBudget {
        rho_release_max: allowed,
        ..DeviceBudget::lifetime(Rho::MAX)
    };
    let just = DeviceBudget {
        rho_release_max: asked,
        ..cheap
    };
    assert!(
        ask(&mut MemoryLedger::default(), just, 1).is_ok(),
        "exactly the bound is allowed"
    );
    assert_eq!(
        ask(&mut store, cheap, 1).unwrap_err(),
        Refusal::ReleaseTooDear { asked, allowed }
    );
    let (task, quiet) = (
        TaskId::new("films").unwrap(),
        Mechanism {
            sigma2: 1,
            ..example()
        },
    );
    let rich = DeviceBudget::lifetime(Rho::MAX);
    let refused = spend(
        &mut store,
        rich,
        &task,
        RoundId(1),
        Digest([0; 32]),
        &quiet,
        Timestamp(0),
    )
    .unwrap();
    assert!(matches!(refused, Err(Refusal::Mechanism(_))));
    assert!(store.lines().is_empty());
}
