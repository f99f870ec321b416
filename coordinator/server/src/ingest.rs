//! Contributions on their way from handlers to the driver, gathered so that many share one commit.

use std::time::Duration;

use bytes::Bytes;
use tacit_round::coordinator::Contribution;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Most contributions of one checkpoint.
const GATHER_MAX: usize = 64;
/// A checkpoint waits this long for company: one disk synchronisation then acknowledges many.
const GATHER_TIME: Duration = Duration::from_millis(25);

/// A complete, admitted contribution and where to answer.
pub struct Arrival {
    /// Who and what.
    pub contribution: Contribution,
    /// Ticket it answers.
    pub ticket: tacit_types::Digest,
    /// Sealed seed.
    pub sealed: Bytes,
    /// Masked bytes, of the right length and digest.
    pub masked: Vec<u8>,
    /// Answered once durable, or at once when not counted; dropped when the driver stops.
    pub reply: oneshot::Sender<Accepted>,
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
                match arrivals.recv().await {
                    Some(next) => gathered.push(next),
                    None => break,
                }
            }
        };
        let _ = timeout(GATHER_TIME, fill).await;
        gathered
    })
}
