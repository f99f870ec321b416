//! A published model of any family, and which family it is.

use serde::{Deserialize, Serialize};

use crate::family::error::ModelError;
use crate::family::neural::{self, NeuralModel};
use crate::family::owner::Owner;
use crate::family::plausibility::Plausibility;
use crate::family::rating::{self, RatingModel, Ratings};
use crate::family::spectral::SpectralModel;
use crate::family::spectral::score::{self, popularity_scores};
use crate::family::weighted::{self, WeightedModel, WeightedTerms};
use crate::history::interaction::Interaction;

/// The family of a task's model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Unit-vector subspace gradients: the default.
    #[default]
    Spectral,
    /// Weighted squares, the loss of implicit ALS, started from a spectral model.
    Weighted,
    /// Explicit ratings: biases, and the subspace of what was rated.
    Rating,
    /// A network over public item features; it ends as a spectral model.
    Neural,
}

impl Family {
    /// The word used in options, configuration and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spectral => "spectral",
            Self::Weighted => "weighted",
            Self::Rating => "rating",
            Self::Neural => "neural",
        }
    }
}

/// A published model of any family. It never changes; [`Model::step`] makes the next one.
#[derive(Clone, Debug, PartialEq)]
pub enum Model {
    /// Counts and item factors that span the subspace of what people use together.
    Spectral(SpectralModel),
    /// Item factors of weighted squares.
    Weighted(WeightedModel),
    /// Item biases and the subspace of what people rate together.
    Rating(RatingModel),
    /// A network in training.
    Neural(NeuralModel),
}

impl Model {
    /// M, the number of items in the catalogue.
    pub fn catalogue_len(&self) -> u32 {
        u32::try_from(self.counts().len()).unwrap_or(u32::MAX)
    }

    /// The family that trains it next. A task of weighted squares begins with a spectral model, and
    /// ends with one where the signal is too weak; a task of a network begins and ends with one.
    pub fn family(&self) -> Family {
        match self {
            Self::Spectral(_) => Family::Spectral,
            Self::Weighted(_) => Family::Weighted,
            Self::Rating(_) => Family::Rating,
            Self::Neural(_) => Family::Neural,
        }
    }

    /// The spectral model, where this is one or carries one.
    pub fn spectral(&self) -> Option<&SpectralModel> {
        match self {
            Self::Spectral(model) => Some(model),
            Self::Weighted(_) => None,
            Self::Rating(model) => Some(model.spectral()),
            Self::Neural(model) => Some(model.spectral()),
        }
    }

    /// Noisy item counts, floored, all above 0: (M).
    pub fn counts(&self) -> &[f32] {
        match self {
            Self::Spectral(model) => model.counts(),
            Self::Weighted(model) => model.counts(),
            Self::Rating(model) => model.spectral().counts(),
            Self::Neural(model) => model.spectral().counts(),
        }
    }

    /// d, the number of trained factors; 0 before training.
    pub fn factor_count(&self) -> usize {
        match self {
            Self::Spectral(model) => model.factor_count(),
            Self::Weighted(model) => model.factor_count(),
            Self::Rating(model) => model.spectral().factor_count(),
            Self::Neural(model) => model.spectral().factor_count(),
        }
    }

    /// An owner's ratings, of the last `cap` items, where this model asks for ratings; else none.
    pub fn ratings(&self, interactions: &[Interaction], cap: usize) -> Ratings {
        match self {
            Self::Rating(model) => {
                Ratings::new(interactions, self.catalogue_len(), cap, model.scale())
            }
            _ => Ratings::NONE,
        }
    }

    /// Writes the model; equal models give equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Spectral(model) => model.to_bytes(),
            Self::Weighted(model) => model.to_bytes(),
            Self::Rating(model) => model.to_bytes(),
            Self::Neural(model) => model.to_bytes(),
        }
    }

    /// Reads a model of any family from bytes anybody may have written; the first eight say which
    /// family.
    ///
    /// # Errors
    /// [`ModelError`] for anything but bytes [`Self::to_bytes`] could have written; never panics,
    /// and never allocates more than a small multiple of `bytes.len()` and 2 MiB.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        if bytes.starts_with(weighted::MAGIC) {
            return WeightedModel::from_bytes(bytes).map(Self::Weighted);
        }
        if bytes.starts_with(rating::MAGIC) {
            return RatingModel::from_bytes(bytes).map(Self::Rating);
        }
        if bytes.starts_with(neural::MAGIC) {
            return NeuralModel::from_bytes(bytes).map(Self::Neural);
        }
        SpectralModel::from_bytes(bytes).map(Self::Spectral)
    }

    /// Figures by which a device judges the model before it takes part.
    pub fn plausibility(&self) -> Plausibility {
        match self {
            Self::Spectral(model) => model.plausibility(),
            Self::Weighted(model) => model.plausibility(),
            Self::Rating(model) => model.spectral().plausibility(),
            Self::Neural(model) => model.spectral().plausibility(),
        }
    }

    /// Part of the span of `previous`' factors that these have lost, 0 to 1; `None` where there is
    /// nothing to compare.
    pub fn drift(&self, previous: &Self) -> Option<f64> {
        match (self, previous) {
            (Self::Weighted(model), Self::Weighted(previous)) => model.drift(previous),
            // A network's task ends as a spectral model.
            (Self::Spectral(_), Self::Spectral(_) | Self::Neural(_))
            | (Self::Neural(_), Self::Neural(_))
            | (Self::Rating(_), Self::Rating(_)) => {
                let previous = previous.spectral()?;
                self.spectral()?.drift(previous)
            }
            _ => None,
        }
    }

    /// Scores every item for an owner, larger is better: length M. `half_life` as in
    /// [`score::scores`]; a rating model predicts ratings, on their scale.
    pub fn scores(&self, owner: &Owner<'_>, half_life: Option<f32>) -> Vec<f32> {
        let history = owner.history;
        match self {
            Self::Spectral(model) => score::scores(history, model, half_life),
            Self::Neural(model) => score::scores(history, model.spectral(), half_life),
            Self::Weighted(model) => {
                if history.is_empty() {
                    return popularity_scores(model.counts());
                }
                weighted::device::scores(history, model, half_life)
            }
            Self::Rating(model) => rating::device::predictions(owner.ratings, model),
        }
    }

    /// Weighted squares before their first round: post-processing of a spectral model.
    pub fn weighted_start(model: &SpectralModel, terms: WeightedTerms) -> Self {
        Self::Weighted(weighted::server::warm_start(model, terms))
    }

    /// The same model without factors, with which devices rank by popularity; other families than
    /// the spectral stay as they are, because without factors they are no longer models of their
    /// family.
    #[must_use]
    pub fn without_factors(&self) -> Self {
        match self {
            Self::Spectral(model) => Self::Spectral(model.without_factors()),
            Self::Neural(model) => Self::Spectral(model.spectral().without_factors()),
            other => other.clone(),
        }
    }
}

impl From<SpectralModel> for Model {
    fn from(model: SpectralModel) -> Self {
        Self::Spectral(model)
    }
}
