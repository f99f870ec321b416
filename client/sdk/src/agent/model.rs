//! The published model: fetched, judged against the policy and the model before, and kept for
//! recommendations.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use tacit_model::{Model, ModelError};
use tacit_privacy::record::{Event, Line};
use tacit_privacy::{Mechanism, canonical};
use tacit_round::device::{Accepted, Input};
use tacit_round::head::LoggedLine;
use tacit_round::policy::{FactorBounds, FactorFault, LogMark, TicketRefusal, published_for};
use tacit_round::ticket::{Kind, Ticket};
use tacit_types::{Digest, TaskId};

use super::action::{Action, blocking};
use crate::error::SdkError;
use crate::kept;
use crate::reason::Reason;

/// Most ledger lines between a model and the one kept before it for its drift to be judged.
const RECENT_LINES: u64 = 16;

impl Action {
    /// Fetches the model a ticket names and judges it: a refusal here costs nothing.
    pub(super) async fn judge(&mut self, accepted: Arc<Accepted>) -> Result<Input, SdkError> {
        let hash = accepted.ticket.content().model_in_hash;
        let Some(bytes) = self.fetch(hash).await? else {
            return Ok(Input::Implausible(FactorFault::Unreadable));
        };
        let path = kept::of_task(&self.folder, &accepted.ticket.content().task);
        let bounds = self.deployment.policy().factors;
        let judged = blocking(move || {
            let judged = judge(&bytes, &accepted, bounds, &path)?;
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
    /// next round's drift is judged against it. Without waiting for the disk, and without harm when
    /// it fails: the last model is fetched again.
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
            if model.factor_count() > 0
                && let Err(error) = kept::keep_unsynced(&folder, &task, &bytes, serves)
            {
                tracing::debug!(event = "model_not_kept", reason = %error);
            }
            Ok((bytes, model))
        });
        self.model = Some(kept.await?);
        Ok(())
    }

    /// Stores the task's last model for offline use, unless it is there. It must stand in the
    /// ledger as a ticket's model must, made by a release, and look like one; otherwise the old one
    /// stays.
    pub(super) async fn keep_last_model(
        &mut self,
        hash: Digest,
        logged: &[u8],
    ) -> Result<(), SdkError> {
        let folder = self.folder.clone();
        let known = blocking(move || kept::serving_is(&folder, hash));
        if known.await? {
            return Ok(());
        }

        let (mark, task) = self.check_logged(hash, logged).await?;
        let bytes = self.fetch(hash).await?.ok_or_else(|| {
            let detail = "the coordinator sent another object than the last model";
            SdkError::retry(Reason::NotNow, detail)
        })?;
        let bounds = self.deployment.policy().factors;
        let (folder, kept_task) = (self.folder.clone(), task.clone());
        blocking(move || {
            let model = Model::from_bytes(&bytes).map_err(refused)?;
            let figures = model.plausibility();
            bounds
                .check(figures.norm, figures.concentration, None)
                .map_err(refused)?;
            kept::keep(&folder, &kept_task, &bytes)
        })
        .await?;
        self.with_store(move |store| store.set_mark(&task, mark))
            .await
    }

    /// Whether both parties signed for this model, in the ledger this device knows: the mark to
    /// remember, and the task it is a model of.
    async fn check_logged(
        &mut self,
        hash: Digest,
        logged: &[u8],
    ) -> Result<(LogMark, TaskId), SdkError> {
        let unlogged = || refused(TicketRefusal::Unlogged);
        let logged: LoggedLine = canonical::decode(logged).map_err(|_| unlogged())?;
        if released_by(&logged).is_none() {
            return Err(refused("the task has released nothing"));
        }
        // Only read here, as a ticket is: what it says decides which mark to look up, and the
        // policy checks it all.
        let line = Line::from_bytes(logged.line.as_bytes()).map_err(|_| unlogged())?;
        let (task, _) = published_for(&line).ok_or_else(unlogged)?;
        let task = task.clone();
        let seen = self.with_store(move |store| store.mark(&task)).await?;
        let consistency = self.consistency(seen, logged.head.head.size).await?;
        self.deployment
            .policy()
            .check_model(&logged, hash, seen, &consistency)
            .map_err(refused)
    }

    /// Fetches an object; `None` when what came is not the object of this hash.
    async fn fetch(&mut self, hash: Digest) -> Result<Option<Vec<u8>>, SdkError> {
        let bytes = self.connection.fetch(hash).await?;
        self.step.bytes_down += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        Ok(bytes)
    }
}

fn refused(reason: impl Display) -> SdkError {
    SdkError::Stop(format!("the published model: {reason}"))
}

/// Reads a model and compares it with the policy, with the ticket's shape and with the model kept
/// at `path`, if that is the one seen before: another task's may be there instead.
///
/// # Errors
/// As [`kept::read`]: a model that is not compared only because the disk did not give it would pass
/// however far it drifted.
fn judge(
    bytes: &[u8],
    accepted: &Accepted,
    bounds: FactorBounds,
    path: &Path,
) -> Result<Result<Model, FactorFault>, SdkError> {
    // After a long absence every model has moved far: a device must not stay out for ever because
    // of it.
    let (ticket, seen) = (accepted.ticket.content(), accepted.seen);
    let recent = ticket.logged.seq.saturating_sub(seen.model_seq) <= RECENT_LINES;
    let previous = match recent {
        true => kept::read(path, seen.model)?,
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
    let Some(kind) = released_by(&ticket.logged) else {
        return false;
    };
    let trained = [
        Kind::FactorGradient,
        Kind::WeightedGradient,
        Kind::LayerGradient,
    ];
    !trained.map(Kind::as_str).contains(&kind.as_str())
}

/// The kind of the release a line records; `None` for a line that records another event.
fn released_by(logged: &LoggedLine) -> Option<String> {
    match Line::from_bytes(logged.line.as_bytes()).ok()?.event {
        Event::Release(release) => Some(release.charge.kind),
        _ => None,
    }
}
