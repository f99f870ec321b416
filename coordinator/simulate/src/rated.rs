//! Who is simulated where ratings are predicted: what each device rated, what is held out of it,
//! and public item features.

use std::collections::BTreeMap;

use ndarray::Array2;
use rand::RngExt;
use tacit_data::Dataset;
use tacit_model::family::rating::{RatingModel, Ratings, Scale};
use tacit_model::family::{Model, Owner};
use tacit_model::history::interaction::{Interaction, InteractionKind};
use tacit_model::history::preference::History;
use tacit_types::ItemId;

use crate::streams::{Purpose, stream};

/// Number of folds; a rating belongs to one of them, at random and for good.
pub const FOLDS: u64 = 10;

/// Users with their ratings, one fold held out.
pub struct RatedPopulation {
    /// Name of the data.
    pub name: String,
    /// Items in the catalogue.
    pub items: u32,
    /// Everything each device knows, in input order.
    pub interactions: Vec<Vec<Interaction>>,
    /// The ratings each device knows.
    pub ratings: Vec<Ratings>,
    /// The items each device knows: what its other vectors are made of.
    pub histories: Vec<History>,
    /// Held-out ratings of each user.
    pub test: Vec<Vec<(ItemId, f64)>>,
    /// Categories of each item, 0 or 1: (items, categories).
    pub features: Array2<f32>,
    /// Scale of the ratings.
    pub scale: Scale,
}

impl RatedPopulation {
    /// Holds out one fold of the ratings of a data set that was loaded whole.
    pub fn new(data: &Dataset, fold: u64, history_max: u32, scale: Scale) -> Self {
        let items = u32::try_from(data.items.len()).unwrap_or(u32::MAX);
        let cap = history_max as usize;
        let split: Vec<_> = (0u64..)
            .zip(&data.users)
            .map(|(user, all)| hold_out(all, user, fold))
            .collect();
        let kept = || split.iter().map(|(kept, _)| kept);
        Self {
            name: data.name.clone(),
            items,
            ratings: kept()
                .map(|kept| Ratings::new(kept, items, cap, scale))
                .collect(),
            histories: kept()
                .map(|kept| History::new(kept, items, cap))
                .collect(),
            interactions: kept().cloned().collect(),
            test: split
                .iter()
                .map(|(_, held_out)| held_out.clone())
                .collect(),
            features: features(data),
            scale,
        }
    }

    /// The same population where no categories are published.
    #[must_use]
    pub fn without_features(self) -> Self {
        Self {
            features: Array2::zeros((self.items as usize, 0)),
            ..self
        }
    }

    /// What each device's vectors are made of.
    pub fn owners(&self) -> Vec<Owner<'_>> {
        self.histories
            .iter()
            .zip(&self.ratings)
            .map(|(history, ratings)| Owner { history, ratings })
            .collect()
    }

    /// The model a task starts from.
    pub fn genesis(&self) -> Model {
        Model::Rating(
            RatingModel::genesis(self.items, self.scale).with_features(self.features.clone()),
        )
    }

    /// Root mean squared error of what `predict` says about each user's items, over all held-out
    /// ratings.
    pub fn rmse(&self, predict: impl Fn(usize) -> Vec<f32>) -> f64 {
        let mut sum = (0.0, 0usize);
        for (user, held_out) in self
            .test
            .iter()
            .enumerate()
            .filter(|(_, held_out)| !held_out.is_empty())
        {
            let predicted = predict(user);
            for &(item, rating) in held_out {
                sum = (
                    sum.0 + (f64::from(predicted[item.0 as usize]) - rating).powi(2),
                    sum.1 + 1,
                );
            }
        }
        (sum.0 / sum.1.max(1) as f64).sqrt()
    }

    /// Ratings held out.
    pub fn tested(&self) -> usize {
        self.test.iter().map(Vec::len).sum()
    }
}

/// One user's interactions without those of a fold, and the ratings in it.
fn hold_out(all: &[Interaction], user: u64, fold: u64) -> (Vec<Interaction>, Vec<(ItemId, f64)>) {
    let mut rng = stream(0, Purpose::Folds, 0, user);
    let (mut kept, mut held_out) = (Vec::new(), Vec::new());
    for one in all {
        let own = rng.random_range(0..FOLDS);
        if one.kind == InteractionKind::Rating && own == fold {
            held_out.push((one.item, f64::from(one.value)));
        } else {
            kept.push(*one);
        }
    }
    (kept, held_out)
}

fn features(data: &Dataset) -> Array2<f32> {
    let names = data.items.iter().flat_map(|item| &item.categories);
    let empty = names.map(|name| (name.as_str(), 0));
    let mut columns: BTreeMap<&str, usize> = empty.collect();
    columns
        .values_mut()
        .enumerate()
        .for_each(|(place, column)| *column = place);
    let mut features = Array2::zeros((data.items.len(), columns.len()));
    for (row, item) in data.items.iter().enumerate() {
        item.categories
            .iter()
            .for_each(|name| features[(row, columns[name.as_str()])] = 1.0);
    }
    features
}

#[cfg(test)]
mod tests {
    use tacit_data::{SyntheticSpec, synthetic};

    use super::*;

    #[test]
    fn folds_share_nothing_and_leave_nothing_out() {
        let mut data = synthetic(&SyntheticSpec {
            users: 20,
            items: 60,
            seed: 1,
        });
        for (place, one) in data.users.iter_mut().flatten().enumerate() {
            (one.kind, one.value) = (
                InteractionKind::Rating,
                if place % 2 == 0 { 2.0 } else { 4.0 },
            );
        }
        let folds: Vec<RatedPopulation> = (0..FOLDS)
            .map(|fold| RatedPopulation::new(&data, fold, 1024, Scale::STARS))
            .collect();
        let all: usize = data.users.iter().map(Vec::len).sum();
        assert_eq!(
            folds
                .iter()
                .map(RatedPopulation::tested)
                .sum::<usize>(),
            all
        );
        for fold in &folds {
            for (held_out, ratings) in fold.test.iter().zip(&fold.ratings) {
                assert!(
                    held_out
                        .iter()
                        .all(|(item, _)| ratings.given().iter().all(|(known, _)| known != item))
                );
            }
            assert!((fold.rmse(|_| vec![3.0; 60]) - 1.0).abs() < 1e-12);
        }
    }
}
