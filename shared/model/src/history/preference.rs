//! The cleaned history of one device: which items its owner used, oldest first, each once.

use std::collections::BTreeSet;
use std::fmt;

use tacit_types::ItemId;

use crate::history::interaction::Interaction;
#[cfg(doc)]
use crate::history::interaction::InteractionKind;

/// Most recent items a device keeps unless the application says otherwise.
///
/// A fixed number, so the bound says nothing about anybody's data. What it costs:
/// `tests/quality/TUNING.md`, "Length of a history".
pub const HISTORY_CAP: usize = 1024;

/// Distinct items one owner used, oldest first. Never leaves the device: no `Serialize`, and it
/// prints its length only.
#[derive(Clone, PartialEq)]
pub struct History {
    items: Vec<ItemId>,
    timed: bool,
}

impl History {
    /// Cleans interactions given in any order.
    ///
    /// | case | what happens |
    /// |---|---|
    /// | item outside `0..catalogue_len` | ignored |
    /// | feedback that is no use ([`InteractionKind::is_use`]) | ignored |
    /// | all remaining interactions carry a time | ordered by it, [timed](Self::is_timed) |
    /// | equal times | in input order |
    /// | any of them carries none | input order is kept; not timed |
    /// | an item more than once | its latest occurrence counts |
    /// | more than `cap` distinct items | the most recent `cap` are kept |
    pub fn new(interactions: &[Interaction], catalogue_len: u32, cap: usize) -> Self {
        let mut kept: Vec<&Interaction> = interactions
            .iter()
            .filter(|i| i.item.0 < catalogue_len && i.kind.is_use())
            .collect();
        let timed = kept.iter().all(|i| i.timestamp.is_some());
        if timed {
            kept.sort_by_key(|i| i.timestamp);
        }
        Self {
            items: latest_distinct(kept.iter().rev().map(|i| i.item), cap),
            timed,
        }
    }

    /// The items, oldest first, each once.
    pub fn items(&self) -> &[ItemId] {
        &self.items
    }

    /// Splits the latest item off, for validation; a history of fewer than two items has none to
    /// spare.
    #[must_use]
    pub fn hold_out(mut self) -> (Self, Option<ItemId>) {
        let held_out = if self.items.len() < 2 {
            None
        } else {
            self.items.pop()
        };
        (self, held_out)
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether the order of [`Self::items`] is the order of use, so that recency means something.
    pub fn is_timed(&self) -> bool {
        self.timed
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "History(len={})", self.items.len())
    }
}

/// Leaves out the interactions with the item used last, as training does where that item is held
/// out for evaluation. Returns everything where there is only one item.
pub fn without_latest(interactions: &[Interaction], catalogue_len: u32) -> Vec<Interaction> {
    let (_, held_out) = History::new(interactions, catalogue_len, 2).hold_out();
    interactions
        .iter()
        .copied()
        .filter(|one| Some(one.item) != held_out)
        .collect()
}

/// Takes the first `cap` distinct items of a newest-first sequence and gives them oldest first.
fn latest_distinct(newest_first: impl Iterator<Item = ItemId>, cap: usize) -> Vec<ItemId> {
    let mut seen = BTreeSet::new();
    let mut items: Vec<ItemId> = newest_first
        .filter(|item| seen.insert(*item))
        .take(cap)
        .collect();
    items.reverse();
    items
}

#[cfg(test)]
mod tests {
    use tacit_types::Timestamp;

    use super::*;
    use crate::history::interaction::InteractionKind;

    fn at(item: u32, time: Option<u64>) -> Interaction {
        Interaction {
            item: ItemId(item),
            timestamp: time.map(Timestamp),
            value: 1.0,
            kind: InteractionKind::View,
            surface: 0,
        }
    }

    fn items(history: &History) -> Vec<u32> {
        history.items().iter().map(|item| item.0).collect()
    }

