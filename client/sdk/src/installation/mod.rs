//! One installation behind one handle, for an app that has threads and no async runtime.
//!
//! Every method takes `&self`, works on the caller's thread and returns. Between calls there is no
//! thread, no timer, and no lock on a file, so the app may be suspended at any moment.

mod conditions;
mod outcome;
mod privacy;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, TryLockError};

use tacit_model::rank::filter::Filter;
use tacit_model::rank::ranker::Precision;
use tacit_privacy::noise::TableCache;
use tacit_types::Timestamp;
use tokio::select;
use tokio::sync::watch;

pub use self::conditions::{Conditions, Missing};
pub use self::outcome::{Outcome, Stepped};
pub use self::privacy::{PrivacyReport, Release};

use crate::agent::{Agent, Step};
use crate::blocking::blocking;
use crate::bundle::Bundle;
use crate::deadlines::Deadlines;
use crate::deployment::Deployment;
use crate::error::SdkError;
use crate::identity;
use crate::reason::Unenrolled;
use crate::recommender::{Recommendation, Recommender, Recorded};
use crate::store::{Consent, Event};

/// What an app opens once and keeps: lists, training and the owner's decisions.
///
/// Reads run at the same time as each other and as a [`step`](Self::step), which only takes the
/// lists for the moment in which a new model takes their place.
///
/// ```no_run
/// # use std::path::Path;
/// use tacit_sdk::{Conditions, Deployment, Installation, Outcome, SdkError};
/// # use tacit_sdk::types::Timestamp;
///
/// fn in_the_background(app: &Installation, now: Timestamp) -> Result<bool, SdkError> {
///     let conditions = Conditions { charging: true, unmetered: true, idle: true, now };
///     let stepped = app.step(conditions)?;
///     Ok(stepped.outcome == Outcome::Contributed)
/// }
/// ```
pub struct Installation {
    folder: Arc<Path>,
    deployment: Arc<Deployment>,
    agent: Agent,
    lists: RwLock<Recommender>,
    /// Held while a step runs, of whichever owner's handle.
    stepping: Arc<Mutex<()>>,
    /// Changes when what runs is to stop.
    cancelled: watch::Sender<u64>,
}

impl Installation {
    /// Opens an installation, making its store on first use. Needs no network and no model.
    ///
    /// # Errors
    /// As [`Recommender::open_with`].
    pub fn open(
        folder: &Path,
        deployment: Deployment,
        precision: Precision,
        bundle: Option<&Bundle>,
    ) -> Result<Self, SdkError> {
        let lists = Recommender::open_with(folder, precision, bundle)?;
        let deployment = Arc::new(deployment);
        Ok(Self {
            folder: folder.into(),
            agent: Agent::new(folder, deployment.clone(), TableCache::default()),
            deployment,
            lists: RwLock::new(lists),
            stepping: Arc::default(),
            cancelled: watch::Sender::new(0),
        })
    }

