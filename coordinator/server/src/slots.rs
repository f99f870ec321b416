//! Who may hold memory now: one slot an upload, one a fetch. Devices wait in line, and one that
//! wasted a slot waits behind those that did not.
//!
//! A call is counted from its first moment, and costs little until it has a slot. A slot that is
//! given back before its work was whole (late, malformed, given up) puts its device last until the
//! era changes, which is the open round for uploads and the model in force for fetches. Work that
//! stands still gives its slot to who waits and did nothing wrong: [`Pressure`].

mod pressure;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tacit_types::{DeviceId, Digest};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use self::pressure::Pressure;

/// Sizes of a [`Slots`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Slots in all; more calls wait.
    pub slots: usize,
    /// Slots of one device; more of its calls wait for each other, not for anybody else.
    pub per_device: usize,
    /// Calls of one device, whether they have a slot or not; more are sent away.
    pub calls_per_device: usize,
    /// Calls of all devices from which on a device has one, and none once it was put last.
    pub crowd: usize,
    /// Calls of all devices; more are sent away.
    pub calls: usize,
}

/// The slots of one kind of work.
#[derive(Clone)]
pub struct Slots(Arc<Shared>);

struct Shared {
    limits: Limits,
    drain: CancellationToken,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Devices with a call or a slot.
    devices: HashMap<DeviceId, Own>,
    calls: usize,
    held: usize,
    /// In order of arrival.
    waiting: BTreeMap<u64, Waiting>,
    arrivals: u64,
    /// Numbers of the slots whose work stands still, the oldest first, and how to tell them.
    standing: BTreeMap<u64, Arc<Notify>>,
    /// Those of them that were told to give way.
    told: HashSet<u64>,
    /// Devices that wasted a slot in this era.
    last: HashSet<DeviceId>,
    era: Option<Digest>,
}

/// What one device has.
#[derive(Default)]
struct Own {
    calls: usize,
    held: usize,
}

struct Waiting {
    device: DeviceId,
    turn: Arc<Notify>,
}

/// One call under way, counted until dropped.
pub struct Call {
    slots: Slots,
    device: DeviceId,
}

/// The right to hold the memory of one piece of work.
pub struct Slot {
    slots: Slots,
    device: DeviceId,
    /// In the order slots were given.
    number: u64,
    /// Its device wasted one before, in this era.
    last: bool,
    whole: bool,
}

/// A place in the line, left when dropped.
struct Place<'a> {
    call: &'a Call,
    number: u64,
    turn: Arc<Notify>,
}

impl Slots {
    /// Slots of these sizes, all free. When `drain` begins, who stands still gives its slot back.
    pub fn new(limits: Limits, drain: CancellationToken) -> Self {
        let state = Mutex::default();
        Self(Arc::new(Shared {
            limits,
            drain,
            state,
        }))
    }

    /// Counts a call; `None` when there are too many. Another era than before forgets who was put
    /// last.
    pub fn enter(&self, device: DeviceId, era: Option<Digest>) -> Option<Call> {
        let limits = self.0.limits;
        let mut state = self.state();
        state.begin(era, limits);
        let own = state.devices.get(&device).map_or(0, |own| own.calls);
        let allowed = match state.calls {
            calls if calls >= limits.calls => 0,
            calls if calls < limits.crowd => limits.calls_per_device,
            _ => usize::from(!state.last.contains(&device)),
        };
        if own >= allowed {
            return None;
        }
        state.calls += 1;
        state.devices.entry(device).or_default().calls += 1;
        Some(Call {
            slots: self.clone(),
            device,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Call {
    /// Waits for a slot. Dropping the future leaves the line.
    pub async fn slot(&self) -> Slot {
        let place = Place::take(self);
        loop {
            if let Some(slot) = place.try_slot() {
                return slot;
            }
            place.turn.notified().await;
        }
    }

    /// Puts the device last: what it began it did not go on with.
    pub fn put_last(&self) {
        let mut state = self.slots.state();
        state.last.insert(self.device);
        state.wake(self.slots.0.limits);
    }
}

impl Slot {
    /// The device did its part: giving back the slot counts nothing against it.
    pub fn whole(&mut self) {
        self.whole = true;
    }
}

impl<'a> Place<'a> {
    fn take(call: &'a Call) -> Self {
        let mut state = call.slots.state();
        let turn = Arc::new(Notify::new());
        let number = state.arrivals;
        state.arrivals += 1;
        let waiting = Waiting {
            device: call.device,
            turn: turn.clone(),
        };
        state.waiting.insert(number, waiting);
        state.press(call.slots.0.limits);
        drop(state);
        Self { call, number, turn }
    }

    /// A slot, when one is free and it is this call's turn.
    fn try_slot(&self) -> Option<Slot> {
        let Call { slots, device } = self.call;
        let mut state = slots.state();
        if state.next(slots.0.limits) != Some(self.number) {
            return None;
        }
        state.waiting.remove(&self.number);
        state.held += 1;
        state.devices.entry(*device).or_default().held += 1;
        Some(Slot {
            slots: slots.clone(),
            device: *device,
            number: self.number,
            last: state.last.contains(device),
            whole: false,
        })
    }
}

impl State {
    fn begin(&mut self, era: Option<Digest>, limits: Limits) {
        if self.era != era {
            self.era = era;
            self.last.clear();
            self.wake(limits);
        }
    }

    /// Whose turn it is: first who did nothing wrong and holds nothing, then by arrival.
    fn next(&self, limits: Limits) -> Option<u64> {
        if self.held == limits.slots {
            return None;
        }
        let rank = |(&number, one): (&u64, &Waiting)| Some((self.behind(one, limits)?, number));
        let first = self.waiting.iter().filter_map(rank).min();
        first.map(|(_, number)| number)
    }

    /// Whether a call waits behind others; `None` when its device has all it may have.
    fn behind(&self, one: &Waiting, limits: Limits) -> Option<bool> {
        let held = self.devices.get(&one.device).map_or(0, |own| own.held);
        let behind = held > 0 || self.last.contains(&one.device);
        (held < limits.per_device).then_some(behind)
    }

    /// Tells whose turn it is. Whoever takes a slot, gives one back or leaves the line calls this,
    /// so a turn that was told to a call that is gone reaches the next.
    fn wake(&self, limits: Limits) {
        let next = self
            .next(limits)
            .and_then(|next| self.waiting.get(&next));
        if let Some(next) = next {
            next.turn.notify_one();
        }
    }

    /// Forgets a device that has nothing any more.
    fn tidy(&mut self, device: DeviceId) {
        let idle = |own: &Own| own.calls == 0 && own.held == 0;
        if self.devices.get(&device).is_some_and(idle) {
            self.devices.remove(&device);
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let slots = &self.call.slots;
        let mut state = slots.state();
        state.waiting.remove(&self.number);
        state.wake(slots.0.limits);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        state.calls -= 1;
        if let Some(own) = state.devices.get_mut(&self.device) {
            own.calls -= 1;
        }
        state.tidy(self.device);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        state.held -= 1;
        if let Some(own) = state.devices.get_mut(&self.device) {
            own.held -= 1;
        }
        state.told.remove(&self.number);
        if !self.whole {
            state.last.insert(self.device);
        }
        state.tidy(self.device);
        state.wake(self.slots.0.limits);
    }
}

#[cfg(test)]
mod tests;
