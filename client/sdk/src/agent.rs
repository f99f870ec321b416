//! Takes part in rounds when the app calls: drives [`tacit_round::device`] with this installation's
//! store and transport.
//!
//! One [`Agent::step`] is one action: it opens the store, connects, does at most one release, and
//! closes both. It may be stopped anywhere; the next step resumes from the device ledger.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tacit_model::{Interaction, Model, ModelError};
use tacit_privacy::noise::TableCache;
use tacit_privacy::record::{Event, Line};
use tacit_privacy::{Mechanism, SpendPermit, canonical, ledger};
use tacit_round::contribute::contribute;
use tacit_round::device::{Device, Effect, Input, Offer, Outcome, Status};
use tacit_round::head::LoggedLine;
use tacit_round::member::Member;
use tacit_round::policy::{FactorBounds, FactorFault, LogMark, TicketRefusal, published_for};
use tacit_round::ticket::{Kind, Ticket};
use tacit_types::{Digest, ItemGradient, RoundId, TaskId, Timestamp};
use tokio::task::spawn_blocking;

use crate::error::SdkError;
use crate::files;
use crate::identity::{self, Deployment};
use crate::store::{Spooled, Store};
use crate::transport::{Connection, Sent};

/// Drift is judged against the model kept last when at most so many ledger lines lie between the
/// two.
const RECENT_LINES: u64 = 16;

/// One installation's trainer.
#[derive(Clone)]
pub struct Agent {
    folder: Arc<Path>,
    deployment: Arc<Deployment>,
    tables: TableCache,
}

/// What one step did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// How a round ended for this device in this step, if one did.
    pub outcome: Option<Outcome>,
    /// When to call again.
    pub retry_after: Duration,
    /// Whether the task has published its last model, which is now stored.
    pub finished: bool,
    /// Bytes of masked updates and sealed seeds sent in this step.
    pub bytes_up: u64,
    /// Bytes of objects fetched in this step.
    pub bytes_down: u64,
    /// Time spent waiting for the disk to make this step durable.
    pub committing: Duration,
}

impl Agent {
    /// An agent of the installation in `folder`.
    pub fn new(folder: &Path, deployment: Arc<Deployment>, tables: TableCache) -> Self {
        Self {
            folder: folder.into(),
            deployment,
            tables,
        }
    }

    /// Resumes what was interrupted, then checks in and takes part in the open round if there is
    /// one.
    ///
    /// # Errors
    /// [`SdkError`]; a network failure leaves everything as it was and says when to retry.
    pub async fn step(&self, now: Timestamp) -> Result<Step, SdkError> {
        let folder = self.folder.clone();
        let open = move || {
            let mut store = Store::open(&folder)?;
            let dropped = drop_overdue(&mut store, now)?;
            Ok((
                store,
                identity::load(&folder)?,
                identity::member(&folder)?,
                dropped,
            ))
        };
        let (store, identity, member, dropped) = blocking(open).await?;
        if dropped {
            let committing = blocking(move || Ok(store.close())).await?;
            let (outcome, retry_after) = (Some(Outcome::TooLate), Duration::from_secs(1));
            return Ok(Step {
                outcome,
                retry_after,
                finished: false,
                bytes_up: 0,
                bytes_down: 0,
                committing,
            });
        }
        let connection = Connection::open(self.deployment.endpoint(Some(identity))?).await?;
        let mut action = Action {
            agent: self,
            store: Some(store),
            connection,
            member: member.map(Arc::new),
            permit: None,
            spooled: None,
            model: None,
            retry_after: Duration::from_secs(1),
            bytes_up: 0,
            bytes_down: 0,
        };
        let result = action.run(now).await;
        let store = action.store.take();
        let committing = blocking(move || Ok(store.map_or(Duration::ZERO, Store::close))).await?;
        result.map(|step| Step { committing, ..step })
    }
}

