//! Asks the helper to countersign a draft, and keeps its number.
//!
//! A round number is countersigned once, so a draft is durable before the helper hears of it. After
//! a crash the same bytes are sent again. Its number serves for another draft only once the helper
//! has said under its signature that it keeps nothing of this one; otherwise the number advances
//! (PRIVACY.md, section 11, rule 12).

use serde::{Deserialize, Serialize};
use tacit_round::coordinator::Input;
use tacit_round::keys::Context;
use tacit_round::ticket::{SignedTicket, Ticket};
use tacit_types::RoundId;
use tokio::runtime::Handle;

use super::ask::Asked;
use super::{Driver, Performed};
use crate::error::ServerError;
use crate::helper::Countersigned;

/// Where the last draft is kept.
pub(super) const DRAFT: &str = "draft";
/// Drafts that may be refused in a row for what the helper keeps of their numbers.
const ADVANCES_MAX: u32 = 3;

/// The last draft the helper was asked for.
#[derive(Clone, Serialize, Deserialize, PartialEq)]
struct Kept {
    /// Number of its round.
    round: RoundId,
    /// Its exact bytes, canonical JSON.
    draft: String,
    number: Number,
}

/// What its number is good for.
#[derive(Clone, Copy, Serialize, Deserialize, PartialEq)]
enum Number {
    /// For these bytes alone: the helper was asked, and may have signed.
    Asked,
    /// For any draft: the helper keeps nothing.
    Free,
    /// For none.
    Used,
}

/// Why a round that was drafted was not opened.
pub(super) enum NotOpened {
    /// Another draft may do.
    Again,
    /// A person has to change something first.
    Operator,
}

impl Driver {
    /// The draft that was asked for when the process stopped, if nothing came of it yet.
    pub(super) fn asked_before(&self) -> Result<Option<Ticket>, ServerError> {
        let kept = self
            .kept()?
            .filter(|kept| kept.number == Number::Asked);
        kept.map(|kept| Ok(Ticket::from_bytes(kept.draft.as_bytes())?))
            .transpose()
    }

    /// The number of the next round that is drafted.
    pub(super) fn next_number(&self) -> Result<RoundId, ServerError> {
        let after_last = self.ledger.last_round() + 1;
        Ok(RoundId(match self.kept()? {
            Some(kept) if kept.number == Number::Free => kept.round.0,
            Some(kept) => after_last.max(kept.round.0 + 1),
            None => after_last,
        }))
    }

    /// The last draft, unless its round has been in the ledger since.
    fn kept(&self) -> Result<Option<Kept>, ServerError> {
        let kept = self.store.meta::<Kept>(DRAFT)?;
        Ok(kept.filter(|kept| kept.round.0 > self.ledger.last_round()))
    }

    /// The number of the newest round that was ever drafted; 0 before the first.
    pub(super) fn last_asked(&self) -> Result<u32, ServerError> {
        let kept = self.store.meta::<Kept>(DRAFT)?;
        Ok(kept.map_or(0, |kept| kept.round.0))
    }

    fn keep(&self, draft: &Ticket, number: Number) -> Result<(), ServerError> {
        let bytes = String::from_utf8(draft.to_bytes()?)
            .map_err(|error| ServerError::Internal(error.to_string()))?;
        let kept = Kept {
            round: draft.round,
            draft: bytes,
            number,
        };
        if self.kept()?.as_ref() == Some(&kept) {
            return Ok(());
        }
        self.store.set_meta(DRAFT, &kept)
    }

    pub(super) fn ask_countersign(
        &mut self,
        runtime: &Handle,
        draft: &Ticket,
    ) -> Result<Performed, ServerError> {
        // A helper put back from a copy since the last head gets its lines before it writes more.
        if self.follow_helper(runtime)?.is_none() {
            return Ok(Performed::Stopped);
        }
        self.keep(draft, Number::Asked)?;
        let bytes = draft.to_bytes()?;
        let by = self.signing.sign(Context::Draft, &bytes);
        let helper = self.helper.clone();
        let ask = || {
            let (helper, bytes) = (helper.clone(), bytes.clone());
            async move { helper.countersign(bytes, by).await }
        };
        let mut asked = self.until_answered(runtime, ask)?;
        // It may have been put back while it was waited for.
        if let Asked::Answer(Countersigned::Refused(_)) = asked
            && self.has_mended_helper(runtime)?
        {
            asked = self.until_answered(runtime, ask)?;
        }

        let (now, deadline) = (self.now, draft.deadline);
        let is_over = || now() >= deadline;
        let (reason, number, why) = match asked {
            Asked::Stopped => return Ok(Performed::Stopped),
            Asked::Answer(Countersigned::Ticket(bytes, signature)) => {
                let signed = SignedTicket::new(bytes, signature, &self.signing);
                // Nobody spends before its line is kept here: the helper may lose its own.
                if self.follow_helper(runtime)?.is_none() {
                    return Ok(Performed::Stopped);
                }
                let is_kept = self.keeps_line_of(signed.hash())?;
                if is_kept && !is_over() {
                    self.advances = 0;
                    return Ok(Performed::Input(Input::Countersigned(signed)));
                }
                // Nobody was offered it, so nobody has spent for it.
                let _ = runtime.block_on(helper.abandon(signed.hash()));
                let late = match is_kept {
                    true => "it was over before it could be opened".to_owned(),
                    false => "the helper has lost its line".to_owned(),
                };
                (late, Number::Used, NotOpened::Again)
            }
            Asked::Answer(Countersigned::Refused(reason)) if is_over() => {
                (reason, Number::Free, NotOpened::Again)
            }
            Asked::Answer(Countersigned::Refused(reason)) => {
                (reason, Number::Free, NotOpened::Operator)
            }
            Asked::Refused(reason) => (reason, Number::Used, self.advance()),
        };
        self.keep(draft, number)?;
        self.not_opened = Some(why);
        Ok(Performed::Input(Input::HelperRefused(reason)))
    }

    /// A refusal for what the helper keeps of a number: the next one may be free.
    fn advance(&mut self) -> NotOpened {
        self.advances += 1;
        if self.advances < ADVANCES_MAX {
            NotOpened::Again
        } else {
            NotOpened::Operator
        }
    }

    /// The end of a round that was never offered: it costs nothing.
    pub(super) fn end_unopened(&mut self, reason: &str) -> Result<(), ServerError> {
        match self.not_opened.take() {
            Some(NotOpened::Again) => Ok(()),
            Some(NotOpened::Operator) => Err(ServerError::OperatorConfig(reason.to_owned())),
            None => Err(ServerError::HelperRefused(reason.to_owned())),
        }
    }
}
