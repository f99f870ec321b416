//! What one owner rated.

use std::collections::BTreeMap;
use std::fmt;

use tacit_types::ItemId;

use super::scale::Scale;
use crate::history::interaction::{Interaction, InteractionKind};

/// What one owner rated, each item once. Never leaves the device: no `Serialize`, and it prints its
/// length only.
#[derive(Clone, Default, PartialEq)]
pub struct Ratings {
    /// Ascending by item.
    given: Vec<(ItemId, f64)>,
}

impl Ratings {
    /// Nothing rated.
    pub const NONE: Self = Self { given: Vec::new() };

    /// Cleans interactions given in any order.
    ///
    /// | case | what happens |
    /// |---|---|
    /// | no rating, like or dislike; not finite; or an item outside `0..catalogue_len` | ignored |
    /// | a like or a dislike | the highest or the lowest rating |
    /// | outside the scale | moved to its nearest end |
    /// | an item more than once | its last occurrence in input order counts |
    /// | more than `cap` distinct items | those given last are kept |
    pub fn new(interactions: &[Interaction], catalogue_len: u32, cap: usize, scale: Scale) -> Self {
        let rating = |one: &Interaction| {
            let rating = match one.kind {
                InteractionKind::Rating => f64::from(one.value),
                InteractionKind::Like => scale.high,
                InteractionKind::Dislike => scale.low,
                _ => return None,
            };
            (rating.is_finite() && one.item.0 < catalogue_len)
                .then(|| (one.item, scale.nearest(rating)))
        };
        let mut given = BTreeMap::new();
        for (item, rating) in interactions.iter().rev().filter_map(rating) {
            if given.len() < cap {
                given.entry(item).or_insert(rating);
            }
        }
        Self {
            given: given.into_iter().collect(),
        }
    }

    /// Takes the rating of `item` out: the others, and that one if there is one.
    #[must_use]
    pub fn without(&self, item: ItemId) -> (Self, Option<f64>) {
        let own = self
            .given
            .iter()
            .find(|(rated, _)| *rated == item)
            .map(|(_, rating)| *rating);
        (
            Self {
                given: self
                    .given
                    .iter()
                    .copied()
                    .filter(|(rated, _)| *rated != item)
                    .collect(),
            },
            own,
        )
    }

    /// Items and their ratings, ascending by item.
    pub fn given(&self) -> &[(ItemId, f64)] {
        &self.given
    }
}

impl fmt::Debug for Ratings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ratings(len={})", self.given.len())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::maths::linalg::narrow;

    pub(in crate::family::rating) fn rated(ratings: &[(u32, f64)]) -> Ratings {
        let rating = |&(item, value): &(u32, f64)| Interaction {
            item: ItemId(item),
            timestamp: None,
            value: narrow(value),
            kind: InteractionKind::Rating,
            surface: 0,
        };
        Ratings::new(
            &ratings.iter().map(rating).collect::<Vec<_>>(),
            50,
            30,
            Scale::STARS,
        )
    }

    #[test]
    fn only_ratings_on_the_scale_are_kept_and_the_last_counts() {
        let view = Interaction {
            item: ItemId(7),
            timestamp: None,
            value: 1.0,
            kind: InteractionKind::View,
            surface: 0,
        };
        assert!(
            Ratings::new(&[view], 50, 30, Scale::STARS)
                .given()
                .is_empty()
        );
        let cleaned = rated(&[
            (3, 2.0),
            (1, 9.0),
            (3, 4.0),
            (70, 1.0),
            (2, f64::NAN),
            (4, -1.0),
        ]);
        assert_eq!(
            cleaned.given(),
            &[(ItemId(1), 5.0), (ItemId(3), 4.0), (ItemId(4), 1.0)]
        );
        let many: Vec<(u32, f64)> = (0..50).map(|item| (item, 3.0)).collect();
        assert_eq!(
            (rated(&many).given().len(), rated(&many).given()[0].0),
            (30, ItemId(20))
        );
        assert_eq!(format!("{cleaned:?}"), "Ratings(len=3)");
    }
}
