//! The one seam behind which every trained model stands: what a device is asked for, what it gives, and what the server makes
//! of the sum.
//!
//! Protocol, server and SDK know [`Model`] only. What differs between families is in their own modules; here is who answers.

use serde::{Deserialize, Serialize};
use tacit_types::{ItemGradient, ItemId, Kind};

use crate::evaluation::{self, layout};
use crate::features::Features;
use crate::interaction::Interaction;
use crate::preference::History;
use crate::rating::{self, RatingModel, Ratings};
use crate::recipe::Recipe;
use crate::score::{self, popularity_scores};
use crate::spectral::device::{SparseGradient, sparse_counts, sparse_gradient, sparse_head_gram};
use crate::spectral::plausibility::Plausibility;
use crate::spectral::{ModelError, SpectralModel, public, server};
use crate::weighted::{self, WeightedModel, WeightedTerms};

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
}

impl Family {
    /// The word used in options, configuration and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spectral => "spectral",
            Self::Weighted => "weighted",
            Self::Rating => "rating",
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
}

/// What one owner did, cleaned: all that a device's vectors are made of.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// Items used.
    pub history: &'a History,
    /// What they were rated, where ratings are asked for.
    pub ratings: &'a Ratings,
}

impl<'a> From<&'a History> for Owner<'a> {
    /// An owner who rated nothing.
    fn from(history: &'a History) -> Self {
        static NOTHING: Ratings = Ratings::NONE;
        Self { history, ratings: &NOTHING }
    }
}

/// An owner without the item used last.
#[derive(Clone, Debug)]
pub struct Spared {
    history: History,
    ratings: Ratings,
    /// The item held out; `None` where there is only one.
    pub held_out: Option<ItemId>,
    /// What it was rated.
    pub rating: Option<f64>,
}

impl Owner<'_> {
    /// Holds out the item used last, and what it was rated.
    pub fn hold_out(&self) -> Spared {
        let (history, held_out) = self.history.clone().hold_out();
        let (ratings, rating) =
            held_out.map_or_else(|| (self.ratings.clone(), None), |item| self.ratings.without(item));
        Spared { history, ratings, held_out, rating }
    }
}

impl Spared {
    /// What is left.
    pub fn owner(&self) -> Owner<'_> {
        Owner { history: &self.history, ratings: &self.ratings }
    }
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
    /// What the job releases after this; weighted squares start from the spectral model that is there before them.
    pub next: Option<Kind>,
    /// What the catalogue says about its items: fills what a spectral model leaves out, and is published with ratings.
    pub features: Option<&'a Features>,
    /// Public seed, used only where neither a head Gram nor features start the factors.
    pub seed: u64,
    /// Whether the signal leaves it open that factors beat popularity, so that an evaluation has to show it.
    pub in_doubt: bool,
}

impl Model {
    /// M, the number of items in the catalogue.
    pub fn catalogue_len(&self) -> u32 {
        u32::try_from(self.counts().len()).unwrap_or(u32::MAX)
    }

    /// What trains it. A job of weighted squares begins with a spectral model, and ends with one where the signal is too weak.
    pub fn family(&self) -> Family {
        match self {
            Self::Spectral(_) => Family::Spectral,
            Self::Weighted(_) => Family::Weighted,
            Self::Rating(_) => Family::Rating,
        }
    }

    /// The spectral model, where this is one or carries one.
    pub fn spectral(&self) -> Option<&SpectralModel> {
        match self {
            Self::Spectral(model) => Some(model),
            Self::Weighted(_) => None,
            Self::Rating(model) => Some(model.spectral()),
        }
    }

    /// Noisy item counts, floored, all above 0: (M).
    pub fn counts(&self) -> &[f32] {
        match self {
            Self::Spectral(model) => model.counts(),
            Self::Weighted(model) => model.counts(),
            Self::Rating(model) => model.spectral().counts(),
        }
    }

    /// d, the number of trained factors; 0 before training.
    pub fn factor_count(&self) -> usize {
        match self {
            Self::Spectral(model) => model.factor_count(),
            Self::Weighted(model) => model.factor_count(),
            Self::Rating(model) => model.spectral().factor_count(),
        }
    }

