//! The best of many scored items.

use std::cmp::Ordering;

use tacit_types::ItemId;

/// The `k` best items that are not in `exclude`, best first, equal scores by lower index; NaN is
/// never chosen.
pub fn top_k(scores: &[f32], exclude: &[ItemId], k: usize) -> Vec<(ItemId, f32)> {
    let mut closed = vec![false; scores.len()];
    for item in exclude {
        if let Some(flag) = closed.get_mut(item.0 as usize) {
            *flag = true;
        }
    }
    top_k_open(scores, &closed, k)
}

/// [`top_k`] of the items whose flag in `closed` is not set; items beyond its end are closed.
pub fn top_k_open(scores: &[f32], closed: &[bool], k: usize) -> Vec<(ItemId, f32)> {
    let mut best = Best::new(k);
    let open = (0u32..)
        .map(ItemId)
        .zip(scores)
        .zip(closed)
        .filter(|(_, closed)| !**closed);
    open.for_each(|((item, &score), _)| best.offer(item, score));
    best.into_sorted()
}

/// Collects the k best of any number of scored items, offered in any order. Most lose to the k-th
/// best so far at one comparison; the rest are sorted out k at a time.
pub(crate) struct Best {
    k: usize,
    list: Vec<(ItemId, f32)>,
    least: Option<(ItemId, f32)>,
}

impl Best {
    pub(crate) fn new(k: usize) -> Self {
        Self {
            k,
            list: Vec::new(),
            least: None,
        }
    }

    /// Takes an item that may be among the k best; NaN never is.
    pub(crate) fn offer(&mut self, item: ItemId, score: f32) {
        let loses = self
            .least
            .is_some_and(|least| best_first(&least, &(item, score)).is_lt());
        if loses || score.is_nan() || self.k == 0 {
            return;
        }
        self.list.push((item, score));
        if self.list.len() >= self.k.saturating_mul(2) {
            self.tighten();
        }
    }

    /// Forgets all but the k best, and gives the least score among them once there are k.
    pub(crate) fn tighten(&mut self) -> Option<f32> {
        if self.k > 0 && self.list.len() > self.k {
            self.list
                .select_nth_unstable_by(self.k - 1, best_first);
            self.list.truncate(self.k);
            self.least = self.list.last().copied();
        }
        self.least.map(|(_, score)| score)
    }

    /// Best first, equal scores by lower index.
    pub(crate) fn into_sorted(mut self) -> Vec<(ItemId, f32)> {
        self.list.sort_unstable_by(best_first);
        self.list.truncate(self.k);
        self.list
    }
}

fn best_first(a: &(ItemId, f32), b: &(ItemId, f32)) -> Ordering {
    b.1.partial_cmp(&a.1)
        .unwrap_or(Ordering::Equal)
        .then(a.0.cmp(&b.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_is_deterministic_and_skips_what_was_seen_and_nan() {
        let scores = [1.0, 3.0, f32::NAN, 3.0, 2.0, f32::NEG_INFINITY];
        let items = |k| {
            top_k(&scores, &[ItemId(4), ItemId(77)], k)
                .iter()
                .map(|(item, _)| item.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(items(2), vec![1, 3]);
        assert_eq!(items(99), vec![1, 3, 0, 5]);
        assert!(items(0).is_empty());
    }
}