/// Everything one step holds.
struct Action<'a> {
    agent: &'a Agent,
    /// Taken out while a blocking task uses it.
    store: Option<Store>,
    connection: Connection,
    member: Option<Arc<Member>>,
    permit: Option<SpendPermit>,
    spooled: Option<Spooled>,
    /// The model of the round, with its bytes as they are kept.
    model: Option<(Vec<u8>, Arc<Model>)>,
    retry_after: Duration,
    bytes_up: u64,
    bytes_down: u64,
}

impl Action<'_> {
    async fn run(&mut self, now: Timestamp) -> Result<Step, SdkError> {
        if let Some((task, round, status)) = self.with_store(|store| store.unfinished()).await? {
            let (device, effects) = Device::restore(task, round, status);
            let outcome = self.drive(device, effects, now).await?;
            if outcome.is_some() {
                return Ok(self.step(outcome, false));
            }
        }
        let answer = self.connection.check_in().await?;
        self.retry_after = answer.retry_after;
        let counted = answer.counted;
        self.with_store(move |store| store.raise_spent(counted))
            .await?;
        let Some(signed) = answer.ticket else {
            if answer.finished {
                self.keep_model(answer.model, &answer.logged).await?;
            }
            return Ok(self.step(None, answer.finished));
        };
        let (mut seen, mut consistency) = (LogMark::default(), Vec::new());
        // Only read here, not yet believed: what it says decides what to ask for, and the machine
        // checks it all.
        if let Ok(ticket) = Ticket::from_bytes(&signed.bytes) {
            // The helper would refuse what this device spends for.
            if ticket.membership && self.member.is_none() {
                return Ok(self.step(
                    Some(Outcome::TicketRefused(TicketRefusal::NotMember)),
                    false,
                ));
            }
            let (task, round, size) = (ticket.task, ticket.round, ticket.logged.head.head.size);
            let (status, mark) = self
                .with_store(move |store| Ok((store.status(&task, round)?, store.mark(&task)?)))
                .await?;
            // The round this device already took part in: wait for the next.
            if status.is_some() {
                return Ok(self.step(None, false));
            }
            seen = mark;
            consistency = self.consistency(seen, size).await?;
        }
        let offered = Input::Offered(Box::new(Offer {
            signed,
            seen,
            consistency,
        }));
        let (device, effects) = Device::Idle.handle(offered, self.agent.deployment.policy(), now);
        let outcome = self.drive(device, effects, now).await?;
        Ok(self.step(outcome, false))
    }

    fn step(&self, outcome: Option<Outcome>, finished: bool) -> Step {
        let (retry_after, bytes_up, bytes_down) =
            (self.retry_after, self.bytes_up, self.bytes_down);
        Step {
            outcome,
            retry_after,
            finished,
            bytes_up,
            bytes_down,
            committing: Duration::ZERO,
        }
    }

    /// Runs effects until the machine is done or has to wait.
    async fn drive(
        &mut self,
        mut device: Device,
        mut effects: Vec<Effect>,
        now: Timestamp,
    ) -> Result<Option<Outcome>, SdkError> {
        while let Some(effect) = effects.pop() {
            let input = match effect {
                Effect::Reserve(ticket, mark) => self.reserve(&ticket, mark, now).await?,
                Effect::Contribute(ticket) => self.contribute(*ticket).await?,
                Effect::Send(task, round) => self.send(task, round, now).await?,
                Effect::Finish(task, round, status) => {
                    self.with_store(move |store| store.finish(&task, round, status))
                        .await?;
                    continue;
                }
                Effect::Wait => return Ok(None),
            };
            (device, effects) = device.handle(input, self.agent.deployment.policy(), now);
        }
        match device {
            Device::Done(outcome) => Ok(Some(outcome)),
            _ => Ok(None),
        }
    }

    /// Fetches and judges the model first: a refusal there costs nothing. Then makes the spend
    /// durable.
    async fn reserve(
        &mut self,
        ticket: &Ticket,
        mark: LogMark,
        now: Timestamp,
    ) -> Result<Input, SdkError> {
        let task = ticket.task.clone();
        let seen = self.with_store(move |store| store.mark(&task)).await?;
        if let Err(fault) = self.fetch_model(ticket, seen).await? {
            return Ok(Input::Implausible(fault));
        }
        let (task, round, mechanism) =
            (ticket.task.clone(), ticket.round, ticket.mechanism.clone());
        let hash = ticket.to_bytes().map(|bytes| canonical::digest(&bytes));
        let hash = hash.map_err(|error| SdkError::Bug(error.to_string()))?;
        let budget = self.agent.deployment.policy().budget();
        let spent = self
            .with_store(move |store| {
                let ledger = &mut store.spending(mark);
                let spent = ledger::spend(ledger, budget, &task, round, hash, &mechanism, now)?;
                match &spent {
                    Ok(_) => {}
                    // The model is not kept, so the next is still judged against the one before; of
                    // a task this device never took part in there is nothing to remember.
                    Err(_) if seen.size > 0 => store.set_mark(
                        &task,
                        LogMark {
                            model: seen.model,
                            ..mark
                        },
                    )?,
                    Err(_) => {}
                }
                Ok(spent)
            })
            .await?;
        Ok(match spent {
            Ok(permit) => {
                self.permit = Some(permit);
                if !is_first_guess(ticket) {
                    self.keep_round_model().await?;
                }
                Input::Reserved
            }
            Err(refusal) => Input::Refused(refusal),
        })
    }

    async fn contribute(&mut self, ticket: Ticket) -> Result<Input, SdkError> {
        let bug = || SdkError::Bug("a contribution without a permit or a model".into());
        let permit = self.permit.take().ok_or_else(bug)?;
        let model = self.model.clone().ok_or_else(bug)?.1;
        let (tables, member) = (self.agent.tables.clone(), self.member.clone());
        let spooled = self
            .with_store(move |store| {
                // Spent already, so it sends in any case: a history that cannot be read, or that
                // the model's code fails on, counts as an empty one, or silence would tell of it.
                let interactions = store.interactions().unwrap_or_default();
                let vector = or_nothing(|| vector(&ticket, &model, &interactions));
                let table = tables.get(&ticket.mechanism);
                let update = contribute(&ticket, permit, vector, &table, member.as_deref());
                store.spool(&update.map_err(|error| SdkError::Stop(error.to_string()))?)
            })
            .await?;
        self.spooled = Some(spooled);
        Ok(Input::Spooled)
    }

    /// Sends the spooled bytes, or gives them up when their ticket's deadline has passed while
    /// nobody could be reached.
    async fn send(
        &mut self,
        task: TaskId,
        round: RoundId,
        now: Timestamp,
    ) -> Result<Input, SdkError> {
        let spooled = match self.spooled.take() {
            Some(spooled) => spooled,
            None => {
                self.with_store(move |store| store.spooled(&task, round))
                    .await?
            }
        };
        if now >= spooled.deadline() {
            return Ok(Input::TooLate);
        }
        self.bytes_up += (spooled.masked().len() + spooled.sealed().len()) as u64;
        match self.connection.contribute(&spooled).await {
            Ok((sent, retry_after)) => {
                self.retry_after = retry_after;
                Ok(if sent == Sent::Accepted {
                    Input::Acknowledged
                } else {
                    Input::TooLate
                })
            }
            Err(SdkError::RetryLater { after, reason }) => {
                tracing::debug!(event = "contribution_not_sent", reason);
                self.retry_after = after;
                Ok(Input::Unreachable)
            }
            Err(error) => Err(error),
        }
    }

    /// The model a ticket names, if it is one this device would take part with.
    async fn fetch_model(
        &mut self,
        ticket: &Ticket,
        seen: LogMark,
    ) -> Result<Result<(), FactorFault>, SdkError> {
        let hash = ticket.model_in_hash;
        // After a long absence every model has moved far: a device must not stay out for ever
        // because of it.
        let recent = ticket.logged.seq.saturating_sub(seen.model_seq) <= RECENT_LINES;
        let Some(bytes) = self.connection.fetch(hash).await? else {
            return Ok(Err(FactorFault::Unreadable));
        };
        self.bytes_down += bytes.len() as u64;
        let (path, ticket) = (model_path(&self.agent.folder), ticket.clone());
        let previous = recent.then_some((path, seen.model));
        let bounds = self.agent.deployment.policy().factors;
        let judged = blocking(move || {
            Ok(judge(&bytes, &ticket, bounds, previous).map(|model| (bytes, model)))
        })
        .await?;
        Ok(judged.map(|(bytes, model)| self.model = Some((bytes, Arc::new(model)))))
    }

    /// Keeps a model with factors that this device takes part with: recommendations use it, and the
    /// next round's drift is judged against it. Without waiting for the disk, and without harm when
    /// it fails: the last model is fetched again.
    async fn keep_round_model(&mut self) -> Result<(), SdkError> {
        let Some((bytes, model)) = self.model.take() else {
            return Ok(());
        };
        let path = model_path(&self.agent.folder);
        let kept = blocking(move || {
            if model.factor_count() > 0
                && let Err(error) = files::write_unsynced(&path, &bytes)
            {
                tracing::debug!(event = "model_not_kept", reason = %error);
            }
            Ok((bytes, model))
        });
        self.model = Some(kept.await?);
        Ok(())
    }

    /// Proof that a ledger of `size` lines continues the one seen; empty when nothing needs one.
    async fn consistency(&mut self, seen: LogMark, size: u64) -> Result<Vec<Digest>, SdkError> {
        let longer = seen.size > 0 && size > seen.size;
        if longer {
            self.connection.consistency(seen.size, size).await
        } else {
            Ok(Vec::new())
        }
    }

    /// Stores the final model for offline use, unless it is there. It must stand in the ledger as a
    /// ticket's model must, and look like one; otherwise the old one stays.
    async fn keep_model(&mut self, hash: Digest, logged: &[u8]) -> Result<(), SdkError> {
        let path = model_path(&self.agent.folder);
        let known = {
            let path = path.clone();
            blocking(
                move || Ok(files::read(&path).is_ok_and(|old| canonical::digest(&old) == hash)),
            )
        };
        if known.await? {
            return Ok(());
        }
        let refused = |reason: &dyn std::fmt::Display| {
            SdkError::Stop(format!("the published model: {reason}"))
        };
        let logged: LoggedLine =
            canonical::decode(logged).map_err(|_| refused(&TicketRefusal::Unlogged))?;
        // Only read here, as a ticket is: what it says decides which mark to look up, and the
        // policy checks it all.
        let line = Line::from_bytes(logged.line.as_bytes())
            .map_err(|_| refused(&TicketRefusal::Unlogged))?;
        let (task, _) = published_for(&line).ok_or_else(|| refused(&TicketRefusal::Unlogged))?;
        let of = task.clone();
        let seen = self.with_store(move |store| store.mark(&of)).await?;
        let consistency = self.consistency(seen, logged.head.head.size).await?;
        let policy = self.agent.deployment.policy();
        let checked = policy.check_model(&logged, hash, seen, &consistency);
        let (mark, task) = checked.map_err(|refusal| refused(&refusal))?;
        let bounds = policy.factors;
        let bytes = self.connection.fetch(hash).await?;
        let bytes = bytes.ok_or_else(|| {
            SdkError::retry("the coordinator sent another object than the last model")
        })?;
        self.bytes_down += bytes.len() as u64;
        blocking(move || {
            let model = Model::from_bytes(&bytes).map_err(|error| refused(&error))?;
            let figures = model.plausibility();
            bounds
                .check(figures.norm, figures.concentration, None)
                .map_err(|fault| refused(&fault))?;
            files::write(&path, &bytes)
        })
        .await?;
        self.with_store(move |store| store.set_mark(&task, mark))
            .await
    }

    /// Runs storage work off the runtime's threads.
    async fn with_store<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Store) -> Result<T, SdkError> + Send + 'static,
    ) -> Result<T, SdkError> {
        let mut store = self
            .store
            .take()
            .ok_or_else(|| SdkError::Bug("the store is in use".into()))?;
        let (store, result) = blocking(move || {
            let result = work(&mut store);
            Ok((store, result))
        })
        .await?;
        self.store = Some(store);
        result
    }
}

