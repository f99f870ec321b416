//! The server half of a release: from one model and the opened sum to the next model.

use tacit_types::Kind;

use crate::family::features::Features;
use crate::family::neural::NeuralModel;
use crate::family::rating::RatingModel;
use crate::family::recipe::Recipe;
use crate::family::spectral::{SpectralModel, agreement, growth, public, server};
use crate::family::weighted::WeightedTerms;
use crate::family::{Model, neural, rating, weighted};
use crate::measure::evaluation::{Evaluation, evaluate, keeps_factors};

/// The opened, noisy sum of one release. Unit: clipping norms.
pub struct OpenedSum {
    /// The kind of its vectors.
    pub kind: Kind,
    /// One number per coordinate of the model's [`crate::release::Extent`] for this kind.
    pub sum: Vec<f64>,
    /// Standard deviation of the noise on each number.
    pub noise_std: f64,
    /// Devices in the sum.
    pub contributors: u32,
}

impl OpenedSum {
    /// The figures of an evaluation; `None` for a sum of another kind.
    pub fn evaluation(&self) -> Option<Evaluation> {
        let found = || evaluate(&self.sum, self.noise_std, self.contributors);
        (self.kind == Kind::Metrics).then(found).flatten()
    }
}

/// A task's settings for the step from one model to the next. Public numbers only.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The recipe of the task.
    pub recipe: &'a Recipe,
    /// Whether this is the task's first round of factor or layer gradients.
    pub first: bool,
    /// The kind the task releases next; `None` after its last release. Weighted squares and
    /// networks start when theirs is next.
    pub next: Option<Kind>,
    /// Categories of the catalogue's items: they fill in for a spectral model's missing directions,
    /// and are published with ratings.
    pub features: Option<&'a Features>,
    /// Public seed of a network's hidden layer, and of first factors where neither a head Gram nor
    /// features start them.
    pub seed: u64,
    /// Whether the signal leaves open that factors beat popularity, so that an evaluation has to
    /// show it.
    pub in_doubt: bool,
}

impl Model {
    /// The next model, from the sum of what devices that hold this one sent; `None` for a sum this
    /// model's devices did not send. Post-processing of released numbers: sequential and
    /// order-fixed, so a replay gives the same bits.
    pub fn step(&self, opened: &OpenedSum, step: &Step<'_>) -> Option<Self> {
        let expected = self.extent(opened.kind)?.length();
        let described = step
            .features
            .is_none_or(|features| features.items() == self.counts().len());
        if opened.sum.len() != expected || !described {
            return None;
        }
        if opened.kind == Kind::Metrics {
            return Some(self.judged(opened, step));
        }
        match self {
            Self::Spectral(model) => {
                let next = spectral_step(model, opened, step)?;
                let next = trusted(model, next, opened, step);
                Some(after_spectral(next, step))
            }
            Self::Weighted(model) => {
                let next = weighted::server::apply_gradient(
                    model,
                    &opened.sum,
                    opened.contributors,
                    opened.noise_std,
                );
                Some(Self::Weighted(next))
            }
            Self::Rating(model) => {
                let next = rating_step(model, opened, step)?;
                Some(Self::Rating(next))
            }
            Self::Neural(model) => {
                let next =
                    neural::server::apply_gradient(model, &opened.sum, step.recipe, step.first);
                Some(after_neural(next, step))
            }
        }
    }

    /// The model after an evaluation, without its factors where they lose to popularity.
    fn judged(&self, opened: &OpenedSum, step: &Step<'_>) -> Self {
        if keeps_factors(&opened.sum, opened.noise_std, step.in_doubt) {
            self.clone()
        } else {
            self.without_factors()
        }
    }
}

