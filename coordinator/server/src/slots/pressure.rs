//! Who holds a slot and does not get on with it gives way to who waits.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::{Call, Limits, Slot, Slots, State};

/// Work stands still when nothing happened for so long.
const STILL: Duration = Duration::from_secs(1);
/// The same before an upload has a slot.
const STILL_BEFORE: Duration = Duration::from_secs(4);
/// The same for a device that has wasted a slot before.
const STILL_LAST: Duration = Duration::from_millis(250);

/// The part of a [`Slot`] that hears of others, without holding it.
#[derive(Clone)]
pub struct Pressure {
    slots: Slots,
    number: u64,
    still: Duration,
}

/// Work that stands still, until dropped.
struct Standing<'a> {
    pressure: &'a Pressure,
    heard: bool,
}

impl Slot {
    /// How the holder hears that others wait.
    pub fn pressure(&self) -> Pressure {
        Pressure {
            slots: self.slots.clone(),
            number: self.number,
            still: if self.last { STILL_LAST } else { STILL },
        }
    }
}

impl Call {
    /// Ends in a drain, when the call has stood still for four seconds since: whoever has not begun
    /// an upload loses nothing, and the end does not wait for it.
    pub async fn give_way(&self) {
        sleep(STILL_BEFORE).await;
        self.slots.0.drain.cancelled().await;
    }
}

impl Pressure {
    /// Ends when the work has stood still for a second since this call, every slot is taken, and
    /// somebody waits who did nothing wrong; of those who stand still, the oldest is told. In a
    /// drain it ends as soon as the work has stood still. Whoever gets on with its work drops the
    /// future and calls again.
    pub async fn give_way(&self) {
        sleep(self.still).await;
        let told = Arc::new(Notify::new());
        let mut standing = Standing::new(self, told.clone());
        tokio::select! {
            () = told.notified() => standing.heard = true,
            () = self.slots.0.drain.cancelled() => {}
        }
    }
}

impl Pressure {
    /// Ends when the drain begins.
    pub async fn draining(&self) {
        self.slots.0.drain.cancelled().await;
    }
}

impl<'a> Standing<'a> {
    fn new(pressure: &'a Pressure, told: Arc<Notify>) -> Self {
        let Pressure { slots, number, .. } = pressure;
        let mut state = slots.state();
        state.standing.insert(*number, told);
        state.press(slots.0.limits);
        drop(state);
        Self {
            pressure,
            heard: false,
        }
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        let Pressure { slots, number, .. } = self.pressure;
        let mut state = slots.state();
        state.standing.remove(number);
        // It was told and goes on all the same: somebody else must give way.
        if !self.heard && state.told.remove(number) {
            state.press(slots.0.limits);
        }
    }
}

impl State {
    /// Tells as many slots to give way as there are calls that wait for one and did nothing wrong.
    pub(super) fn press(&mut self, limits: Limits) {
        let waiting = self.waiting.values();
        let first = waiting.filter(|one| self.behind(one, limits) == Some(false));
        let claims = first.count();
        let coming = limits.slots - self.held + self.told.len();
        for _ in coming..claims {
            let Some((number, told)) = self.standing.pop_first() else {
                return;
            };
            self.told.insert(number);
            told.notify_one();
        }
    }
}
