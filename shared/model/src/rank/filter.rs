//! Which items may be shown to an owner now, and what an app may ask of a list.

use std::collections::BTreeMap;

use tacit_types::{ItemId, Timestamp};

use crate::history::interaction::{Interaction, InteractionKind};

/// What an app knows about its items beyond the model. Local: an item not listed here has no
/// category and is always offered.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    facts: BTreeMap<ItemId, Facts>,
}

/// What an app knows about one item.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The app's own category numbers.
    pub categories: Vec<u32>,
    /// Not offered at the moment: out of stock, withdrawn, retired.
    pub hidden: bool,
    /// First moment it may be shown.
    pub from: Option<Timestamp>,
    /// First moment it may no longer be shown.
    pub until: Option<Timestamp>,
}

impl Catalogue {
    /// Sets what is known about an item; the model needs no new training.
    pub fn set(&mut self, item: ItemId, facts: Facts) {
        self.facts.insert(item, facts);
    }

    /// What is known about an item.
    pub fn get(&self, item: ItemId) -> Option<&Facts> {
        self.facts.get(&item)
    }

    /// Items in any of these categories.
    pub fn in_categories<'a>(&'a self, categories: &'a [u32]) -> impl Iterator<Item = ItemId> + 'a {
        let within = |facts: &Facts| {
            facts
                .categories
                .iter()
                .any(|category| categories.contains(category))
        };
        self.facts
            .iter()
            .filter(move |(_, facts)| within(facts))
            .map(|(item, _)| *item)
    }
}

/// What an app asks of one list. The default: nothing the owner met before, in the order of the
/// scores.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// The moment the list is for. Expiry, buying again and the scene need it; without it nothing
    /// is expired, nothing is bought again, and every hour counts alike.
    pub now: Option<Timestamp>,
    /// Place in the app the list is for, see [`crate::history::scene`]; 0 for none.
    pub surface: u8,
    /// Also items the owner met but neither bought nor refused.
    pub show_seen: bool,
    /// Also items the owner bought, their score growing back with this half-life in milliseconds:
    /// half of it after one half-life, three quarters after two. `None` or 0: never again.
    pub buy_again_half_life_ms: Option<u64>,
    /// Categories left out, for example sensitive ones.
    pub exclude_categories: Vec<u32>,
    /// 0 to 1, see [`crate::rank::rerank::diversify`].
    pub diversity: f32,
    /// Share of the places given to items from further down, see [`crate::rank::rerank::explore`].
    pub exploration: f32,
    /// Seed of the exploration: change it for each list.
    pub seed: u64,
}

impl Filter {
    /// Share of its score that each of `len` items keeps: 0 to 1, or NaN for an item that may not
    /// be shown.
    ///
    /// | item | shown |
    /// |---|---|
    /// | hidden or not offered at [`Self::now`], or in an excluded category | never |
    /// | disliked or hidden by the owner, and not liked since | never |
    /// | bought | only as [`Self::buy_again_half_life_ms`] says |
    /// | met in another way | with [`Self::show_seen`] |
    pub fn shares(
        &self,
        interactions: &[Interaction],
        catalogue: &Catalogue,
        len: usize,
    ) -> Vec<f32> {
        let mut shares = vec![1.0; len];
        let mut set = |item: ItemId, share: f32| {
            if let Some(place) = shares.get_mut(item.0 as usize) {
                *place = share;
            }
        };
        if self.nothing_comes_back() {
            // How each was met does not matter then, and to find out takes longer than all scores.
            interactions
                .iter()
                .for_each(|one| set(one.item, f32::NAN));
        } else {
            for (item, met) in meetings(interactions) {
                let share = self.share_back(&met);
                set(item, share.unwrap_or(f32::NAN));
            }
        }
        let closed = catalogue
            .facts
            .iter()
            .filter(|(_, facts)| !self.offers(facts));
        closed.for_each(|(item, _)| set(*item, f32::NAN));
        shares
    }

    /// Whether an item that the owner met stays away, however it was met.
    fn nothing_comes_back(&self) -> bool {
        let bought_do = self.now.is_some() && self.buy_again_half_life_ms.is_some();
        !self.show_seen && !bought_do
    }

    /// Whether the app's facts allow showing an item now.
    fn offers(&self, facts: &Facts) -> bool {
        let early = facts
            .from
            .zip(self.now)
            .is_some_and(|(from, now)| now < from);
        let late = facts
            .until
            .zip(self.now)
            .is_some_and(|(until, now)| now >= until);
        let excluded = facts
            .categories
            .iter()
            .any(|category| self.exclude_categories.contains(category));
        !(facts.hidden || early || late || excluded)
    }

    /// Share of its score that an item the owner met has got back; `None` if it may not be shown.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a share in 0..=1 rounded to f32"
    )]
    fn share_back(&self, met: &Met) -> Option<f32> {
        if met.refused || !(met.bought || self.show_seen) {
            return None;
        }
        if !met.bought {
            return Some(1.0);
        }
        let half_life = self
            .buy_again_half_life_ms
            .filter(|half_life| *half_life > 0)?;
        let since = self.now?.millis_since(met.bought_at?);
        Some((1.0 - (-(since as f64) / half_life as f64).exp2()) as f32)
    }
}

/// Scales a score by its share. A score below 0 stays: scaled towards 0 the item would rise.
pub fn shared(score: f32, share: f32) -> f32 {
    if score > 0.0 || share.is_nan() {
        score * share
    } else {
        score
    }
}

