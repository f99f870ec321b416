//! Who is simulated: the histories devices would hold, and what is held out of them.

use tacit_data::{Dataset, Reading};
use tacit_model::family::features::Features;
use tacit_model::history::interaction::Interaction;
use tacit_model::history::preference::{HISTORY_CAP, History};
use tacit_types::ItemId;

/// The most used share of the catalogue that is not called the tail.
const HEAD_SHARE: f64 = 0.2;

/// Users and everything that is known about them centrally. A deployment never has this in one
/// place.
pub struct Population {
    /// Name of the data.
    pub name: String,
    /// How it was read, and what was held out.
    pub reading: Reading,
    /// Items in the catalogue.
    pub items: u32,
    /// What each device learned from, as its ranking sees it: oldest first, at most the
    /// application's cap.
    pub histories: Vec<History>,
    /// Everything each device knows, in input order.
    pub interactions: Vec<Vec<Interaction>>,
    /// Held-out items of each user, possibly none.
    pub test: Vec<Vec<ItemId>>,
    /// Published negatives of each user, where the data has them.
    pub negatives: Option<Vec<Vec<ItemId>>>,
    /// How many users own each item: (items).
    pub owners: Vec<u32>,
    /// Whether each item is outside the most used fifth of the catalogue: (items).
    pub tail: Vec<bool>,
    /// What the catalogue says about its items: (items, features).
    pub features: Features,
}

impl Population {
    /// Takes over a data set.
    pub fn new(data: Dataset) -> Self {
        let items = u32::try_from(data.items.len()).unwrap_or(u32::MAX);
        let histories: Vec<History> = data
            .users
            .iter()
            .map(|user| History::new(user, items, HISTORY_CAP))
            .collect();
        let mut owners = vec![0u32; data.items.len()];
        histories
            .iter()
            .flat_map(History::items)
            .for_each(|item| owners[item.0 as usize] += 1);
        let described = data.items.iter();
        let tags: Vec<Vec<String>> = described.map(tacit_data::Item::tags).collect();
        Self {
            // A catalogue with too many categories to use is ranked without them.
            features: Features::from_categories(&tags).unwrap_or_else(|_| Features::none(items)),
            name: data.name,
            reading: data.reading,
            items,
            tail: tail(&owners),
            histories,
            interactions: data.users,
            test: data.test,
            negatives: data.negatives,
            owners,
        }
    }

    /// The same users with a catalogue that says nothing about its items.
    #[must_use]
    pub fn without_features(self) -> Self {
        Self {
            features: Features::none(self.items),
            ..self
        }
    }

    /// Number of users, each one device.
    pub fn users(&self) -> u32 {
        u32::try_from(self.histories.len()).unwrap_or(u32::MAX)
    }

    /// The histories that enter a device's vector under a history cap.
    pub fn capped(&self, history_max: u32) -> Vec<History> {
        let capped = |user: &Vec<Interaction>| History::new(user, self.items, history_max as usize);
        self.interactions.iter().map(capped).collect()
    }
}

/// Everything but the most used fifth; equal counts by index.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a length"
)]
fn tail(owners: &[u32]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..owners.len()).collect();
    order.sort_by_key(|&item| (std::cmp::Reverse(owners[item]), item));
    let head = (owners.len() as f64 * HEAD_SHARE).ceil() as usize;
    let mut tail = vec![true; owners.len()];
    order
        .iter()
        .take(head)
        .for_each(|&item| tail[item] = false);
    tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_everything_but_the_most_used_fifth() {
        assert_eq!(tail(&[1, 9, 3, 9, 2]), [true, false, true, true, true]);
        assert!(tail(&[]).is_empty());
    }
}
