//! The one seam behind which every trained model stands: what a device is asked for, what it gives, and what the server makes
//! of the sum.
//!
//! Protocol, server and SDK know [`Model`] only. What differs between families is in their own modules; here is who answers.

use tacit_types::{ItemGradient, Kind};

use crate::interaction::Interaction;
use crate::preference::History;
use crate::recipe::Recipe;
use crate::score;
use crate::spectral::device::{SparseGradient, sparse_counts, sparse_gradient, sparse_head_gram};
use crate::spectral::plausibility::Plausibility;
use crate::spectral::{ModelError, SpectralModel, server};

/// A published model of any family. It never changes; [`Model::step`] makes the next one.
#[derive(Clone, Debug, PartialEq)]
pub enum Model {
    /// Counts and item factors that span the subspace of what people use together.
    Spectral(SpectralModel),
}

/// What one owner did, cleaned: all that a device's vectors are made of.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// Items used.
    pub history: &'a History,
}

/// What a vector looks like: it follows from the model and the kind alone, never from anybody's data.
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

/// The opened, noisy sum of one release, in clipping norms.
pub struct OpenedSum<'a> {
    /// What its vectors mean.
    pub kind: Kind,
    /// One number per coordinate of the model's [`Extent`] for this kind.
    pub sum: &'a [f64],
    /// Standard deviation of the noise on each number.
    pub noise_std: f64,
    /// Devices in the sum.
    pub contributors: u32,
}

/// What a job says about the step from one model to the next. Public numbers only.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// What is trained.
    pub recipe: &'a Recipe,
    /// Whether this is the job's first round of factor gradients.
    pub first: bool,
    /// Public seed, used only where no head Gram starts the factors.
    pub seed: u64,
}

impl Model {
    /// M, the number of items in the catalogue.
    pub fn catalogue_len(&self) -> u32 {
        u32::try_from(self.counts().len()).unwrap_or(u32::MAX)
    }

    /// The spectral model, where this is one or carries one.
    pub fn spectral(&self) -> Option<&SpectralModel> {
        match self {
            Self::Spectral(model) => Some(model),
        }
    }

    /// Noisy item counts, floored, all above 0: (M).
    pub fn counts(&self) -> &[f32] {
        match self {
            Self::Spectral(model) => model.counts(),
        }
    }

    /// d, the number of factors; 0 before training.
    pub fn factor_count(&self) -> usize {
        match self {
            Self::Spectral(model) => model.factor_count(),
        }
    }

    /// What a device's vector of this kind looks like; `None` for a kind this model does not give.
    pub fn extent(&self, kind: Kind) -> Option<Extent> {
        let (rows, row_width) = match (self, kind) {
            (Self::Spectral(model), Kind::Counts) => (model.counts().len(), 1),
            (Self::Spectral(model), Kind::HeadGram) => (model.head_gram_len(), 1),
            (Self::Spectral(model), Kind::FactorGradient) => (model.block().len(), model.factor_count()),
        };
        Some(Extent { rows, row_width })
    }

    /// This owner's vector of one kind without its zeros; `None` for a kind this model does not give.
    ///
    /// # Guarantees
    /// Of [`Self::extent`], with L2 norm at most 1 up to f32 rounding.
    pub fn sparse_vector(&self, kind: Kind, owner: &Owner<'_>) -> Option<SparseGradient> {
        let history = owner.history;
        Some(match (self, kind) {
            (Self::Spectral(model), Kind::Counts) => sparse_counts(history, model.catalogue_len()),
            (Self::Spectral(model), Kind::HeadGram) => sparse_head_gram(history, model),
            (Self::Spectral(model), Kind::FactorGradient) => sparse_gradient(history, model),
        })
    }

    /// The dense vector a device sends for one kind, made of at most `history_max` of its owner's interactions; `None` for a kind this model
    /// does not give.
    pub fn vector(&self, kind: Kind, interactions: &[Interaction], history_max: usize) -> Option<ItemGradient> {
        let length = self.extent(kind)?.length();
        let history = History::new(interactions, self.catalogue_len(), history_max);
        Some(self.sparse_vector(kind, &Owner { history: &history })?.dense(length))
    }

