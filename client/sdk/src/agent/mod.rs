//! Takes part in rounds when the app calls: drives [`tacit_round::device`] with this installation's
//! store and transport.
//!
//! One [`Agent::step`] is one action: it opens the store, connects, does at most one release, and
//! closes both. It may be stopped anywhere; the next step resumes from the device ledger.
//! `action` runs the machine's effects, `model` fetches, judges and keeps models.

mod action;
mod lease;
mod model;
mod refresh;
mod step;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tacit_privacy::Rho;
use tacit_privacy::noise::TableCache;
use tacit_round::device::{Outcome, Status};
use tacit_types::Timestamp;
use tokio::time::{Instant, timeout};

pub use self::step::Step;

use self::action::{Action, blocking};
use self::lease::LINGER;
use crate::backoff::Backoff;
use crate::credentials;
use crate::deadlines::Deadlines;
use crate::deployment::Deployment;
use crate::error::SdkError;
use crate::identity;
use crate::policies;
use crate::reason::Reason;
use crate::renewal::renew_if_due;
use crate::roots;
use crate::store::{Consent, Pause, Store};
use crate::transport::Connection;

/// When an app none of whose owners has consented may ask again.
const WITHHELD: Duration = Duration::from_secs(24 * 3600);

/// What the network is asked for.
#[derive(Clone, Copy, PartialEq)]
enum Errand {
    /// What is published.
    Refresh,
    /// A round to take part in.
    Round,
}

impl Errand {
    /// What one of the owners must have consented to.
    fn needs(self) -> Consent {
        match self {
            Self::Refresh => Consent::Receive,
            Self::Round => Consent::Contribute,
        }
    }
}

/// One installation's trainer. Copies share what they know of failed tries.
#[derive(Clone)]
pub struct Agent {
    folder: Arc<Path>,
    deployment: Arc<Deployment>,
    tables: TableCache,
    deadlines: Deadlines,
    backoff: Arc<Mutex<Backoff>>,
}

impl Agent {
    /// An agent of the installation in `folder`.
    pub fn new(folder: &Path, deployment: Arc<Deployment>, tables: TableCache) -> Self {
        Self {
            folder: folder.into(),
            deployment,
            tables,
            deadlines: Deadlines::default(),
            backoff: Arc::default(),
        }
    }

    /// The same agent with other limits than the defaults.
    #[must_use]
    pub fn with_deadlines(self, deadlines: Deadlines) -> Self {
        Self { deadlines, ..self }
    }

    /// Resumes what was interrupted, then checks in and takes part in the open round if there is
    /// one. Ends within [`Deadlines::step`], whatever the network does. Needs
    /// [`Consent::Contribute`].
    ///
    /// # Errors
    /// [`SdkError`]; a network failure leaves everything as it was and says when to retry, later
    /// from try to try.
    pub async fn step(&self, now: Timestamp) -> Result<Step, SdkError> {
        self.run(Errand::Round, now).await
    }

    /// Fetches the newest published model, checks it, and lets it serve; one that was damaged is
    /// fetched again. Takes no place in a round, makes no release and sends nothing about the
    /// owner. Needs [`Consent::Receive`].
    ///
    /// # Errors
    /// As [`Self::step`]; [`SdkError::Stop`] also for a model that both parties did not sign for or
    /// that the policy does not allow. The model that served before serves on.
    pub async fn refresh(&self, now: Timestamp) -> Result<Step, SdkError> {
        self.run(Errand::Refresh, now).await
    }

    async fn run(&self, errand: Errand, now: Timestamp) -> Result<Step, SdkError> {
        let mut ended = self.act(errand, now).await;
        // Nothing panics while this is held.
        let mut backoff = self
            .backoff
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match &mut ended {
            Ok(Step {
                later: Some(reason),
                retry_after,
                ..
            }) => *retry_after = backoff.later(*reason, "this round", *retry_after),
            Ok(_) => backoff.clear(),
            Err(SdkError::RetryLater {
                after,
                reason,
                detail,
            }) => *after = backoff.later(*reason, detail, Duration::ZERO),
            Err(_) => {}
        }
        ended
    }

    async fn act(&self, errand: Errand, now: Timestamp) -> Result<Step, SdkError> {
        let folder = self.folder.clone();
        let open = move || {
            let mut store = Store::open(&folder)?;
            let offline = offline(&mut store, errand, now)?;
            let member = identity::member(&folder)?;
            Ok((store, offline, member))
        };
        let begun = Instant::now();
        let (store, offline, member) = blocking(open).await?;
        if let Some(step) = offline {
            let committing = blocking(move || Ok(store.close())).await?;
            return Ok(Step { committing, ..step });
        }

        renew_if_due(&self.folder, &self.deployment, &self.deadlines, now).await?;
        let identity = credentials::load(&self.folder)?;
        let mut deployment = roots::trusted(&self.folder, &self.deployment)?;
        deployment.go_by(policies::in_force(
            &self.folder,
            self.deployment.in_force(),
        )?);
        let opening = Connection::open(&deployment, Some(identity), &self.deadlines);
        let connection = opening.await?;
        let mut action = Action {
            folder: self.folder.clone(),
            shipped: self.deployment.clone(),
            deployment: Arc::new(deployment),
            tables: self.tables.clone(),
            connection,
            store: Some(store),
            member: member.map(Arc::new),
            counted: Rho::ZERO,
            begun,
            spend_until: None,
            pause: Pause::NONE,
            permit: None,
            spooled: None,
            model: None,
            step: Step::default(),
        };
        // What is durable stays as it is wherever this stops. Storage work that has begun ends by
        // itself, and closes the store it holds; until then the next step finds it busy.
        let work = async {
            match errand {
                Errand::Round => action.run(now).await,
                Errand::Refresh => action.refresh().await,
            }
        };
        let result = timeout(self.deadlines.step, work).await;
        let result = result.unwrap_or_else(|_| Err(over_time()));

        let Action { store, step, .. } = action;
        let close = move || Ok(store.map_or(Duration::ZERO, Store::close));
        let committing = blocking(close).await?;
        result.map(|()| Step { committing, ..step })
    }
}

fn over_time() -> SdkError {
    SdkError::retry(Reason::Silent, "the step took longer than it may")
}

/// What needs nobody: does nothing without an owner's consent, gives up a contribution that
/// reached nobody before its ticket's latest deadline, and leaves one alone whose time has not
/// come. `None` when the network is asked.
fn offline(store: &mut Store, errand: Errand, now: Timestamp) -> Result<Option<Step>, SdkError> {
    if store.widest_consent()? < errand.needs() {
        return Ok(Some(Step {
            withheld: true,
            retry_after: WITHHELD,
            ..Step::default()
        }));
    }
    if errand == Errand::Refresh {
        return Ok(None);
    }
    let Some((task, round, Status::Spooled)) = store.unfinished()? else {
        return Ok(None);
    };
    let spooled = store.spooled(&task, round)?;
    if now >= spooled.deadline() {
        store.finish(&task, round, Status::Forfeited)?;
        return Ok(Some(Step {
            outcome: Some(Outcome::TooLate),
            ..Step::default()
        }));
    }

    let left = spooled.pause().left(now);
    let waits = Step {
        retry_after: left,
        prepared: true,
        ..Step::default()
    };
    Ok((left > LINGER).then_some(waits))
}
