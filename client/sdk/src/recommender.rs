//! The facade, in the words of app developers. No network, no thread: every call does its work and returns.

use std::path::Path;

use tacit_model::interaction::Interaction;
use tacit_model::preference::{HISTORY_CAP, History};
use tacit_model::score::{HALF_LIFE, scores, top_k};
use tacit_model::spectral::SpectralModel;
use tacit_privacy::Rho;
use tacit_types::ItemId;

use crate::agent::model_path;
use crate::error::SdkError;
use crate::store::Store;

/// One recommended item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recommendation {
    /// The item.
    pub item: ItemId,
    /// Ranking score; comparable within one list only.
    pub score: f32,
}

/// What this installation has spent, for its owner to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivacyStatus {
    /// Spent so far, whatever became of the releases.
    pub spent: Rho,
    /// Number of releases.
    pub releases: usize,
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
        let damaged = |error: &dyn std::fmt::Display| SdkError::Stop(format!("{}: {error}", path.display()));
        let bytes = std::fs::read(&path).map_err(|error| damaged(&error))?;
        let model = SpectralModel::from_bytes(&bytes).map_err(|error| damaged(&error))?;
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

    /// What this installation has spent.
    ///
    /// # Errors
    /// [`SdkError::Stop`] when storage fails.
    pub fn privacy_status(&self) -> Result<PrivacyStatus, SdkError> {
        Ok(PrivacyStatus { spent: self.store.spent()?, releases: self.store.ledger()?.len() })
    }
}