/// How an owner met an item.
#[derive(Default)]
struct Met {
    bought: bool,
    bought_at: Option<Timestamp>,
    refused: bool,
}

fn meetings(interactions: &[Interaction]) -> BTreeMap<ItemId, Met> {
    let mut meetings: BTreeMap<ItemId, Met> = BTreeMap::new();
    for one in interactions {
        let met = meetings.entry(one.item).or_default();
        match one.kind {
            InteractionKind::Purchase => {
                met.bought = true;
                met.bought_at = met.bought_at.max(one.timestamp);
            }
            InteractionKind::Dislike | InteractionKind::Hide => met.refused = true,
            InteractionKind::Like => met.refused = false,
            _ => {}
        }
    }
    meetings
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;

    fn did(item: u32, kind: InteractionKind) -> Interaction {
        Interaction {
            item: ItemId(item),
            timestamp: Some(Timestamp(DAY)),
            value: 1.0,
            kind,
            surface: 0,
        }
    }

    fn shown(filter: &Filter, interactions: &[Interaction], catalogue: &Catalogue) -> Vec<usize> {
        let shares = filter.shares(interactions, catalogue, 6);
        (0..6).filter(|item| !shares[*item].is_nan()).collect()
    }

    #[test]
    fn what_was_met_comes_back_only_when_asked_for() {
        use InteractionKind::{Dislike, Hide, Like, Purchase, View};
        let met = [
            did(0, View),
            did(1, Purchase),
            did(2, Dislike),
            did(3, Hide),
            did(4, Hide),
            did(4, Like),
            did(99, View),
        ];
        let (default, seen) = (
            Filter::default(),
            Filter {
                show_seen: true,
                ..Filter::default()
            },
        );
        assert_eq!(shown(&default, &met, &Catalogue::default()), vec![5]);
        assert_eq!(shown(&seen, &met, &Catalogue::default()), vec![0, 4, 5]);
    }

    #[test]
    fn the_short_way_hides_what_the_long_one_does() {
        let kinds = InteractionKind::ALL;
        let each = (0_u32..).zip(kinds);
        let met: Vec<Interaction> = each.map(|(item, kind)| did(item, kind)).collect();
        let (now, half_life) = (Some(Timestamp(9 * DAY)), Some(DAY));
        for (now, buy_again_half_life_ms, is_short) in [
            (None, None, true),
            (now, None, true),
            (None, half_life, true),
            (now, half_life, false),
        ] {
            let filter = Filter {
                now,
                buy_again_half_life_ms,
                ..Filter::default()
            };
            assert_eq!(filter.nothing_comes_back(), is_short);
            let shares = filter.shares(&met, &Catalogue::default(), kinds.len());
            for (item, met) in meetings(&met) {
                let hidden = filter.share_back(&met).is_none();
                assert_eq!(shares[item.0 as usize].is_nan(), hidden, "{item:?}");
            }
        }
    }

    #[test]
    fn a_bought_item_grows_back() {
        let at = |days, half_life| Filter {
            now: Some(Timestamp(days * DAY)),
            buy_again_half_life_ms: Some(half_life),
            ..Filter::default()
        };
        let bought = [did(1, InteractionKind::Purchase)];
        assert_eq!(
            at(31, 30 * DAY).shares(&bought, &Catalogue::default(), 3),
            vec![1.0, 0.5, 1.0]
        );
        assert_eq!((shared(0.8, 0.5), shared(-0.8, 0.5)), (0.4, -0.8));
        assert!(shared(-0.8, f32::NAN).is_nan());
        assert_eq!(
            shown(&at(31, 0), &bought, &Catalogue::default()),
            vec![0, 2, 3, 4, 5]
        );
        let untimed = [Interaction {
            timestamp: None,
            ..bought[0]
        }];
        assert_eq!(
            shown(&at(31, DAY), &untimed, &Catalogue::default()),
            vec![0, 2, 3, 4, 5]
        );
    }

    #[test]
    fn the_catalogue_closes_items_by_state_time_and_category() {
        let mut catalogue = Catalogue::default();
        catalogue.set(
            ItemId(0),
            Facts {
                hidden: true,
                ..Facts::default()
            },
        );
        catalogue.set(
            ItemId(1),
            Facts {
                until: Some(Timestamp(10)),
                ..Facts::default()
            },
        );
        catalogue.set(
            ItemId(2),
            Facts {
                from: Some(Timestamp(20)),
                ..Facts::default()
            },
        );
        catalogue.set(
            ItemId(3),
            Facts {
                categories: vec![7, 8],
                ..Facts::default()
            },
        );
        catalogue.set(
            ItemId(77),
            Facts {
                hidden: true,
                ..Facts::default()
            },
        );
        let at = |now: u64| Filter {
            now: Some(Timestamp(now)),
            ..Filter::default()
        };
        assert_eq!(
            shown(&Filter::default(), &[], &catalogue),
            vec![1, 2, 3, 4, 5]
        );
        assert_eq!(shown(&at(9), &[], &catalogue), vec![1, 3, 4, 5]);
        assert_eq!(shown(&at(20), &[], &catalogue), vec![2, 3, 4, 5]);
        let without = Filter {
            exclude_categories: vec![8],
            ..at(20)
        };
        assert_eq!(shown(&without, &[], &catalogue), vec![2, 4, 5]);
        assert_eq!(
            catalogue.in_categories(&[8]).collect::<Vec<_>>(),
            vec![ItemId(3)]
        );
    }
}
