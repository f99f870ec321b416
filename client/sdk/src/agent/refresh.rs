//! What is published: asked for, checked against the signed ledger, fetched, and adopted for
//! recommendations, model and catalogue together.

use std::fmt::Display;

use tacit_model::Model;
use tacit_model::family::catalogue::Catalogue;
use tacit_privacy::canonical;
use tacit_privacy::record::{Genesis, Line};
use tacit_round::head::LoggedLine;
use tacit_round::policy::{LogMark, TicketRefusal, published_for};
use tacit_types::{Digest, Kind, TaskId};

use super::action::{Action, blocking};
use super::model::released_by;
use crate::error::SdkError;
use crate::kept;
use crate::reason::Reason;
use crate::transport::CheckIn;

impl Action {
    /// Takes what is published, and takes part in nothing.
    pub(super) async fn refresh(&mut self) -> Result<(), SdkError> {
        let answer = self.check_in(true).await?;
        if answer.logged.is_empty() {
            return Ok(());
        }
        self.take_published(&answer).await
    }

    /// Adopts the published model, unless it serves already or nothing has trained it yet. What the
    /// coordinator counted may be backed by its line.
    pub(super) async fn take_published(&mut self, answer: &CheckIn) -> Result<(), SdkError> {
        if self.serves(answer.model).await? {
            self.step.finished = answer.finished;
            return Ok(());
        }

        let logged = read_line(&answer.logged)?;
        let released = released_by(&logged);
        if released.is_none() && answer.finished {
            return Err(refused("the task has released nothing"));
        }
        // Before the first training round factors are random or from a first look; a task that ends
        // there has dropped them.
        let kind = released.and_then(|kind| Kind::parse(&kind));
        let ready = answer.finished || kind.is_some_and(Kind::trains);
        if ready {
            let genesis = self.check_genesis(&answer.genesis_logged)?;
            self.adopt(answer.model, &logged, &genesis).await?;
            // The line may account for more than those before it.
            self.raise_spent().await?;
        }
        self.step.finished = answer.finished;
        Ok(())
    }

    /// Whether this model serves with its catalogue, and both are whole.
    async fn serves(&mut self, model: Digest) -> Result<bool, SdkError> {
        let folder = self.folder.clone();
        let known = blocking(move || match kept::serving(&folder)? {
            Some(serving) if serving.model == model && serving.catalogue.is_some() => {
                serving.is_whole(&folder)
            }
            _ => Ok(false),
        });
        known.await
    }

    /// What the line says that the ledger began with.
    fn check_genesis(&self, logged: &[u8]) -> Result<(Digest, Genesis), SdkError> {
        let policy = self.deployment.policy();
        policy
            .check_genesis(&read_line(logged)?)
            .map_err(refused)
    }

    /// Lets a model and its catalogue serve. Both must stand in the ledger, the model as a ticket's
    /// must; they must look like what they are, and fit each other and what was done here.
    /// Otherwise the old pair stays.
    async fn adopt(
        &mut self,
        model: Digest,
        logged: &LoggedLine,
        (ledger, genesis): &(Digest, Genesis),
    ) -> Result<(), SdkError> {
        let (mark, task) = self.check_logged(model, logged).await?;
        if (mark.ledger_id, &task) != (*ledger, &genesis.task) {
            return Err(refused(TicketRefusal::Unlogged));
        }
        let catalogue = genesis.catalogue_hash;
        let catalogue = self.kept_or_fetched(catalogue, "catalogue").await?;
        let model = self.kept_or_fetched(model, "model").await?;
        let bounds = self.deployment.policy().factors;
        let folder = self.folder.clone();
        let adopted = task.clone();
        blocking(move || {
            let read = Model::from_bytes(&model).map_err(refused)?;
            let figures = read.plausibility();
            bounds
                .check(figures.norm, figures.concentration, None)
                .map_err(refused)?;
            let listing = Catalogue::parse(&catalogue).map_err(refused)?;
            check_fit(&listing, &read, kept::served(&folder)?)?;
            kept::adopt(&folder, &adopted, &model, Some(&catalogue))
        })
        .await?;
        self.step.new_model = true;
        self.with_store(move |store| store.set_mark(&task, mark))
            .await
    }

    /// An object that is kept whole, or else as the coordinator has it.
    async fn kept_or_fetched(&mut self, hash: Digest, what: &str) -> Result<Vec<u8>, SdkError> {
        let folder = self.folder.clone();
        if let Some(bytes) = blocking(move || kept::read(&folder, hash)).await? {
            return Ok(bytes);
        }
        let fetched = self.fetch(hash).await?;
        fetched.ok_or_else(|| {
            let detail = format!("the coordinator sent another object than the published {what}");
            SdkError::retry(Reason::NotNow, detail)
        })
    }

    /// Whether both parties signed for this model, in the ledger this device knows: the mark to
    /// remember, and the task it is a model of.
    async fn check_logged(
        &mut self,
        hash: Digest,
        logged: &LoggedLine,
    ) -> Result<(LogMark, TaskId), SdkError> {
        let unlogged = || refused(TicketRefusal::Unlogged);
        // Only read here, as a ticket is: what it says decides which mark to look up, and the
        // policy checks it all.
        let line = Line::from_bytes(logged.line.as_bytes()).map_err(|_| unlogged())?;
        let (task, _) = published_for(&line).ok_or_else(unlogged)?;
        let task = task.clone();
        let seen = self.with_store(move |store| store.mark(&task)).await?;
        let shown = self.shown(seen, &logged.head.head).await?;
        self.deployment
            .policy()
            .check_model(logged, hash, seen, &shown)
            .map_err(refused)
    }
}

/// Whether a catalogue is of this model, and names by every id what it named before: what the owner
/// did is kept by index.
fn check_fit(
    listing: &Catalogue,
    model: &Model,
    served: Option<kept::Served>,
) -> Result<(), SdkError> {
    let items = listing.items();
    let known = model.catalogue_len();
    if items != known {
        let problem = format_args!("it has {known} items, and its catalogue {items}");
        return Err(refused(problem));
    }
    let earlier = served.and_then(|served| served.catalogue);
    let earlier = earlier.and_then(|bytes| Catalogue::parse(&bytes).ok());
    match earlier {
        Some(earlier) if !listing.continues(&earlier) => Err(refused(
            "its catalogue gives an id of the catalogue before another place",
        )),
        _ => Ok(()),
    }
}

fn read_line(logged: &[u8]) -> Result<LoggedLine, SdkError> {
    canonical::decode(logged).map_err(|_| refused(TicketRefusal::Unlogged))
}

fn refused(reason: impl Display) -> SdkError {
    SdkError::Stop(format!("the published model: {reason}"))
}