    /// What a device's vector of this kind looks like; `None` for a kind this model does not give.
    pub fn extent(&self, kind: Kind) -> Option<Extent> {
        let (rows, row_width) = match (self, kind) {
            (Self::Weighted(model), Kind::WeightedGradient) => {
                (model.catalogue_len() + model.factor_count(), model.factor_count())
            }
            (Self::Rating(model), Kind::RatingBias) => (model.catalogue_len(), 2),
            (Self::Spectral(model), Kind::Counts) => (model.counts().len(), 1),
            (_, Kind::HeadGram) => (self.spectral()?.head_gram_len(), 1),
            (_, Kind::FactorGradient) => (self.spectral()?.block().len(), self.factor_count()),
            (_, Kind::Metrics) => (layout::LENGTH, 1),
            _ => return None,
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
            (Self::Weighted(model), Kind::WeightedGradient) => weighted::device::sparse_gradient(history, model),
            (Self::Rating(model), Kind::RatingBias) => rating::device::sparse_biases(owner.ratings, model.scale()),
            (Self::Spectral(model), Kind::Counts) => sparse_counts(history, model.catalogue_len()),
            (_, Kind::HeadGram) => sparse_head_gram(history, self.spectral()?),
            (_, Kind::FactorGradient) => sparse_gradient(history, self.spectral()?),
            (_, Kind::Metrics) => evaluation::answers(owner, self).sparse(),
            _ => return None,
        })
    }

    /// The dense vector a device sends for one kind, made of at most `history_max` of its owner's items; `None` for a kind
    /// this model does not give.
    pub fn vector(&self, kind: Kind, interactions: &[Interaction], history_max: usize) -> Option<ItemGradient> {
        let length = self.extent(kind)?.length();
        let history = History::new(interactions, self.catalogue_len(), history_max);
        let ratings = self.ratings(interactions, history_max);
        Some(self.sparse_vector(kind, &Owner { history: &history, ratings: &ratings })?.dense(length))
    }

    /// What an owner rated, where this model asks for ratings: the last `cap` items.
    pub fn ratings(&self, interactions: &[Interaction], cap: usize) -> Ratings {
        match self {
            Self::Rating(model) => Ratings::new(interactions, self.catalogue_len(), cap, model.scale()),
            _ => Ratings::NONE,
        }
    }

    /// The next model, from the sum of what devices that hold this one sent; `None` for a sum this model's devices did not send.
    /// Post-processing of released numbers: sequential and order-fixed, so a replay gives the same bits.
    pub fn step(&self, opened: &OpenedSum<'_>, step: &Step<'_>) -> Option<Self> {
        let OpenedSum { kind, sum, noise_std, contributors } = *opened;
        let described = step.features.is_none_or(|features| features.items() == self.counts().len());
        if self.extent(kind)?.length() != sum.len() || !described {
            return None;
        }
        if opened.kind == Kind::Metrics {
            let keeps = evaluation::keeps_factors(opened.sum, opened.noise_std, step.in_doubt);
            return Some(if keeps { self.clone() } else { self.without_factors() });
        }
        Some(match self {
            Self::Spectral(model) => {
                let next = spectral_step(model, opened, step)?;
                match (step.next, step.features) {
                    (Some(Kind::WeightedGradient), _) => {
                        let clip_norm = step.recipe.clip_norm;
                        Self::weighted_start(&next, WeightedTerms { clip_norm, ..WeightedTerms::default() })
                    }
                    (Some(Kind::HeadGram | Kind::FactorGradient), _) | (_, None) => Self::Spectral(next),
                    // Nothing more is learned: features fill what is left.
                    (_, Some(features)) => Self::Spectral(public::completed(&next, features, step.recipe)),
                }
            }
            Self::Weighted(model) => {
                Self::Weighted(weighted::server::apply_gradient(model, sum, contributors, noise_std))
            }
            Self::Rating(model) if kind == Kind::RatingBias => {
                let features = step.features.map_or(model.features(), Features::values).to_owned();
                let (view, recipe) = (features.view(), step.recipe);
                let opened = rating::server::open_biases(sum, noise_std, contributors, view, recipe, model.scale());
                // Features are columns of their own, so they are no start of the learned ones.
                let start = started(opened.counted, &Step { features: None, ..*step });
                Self::Rating(rating::server::assemble(opened.biases, start, features, model.scale()))
            }
            Self::Rating(model) => Self::Rating(model.with_spectral(spectral_step(model.spectral(), opened, step)?)),
        })
    }

    /// Weighted squares before their first round: post-processing of a spectral model.
    pub fn weighted_start(model: &SpectralModel, terms: WeightedTerms) -> Self {
        Self::Weighted(weighted::server::warm_start(model, terms))
    }

    /// The same model without factors, with which devices rank by popularity; other families than the spectral stay as they
    /// are, because without factors they are no longer models of their family.
    #[must_use]
    pub fn without_factors(&self) -> Self {
        match self {
            Self::Spectral(model) => Self::Spectral(model.without_factors()),
            other => other.clone(),
        }
    }

    /// Writes the model; equal models give equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Spectral(model) => model.to_bytes(),
            Self::Weighted(model) => model.to_bytes(),
            Self::Rating(model) => model.to_bytes(),
        }
    }

    /// Reads a model of any family from bytes anybody may have written; the first eight say which family.
    ///
    /// # Errors
    /// [`ModelError`] for anything but bytes [`Self::to_bytes`] could have written; never panics, and never allocates more than a
    /// small multiple of `bytes.len()`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        if bytes.starts_with(weighted::MAGIC) {
            return WeightedModel::from_bytes(bytes).map(Self::Weighted);
        }
        if bytes.starts_with(rating::MAGIC) {
            return RatingModel::from_bytes(bytes).map(Self::Rating);
        }
        SpectralModel::from_bytes(bytes).map(Self::Spectral)
    }

    /// Figures by which a device judges the model before it takes part.
    pub fn plausibility(&self) -> Plausibility {
        match self {
            Self::Spectral(model) => model.plausibility(),
            Self::Weighted(model) => model.plausibility(),
            Self::Rating(model) => model.spectral().plausibility(),
        }
    }

    /// Part of `previous`' factors that is gone from these, 0 to 1; `None` where there is nothing to compare.
    pub fn drift(&self, previous: &Self) -> Option<f64> {
        match (self, previous) {
            (Self::Spectral(model), Self::Spectral(previous)) => model.drift(previous),
            (Self::Weighted(model), Self::Weighted(previous)) => model.drift(previous),
            (Self::Rating(model), Self::Rating(previous)) => model.spectral().drift(previous.spectral()),
            _ => None,
        }
    }

    /// Scores every item for an owner, larger is better: length M. `half_life` as in [`score::scores`], for a spectral model;
    /// ratings are predicted on their scale.
    pub fn scores(&self, owner: &Owner<'_>, half_life: Option<f32>) -> Vec<f32> {
        match self {
            Self::Spectral(model) => score::scores(owner.history, model, half_life),
            Self::Weighted(model) if owner.history.is_empty() => popularity_scores(model.counts()),
            Self::Weighted(model) => weighted::device::scores(owner.history, model),
            Self::Rating(model) => rating::device::predictions(owner.ratings, model),
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
        Kind::Counts => started(server::apply_counts(sum, noise_std, recipe), step),
        Kind::HeadGram if model.head_items().is_empty() => return None,
        Kind::HeadGram => server::apply_head_gram(model, sum, noise_std, recipe),
        Kind::FactorGradient => server::apply_gradient(model, sum, recipe, step.first),
        Kind::WeightedGradient | Kind::RatingBias | Kind::Metrics => return None,
    })
}

