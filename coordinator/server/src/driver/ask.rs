//! Questions to the helper, repeated until answered, refused, or the daemon stops.

use std::time::Duration;

use tacit_round::head::{self, SignedHead};
use tokio::runtime::Handle;

use super::Driver;
use crate::error::ServerError;
use crate::export;
use crate::helper::HeadAnswer;

/// Pause between attempts to reach the helper.
const HELPER_RETRY: Duration = Duration::from_millis(500);

impl Driver {
    /// Makes sure both parties have signed the newest head, and writes the export. False when
    /// stopped first.
    pub(super) fn ensure_head(&mut self, runtime: &Handle) -> Result<bool, ServerError> {
        let head = self.ledger.head();
        self.show_ledger()?;
        if self
            .store
            .heads()?
            .last()
            .is_some_and(|(size, _)| *size == head.size)
        {
            return Ok(true);
        }
        let coordinator_signature = head::sign(&head, &self.signing)?;
        // The helper may have signed a head that a crash kept from us: it says where the proof must
        // start.
        let mut old_size = self.store.heads()?.last().map_or(0, |(size, _)| *size);
        let helper_signature = loop {
            let forked = || {
                ServerError::HelperRefused(
                    "the ledger head: the helper signed a longer ledger".into(),
                )
            };
            let proof = self
                .board
                .consistency(old_size, head.size)
                .ok_or_else(forked)?;
            let helper = self.helper.clone();
            let ask = || helper.countersign_head(&head, &coordinator_signature, old_size, &proof);
            match self.until_answered(runtime, ask)? {
                Asked::Answer(HeadAnswer::Signed(signature)) => break signature,
                Asked::Answer(HeadAnswer::ProveFrom(size)) => old_size = size,
                Asked::Refused(reason) => {
                    return Err(ServerError::HelperRefused(format!(
                        "the ledger head: {reason}"
                    )));
                }
                Asked::Stopped => return Ok(false),
            }
        };
        let size = head.size;
        let signed = SignedHead {
            head,
            coordinator_signature,
            helper_signature,
        };
        let json = String::from_utf8(tacit_privacy::canonical::encode(&signed)?)
            .map_err(|error| ServerError::Internal(error.to_string()))?;
        self.store.keep_head(size, &json)?;
        export::write(
            &self.export,
            &self.store,
            &self.ledger,
            &self.objects,
            &self.signing,
            &self.helper,
        )?;
        Ok(true)
    }

    /// Repeats a question to the helper until it is answered, refused, or the daemon stops.
    pub(super) fn until_answered<T, F: Future<Output = Result<T, ServerError>>>(
        &self,
        runtime: &Handle,
        ask: impl Fn() -> F,
    ) -> Result<Asked<T>, ServerError> {
        runtime.block_on(async {
            loop {
                let answered = tokio::select! {
                    answered = ask() => answered,
                    () = self.shutdown.drain.cancelled() => return Ok(Asked::Stopped),
                };
                match answered {
                    Ok(answer) => return Ok(Asked::Answer(answer)),
                    Err(ServerError::HelperRefused(reason)) => return Ok(Asked::Refused(reason)),
                    Err(ServerError::HelperUnavailable(error)) => {
                        tracing::warn!(event = "helper_unavailable", error);
                        tokio::time::sleep(HELPER_RETRY).await;
                    }
                    Err(error) => return Err(error),
                }
            }
        })
    }
}

/// How a question to the helper ended.
pub(super) enum Asked<T> {
    Answer(T),
    Refused(String),
    Stopped,
}
