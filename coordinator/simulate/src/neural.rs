//! A network without noise: what a task of that family, which [`crate::train`] simulates like any
//! other, falls short of.

use tacit_model::family::Owner;
use tacit_model::family::recipe::Recipe;
use tacit_model::family::spectral::SpectralModel;
use tacit_model::history::preference::History;
use tacit_model::{Features, Model, family::neural};
use tacit_round::ticket::Kind;

use crate::error::SimulateError;
use crate::train::Free;

/// Rounds without noise; more change nothing.
const ROUNDS_WITHOUT_NOISE: u32 = 6;

/// Trains on everybody without noise, on the finest grid.
///
/// # Errors
/// As [`crate::train::train_without_noise`].
pub fn without_noise(
    histories: &[History],
    features: &Features,
    factors: Option<u32>,
    rounds: Option<u32>,
) -> Result<Model, SimulateError> {
    let items = u32::try_from(features.items()).unwrap_or(u32::MAX);
    let planned = neural::recipe(items);
    let rounds = rounds.unwrap_or(ROUNDS_WITHOUT_NOISE);
    let factors = factors
        .unwrap_or(planned.factors)
        .min(neural::directions(items));
    let recipe = Recipe {
        factors,
        rounds,
        ..planned
    };
    let owners: Vec<Owner<'_>> = histories.iter().map(Owner::from).collect();
    let kinds = [Kind::Counts]
        .into_iter()
        .chain((0..rounds).map(|_| Kind::LayerGradient));
    Free {
        owners: &owners,
        features: Some(features),
        recipe: &recipe,
        seed: 0,
    }
    .train(SpectralModel::genesis(items).into(), kinds)
}
