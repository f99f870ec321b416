//! Makes the next model from an opened sum. Post-processing of released numbers: costs no privacy. One thread, fixed order.

use tacit_model::recipe::Recipe;
use tacit_model::spectral::{SpectralModel, server};
use tacit_privacy::Mechanism;
use tacit_round::ticket::Kind;

/// An opened sum and the public numbers it was made under.
pub struct OpenedSum<'a> {
    /// What the vector means.
    pub kind: Kind,
    /// Mechanism of the release.
    pub mechanism: &'a Mechanism,
    /// Contributions in the sum.
    pub contributors: u32,
    /// The noised sum, in grid steps.
    pub values: &'a [i32],
}

/// What the job says about applying sums.
pub struct Settings<'a> {
    /// The job's recipe.
    pub recipe: &'a Recipe,
    /// Whether this is the first factor-gradient round.
    pub first: bool,
    /// Public seed, used only when no head Gram starts the factors.
    pub seed: u64,
}

/// Applies an opened sum to the model its devices started from.
pub fn apply(model: &SpectralModel, opened: &OpenedSum<'_>, settings: &Settings<'_>) -> SpectralModel {
    let (scale, recipe) = (f64::from(opened.mechanism.steps), settings.recipe);
    let sum: Vec<f64> = opened.values.iter().map(|&value| f64::from(value) / scale).collect();
    let noise_std = opened.mechanism.sum_noise_std(opened.contributors);
    match opened.kind {
        Kind::Counts => {
            let counted = server::apply_counts(&sum, noise_std, recipe);
            let starts_from_noise = recipe.head == 0 && recipe.rounds > 0;
            if starts_from_noise { server::random_init(&counted, recipe, settings.seed) } else { counted }
        }
        Kind::HeadGram => server::apply_head_gram(model, &sum, noise_std, recipe),
        Kind::FactorGradient => server::apply_gradient(model, &sum, recipe, settings.first),
    }
}
