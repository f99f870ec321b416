//! The server half of a release: from one model and the opened sum to the next model.

use tacit_types::Kind;

use crate::family::features::Features;
use crate::family::recipe::Recipe;
use crate::family::spectral::{SpectralModel, growth, public, server};
use crate::family::weighted::WeightedTerms;
use crate::family::{Model, neural, rating, weighted};
use crate::measure::evaluation;

/// The opened, noisy sum of one release, in clipping norms.
pub struct OpenedSum<'a> {
    /// What its vectors mean.
    pub kind: Kind,
    /// One number per coordinate of the model's [`crate::release::Extent`] for this kind.
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
    /// Whether this is the job's first round of factor or layer gradients.
    pub first: bool,
    /// What the job releases after this; weighted squares start from the spectral model that is
    /// there before them.
    pub next: Option<Kind>,
    /// What the catalogue says about its items: fills what a spectral model leaves out, and is
    /// published with ratings.
    pub features: Option<&'a Features>,
    /// Public seed of a network's hidden layer, and of first factors where neither a head Gram nor
    /// features start them.
    pub seed: u64,
    /// Whether the signal leaves it open that factors beat popularity, so that an evaluation has to
    /// show it.
    pub in_doubt: bool,
}

impl Model {
    /// The next model, from the sum of what devices that hold this one sent; `None` for a sum this
    /// model's devices did not send. Post-processing of released numbers: sequential and
    /// order-fixed, so a replay gives the same bits.
    pub fn step(&self, opened: &OpenedSum<'_>, step: &Step<'_>) -> Option<Self> {
        let OpenedSum {
            kind,
            sum,
            noise_std,
            contributors,
        } = *opened;
        let described = step
            .features
            .is_none_or(|features| features.items() == self.counts().len());
        if self.extent(kind)?.length() != sum.len() || !described {
            return None;
        }
        if opened.kind == Kind::Metrics {
            let keeps = evaluation::keeps_factors(opened.sum, opened.noise_std, step.in_doubt);
            return Some(if keeps {
                self.clone()
            } else {
                self.without_factors()
            });
        }
        Some(match self {
            Self::Spectral(model) => {
                let next = spectral_step(model, opened, step)?;
                match (step.next, step.features) {
                    (Some(Kind::WeightedGradient), _) => {
                        let clip_norm = step.recipe.clip_norm;
                        Self::weighted_start(
                            &next,
                            WeightedTerms {
                                clip_norm,
                                ..WeightedTerms::default()
                            },
                        )
                    }
                    (Some(Kind::LayerGradient), features) => {
                        let nothing = Features::none(next.catalogue_len());
                        let features = features.unwrap_or(&nothing);
                        Self::Neural(neural::server::start(
                            &next,
                            features,
                            step.recipe,
                            step.seed,
                        ))
                    }
                    (Some(Kind::HeadGram | Kind::FactorGradient), _) | (_, None) => {
                        Self::Spectral(next)
                    }
                    // Nothing more is learned: features fill what is left.
                    (_, Some(features)) => {
                        Self::Spectral(public::completed(&next, features, step.recipe))
                    }
                }
            }
            Self::Weighted(model) => Self::Weighted(weighted::server::apply_gradient(
                model,
                sum,
                contributors,
                noise_std,
            )),
            Self::Neural(model) => {
                let next = neural::server::apply_gradient(model, sum, step.recipe, step.first);
                match step.features {
                    _ if step.next == Some(Kind::LayerGradient) => Self::Neural(next),
                    Some(features) => {
                        Self::Spectral(public::completed(next.spectral(), features, step.recipe))
                    }
                    None => Self::Spectral(next.spectral().clone()),
                }
            }
            Self::Rating(model) if kind == Kind::RatingBias => {
                let features = step
                    .features
                    .map_or(model.features(), Features::values)
                    .to_owned();
                let (view, recipe) = (features.view(), step.recipe);
                let opened = rating::server::open_biases(
                    sum,
                    noise_std,
                    contributors,
                    view,
                    recipe,
                    model.scale(),
                );
                // Features are columns of their own, so they are no start of the learned ones.
                let start = started(
                    opened.counted,
                    &Step {
                        features: None,
                        ..*step
                    },
                );
                Self::Rating(rating::RatingModel::new(
                    opened.biases,
                    start,
                    features,
                    model.scale(),
                ))
            }
            Self::Rating(model) => {
                Self::Rating(model.with_spectral(spectral_step(model.spectral(), opened, step)?))
            }
        })
    }
}

/// The spectral model after a release; `None` for a kind it does not give.
fn spectral_step(
    model: &SpectralModel,
    opened: &OpenedSum<'_>,
    step: &Step<'_>,
) -> Option<SpectralModel> {
    let (sum, noise_std, recipe) = (opened.sum, opened.noise_std, step.recipe);
    Some(match opened.kind {
        // A task that goes on from an earlier one's factors has them before it has counts.
        Kind::Counts if model.factor_count() > 0 => {
            growth::carried_over(model, &server::apply_counts(sum, noise_std, recipe))
        }
        Kind::Counts => started(server::apply_counts(sum, noise_std, recipe), step),
        Kind::HeadGram if model.head_items().is_empty() => return None,
        Kind::HeadGram => server::apply_head_gram(model, sum, noise_std, recipe),
        Kind::FactorGradient => server::apply_gradient(model, sum, recipe, step.first),
        Kind::WeightedGradient | Kind::LayerGradient | Kind::RatingBias | Kind::Metrics => {
            return None;
        }
    })
}

/// First factors where neither a head Gram is released to start them nor a network makes them.
fn started(counted: SpectralModel, step: &Step<'_>) -> SpectralModel {
    if step.recipe.head > 0 || step.recipe.rounds == 0 || step.next == Some(Kind::LayerGradient) {
        return counted;
    }
    match step.features {
        Some(features) => public::start(&counted, features, step.recipe, step.seed),
        None => server::random_init(&counted, step.recipe, step.seed),
    }
}
