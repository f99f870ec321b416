//! Weighted squares without noise: the quality that a task of that family, which [`crate::train`]
//! simulates like any other, falls short of.

use tacit_model::Model;
use tacit_model::family::Owner;
use tacit_model::family::recipe::Recipe;
use tacit_model::family::weighted::WeightedTerms;
use tacit_model::history::preference::History;
use tacit_round::ticket::Kind;

use crate::error::SimulateError;
use crate::train::{Free, spectral, train_without_noise};

/// Rounds without noise, enough to reach central implicit ALS: of 3 to 24 the best on the
/// second-last interactions of MovieLens-1M; later ones fit the training data too well.
pub const ROUNDS_WITHOUT_NOISE: u32 = 9;

/// Trains on everybody without noise, on the finest grid, from the spectral recipe for an unlimited
/// signal: (items, `factors`).
///
/// # Errors
/// As [`train_without_noise`].
///
/// # Panics
/// When `factors` is below 2.
pub fn without_noise(
    histories: &[History],
    items: u32,
    factors: u32,
    rounds: u32,
    terms: WeightedTerms,
) -> Result<Model, SimulateError> {
    assert!(factors > 1, "one factor is popularity");
    let recipe =
        Recipe::for_signal(f64::INFINITY, items).expect("an unlimited signal trains factors");
    let recipe = Recipe {
        factors: (factors - 1).min(items),
        ..recipe
    };
    let start = train_without_noise(histories, items, None, &recipe, 0)?;
    let owners: Vec<Owner<'_>> = histories.iter().map(Owner::from).collect();
    let kinds = (0..rounds).map(|_| Kind::WeightedGradient);
    Free {
        owners: &owners,
        features: None,
        recipe: &recipe,
        seed: 0,
    }
    .train(Model::weighted_start(spectral(&start)?, terms), kinds)
}
