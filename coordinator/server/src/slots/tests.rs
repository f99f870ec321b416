use tokio::task::{JoinHandle, yield_now};

use super::*;

const LIMITS: Limits = Limits {
    slots: 4,
    per_device: 2,
    calls_per_device: 8,
    crowd: 20,
    calls: 24,
};
const ERA: Option<Digest> = Some(Digest([1; 32]));

fn device(name: u8) -> DeviceId {
    DeviceId([name; 16])
}

/// Enters and waits in a task of its own, until it is in line or has its slot.
async fn ask(slots: &Slots, name: u8) -> JoinHandle<(Call, Slot)> {
    let call = slots.enter(device(name), ERA).unwrap();
    let arrivals = slots.state().arrivals;
    let asking = tokio::spawn(async move {
        let slot = call.slot().await;
        (call, slot)
    });
    while slots.state().arrivals == arrivals {
        yield_now().await;
    }
    asking
}

/// A slot that is free.
async fn take(slots: &Slots, name: u8) -> (Call, Slot) {
    ask(slots, name).await.await.unwrap()
}

async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

fn assert_idle(slots: &Slots) {
    let state = slots.state();
    assert_eq!((state.calls, state.held), (0, 0));
    assert!(state.devices.is_empty() && state.waiting.is_empty());
}

#[tokio::test]
async fn a_device_with_every_call_waiting_holds_its_two_slots_and_no_more() {
    let slots = Slots::new(LIMITS, CancellationToken::new());
    let mut asking = Vec::new();
    for _ in 0..LIMITS.calls_per_device {
        asking.push(ask(&slots, 1).await);
    }
    settle().await;
    assert!(slots.enter(device(1), ERA).is_none());
    assert_eq!(slots.state().held, LIMITS.per_device);
    drop(take(&slots, 2).await);
    for one in asking {
        drop(one.await.unwrap());
    }
    assert_idle(&slots);
}

/// HOSTILE 22.
#[tokio::test]
async fn a_call_given_up_at_any_wait_is_not_counted_on_and_its_turn_passes_on() {
    let slots = Slots::new(LIMITS, CancellationToken::new());
    let mut held = Vec::new();
    for name in [1, 2, 3, 4] {
        held.push(take(&slots, name).await);
    }
    let (first, second) = (ask(&slots, 5).await, ask(&slots, 6).await);
    first.abort();
    assert!(first.await.is_err());
    let counted = |state: &State| (state.calls, state.waiting.len());
    assert_eq!(counted(&slots.state()), (5, 1));

    // Given up after it was told that it is its turn, and before it took it.
    let third = ask(&slots, 7).await;
    held.pop();
    second.abort();
    let seventh = third.await.unwrap();
    assert!(second.await.is_err());
    drop((held, seventh));
    assert_idle(&slots);
}

/// HOSTILE 21, 23.
#[tokio::test]
async fn who_wasted_a_slot_waits_behind_who_did_not_until_the_next_era() {
    let slots = Slots::new(LIMITS, CancellationToken::new());
    drop(take(&slots, 9).await);
    let (call, mut slot) = take(&slots, 8).await;
    slot.whole();
    drop((call, slot));
    assert!(slots.state().last.contains(&device(9)) && !slots.state().last.contains(&device(8)));

    let mut held = Vec::new();
    for name in [1, 2, 3, 4] {
        held.push(take(&slots, name).await);
    }
    let wasted = ask(&slots, 9).await;
    let second = ask(&slots, 1).await;
    let first = ask(&slots, 8).await;
    held.pop();
    held.push(first.await.unwrap());
    settle().await;
    assert!(!wasted.is_finished() && !second.is_finished());
    assert!(slots.enter(device(9), Some(Digest([2; 32]))).is_some());
    held.pop();
    held.push(wasted.await.unwrap());
    drop(held);
    drop(second.await.unwrap());
    assert_idle(&slots);
}

/// HOSTILE 21: a crowd of silent calls leaves room for who has none, and none for who failed.
#[tokio::test]
async fn in_a_crowd_a_device_has_one_call_and_none_once_it_failed() {
    let slots = Slots::new(LIMITS, CancellationToken::new());
    let mut calls = Vec::new();
    for name in 1..=3 {
        for _ in 0..LIMITS.calls_per_device {
            calls.extend(slots.enter(device(name), ERA));
        }
    }
    assert_eq!(calls.len(), LIMITS.crowd, "the third got four");
    assert!(slots.enter(device(3), ERA).is_none());
    let call = slots.enter(device(4), ERA).unwrap();
    call.put_last();
    drop(call);
    assert!(slots.enter(device(4), ERA).is_none());
    for name in 5..9 {
        calls.push(slots.enter(device(name), ERA).unwrap());
    }
    assert!(slots.enter(device(10), ERA).is_none(), "all are taken");
    drop(calls);
    assert_idle(&slots);
}

/// HOSTILE 19, 21, 23: work that stands still keeps its slot until somebody waits who did nothing
/// wrong, and then the oldest goes; work that gets on is not asked.
#[tokio::test]
async fn what_stands_still_gives_way_to_who_waits() {
    let slots = Slots::new(LIMITS, CancellationToken::new());
    let mut held = Vec::new();
    for name in 1..=4 {
        held.push(take(&slots, name).await);
    }
    let standing: Vec<_> = held[1..3]
        .iter()
        .map(|(_, slot)| slot.pressure())
        .map(|pressure| tokio::spawn(async move { pressure.give_way().await }))
        .collect();
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    assert_eq!(slots.state().standing.len(), 2);
    assert!(standing.iter().all(|one| !one.is_finished()));

    let waiting = ask(&slots, 5).await;
    settle().await;
    assert!(standing[0].is_finished() && !standing[1].is_finished());
    held.remove(1);
    let fifth = waiting.await.unwrap();
    // The one that gave way is last, and nobody gives way to it.
    let again = ask(&slots, 2).await;
    settle().await;
    assert!(!standing[1].is_finished());
    // To another the second does.
    let other = ask(&slots, 6).await;
    settle().await;
    assert!(standing[1].is_finished());
    held.clear();
    drop(fifth);
    drop((again.await.unwrap(), other.await.unwrap()));
    assert!(slots.state().standing.is_empty() && slots.state().told.is_empty());
    assert_idle(&slots);
}

/// HOSTILE 106: in a drain nobody is waited for who stands still.
#[tokio::test]
async fn what_stands_still_does_not_hold_a_drain() {
    let drain = CancellationToken::new();
    let slots = Slots::new(LIMITS, drain.clone());
    let (_call, slot) = take(&slots, 1).await;
    let pressure = slot.pressure();
    let standing = tokio::spawn(async move { pressure.give_way().await });
    // One that has not sent its header yet has no slot.
    let silent = slots.enter(device(2), None).unwrap();
    let waiting = tokio::spawn(async move { silent.give_way().await });
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    assert!(!standing.is_finished() && !waiting.is_finished());
    drain.cancel();
    standing.await.unwrap();
    waiting.await.unwrap();
}
