//! The model of a round: fetched, judged against the policy and the model before, and kept.

use std::path::Path;
use std::sync::Arc;

use tacit_model::{Model, ModelError};
use tacit_privacy::Mechanism;
use tacit_privacy::record::{Event, Line};
use tacit_round::device::{Accepted, Input};
use tacit_round::head::LoggedLine;
use tacit_round::policy::{FactorBounds, FactorFault};
use tacit_round::ticket::{Kind, Ticket};
use tacit_types::{Digest, TaskId};

use super::action::{Action, blocking};
use crate::error::SdkError;
use crate::kept;

/// Most ledger lines between a model and the one kept before it for its drift to be judged.
const RECENT_LINES: u64 = 16;

impl Action {
    /// Fetches the model a ticket names and judges it: a refusal here costs nothing.
    pub(super) async fn judge(&mut self, accepted: Arc<Accepted>) -> Result<Input, SdkError> {
        let hash = accepted.ticket.content().model_in_hash;
        let Some(bytes) = self.fetch(hash).await? else {
            return Ok(Input::Implausible(FactorFault::Unreadable));
        };
        let folder = self.folder.clone();
        let bounds = self.deployment.policy().factors;
        let judged = blocking(move || {
            let judged = judge(&bytes, &accepted, bounds, &folder)?;
            Ok(judged.map(|model| (bytes, Arc::new(model))))
        });
        match judged.await? {
            Ok(model) => {
                self.model = Some(model);
                Ok(Input::Plausible)
            }
            Err(fault) => Ok(Input::Implausible(fault)),
        }
    }

    /// Keeps a model with factors that this device takes part with: recommendations use it, and the
    /// next round's drift is judged against it. Without harm when it fails: it is fetched again.
    pub(super) async fn keep_round_model(&mut self, ticket: &Ticket) -> Result<(), SdkError> {
        if is_first_guess(ticket) {
            return Ok(());
        }
        let Some((bytes, model)) = self.model.take() else {
            return Ok(());
        };
        let (folder, task) = (self.folder.clone(), ticket.task.clone());
        // A task's first model may have the factors of an earlier one: the next round's drift is
        // judged against them, and they taught this device nothing new.
        let serves = released_by(&ticket.logged).is_some();
        let kept = blocking(move || {
            if model.factor_count() == 0 {
                return Ok((bytes, model, false));
            }
            let kept = match serves {
                true => serve_if_new(&folder, &task, &bytes),
                false => kept::keep(&folder, &bytes).map(|()| false),
            };
            let new = kept.unwrap_or_else(|error| {
                tracing::debug!(event = "model_not_kept", reason = %error);
                false
            });
            Ok((bytes, model, new))
        });
        let (bytes, model, new) = kept.await?;
        self.step.new_model |= new;
        self.model = Some((bytes, model));
        Ok(())
    }

    /// Fetches an object; `None` when what came is not the object of this hash.
    pub(super) async fn fetch(&mut self, hash: Digest) -> Result<Option<Vec<u8>>, SdkError> {
        let bytes = self.connection.fetch(hash).await?;
        self.step.bytes_down += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        Ok(bytes)
    }
}

/// Lets a round's model serve with the catalogue its task has already; gives whether another served
/// before. Where another task serves, only a refresh changes model and catalogue, together.
fn serve_if_new(folder: &Path, task: &TaskId, bytes: &[u8]) -> Result<bool, SdkError> {
    let Some(served) = kept::served(folder)? else {
        kept::adopt(folder, task, bytes, None)?;
        return Ok(true);
    };
    if served.serving.task != *task {
        kept::keep(folder, bytes)?;
        return Ok(false);
    }
    if served.model == bytes {
        return Ok(false);
    }
    kept::adopt(folder, task, bytes, served.catalogue.as_deref())?;
    Ok(true)
}

/// Reads a model and compares it with the policy, with the ticket's shape and with the model
/// seen before, if it is kept in `folder`.
///
/// # Errors
/// As [`kept::read`]: a model that is not compared only because the disk did not give it would pass
/// however far it drifted.
fn judge(
    bytes: &[u8],
    accepted: &Accepted,
    bounds: FactorBounds,
    folder: &Path,
) -> Result<Result<Model, FactorFault>, SdkError> {
    // After a long absence every model has moved far: a device must not stay out for ever because
    // of it.
    let (ticket, seen) = (accepted.ticket.content(), accepted.seen);
    let recent = ticket.logged.seq.saturating_sub(seen.model_seq) <= RECENT_LINES;
    let previous = match recent {
        true => kept::read(folder, seen.model)?,
        false => None,
    };
    let previous = previous.and_then(|bytes| Model::from_bytes(&bytes).ok());
    Ok(compare(bytes, ticket, bounds, previous.as_ref()))
}

fn compare(
    bytes: &[u8],
    ticket: &Ticket,
    bounds: FactorBounds,
    previous: Option<&Model>,
) -> Result<Model, FactorFault> {
    let model = Model::from_bytes(bytes).map_err(|error| match error {
        ModelError::Factors => FactorFault::NotFinite,
        _ => FactorFault::Unreadable,
    })?;
    let drift = previous.and_then(|previous| model.drift(previous));
    let figures = model.plausibility();
    bounds.check(figures.norm, figures.concentration, drift)?;

    if fits(ticket, &model) {
        Ok(model)
    } else {
        Err(FactorFault::Shape)
    }
}

/// Whether the ticket asks for exactly the vector this model gives: length, row width and support.
fn fits(ticket: &Ticket, model: &Model) -> bool {
    let Mechanism {
        length, row_width, ..
    } = ticket.mechanism;
    model.extent(ticket.kind).is_some_and(|extent| {
        (extent.length(), extent.row_width) == (length as usize, row_width as usize)
    })
}

/// Whether the factors of the ticket's model are a first guess, random or from a head Gram or
/// features, by the line both parties signed: the first gradient replaces them wholly, so the next
/// model's drift from them would mean nothing.
fn is_first_guess(ticket: &Ticket) -> bool {
    let kind = released_by(&ticket.logged);
    kind.is_some_and(|kind| !Kind::parse(&kind).is_some_and(Kind::trains))
}

/// The kind of the release a line records; `None` for a line that records another event.
pub(super) fn released_by(logged: &LoggedLine) -> Option<String> {
    match Line::from_bytes(logged.line.as_bytes()).ok()?.event {
        Event::Release(release) => Some(release.charge.kind),
        _ => None,
    }
}