    /// The next model, from the sum of what devices that hold this one sent; `None` for a sum this model's devices did not send.
    /// Post-processing of released numbers: sequential and order-fixed, so a replay gives the same bits.
    pub fn step(&self, opened: &OpenedSum<'_>, step: &Step<'_>) -> Option<Self> {
        if self.extent(opened.kind)?.length() != opened.sum.len() {
            return None;
        }
        Some(match self {
            Self::Spectral(model) => Self::Spectral(spectral_step(model, opened, step)?),
        })
    }

    /// Writes the model; equal models give equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Spectral(model) => model.to_bytes(),
        }
    }

    /// Reads a model of any family from bytes anybody may have written; the first eight say which family.
    ///
    /// # Errors
    /// [`ModelError`] for anything but bytes [`Self::to_bytes`] could have written; never panics, and never allocates more than a
    /// small multiple of `bytes.len()`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        SpectralModel::from_bytes(bytes).map(Self::Spectral)
    }

    /// Figures by which a device judges the model before it takes part.
    pub fn plausibility(&self) -> Plausibility {
        match self {
            Self::Spectral(model) => model.plausibility(),
        }
    }

    /// Part of `previous`' factors that is gone from these, 0 to 1; `None` where there is nothing to compare.
    pub fn drift(&self, previous: &Self) -> Option<f64> {
        match (self, previous) {
            (Self::Spectral(model), Self::Spectral(previous)) => model.drift(previous),
        }
    }

    /// Scores every item for an owner, larger is better: length M. `half_life` as in [`score::scores`].
    pub fn scores(&self, owner: &Owner<'_>, half_life: Option<f32>) -> Vec<f32> {
        match self {
            Self::Spectral(model) => score::scores(owner.history, model, half_life),
        }
    }
}

impl From<SpectralModel> for Model {
    fn from(model: SpectralModel) -> Self {
        Self::Spectral(model)
    }
}

/// The spectral model after a release; `None` for a kind it does not give.
fn spectral_step(model: &SpectralModel, opened: &OpenedSum<'_>, step: &Step<'_>) -> Option<SpectralModel> {
    let (sum, noise_std, recipe) = (opened.sum, opened.noise_std, step.recipe);
    Some(match opened.kind {
        Kind::Counts => {
            let counted = server::apply_counts(sum, noise_std, recipe);
            let starts_from_noise = recipe.head == 0 && recipe.rounds > 0;
            if starts_from_noise { server::random_init(&counted, recipe, step.seed) } else { counted }
        }
        Kind::HeadGram if model.head_items().is_empty() => return None,
        Kind::HeadGram => server::apply_head_gram(model, sum, noise_std, recipe),
        Kind::FactorGradient => server::apply_gradient(model, sum, recipe, step.first),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{history, trained};

    const KINDS: [Kind; 3] = [Kind::Counts, Kind::HeadGram, Kind::FactorGradient];

    #[test]
    fn a_vector_has_the_extent_its_model_says_whatever_was_used() {
        let model = Model::from(trained(60, 4));
        for kind in KINDS {
            let extent = model.extent(kind).unwrap();
            for used in [&[][..], &[3], &[1, 2, 59, 99]] {
                let history = history(used);
                let sparse = model.sparse_vector(kind, &Owner { history: &history }).unwrap();
                assert!(sparse.width() == extent.row_width && sparse.rows().iter().all(|row| *row < extent.rows));
            }
            assert_eq!(model.vector(kind, &[], 10).unwrap().len(), extent.length());
        }
    }

    #[test]
    fn a_sum_of_another_length_makes_no_model() {
        let (model, recipe) = (Model::from(trained(60, 4)), Recipe::counts_only());
        let step = Step { recipe: &recipe, first: true, seed: 1 };
        for kind in KINDS {
            let opened = OpenedSum { kind, sum: &[0.0; 7], noise_std: 1.0, contributors: 3 };
            assert!(model.step(&opened, &step).is_none(), "{kind}");
        }
    }
}
