//! Makes the next model from an opened sum. Post-processing of released numbers: costs no privacy. One thread, fixed order.

use tacit_model::recipe::Recipe;
use tacit_model::spectral::{SpectralModel, server};
use tacit_privacy::Mechanism;
use tacit_round::ticket::Kind;

/// Applies the noised sum of `contributors` devices to the model they started from.
///
/// `first` marks the first factor-gradient round; `seed` is public and used only when no head Gram starts the factors.
pub fn apply(
    model: &SpectralModel,
    kind: Kind,
    mechanism: &Mechanism,
    contributors: u32,
    sum: &[i32],
    recipe: &Recipe,
    first: bool,
    seed: u64,
) -> SpectralModel {
    let scale = f64::from(mechanism.steps);
    let sum: Vec<f64> = sum.iter().map(|&value| f64::from(value) / scale).collect();
    let noise_std = mechanism.sum_noise_std(contributors);
    match kind {
        Kind::Counts => {
            let counted = server::apply_counts(&sum, noise_std, recipe);
            let starts_from_noise = recipe.head == 0 && recipe.rounds > 0;
            if starts_from_noise { server::random_init(&counted, recipe, seed) } else { counted }
        }
        Kind::HeadGram => server::apply_head_gram(model, &sum, noise_std, recipe),
        Kind::FactorGradient => server::apply_gradient(model, &sum, recipe, first),
    }
}
