//! Planted data for the tests: users with one taste out of a few, over items of uneven popularity.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tacit_types::{ItemGradient, ItemId};

use crate::family::recipe::Recipe;
use crate::family::spectral::server::{apply_counts, apply_gradient, random_init};
use crate::family::spectral::{SpectralModel, device};
use crate::history::interaction::{Interaction, InteractionKind};
use crate::history::preference::History;

/// A population with a held-out item each.
pub(crate) struct Planted {
    pub(crate) catalogue_len: u32,
    pub(crate) histories: Vec<History>,
    pub(crate) held_out: Vec<ItemId>,
}

/// An untimed history of these items, in this order.
pub(crate) fn history(items: &[u32]) -> History {
    let used = |&item: &u32| Interaction {
        item: ItemId(item),
        timestamp: None,
        value: 1.0,
        kind: InteractionKind::View,
        surface: 0,
    };
    History::new(
        &items.iter().map(used).collect::<Vec<_>>(),
        u32::MAX,
        usize::MAX,
    )
}

/// `users` owners of `tastes` tastes over `catalogue_len` items; four in five items used belong to
/// the owner's taste.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in 0..1 of a u32 catalogue"
)]
pub(crate) fn planted(users: u32, catalogue_len: u32, tastes: u32, seed: u64) -> Planted {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut held_out = Vec::new();
    let mut histories = Vec::new();
    for user in 0..users {
        let taste = user % tastes;
        let mut items: Vec<u32> = Vec::new();
        while items.len() < 13 {
            // Squaring prefers low indices: item popularity is uneven.
            let place: f64 = rng.random_range(0.0..1.0);
            let rank = (place * place * f64::from(catalogue_len)) as u32;
            let item = if rng.random_range(0.0..1.0) < 0.8 {
                rank / tastes * tastes + taste
            } else {
                rank
            };
            if item < catalogue_len && !items.contains(&item) {
                items.push(item);
            }
        }
        held_out.push(ItemId(items.pop().expect("thirteen items were drawn")));
        histories.push(history(&items));
    }
    Planted {
        catalogue_len,
        histories,
        held_out,
    }
}

/// A model of `items` items and `factors` orthonormal factors without meaning, some of the items
/// outside its block.
pub(crate) fn trained(items: u32, factors: u32) -> SpectralModel {
    let recipe = Recipe {
        factors,
        weight_exponent: 0.2,
        popularity_exponent: 0.1,
        coverage: 0.99,
        ..Recipe::counts_only()
    };
    let counts: Vec<f64> = (1..=items).map(|rank| 1e4 / f64::from(rank)).collect();
    random_init(&apply_counts(&counts, 1.0, &recipe), &recipe, 3)
}

/// A model without noise, learned from planted data in three rounds.
pub(crate) fn learned(data: &Planted, factors: u32) -> SpectralModel {
    let all = Recipe::for_signal(f64::INFINITY, data.catalogue_len).expect("a signal");
    let recipe = Recipe {
        factors,
        head: 0,
        ..all
    };
    let sum = |vectors: &mut dyn Iterator<Item = ItemGradient>| {
        let mut total: Vec<f64> = Vec::new();
        for vector in vectors.map(ItemGradient::into_coordinates) {
            total.resize(vector.len(), 0.0);
            total
                .iter_mut()
                .zip(vector)
                .for_each(|(sum, v)| *sum += f64::from(v));
        }
        total
    };
    let counts = sum(&mut data
        .histories
        .iter()
        .map(|used| device::counts(used, data.catalogue_len)));
    let mut model = random_init(&apply_counts(&counts, 0.0, &recipe), &recipe, 5);
    for round in 0..3 {
        let gradient = sum(&mut data
            .histories
            .iter()
            .map(|used| device::gradient(used, &model)));
        model = apply_gradient(&model, &gradient, &recipe, round == 0);
    }
    model
}