/// First factors where no head Gram is released to start them.
fn started(counted: SpectralModel, step: &Step<'_>) -> SpectralModel {
    if step.recipe.head > 0 || step.recipe.rounds == 0 {
        return counted;
    }
    match step.features {
        Some(features) => public::start(&counted, features, step.recipe, step.seed),
        None => server::random_init(&counted, step.recipe, step.seed),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::rating::Scale;
    use crate::synthetic::{history, trained};

    fn models() -> [Model; 3] {
        let rating =
            RatingModel::genesis(60, Scale::STARS).with_features(Array2::ones((60, 2))).with_spectral(trained_whole());
        let weighted = Model::weighted_start(&trained(60, 4), WeightedTerms::default());
        [trained(60, 4).into(), weighted, Model::Rating(rating)]
    }

    /// Every item in the block.
    fn trained_whole() -> SpectralModel {
        let recipe = Recipe { factors: 3, head: 9, ..Recipe::counts_only() };
        let counts: Vec<f64> = (1..61).map(f64::from).collect();
        server::random_init(&server::apply_counts(&counts, 1.0, &recipe), &recipe, 1)
    }

    #[test]
    fn every_family_gives_its_own_kinds_and_no_other() {
        let given =
            |model: &Model| Kind::ALL.into_iter().filter(|kind| model.extent(*kind).is_some()).collect::<Vec<_>>();
        let [spectral, weighted, rating] = models();
        assert_eq!(given(&spectral), [Kind::Counts, Kind::HeadGram, Kind::FactorGradient, Kind::Metrics]);
        assert_eq!(given(&weighted), [Kind::WeightedGradient, Kind::Metrics]);
        assert_eq!(given(&rating), [Kind::HeadGram, Kind::FactorGradient, Kind::RatingBias, Kind::Metrics]);
    }

    #[test]
    fn a_vector_has_the_extent_its_model_says_whatever_was_used() {
        for model in models() {
            for kind in Kind::ALL {
                let Some(extent) = model.extent(kind) else {
                    assert!(model.vector(kind, &[], 10).is_none());
                    continue;
                };
                for used in [&[][..], &[3], &[1, 2, 59, 99]] {
                    let history = history(used);
                    let sparse = model.sparse_vector(kind, &Owner::from(&history)).unwrap();
                    assert!(sparse.width() == extent.row_width && sparse.rows().iter().all(|row| *row < extent.rows));
                }
                assert_eq!(model.vector(kind, &[], 10).unwrap().len(), extent.length(), "{kind}");
            }
        }
    }

    #[test]
    fn a_sum_of_another_length_or_kind_makes_no_model() {
        let recipe = Recipe::counts_only();
        let step = Step { recipe: &recipe, first: true, next: None, features: None, seed: 1, in_doubt: true };
        for model in models() {
            for kind in Kind::ALL {
                let opened = OpenedSum { kind, sum: &[0.0; 7], noise_std: 1.0, contributors: 3 };
                assert!(model.step(&opened, &step).is_none(), "{kind}");
            }
        }
    }

    #[test]
    fn bytes_say_which_family_they_are_of() {
        for model in models() {
            assert!(Model::from_bytes(&model.to_bytes()) == Ok(model));
        }
    }

    #[test]
    fn a_step_keeps_the_family_and_weighted_squares_follow_the_spectral_model() {
        let recipe = Recipe { factors: 4, rounds: 1, ..Recipe::counts_only() };
        let stepped = |model: &Model, kind: Kind, next: Option<Kind>| {
            let sum = vec![0.01; model.extent(kind).unwrap().length()];
            let opened = OpenedSum { kind, sum: &sum, noise_std: 0.0, contributors: 5 };
            let step = Step { recipe: &recipe, first: true, next, features: None, seed: 1, in_doubt: true };
            model.step(&opened, &step).unwrap()
        };
        let [spectral, weighted, rating] = models();
        let next = stepped(&spectral, Kind::FactorGradient, Some(Kind::WeightedGradient));
        assert_eq!((next.family(), next.factor_count()), (Family::Weighted, 5));
        assert_eq!(stepped(&weighted, Kind::WeightedGradient, None).family(), Family::Weighted);
        let biased = stepped(&rating, Kind::RatingBias, Some(Kind::FactorGradient));
        assert_eq!((biased.family(), biased.factor_count()), (Family::Rating, 4));
        assert_eq!(stepped(&rating, Kind::FactorGradient, None).family(), Family::Rating);
    }

    #[test]
    fn an_evaluation_keeps_the_model_or_takes_its_factors() {
        let (model, recipe) = (Model::from(trained(60, 4)), Recipe::counts_only());
        let mut sum = [0.0; layout::LENGTH];
        let mut after = |wins: f64, in_doubt: bool| {
            sum[layout::PAIRED.start] = wins;
            let opened = OpenedSum { kind: Kind::Metrics, sum: &sum, noise_std: 1.0, contributors: 3 };
            let step = Step { recipe: &recipe, first: false, next: None, features: None, seed: 1, in_doubt };
            model.step(&opened, &step).unwrap()
        };
        assert!(after(2.0, true) == model && after(0.0, false) == model);
        let bare = after(0.0, true);
        assert_eq!((bare.factor_count(), bare.counts()), (0, model.counts()));
        assert!(after(-2.0, false) == bare && Model::from_bytes(&bare.to_bytes()) == Ok(bare));
    }

    #[test]
    fn ratings_publish_what_the_catalogue_says_of_its_items() {
        let recipe = Recipe { factors: 2, rounds: 1, ..Recipe::counts_only() };
        let genesis = Model::Rating(RatingModel::genesis(60, Scale::STARS));
        let categories: Vec<Vec<String>> = (0..60).map(|item| vec![format!("{}", item % 3)]).collect();
        let stepped = |features: &Features| {
            let opened = OpenedSum { kind: Kind::RatingBias, sum: &[0.5; 120], noise_std: 0.0, contributors: 5 };
            genesis.step(
                &opened,
                &Step { recipe: &recipe, first: true, next: None, features: Some(features), seed: 1, in_doubt: false },
            )
        };
        let Some(Model::Rating(next)) = stepped(&Features::from_categories(&categories).unwrap()) else { panic!() };
        assert_eq!((next.features().ncols(), next.spectral().factor_count(), next.factors().ncols()), (3, 2, 6));
        assert!(stepped(&Features::none(59)).is_none(), "another catalogue");
    }
}
