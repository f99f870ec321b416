//! Who may take part in the open round, decided when a device checks in.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use tacit_proto::v2;
use tacit_proto::v2::check_in_response::Selection;
use tacit_round::lease::Lease;
use tacit_round::refusal::RefusalCode;
use tacit_types::{DeviceId, Timestamp};
use tonic::Status;

use crate::board::Board;
use crate::census;
use crate::open_round::OpenRound;
use crate::status;
use crate::storage::TaskStore;

/// Selects devices for the open round.
pub(super) struct Selections {
    pub(super) board: Arc<Board>,
    pub(super) store: Arc<dyn TaskStore>,
    pub(super) census: census::Shared,
    pub(super) now: fn() -> Timestamp,
}

impl Selections {
    /// What the open round has for a device that says why it refused the last ticket; `None` when
    /// no round is open.
    pub(super) async fn of(
        &self,
        device: DeviceId,
        refusal: Option<RefusalCode>,
    ) -> Result<Option<Selection>, Status> {
        let now = (self.now)();
        self.census
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .note(device, refusal, now);
        let Some(round) = self.board.open() else {
            return Ok(None);
        };
        let Some(lease) = round.select(device, refusal, now) else {
            return Ok(Some(Selection::NotSelected(v2::NotSelected {})));
        };

        // What is spent on a lease that a restart forgot would be refused.
        let ticket = round.ticket.hash();
        let kept = self.store.keep_lease(ticket, device, lease).await;
        kept.map_err(|error| status::storage(&error))?;
        if round.is_closed() {
            return Ok(None);
        }
        let lease = to_proto(&round, &lease, (self.now)());
        Ok(Some(Selection::Lease(lease)))
    }
}

fn to_proto(round: &OpenRound, lease: &Lease, now: Timestamp) -> v2::Lease {
    v2::Lease {
        ticket: Some(ticket(round)),
        send_after_ms: lease.send_at.millis_since(now),
        valid_ms: lease.spend_until().millis_since(now),
    }
}

fn ticket(round: &OpenRound) -> v2::SignedTicket {
    let signed = round.ticket.signed();
    v2::SignedTicket {
        ticket: Bytes::copy_from_slice(&signed.bytes),
        coordinator_signature: Bytes::copy_from_slice(&signed.coordinator_signature.0),
        helper_signature: Bytes::copy_from_slice(&signed.helper_signature.0),
    }
}