    /// The same installation for the owner of this name ([`Recommender::for_owner`]), as one handle
    /// more: one step runs at a time whichever handle it was called on, and serves them all.
    ///
    /// ```no_run
    /// use tacit_sdk::{Consent, Installation, SdkError};
    ///
    /// fn household(app: &Installation) -> Result<[Installation; 2], SdkError> {
    ///     let (parent, child) = (app.for_owner("Ada")?, app.for_owner("Tim")?);
    ///     parent.change(|lists| lists.set_consent(Consent::Contribute))?;
    ///     Ok([parent, child])
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`Store::for_owner`](crate::Store::for_owner).
    pub fn for_owner(&self, name: &str) -> Result<Self, SdkError> {
        Ok(Self {
            folder: self.folder.clone(),
            deployment: self.deployment.clone(),
            agent: self.agent.clone(),
            lists: RwLock::new(self.lists().for_owner(name)?),
            stepping: self.stepping.clone(),
            cancelled: self.cancelled.clone(),
        })
    }

    /// The same with other limits than the defaults.
    #[must_use]
    pub fn with_deadlines(mut self, deadlines: Deadlines) -> Self {
        self.agent = self.agent.with_deadlines(deadlines);
        self
    }

    /// Looks at the lists, at the same time as others do.
    pub fn read<T>(&self, look: impl FnOnce(&Recommender) -> T) -> T {
        look(&self.lists())
    }

    /// Changes what lists are made of, while nobody looks.
    pub fn change<T>(&self, change: impl FnOnce(&mut Recommender) -> T) -> T {
        // Whoever panicked with it has left lists that may be behind the store, and no more.
        let mut lists = self
            .lists
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        change(&mut lists)
    }

    /// [`Recommender::recommend`].
    pub fn recommend(&self, k: usize, filter: &Filter) -> Vec<Recommendation> {
        self.lists().recommend(k, filter)
    }

    /// [`Recommender::record_all`].
    ///
    /// # Errors
    /// As that.
    pub fn record_all(&self, events: &[Event]) -> Result<Recorded, SdkError> {
        self.change(|lists| lists.record_all(events))
    }

    /// Trades a token for this installation's identity, once ([`identity::enrol`]).
    ///
    /// # Errors
    /// As that.
    pub fn enrol(&self, token: &[u8]) -> Result<(), SdkError> {
        blocking(identity::enrol(&self.folder, &self.deployment, token))
    }

    /// Does what is due, as far as any owner has consented and the conditions allow: takes part in
    /// a round, or fetches what is published. This handle's lists come from the newest model when
    /// it returns.
    ///
    /// Ends within [`Deadlines::step`], or after [`Self::cancel`] within one durable commit. A
    /// second call while one runs answers at once that it is not now.
    ///
    /// # Errors
    /// [`SdkError::Stop`] for what a person must mend, [`SdkError::Bug`] inside an async runtime.
    /// Everything else is an [`Outcome`].
    pub fn step(&self, conditions: Conditions) -> Result<Stepped, SdkError> {
        let consent = self.lists().widest_consent()?;
        if let Some(missing) = conditions.missing(consent) {
            return Ok(Stepped::not_now(missing));
        }
        match consent {
            Consent::Contribute => self.run(self.agent.step(conditions.now)),
            _ => self.run(self.agent.refresh(conditions.now)),
        }
    }

    /// Fetches what is published, and takes part in nothing ([`Agent::refresh`]).
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn refresh(&self, now: Timestamp) -> Result<Stepped, SdkError> {
        self.run(self.agent.refresh(now))
    }

    /// Stops the step that runs, from any thread; what is durable stays, and the next step goes on
    /// with it. Nothing happens while none runs.
    pub fn cancel(&self) {
        self.cancelled
            .send_modify(|times| *times = times.wrapping_add(1));
    }

    /// What this installation, with all its owners, has spent of their privacy, in words and
    /// figures; asks nobody.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn privacy(&self) -> Result<PrivacyReport, SdkError> {
        PrivacyReport::read(&self.folder, self.deployment.policy())
    }

    fn lists(&self) -> RwLockReadGuard<'_, Recommender> {
        self.lists
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs an action of the agent on this thread until it ends or is cancelled.
    fn run(
        &self,
        action: impl Future<Output = Result<Step, SdkError>>,
    ) -> Result<Stepped, SdkError> {
        let _alone = match self.stepping.try_lock() {
            Ok(alone) => alone,
            Err(TryLockError::Poisoned(left)) => left.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(Stepped::not_now(Missing::Turn)),
        };
        if !identity::is_enrolled(&self.folder) {
            return Ok(Stepped::unenrolled(Unenrolled::Never));
        }

        let mut cancelled = self.cancelled.subscribe();
        let ended = blocking(async {
            select! {
                ended = action => ended.map(Some),
                _ = cancelled.changed() => Ok(None),
            }
        });
        // Perhaps another handle's step has adopted it, so this one's did not.
        if matches!(ended, Ok(Some(_))) {
            self.change(Recommender::reload)?;
        }
        Stepped::of(ended)
    }
}
