//! Questions to the helper, repeated until answered, refused, or the daemon stops.

use std::time::Duration;

use tacit_privacy::record::TreeHead;
use tacit_round::head::{self, SignedHead};
use tacit_round::keys::SignatureBytes;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::Driver;
use crate::error::ServerError;
use crate::export;
use crate::helper::HeadAnswer;

/// First pause between attempts to reach the helper; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// Longest pause between attempts to reach the helper.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Time between two words about a helper that stays away.
const SPEAK_EVERY: Duration = Duration::from_secs(60);

impl Driver {
    /// Makes sure both parties have signed the newest head, and writes the export. False when
    /// stopped first.
    pub(super) fn ensure_head(&mut self, runtime: &Handle) -> Result<bool, ServerError> {
        let lines = self.ledger.leaves().len() as u64;
        self.show_ledger();
        let signed_size = self
            .store
            .heads()
            .wait()?
            .last()
            .map(|(size, _)| *size);
        if signed_size == Some(lines) {
            return Ok(true);
        }
        if !self.confirm(runtime)? {
            return Ok(false);
        }
        let Some(helper_end) = self.follow_helper(runtime)? else {
            return Ok(false);
        };
        let head = self.ledger.head(helper_end);
        let coordinator_signature = head::sign(&head, &self.signing)?;
        let by_helper = match self.begins_generation(&head)? {
            true => self.ask_restore(runtime, &head, &coordinator_signature)?,
            false => self.ask_head(runtime, &head, &coordinator_signature, signed_size)?,
        };
        let Some(helper_signature) = by_helper else {
            return Ok(false);
        };
        let size = head.size;
        let signed = SignedHead {
            head,
            coordinator_signature,
            helper_signature,
        };
        let json = String::from_utf8(tacit_privacy::canonical::encode(&signed)?)
            .map_err(|error| ServerError::Internal(error.to_string()))?;
        self.store.keep_head(size, json).wait()?;
        export::write(
            &self.export,
            &*self.store,
            &self.ledger,
            &*self.objects,
            &self.signing,
            &self.helper,
        )?;
        Ok(true)
    }

    /// Whether the helper has signed no head of this generation yet, as far as is known here.
    fn begins_generation(&self, head: &TreeHead) -> Result<bool, ServerError> {
        let heads = self.store.heads().wait()?;
        let newest = heads.last();
        let newest: Option<SignedHead> = newest
            .map(|(_, json)| serde_json::from_str(json))
            .transpose()
            .map_err(|error| ServerError::StorageUnavailable(error.to_string()))?;
        let signed = newest.map_or(1, |signed| signed.head.generation);
        Ok(head.generation > signed)
    }

    /// The helper's signature of the first head of a generation; `None` when stopped first.
    fn ask_restore(
        &self,
        runtime: &Handle,
        head: &TreeHead,
        own: &SignatureBytes,
    ) -> Result<Option<SignatureBytes>, ServerError> {
        let lines = self.ledger.bytes();
        match self.until_answered(runtime, || self.helper.restore(head, own, lines))? {
            Asked::Answer(signature) => Ok(Some(signature)),
            Asked::Refused(reason) => Err(refused_head(&reason)),
            Asked::Stopped => Ok(None),
        }
    }

    /// The helper's signature of a head; `None` when stopped first.
    ///
    /// The helper may have signed a head that a crash kept from us: it says where the proof must
    /// start.
    fn ask_head(
        &self,
        runtime: &Handle,
        head: &TreeHead,
        own: &SignatureBytes,
        signed: Option<u64>,
    ) -> Result<Option<SignatureBytes>, ServerError> {
        let mut old_size = signed.unwrap_or(0);
        loop {
            let proof = self.board.consistency(old_size, head.size);
            let longer = || refused_head("the helper signed a longer ledger");
            let proof = proof.ok_or_else(longer)?;
            let helper = self.helper.clone();
            let ask = || helper.countersign_head(head, own, old_size, &proof);
            match self.until_answered(runtime, ask)? {
                Asked::Answer(HeadAnswer::Signed(signature)) => return Ok(Some(signature)),
                Asked::Answer(HeadAnswer::ProveFrom(size)) => old_size = size,
                Asked::Refused(reason) => return Err(refused_head(&reason)),
                Asked::Stopped => return Ok(None),
            }
        }
    }

    /// Repeats a question to the helper until it is answered, refused, or the daemon stops.
    pub(super) fn until_answered<T, F: Future<Output = Result<T, ServerError>>>(
        &self,
        runtime: &Handle,
        ask: impl Fn() -> F,
    ) -> Result<Asked<T>, ServerError> {
        let mut absence = Absence::of(self.helper.address());
        runtime.block_on(async {
            loop {
                let answered = tokio::select! {
                    answered = ask() => answered,
                    () = self.shutdown.drain.cancelled() => return Ok(Asked::Stopped),
                };
                let error = match answered {
                    Ok(answer) => return Ok(Asked::Answer(answer)),
                    Err(ServerError::HelperRefused(reason)) => return Ok(Asked::Refused(reason)),
                    Err(ServerError::HelperUnavailable(error)) => error,
                    Err(error) => return Err(error),
                };
                tokio::select! {
                    () = sleep(absence.met(Instant::now(), &error)) => {}
                    () = self.shutdown.drain.cancelled() => return Ok(Asked::Stopped),
                }
            }
        })
    }
}

/// A helper that does not answer, as one question sees it.
struct Absence<'a> {
    helper: &'a str,
    tries: u32,
    spoken: Option<Instant>,
}

impl<'a> Absence<'a> {
    fn of(helper: &'a str) -> Self {
        Self {
            helper,
            tries: 0,
            spoken: None,
        }
    }

    /// Notes a failed try, says so if it is time to, and gives the pause before the next.
    fn met(&mut self, now: Instant, error: &str) -> Duration {
        self.tries = self.tries.saturating_add(1);
        let pause = pause(self.tries);
        if self.speaks(now) {
            tracing::warn!(
                event = "helper_unavailable",
                helper = self.helper,
                error,
                tries = self.tries,
                "the helper does not answer; the round waits for it, and no model is published"
            );
        }
        pause
    }

    /// Whether this is the first failure, or the last word is a minute old.
    fn speaks(&mut self, now: Instant) -> bool {
        let due = self
            .spoken
            .is_none_or(|spoken| now.duration_since(spoken) >= SPEAK_EVERY);
        if due {
            self.spoken = Some(now);
        }
        due
    }
}

fn refused_head(reason: &str) -> ServerError {
    ServerError::HelperRefused(format!("the ledger head: {reason}"))
}

fn pause(tries: u32) -> Duration {
    let doubled = PAUSE_MIN.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1)));
    doubled.min(PAUSE_MAX)
}

/// How a question to the helper ended.
pub(super) enum Asked<T> {
    Answer(T),
    Refused(String),
    Stopped,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An absent helper is neither hammered nor a flood in the log.
    #[tokio::test]
    async fn an_absent_helper_is_asked_less_and_less_and_spoken_of_once_a_minute() {
        let pauses: Vec<u128> = (1..=7).map(|tries| pause(tries).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        assert_eq!(pause(u32::MAX), PAUSE_MAX);

        let (start, mut absence) = (Instant::now(), Absence::of(""));
        let seconds = (0..180).filter(|second| {
            let now = start + Duration::from_secs(*second);
            absence.speaks(now)
        });
        assert_eq!(seconds.collect::<Vec<_>>(), [0, 60, 120]);
    }
}