    #[test]
    fn times_decide_the_order_and_ties_keep_input_order() {
        let history = History::new(
            &[
                at(3, Some(9)),
                at(1, Some(2)),
                at(5, Some(9)),
                at(4, Some(1)),
            ],
            10,
            100,
        );
        assert_eq!(
            (items(&history), history.is_timed()),
            (vec![4, 1, 3, 5], true)
        );
    }

    #[test]
    fn one_missing_time_keeps_input_order_and_marks_the_history_untimed() {
        let history = History::new(&[at(3, Some(9)), at(1, None), at(5, Some(1))], 10, 100);
        assert_eq!(
            (items(&history), history.is_timed()),
            (vec![3, 1, 5], false)
        );
    }

    /// HOSTILE 35.
    #[test]
    fn an_unknown_item_neither_counts_nor_spoils_the_order() {
        let history = History::new(
            &[
                at(10, None),
                at(2, Some(5)),
                at(u32::MAX, None),
                at(1, Some(4)),
            ],
            10,
            100,
        );
        assert_eq!((items(&history), history.is_timed()), (vec![1, 2], true));
    }

    #[test]
    fn duplicates_collapse_to_the_latest() {
        let history = History::new(&[at(1, Some(1)), at(2, Some(2)), at(1, Some(3))], 10, 100);
        assert_eq!(items(&history), vec![2, 1]);
        let same = vec![at(7, Some(1)); 1000];
        assert_eq!(items(&History::new(&same, 10, 100)), vec![7]);
    }

    #[test]
    fn the_cap_keeps_the_most_recent() {
        let all: Vec<_> = (0..10)
            .map(|i| at(i, Some(u64::from(100 - i))))
            .collect();
        assert_eq!(items(&History::new(&all, 10, 3)), vec![2, 1, 0]);
        assert!(History::new(&all, 10, 0).is_empty());
    }

    #[test]
    fn a_million_interactions_are_cleaned() {
        let many: Vec<_> = (0..1_000_000u32)
            .map(|i| {
                at(
                    i.wrapping_mul(7919) % 5000,
                    Some(u64::from(i) * 31 % 1_000_003),
                )
            })
            .collect();
        let history = History::new(&many, 5000, HISTORY_CAP);
        assert_eq!(history.len(), HISTORY_CAP);
        let distinct: BTreeSet<_> = history.items().iter().collect();
        assert_eq!(distinct.len(), HISTORY_CAP);
    }

    #[test]
    fn feedback_on_a_suggestion_is_no_use() {
        let feedback = |kind| Interaction {
            kind,
            ..at(3, None)
        };
        let given = [
            at(1, Some(5)),
            feedback(InteractionKind::Dislike),
            feedback(InteractionKind::Hide),
        ];
        let history = History::new(&given, 10, 100);
        assert_eq!((items(&history), history.is_timed()), (vec![1], true));
    }

    #[test]
    fn the_latest_item_is_held_out_unless_it_is_the_only_one() {
        let history = |given: &[Interaction]| History::new(given, 10, 100).hold_out();
        let (rest, held_out) = history(&[at(3, Some(9)), at(1, Some(2)), at(3, Some(1))]);
        assert_eq!((items(&rest), held_out), (vec![1], Some(ItemId(3))));
        let (rest, held_out) = history(&[at(3, Some(9)), at(3, Some(1))]);
        assert_eq!((items(&rest), held_out), (vec![3], None));
        assert_eq!(history(&[]).1, None);
        let given = [
            at(3, Some(9)),
            at(1, Some(2)),
            at(3, Some(1)),
            at(12, Some(99)),
        ];
        assert!(
            without_latest(&given, 10) == [given[1], given[3]],
            "an unknown item is not the latest"
        );
        assert!(without_latest(&given[2..], 10) == given[2..]);
    }

    #[test]
    fn printing_shows_no_item() {
        assert_eq!(
            format!("{:?}", History::new(&[at(7, None)], 10, 9)),
            "History(len=1)"
        );
    }
}
