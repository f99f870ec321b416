//! Accounts and objects, in memory.

use std::collections::BTreeMap;

use tacit_privacy::Rho;
use tacit_privacy::canonical::digest;
use tacit_server::storage::{Accounts, Answer, ObjectError, Objects};
use tacit_types::{DeviceId, Digest, TaskId};

use super::Lossy;

/// What [`tacit_server::storage::Accounts`] keeps.
#[derive(Clone, Default)]
pub(super) struct Counted {
    totals: BTreeMap<(DeviceId, TaskId), Rho>,
    settled: BTreeMap<TaskId, Digest>,
}

impl Accounts for Lossy {
    fn spent(&self, device: DeviceId) -> Answer<Rho> {
        self.call(|disk| {
            let totals = disk.counted.totals.iter();
            let own = totals.filter(|((one, _), _)| *one == device);
            Ok(own.fold(Rho::ZERO, |sum, (_, rho)| sum.compose(*rho)))
        })
    }

    fn settle(
        &self,
        task: TaskId,
        totals: Vec<(DeviceId, Rho)>,
        line: Option<Digest>,
    ) -> Answer<()> {
        self.call(|disk| {
            let counted = &mut disk.counted;
            for (device, rho) in totals {
                counted.totals.insert((device, task.clone()), rho);
            }
            let settled = counted.settled.entry(task).or_insert(Digest([0; 32]));
            *settled = line.unwrap_or(*settled);
            Ok(())
        })
    }

    fn totals(
        &self,
        task: TaskId,
        after: Option<DeviceId>,
        limit: usize,
    ) -> Answer<Vec<(DeviceId, Rho)>> {
        self.call(|disk| {
            let totals = disk.counted.totals.iter();
            let own = totals.filter(|((device, of), _)| *of == task && Some(*device) > after);
            let page = own
                .map(|((device, _), rho)| (*device, *rho))
                .take(limit);
            Ok(page.collect())
        })
    }

    fn settled(&self, task: TaskId) -> Answer<Option<Digest>> {
        self.call(|disk| Ok(disk.counted.settled.get(&task).copied()))
    }
}

impl Objects for Lossy {
    fn put(&self, bytes: Vec<u8>) -> Answer<Digest> {
        self.call(|disk| {
            let hash = digest(&bytes);
            disk.objects.insert(hash, bytes);
            Ok(hash)
        })
    }

    fn get(&self, hash: Digest) -> Answer<Vec<u8>, ObjectError> {
        let found = self.with(|machine| machine.call(|disk| Ok(disk.objects.get(&hash).cloned())));
        Answer::ready(match found {
            Ok(found) => found.ok_or(ObjectError::NotFound(hash)),
            Err(_) => Err(ObjectError::Ended),
        })
    }
}
