//! Contributions on their way from handlers to the driver, gathered so that many share one commit.

use std::time::Duration;

use bytes::Bytes;
use tacit_round::coordinator::Contribution;
use tacit_round::mask::PartialSum;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::slots::Slot;
use crate::storage::NewContribution;

/// Most contributions of one checkpoint.
const GATHER_MAX: usize = 64;
/// A checkpoint waits this long for company, while more keeps coming: one disk synchronisation then
/// acknowledges many.
const GATHER_TIME: Duration = Duration::from_millis(25);
/// And this long when nothing comes.
const PAUSE: Duration = Duration::from_millis(4);

/// A complete, admitted contribution and where to answer.
pub struct Arrival {
    /// Who and what.
    pub contribution: Contribution,
    /// Ticket it answers.
    pub ticket: tacit_types::Digest,
    /// Sealed seed.
    pub sealed: Bytes,
    /// Masked bytes, of the right length and commitment.
    pub masked: Vec<u8>,
    /// The right to hold them, given back with their memory even when the call is gone.
    pub slot: Slot,
    /// Answered once durable, or at once when not counted; dropped when the driver stops.
    pub reply: Reply,
}

/// Where a handler waits for its answer.
pub type Reply = oneshot::Sender<Accepted>;

impl Arrival {
    /// Adds the vector to `sum` and gives back its memory and its slot; what is left is small.
    /// `None`, adding nothing, when it has another length.
    pub fn fold(self, sum: &mut PartialSum) -> Option<(NewContribution, Reply)> {
        let fresh = NewContribution {
            contribution: self.contribution,
            sealed: self.sealed.to_vec(),
        };
        sum.add(&self.masked).then_some((fresh, self.reply))
    }
}

/// What the driver says to a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Durable and counted once.
    Yes,
    /// The round does not take it any more.
    TooLate,
    /// The device or its id already stands with other bytes.
    Conflict,
}

/// Waits up to `patience` for a first arrival, then briefly for more.
pub fn gather(
    runtime: &Handle,
    arrivals: &mut mpsc::Receiver<Arrival>,
    patience: Duration,
) -> Vec<Arrival> {
    runtime.block_on(async {
        let mut gathered = Vec::new();
        match timeout(patience, arrivals.recv()).await {
            Ok(Some(first)) => gathered.push(first),
            Ok(None) | Err(_) => return gathered,
        }
        let fill = async {
            while gathered.len() < GATHER_MAX {
                match timeout(PAUSE, arrivals.recv()).await {
                    Ok(Some(next)) => gathered.push(next),
                    Ok(None) | Err(_) => break,
                }
            }
        };
        let _ = timeout(GATHER_TIME, fill).await;
        gathered
    })
}

#[cfg(test)]
mod tests {
    use tacit_types::{Commitment, ContributionId, DeviceId, Digest};

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::slots::{Limits, Slots};

    const LIMITS: Limits = Limits {
        slots: 1,
        per_device: 1,
        calls_per_device: 2,
        crowd: 8,
        calls: 8,
    };

    fn arrival(slot: Slot, masked: Vec<u8>) -> (Arrival, oneshot::Receiver<Accepted>) {
        let (reply, answered) = oneshot::channel();
        let contribution = Contribution {
            device: DeviceId([1; 16]),
            id: ContributionId([1; 16]),
            commitment: Commitment([1; 32]),
        };
        let arrival = Arrival {
            contribution,
            ticket: Digest([2; 32]),
            sealed: Bytes::from_static(b"sealed"),
            masked,
            slot,
            reply,
        };
        (arrival, answered)
    }

    /// HOSTILE 22: a call given up here frees no slot before the memory.
    #[tokio::test]
    async fn a_folded_contribution_waits_for_its_checkpoint_without_a_slot() {
        let slots = Slots::new(LIMITS, CancellationToken::new());
        let first = slots.enter(DeviceId([1; 16]), None).unwrap();
        let second = slots.enter(DeviceId([2; 16]), None).unwrap();
        let (arrival, answered) = arrival(first.slot().await, 7u32.to_le_bytes().to_vec());
        // The call is given up; its vector still lies here.
        drop(first);
        let late = timeout(Duration::from_millis(20), second.slot()).await;
        assert!(late.is_err(), "the vector is in memory and the slot taken");

        let mut sum = PartialSum::new(1);
        let (fresh, reply) = arrival.fold(&mut sum).unwrap();
        let _slot = timeout(Duration::from_secs(10), second.slot())
            .await
            .expect("free before the answer");
        assert_eq!(fresh.sealed, b"sealed");
        assert_eq!(sum.to_bytes(), 7u32.to_le_bytes());
        reply.send(Accepted::Yes).unwrap();
        assert_eq!(answered.await, Ok(Accepted::Yes));
    }

    #[tokio::test]
    async fn a_vector_of_another_length_is_not_added() {
        let slots = Slots::new(LIMITS, CancellationToken::new());
        let call = slots.enter(DeviceId([1; 16]), None).unwrap();
        let (arrival, _answered) = arrival(call.slot().await, vec![1; 8]);
        let mut sum = PartialSum::new(1);
        assert!(arrival.fold(&mut sum).is_none());
        assert_eq!(sum, PartialSum::new(1));
    }
}