/// The spectral model after a release; `None` for a kind it does not give.
fn spectral_step(
    model: &SpectralModel,
    opened: &OpenedSum,
    step: &Step<'_>,
) -> Option<SpectralModel> {
    let (sum, noise_std, recipe) = (opened.sum.as_slice(), opened.noise_std, step.recipe);
    match opened.kind {
        Kind::Counts => {
            let counted = server::apply_counts(sum, noise_std, recipe);
            // A task that goes on from an earlier one's factors has them before it has counts.
            let next = if model.factor_count() > 0 {
                growth::carried_over(model, &counted)
            } else {
                started(counted, step)
            };
            Some(next)
        }
        Kind::HeadGram if model.head_items().is_empty() => None,
        Kind::HeadGram => {
            let next = server::apply_head_gram(model, sum, noise_std, recipe);
            Some(next)
        }
        Kind::FactorGradient => {
            let next = server::apply_gradient(model, sum, recipe, step.first);
            Some(next)
        }
        Kind::WeightedGradient | Kind::LayerGradient | Kind::RatingBias | Kind::Metrics => None,
    }
}

/// The factors that devices rank with, as far as their gradient shows that histories agree; what is
/// trained on as it is.
fn trusted(
    before: &SpectralModel,
    next: SpectralModel,
    opened: &OpenedSum,
    step: &Step<'_>,
) -> SpectralModel {
    let ranks = matches!(step.next, None | Some(Kind::Metrics));
    if opened.kind != Kind::FactorGradient || !ranks {
        return next;
    }
    let (noise_std, contributors) = (opened.noise_std, opened.contributors);
    let agreement = agreement::agreement(before, &opened.sum, noise_std, contributors);
    agreement::trusted(&next, agreement)
}

/// The model a task goes on with after a spectral release, by the kind it releases next.
fn after_spectral(next: SpectralModel, step: &Step<'_>) -> Model {
    match step.next {
        Some(Kind::HeadGram | Kind::FactorGradient) => Model::Spectral(next),
        Some(Kind::WeightedGradient) => {
            let terms = WeightedTerms {
                clip_norm: step.recipe.clip_norm,
                ..WeightedTerms::default()
            };
            Model::weighted_start(&next, terms)
        }
        Some(Kind::LayerGradient) => {
            let nothing = Features::none(next.catalogue_len());
            let features = step.features.unwrap_or(&nothing);
            let network = neural::server::start(&next, features, step.recipe, step.seed);
            Model::Neural(network)
        }
        // Nothing more is learned: features fill what is left.
        _ => completed(next, step),
    }
}

/// A network in training until its last round, and then the spectral model it gives.
fn after_neural(next: NeuralModel, step: &Step<'_>) -> Model {
    if step.next == Some(Kind::LayerGradient) {
        Model::Neural(next)
    } else {
        completed(next.spectral().clone(), step)
    }
}

/// The last model of a task, with what its factors leave out of the features.
fn completed(model: SpectralModel, step: &Step<'_>) -> Model {
    match step.features {
        Some(features) => {
            let completed = public::completed(&model, features, step.recipe);
            Model::Spectral(completed)
        }
        None => Model::Spectral(model),
    }
}

/// The model of ratings after a release; `None` for a kind it does not give.
fn rating_step(model: &RatingModel, opened: &OpenedSum, step: &Step<'_>) -> Option<RatingModel> {
    if opened.kind != Kind::RatingBias {
        let next = spectral_step(model.spectral(), opened, step)?;
        return Some(model.with_spectral(next));
    }
    let features = step
        .features
        .map_or(model.features(), Features::values)
        .to_owned();
    let found = rating::server::open_biases(
        &opened.sum,
        opened.noise_std,
        opened.contributors,
        features.view(),
        step.recipe,
        model.scale(),
    );
    // Features are columns of their own, so they are no start of the learned ones.
    let plain = Step {
        features: None,
        ..*step
    };
    let start = started(found.counted, &plain);
    let next = RatingModel::new(found.biases, start, features, model.scale());
    Some(next)
}

/// First factors where neither a head Gram is released to start them nor a network makes them.
fn started(counted: SpectralModel, step: &Step<'_>) -> SpectralModel {
    let recipe = step.recipe;
    let by_network = step.next == Some(Kind::LayerGradient);
    if recipe.head > 0 || recipe.rounds == 0 || by_network {
        return counted;
    }
    match step.features {
        Some(features) => public::start(&counted, features, recipe, step.seed),
        None => server::random_init(&counted, recipe, step.seed),
    }
}
