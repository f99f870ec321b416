//! Whether the helper still knows the open round.
//!
//! A helper that lost a round's key will never answer for it. Devices that go on spending for it do
//! so for nothing, so the round ends as soon as the coordinator hears of it: when it asks for
//! admission, or when it asks after the round from time to time.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tacit_round::helper::SealedSeed;
use tacit_types::Digest;
use tokio::time::sleep;

use crate::board::Board;
use crate::error::ServerError;
use crate::helper::HelperClient;

/// Time between two questions after a round that is open.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// The open round, and the helper it needs.
pub(crate) struct Rounds {
    board: Arc<Board>,
    helper: HelperClient,
}

impl Rounds {
    pub(crate) fn new(board: Arc<Board>, helper: HelperClient) -> Self {
        Self { board, helper }
    }

    /// Asks which seeds open. A refusal of the whole question is one of the round.
    pub(crate) async fn admit(
        &self,
        ticket: Digest,
        seeds: Vec<SealedSeed>,
    ) -> Result<Vec<bool>, ServerError> {
        let answered = self.helper.admit(ticket, &seeds).await;
        if let Err(ServerError::HelperRefused(reason)) = &answered
            && let Some(round) = self.board.open()
            && round.ticket.hash() == ticket
        {
            round.lose(reason);
        }
        answered
    }

    /// Asks after the open round again and again.
    pub(crate) async fn watch(&self) -> Infallible {
        loop {
            sleep(ASK_EVERY).await;
            if let Some(round) = self.board.open() {
                // Whatever else goes wrong shows where seeds are admitted.
                let _ = self.admit(round.ticket.hash(), Vec::new()).await;
            }
        }
    }
}
