//! The round that takes contributions, as check-ins, uploads and the driver share it.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rand::TryRng;
use tacit_round::lease::{Lease, Leases, Selection};
use tacit_round::refusal::RefusalCode;
use tacit_round::seal::SEALED_LEN;
use tacit_round::ticket::ParsedTicket;
use tacit_types::{DeviceId, Timestamp};

/// A round that takes contributions.
#[derive(Debug)]
pub struct OpenRound {
    /// The ticket as every device gets it.
    pub ticket: ParsedTicket,
    /// When it opened.
    pub opened: Timestamp,
    leases: Mutex<Leases>,
    /// Why the helper will never answer for it, once that is known.
    lost: OnceLock<String>,
}

impl OpenRound {
    /// A round and who was selected in it so far.
    pub fn new(ticket: ParsedTicket, opened: Timestamp, leases: Leases) -> Self {
        Self {
            ticket,
            opened,
            leases: Mutex::new(leases),
            lost: OnceLock::new(),
        }
    }

    /// Bytes of one contribution's vector.
    pub fn vector_bytes(&self) -> usize {
        4 * self.ticket.content().mechanism.sent_length() as usize
    }

    /// Bytes one upload may hold in memory.
    pub fn upload_bytes(&self) -> usize {
        self.vector_bytes() + SEALED_LEN
    }

    /// The lease of a device that checks in; make it durable before it is said. A device that says
    /// it refused the last ticket it got, and has a lease on this one, gives it back.
    pub fn select(
        &self,
        device: DeviceId,
        refusal: Option<RefusalCode>,
        now: Timestamp,
    ) -> Option<Lease> {
        let mut leases = self.leases();
        if refusal.is_some() {
            leases.declined(device);
        }
        match leases.ask(device, now, random()) {
            Selection::Granted(lease) | Selection::Held(lease) => Some(lease),
            Selection::Not => None,
        }
    }

    /// Whether this device was ever selected for the round.
    pub fn holds(&self, device: DeviceId) -> bool {
        self.leases().is_held(device)
    }

    /// A device's contribution is durable.
    pub fn answered(&self, device: DeviceId) {
        self.leases().answered(device);
    }

    /// Nothing of this device will count: it is not waited for.
    pub fn declined(&self, device: DeviceId) {
        self.leases().declined(device);
    }

    /// Devices that were selected and may still send.
    pub fn awaited(&self, now: Timestamp) -> usize {
        self.leases().awaited(now)
    }

    /// Selects nobody from now on; gives the share of the selected that did not answer,
    /// thousandths, unless nobody was selected.
    pub fn close(&self) -> Option<u32> {
        let mut leases = self.leases();
        leases.close();
        leases.dropout_milli()
    }

    /// The helper has said that it knows the round no more: nobody else should spend for it.
    pub fn lose(&self, reason: &str) {
        self.leases().close();
        self.lost.get_or_init(|| reason.to_owned());
    }

    /// Why the helper will never answer for it.
    pub fn lost(&self) -> Option<String> {
        self.lost.get().cloned()
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.leases().is_closed()
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Uniform: spreads devices, protects nothing.
fn random() -> u32 {
    rand::rngs::SysRng.try_next_u32().unwrap_or(0)
}
