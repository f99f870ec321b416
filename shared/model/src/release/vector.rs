//! The device half of a release: the vector of one owner.

use tacit_types::{ItemGradient, Kind};

use crate::family::sparse::SparseGradient;
use crate::family::spectral::device::{sparse_counts, sparse_gradient, sparse_head_gram};
use crate::family::{Model, Owner, neural, rating, weighted};
use crate::history::interaction::Interaction;
use crate::history::preference::{History, without_latest};
use crate::measure::evaluation::{self, layout};

/// The shape of a vector. It follows from the model and the kind alone, never from anybody's data.
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
    /// The shape of a device's vector of this kind; `None` for a kind this model does not give.
    pub fn extent(&self, kind: Kind) -> Option<Extent> {
        let d = self.factor_count();
        let (rows, row_width) = match (self, kind) {
            (_, Kind::Metrics) => (layout::LENGTH, 1),
            (Self::Spectral(model), Kind::Counts) => (model.counts().len(), 1),
            (Self::Weighted(model), Kind::WeightedGradient) => (model.catalogue_len() + d, d),
            (Self::Rating(model), Kind::RatingBias) => (model.catalogue_len(), 2),
            (Self::Neural(model), Kind::LayerGradient) => (model.directions(), d),
            // A network carries a spectral model and is not trained by its vectors.
            (Self::Neural(_), _) => return None,
            (_, Kind::HeadGram) => (self.spectral()?.head_gram_len(), 1),
            (_, Kind::FactorGradient) => (self.spectral()?.block().len(), d),
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
            (_, Kind::Metrics) => evaluation::answers(owner, self).sparse(),
            (Self::Spectral(model), Kind::Counts) => {
                let catalogue_len = model.catalogue_len();
                sparse_counts(history, catalogue_len)
            }
            (Self::Weighted(model), Kind::WeightedGradient) => {
                weighted::device::sparse_gradient(history, model)
            }
            (Self::Rating(model), Kind::RatingBias) => {
                rating::device::sparse_biases(owner.ratings, model.scale())
            }
            (Self::Neural(model), Kind::LayerGradient) => {
                neural::device::sparse_gradient(history, model)
            }
            (_, Kind::HeadGram) => sparse_head_gram(history, self.spectral()?),
            (_, Kind::FactorGradient) => sparse_gradient(history, self.spectral()?),
            _ => return None,
        })
    }

    /// The dense vector a device sends for one kind, made of at most `history_max` of its owner's
    /// items; `None` for a kind this model does not give.
    ///
    /// With `hold_out` the item its owner used last is left out of every kind but
    /// [`Kind::Metrics`], which asks how well it would have been ranked.
    pub fn vector(
        &self,
        kind: Kind,
        interactions: &[Interaction],
        history_max: usize,
        hold_out: bool,
    ) -> Option<ItemGradient> {
        let length = self.extent(kind)?.length();
        let vector = self.cleaned_vector(kind, interactions, history_max, hold_out)?;
        Some(vector.dense(length))
    }

    /// [`Self::vector`] without its zeros.
    pub(super) fn cleaned_vector(
        &self,
        kind: Kind,
        interactions: &[Interaction],
        history_max: usize,
        hold_out: bool,
    ) -> Option<SparseGradient> {
        let left_out = hold_out && kind != Kind::Metrics;
        let rest = left_out.then(|| without_latest(interactions, self.catalogue_len()));
        let interactions = rest.as_deref().unwrap_or(interactions);
        let history = History::new(interactions, self.catalogue_len(), history_max);
        let ratings = self.ratings(interactions, history_max);
        let owner = Owner {
            history: &history,
            ratings: &ratings,
        };
        self.sparse_vector(kind, &owner)
    }
}
