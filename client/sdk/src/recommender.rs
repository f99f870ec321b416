//! The facade, in the words of app developers. No network, no thread: every call does its work and returns.

use std::path::Path;

use tacit_model::interaction::Interaction;
use tacit_model::preference::{HISTORY_CAP, History};
use tacit_model::score::{HALF_LIFE, scores, top_k};
use tacit_model::spectral::SpectralModel;
use tacit_privacy::ledger::total;
use tacit_privacy::record::time_bucket;
use tacit_privacy::{DeviceBudget, LedgerStore, Rho};
use tacit_types::{ItemId, Timestamp};

use crate::agent::model_path;
use crate::error::SdkError;
use crate::files;
use crate::store::Store;

/// One recommended item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recommendation {
    /// The item.
    pub item: ItemId,
    /// Ranking score; comparable within one list only.
    pub score: f32,
}

/// What this installation has spent and may spend, for its owner to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivacyStatus {
    /// Spent so far, whatever became of the releases; includes `elsewhere`.
    pub spent: Rho,
    /// Most that may ever be spent.
    pub lifetime: Rho,
    /// Number of releases this installation knows of.
    pub releases: usize,
    /// Spent in the current window.
    pub window_spent: Rho,
    /// Most that may be spent in one window.
    pub window: Rho,
    /// What this identity was counted for beyond those releases: its folder was restored from an old copy, or runs twice.
    pub elsewhere: Rho,
}

/// Offline recommendations of one installation.
pub struct Recommender {
    store: Store,
    model: SpectralModel,
    interactions: Vec<Interaction>,
}

impl Recommender {
    /// Opens an installation that has a model.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when the store or the model is missing or damaged.
    pub fn open(folder: &Path) -> Result<Self, SdkError> {
        let store = Store::open(folder)?;
        let path = model_path(folder);
        let model = SpectralModel::from_bytes(&files::read(&path)?).map_err(|error| files::stop(&path, error))?;
        let interactions = store.interactions()?;
        Ok(Self { store, model, interactions })
    }

    /// Makes an interaction durable; the next [`Self::recommend`] already knows it.
    ///
    /// # Errors
    /// [`SdkError::Stop`] for an item the catalogue does not have or a value that is not finite, or when storage fails.
    pub fn record(&mut self, interaction: Interaction) -> Result<(), SdkError> {
        if interaction.item.0 >= self.model.catalogue_len() {
            return Err(SdkError::Stop(format!("item {} is not in the catalogue", interaction.item.0)));
        }
        if !interaction.value.is_finite() {
            return Err(SdkError::Stop("the interaction's value is not a finite number".into()));
        }
        self.store.record(&[interaction])?;
        self.interactions.push(interaction);
        Ok(())
    }

    /// The best `k` items this installation's owner has not interacted with, best first.
    pub fn recommend(&self, k: usize) -> Vec<Recommendation> {
        let history = History::new(&self.interactions, self.model.catalogue_len(), HISTORY_CAP);
        let scores = scores(&history, &self.model, Some(HALF_LIFE));
        let seen: Vec<ItemId> = self.interactions.iter().map(|one| one.item).collect();
        top_k(&scores, &seen, k).into_iter().map(|(item, score)| Recommendation { item, score }).collect()
    }

    /// Items interacted with, newest last.
    pub fn recent(&self) -> &[Interaction] {
        &self.interactions
    }

    /// What this installation has spent of the budget of its policy ([`tacit_round::policy::Policy::budget`]).
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn privacy_status(&self, budget: DeviceBudget, now: Timestamp) -> Result<PrivacyStatus, SdkError> {
        let lines = self.store.reservations()?;
        // As the ledger counts: no window before that of an earlier release opens again.
        let hour = lines.iter().map(|line| line.hour).fold(time_bucket(now), u64::max);
        let window = |hour: u64| hour / u64::from(budget.window_hours.max(1));
        Ok(PrivacyStatus {
            spent: self.store.spent()?,
            lifetime: budget.rho_lifetime,
            releases: lines.len(),
            window_spent: total(lines.iter().filter(|line| window(line.hour) == window(hour))),
            window: budget.rho_window,
            elsewhere: self.store.missing()?,
        })
    }
}
