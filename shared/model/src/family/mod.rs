//! The one seam behind which every trained model stands: what a device is asked for, what it gives,
//! and what the server makes of the sum.
//!
//! Protocol, server and SDK know [`Model`] only. What differs between families is in their own
//! modules; here is who answers: `owner` is what a vector is made of, `step` what a server makes of
//! the sum.

pub mod features;
pub mod neural;
mod owner;
pub mod rating;
pub mod recipe;
pub mod spectral;
mod step;
pub mod weighted;

use serde::{Deserialize, Serialize};
use tacit_types::{ItemGradient, Kind};

use crate::family::neural::NeuralModel;
use crate::family::rating::{RatingModel, Ratings};
use crate::family::spectral::device::{
    SparseGradient, sparse_counts, sparse_gradient, sparse_head_gram,
};
use crate::family::spectral::plausibility::Plausibility;
use crate::family::spectral::{ModelError, SpectralModel};
use crate::family::weighted::WeightedModel;
use crate::history::interaction::Interaction;
use crate::history::preference::History;
use crate::measure::evaluation::{self, layout};
use crate::rank::score::{self, popularity_scores};

pub use owner::{Owner, Spared};
pub use step::{OpenedSum, Step};

/// What a job trains.
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

/// What a vector looks like: it follows from the model and the kind alone, never from anybody's
/// data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Rows of the vector.
    pub rows: usize,
    /// Coordinates of a row.
    pub row_width: usize,
}

impl Extent {
    /// Coordinates of the vector.
    pub fn length(&self) -> usize {
        self.rows * self.row_width
    }
}

impl Model {
    /// M, the number of items in the catalogue.
    pub fn catalogue_len(&self) -> u32 {
        u32::try_from(self.counts().len()).unwrap_or(u32::MAX)
    }

    /// What trains it. A job of weighted squares begins with a spectral model, and ends with one
    /// where the signal is too weak; a network begins and ends as one.
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

    /// What a device's vector of this kind looks like; `None` for a kind this model does not give.
    pub fn extent(&self, kind: Kind) -> Option<Extent> {
        let (rows, row_width) = match (self, kind) {
            (Self::Weighted(model), Kind::WeightedGradient) => (
                model.catalogue_len() + model.factor_count(),
                model.factor_count(),
            ),
            (Self::Rating(model), Kind::RatingBias) => (model.catalogue_len(), 2),
            (Self::Spectral(model), Kind::Counts) => (model.counts().len(), 1),
            (Self::Neural(model), Kind::LayerGradient) => (model.directions(), self.factor_count()),
            (Self::Neural(_), Kind::HeadGram | Kind::FactorGradient) => return None,
            (_, Kind::HeadGram) => (self.spectral()?.head_gram_len(), 1),
            (_, Kind::FactorGradient) => (self.spectral()?.block().len(), self.factor_count()),
            (_, Kind::Metrics) => (layout::LENGTH, 1),
            _ => return None,
        };
        Some(Extent { rows, row_width })
    }

    /// This owner's vector of one kind without its zeros; `None` for a kind this model does not
    /// give.
    ///
    /// # Guarantees
    /// Of [`Self::extent`], with L2 norm at most 1 up to f32 rounding.
    pub fn sparse_vector(&self, kind: Kind, owner: &Owner<'_>) -> Option<SparseGradient> {
        self.extent(kind)?;
        let history = owner.history;
        Some(match (self, kind) {
            (Self::Weighted(model), Kind::WeightedGradient) => {
                weighted::device::sparse_gradient(history, model)
            }
            (Self::Rating(model), Kind::RatingBias) => {
                rating::device::sparse_biases(owner.ratings, model.scale())
            }
            (Self::Spectral(model), Kind::Counts) => sparse_counts(history, model.catalogue_len()),
            (Self::Neural(model), Kind::LayerGradient) => {
                neural::device::sparse_gradient(history, model)
            }
            (_, Kind::HeadGram) => sparse_head_gram(history, self.spectral()?),
            (_, Kind::FactorGradient) => sparse_gradient(history, self.spectral()?),
            (_, Kind::Metrics) => evaluation::answers(owner, self).sparse(),
            _ => return None,
        })
    }

    /// The dense vector a device sends for one kind, made of at most `history_max` of its owner's
    /// items; `None` for a kind this model does not give.
    pub fn vector(
        &self,
        kind: Kind,
        interactions: &[Interaction],
        history_max: usize,
    ) -> Option<ItemGradient> {
        let length = self.extent(kind)?.length();
        let history = History::new(interactions, self.catalogue_len(), history_max);
        let ratings = self.ratings(interactions, history_max);
        Some(
            self.sparse_vector(
                kind,
                &Owner {
                    history: &history,
                    ratings: &ratings,
                },
            )?
            .dense(length),
        )
    }

    /// What an owner rated, where this model asks for ratings: the last `cap` items.
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

    /// Part of `previous`' factors that is gone from these, 0 to 1; `None` where there is nothing
    /// to compare.
    pub fn drift(&self, previous: &Self) -> Option<f64> {
        match (self, previous) {
            (Self::Spectral(model), Self::Spectral(previous)) => model.drift(previous),
            (Self::Weighted(model), Self::Weighted(previous)) => model.drift(previous),
            (Self::Rating(model), Self::Rating(previous)) => {
                model.spectral().drift(previous.spectral())
            }
            (Self::Neural(model), Self::Neural(previous)) => {
                model.spectral().drift(previous.spectral())
            }
            // Its job ends as a spectral model.
            (Self::Spectral(model), Self::Neural(previous)) => model.drift(previous.spectral()),
            _ => None,
        }
    }

    /// Scores every item for an owner, larger is better: length M. `half_life` as in
    /// [`score::scores`]; ratings are predicted on their scale, whatever it is.
    pub fn scores(&self, owner: &Owner<'_>, half_life: Option<f32>) -> Vec<f32> {
        match self {
            Self::Spectral(model) => score::scores(owner.history, model, half_life),
            Self::Weighted(model) if owner.history.is_empty() => popularity_scores(model.counts()),
            Self::Weighted(model) => weighted::device::scores(owner.history, model, half_life),
            Self::Rating(model) => rating::device::predictions(owner.ratings, model),
            Self::Neural(model) => score::scores(owner.history, model.spectral(), half_life),
        }
    }
}

impl From<SpectralModel> for Model {
    fn from(model: SpectralModel) -> Self {
        Self::Spectral(model)
    }
}

#[cfg(test)]
mod tests;
