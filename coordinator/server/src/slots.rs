//! Who may upload now. Memory bounds the uploads of all devices together; no device may hold more
//! than its part.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tacit_types::DeviceId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Uploads in memory at once; more wait.
const UPLOADS_MAX: usize = 64;
/// Uploads of one device in memory at once; more of them wait for each other, not for anybody else.
const PER_DEVICE: usize = 2;
/// Calls of one device that upload or wait; more are sent away.
const CALLS_PER_DEVICE: usize = 32;

/// The slots of one coordinator.
#[derive(Clone)]
pub struct UploadSlots(Arc<Slots>);

struct Slots {
    all: Arc<Semaphore>,
    /// Devices with a call under way.
    devices: Mutex<HashMap<DeviceId, Own>>,
}

/// One device's calls.
struct Own {
    calls: usize,
    slots: Arc<Semaphore>,
}

/// The right to hold one upload in memory.
pub struct Slot {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
    _call: Call,
}

/// One call under way, counted until dropped.
struct Call {
    slots: UploadSlots,
    device: DeviceId,
}

impl Default for UploadSlots {
    fn default() -> Self {
        Self(Arc::new(Slots {
            all: Arc::new(Semaphore::new(UPLOADS_MAX)),
            devices: Mutex::default(),
        }))
    }
}

impl UploadSlots {
    /// Waits for a slot, first behind the device's own uploads; `None` when too many calls of this
    /// device wait already.
    pub async fn acquire(&self, device: DeviceId) -> Option<Slot> {
        let (call, own) = self.enter(device)?;
        let own = own.acquire_owned().await.ok()?;
        let all = self.0.all.clone().acquire_owned().await.ok()?;
        Some(Slot {
            _all: all,
            _own: own,
            _call: call,
        })
    }

    fn enter(&self, device: DeviceId) -> Option<(Call, Arc<Semaphore>)> {
        let mut devices = self.devices();
        let own = devices.entry(device).or_insert_with(|| Own {
            calls: 0,
            slots: Arc::new(Semaphore::new(PER_DEVICE)),
        });
        if own.calls == CALLS_PER_DEVICE {
            return None;
        }
        own.calls += 1;
        Some((
            Call {
                slots: self.clone(),
                device,
            },
            own.slots.clone(),
        ))
    }

    fn devices(&self) -> MutexGuard<'_, HashMap<DeviceId, Own>> {
        self.0
            .devices
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut devices = self.slots.devices();
        if let Some(own) = devices.get_mut(&self.device) {
            own.calls -= 1;
            if own.calls == 0 {
                devices.remove(&self.device);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::{JoinSet, yield_now};

    use super::*;

    fn device(name: u8) -> DeviceId {
        DeviceId([name; 16])
    }

    #[tokio::test]
    async fn a_device_with_every_call_waiting_holds_its_two_slots_and_no_more() {
        let slots = UploadSlots::default();
        let held = [
            slots.acquire(device(1)).await.unwrap(),
            slots.acquire(device(1)).await.unwrap(),
        ];
        let mut waiting = JoinSet::new();
        for _ in 2..CALLS_PER_DEVICE {
            let slots = slots.clone();
            waiting.spawn(async move { slots.acquire(device(1)).await.is_some() });
        }
        while slots.devices()[&device(1)].calls < CALLS_PER_DEVICE {
            yield_now().await;
        }
        assert!(slots.acquire(device(1)).await.is_none());
        assert_eq!(slots.0.all.available_permits(), UPLOADS_MAX - PER_DEVICE);
        assert!(slots.acquire(device(2)).await.is_some());
        drop(held);
        assert!(
            waiting.join_all().await.into_iter().all(|got| got),
            "the others followed one by one"
        );
        assert!(slots.devices().is_empty() && slots.0.all.available_permits() == UPLOADS_MAX);
    }

    /// HOSTILE 22.
    #[tokio::test]
    async fn a_call_given_up_while_waiting_is_not_counted_on() {
        let slots = UploadSlots::default();
        let held = [
            slots.acquire(device(1)).await.unwrap(),
            slots.acquire(device(1)).await.unwrap(),
        ];
        let waiting = tokio::spawn({
            let slots = slots.clone();
            async move { slots.acquire(device(1)).await.is_some() }
        });
        while slots.devices()[&device(1)].calls < 3 {
            yield_now().await;
        }
        waiting.abort();
        assert!(waiting.await.is_err());
        assert_eq!(slots.devices()[&device(1)].calls, 2);
        drop(held);
        assert!(slots.devices().is_empty());
    }
}
