//! The devices of the round: each makes its bytes once for a ticket, and sends the same until it is
//! acknowledged.

use std::time::Duration;

use tacit_round::coordinator::Contribution;
use tacit_round::helper::SealedSeed;
use tacit_server::ServerError;
use tacit_server::board::Board;
use tacit_server::census;
use tacit_server::helper::HelperClient;
use tacit_server::ingest::{Accepted, Arrival};
use tacit_server::open_round::OpenRound;
use tacit_server::slots::{Limits, Slots};
use tacit_server::storage::TaskStore;
use tacit_tests::bare;
use tacit_types::{Commitment, ContributionId, DeviceId, Digest};
use tacit_wire::clock;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// The whole cohort.
pub(crate) const DEVICES: u8 = 4;
/// Between two looks at the board.
const PAUSE: Duration = Duration::from_millis(2);
const LIMITS: Limits = Limits {
    slots: 8,
    per_device: 1,
    calls_per_device: 1,
    crowd: 8,
    calls: 8,
};

/// One device.
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    /// In every place of its vector.
    pub(crate) value: u32,
    /// Ticket under which it was told that it counts.
    pub(crate) acknowledged: Option<Digest>,
    /// For which ticket, and what.
    made: Option<(Digest, bare::Contribution)>,
}

impl Device {
    pub(crate) fn new(number: u8) -> Self {
        Self {
            id: DeviceId([number; 16]),
            value: 1 << number,
            acknowledged: None,
            made: None,
        }
    }

    /// What it sends under this ticket, however often.
    fn contribution(&mut self, round: &OpenRound) -> &bare::Contribution {
        let (ticket, hash) = (round.ticket.content(), round.ticket.hash());
        let known = self
            .made
            .take()
            .filter(|(made_for, _)| *made_for == hash);
        let (_, contribution) = self.made.insert(known.unwrap_or_else(|| {
            let values = vec![self.value; ticket.mechanism.length as usize];
            (hash, bare::Contribution::new(ticket, hash, values).unwrap())
        }));
        contribution
    }

    /// Has its seed admitted and hands its bytes over, as the handler of an upload does. The answer
    /// is dropped when the driver stops.
    async fn send(
        &mut self,
        round: &OpenRound,
        helper: &HelperClient,
        queue: &mpsc::Sender<Arrival>,
    ) -> Option<oneshot::Receiver<Accepted>> {
        let (device, ticket) = (self.id, round.ticket.hash());
        let bare::Contribution { header, masked } = self.contribution(round).clone();
        let seed = SealedSeed {
            contribution: ContributionId::from_slice(&header.contribution_id).unwrap(),
            sealed: header.sealed_seed.to_vec(),
            commitment: Commitment::from_slice(&header.commitment).unwrap(),
        };
        let contribution = Contribution {
            device,
            id: seed.contribution,
            commitment: seed.commitment,
        };
        assert_eq!(helper.admit(ticket, &[seed]).await.ok()?, [true]);

        let slots = Slots::new(LIMITS, CancellationToken::new());
        let call = slots.enter(device, None).unwrap();
        let (reply, answered) = oneshot::channel();
        let arrival = Arrival {
            contribution,
            ticket,
            sealed: header.sealed_seed,
            masked: masked.to_vec(),
            slot: call.slot().await,
            reply,
        };
        queue.send(arrival).await.ok()?;
        Some(answered)
    }
}

/// What the devices reach of one life of the coordinator.
pub(crate) struct Door<'a> {
    pub(crate) board: &'a Board,
    pub(crate) census: &'a census::Shared,
    pub(crate) store: &'a dyn TaskStore,
    pub(crate) helper: &'a HelperClient,
    pub(crate) queue: &'a mpsc::Sender<Arrival>,
}

/// Sends in two waves, so that the set is the work of more than one checkpoint, until the task is
/// finished.
///
/// # Errors
/// When a lease is not kept: the machine has failed, and its driver may have nothing to write.
pub(crate) async fn take_part(devices: &mut [Device], door: &Door<'_>) -> Result<(), ServerError> {
    while !door
        .board
        .published()
        .is_some_and(|published| published.finished)
    {
        for device in devices.iter() {
            let mut census = door.census.lock().unwrap();
            census.note(device.id, None, clock::now());
        }
        if let Some(round) = door.board.open() {
            let half = devices.len() / 2;
            let (first, second) = devices.split_at_mut(half);
            for wave in [first, second] {
                send(wave, &round, door).await?;
            }
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

async fn send(wave: &mut [Device], round: &OpenRound, door: &Door<'_>) -> Result<(), ServerError> {
    let hash = round.ticket.hash();
    let mut sent = Vec::new();
    for device in wave.iter_mut() {
        if device.acknowledged != Some(hash) && selected(device.id, round, door.store).await? {
            sent.push((device.send(round, door.helper, door.queue).await, device));
        }
    }
    for (answer, device) in sent {
        let Some(answer) = answer else { continue };
        if answer.await == Ok(Accepted::Yes) {
            device.acknowledged = Some(hash);
        }
    }
    Ok(())
}

/// A lease counts when it is durable, as in a check-in.
async fn selected(
    device: DeviceId,
    round: &OpenRound,
    store: &dyn TaskStore,
) -> Result<bool, ServerError> {
    let Some(lease) = round.select(device, None, clock::now()) else {
        return Ok(false);
    };
    let kept = store.keep_lease(round.ticket.hash(), device, lease);
    kept.await?;
    Ok(true)
}