/// Gives up a contribution that reached nobody before its ticket's deadline, whoever can be reached
/// now; says whether there was one.
fn drop_overdue(store: &mut Store, now: Timestamp) -> Result<bool, SdkError> {
    let Some((task, round, Status::Spooled)) = store.unfinished()? else {
        return Ok(false);
    };
    let overdue = now >= store.spooled(&task, round)?.deadline();
    if overdue {
        store.finish(&task, round, Status::Forfeited)?;
    }
    Ok(overdue)
}

/// Reads a model and compares it with the policy and with `previous`, the path and hash of the last
/// model kept, if that is still there: another task's may be there instead.
fn judge(
    bytes: &[u8],
    ticket: &Ticket,
    bounds: FactorBounds,
    previous: Option<(PathBuf, Digest)>,
) -> Result<Model, FactorFault> {
    let model = Model::from_bytes(bytes).map_err(|error| match error {
        ModelError::Factors => FactorFault::NotFinite,
        _ => FactorFault::Unreadable,
    })?;
    let kept = previous.and_then(|(path, hash)| {
        files::read(&path)
            .ok()
            .filter(|kept| canonical::digest(kept) == hash)
    });
    let previous = kept.and_then(|bytes| Model::from_bytes(&bytes).ok());
    let figures = model.plausibility();
    let drift = previous.and_then(|previous| model.drift(&previous));
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

/// This device's unprotected vector for a ticket; `None` if the model gives none of its kind.
fn vector(ticket: &Ticket, model: &Model, interactions: &[Interaction]) -> Option<ItemGradient> {
    let history_max = ticket.mechanism.history_max as usize;
    model.vector(ticket.kind, interactions, history_max, ticket.hold_out)
}

/// What `vector` computes, or a vector of no length, which clipping turns into zeros, if it panics
/// or there is none.
fn or_nothing(vector: impl FnOnce() -> Option<ItemGradient>) -> ItemGradient {
    // Nothing it may have left half done is looked at again.
    let computed = catch_unwind(AssertUnwindSafe(vector)).ok().flatten();
    computed.unwrap_or_else(|| ItemGradient::new(Vec::new()))
}

/// Whether the factors of the ticket's model are a first guess, random or from a head Gram or
/// features, by the line both parties signed: the first gradient replaces them wholly, so the next
/// model's drift from them would mean nothing.
fn is_first_guess(ticket: &Ticket) -> bool {
    let line = Line::from_bytes(ticket.logged.line.as_bytes());
    let trained = [
        Kind::FactorGradient,
        Kind::WeightedGradient,
        Kind::LayerGradient,
    ]
    .map(Kind::as_str);
    line.is_ok_and(
        |line| matches!(line.event, Event::Release(release) if !trained.contains(&release.charge.kind.as_str())),
    )
}

/// Where the newest model is kept for offline use.
pub(crate) fn model_path(folder: &Path) -> PathBuf {
    folder.join("model.bin")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SdkError> + Send + 'static,
) -> Result<T, SdkError> {
    spawn_blocking(work)
        .await
        .map_err(|error| SdkError::Bug(format!("a task stopped: {error}")))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_that_cannot_be_computed_becomes_one_that_clips_to_zeros() {
        assert_eq!(
            or_nothing(|| Some(ItemGradient::new(vec![1.0; 3]))).len(),
            3
        );
        assert_eq!(or_nothing(|| None).len(), 0);
        assert_eq!(
            or_nothing(|| panic!("an interaction nobody thought of")).len(),
            0
        );
    }
}
