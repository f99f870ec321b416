//! How much each item an owner met counts when ranking: several kinds of interaction fused into one
//! weight per item.
//!
//! Feeds ranking only. In training a device counts every used item alike ([`crate::History`]), and
//! these weights equal that history's wherever all interactions are of one kind.

use std::collections::HashMap;

use tacit_types::ItemId;

use crate::history::interaction::{Interaction, InteractionKind};
use crate::history::recency::{HALF_LIFE, decay};
use crate::history::scene::{Scene, SceneRules};
use crate::history::trust::TASTE_PRIOR;
use crate::maths::linalg::narrow;

/// How one kind of interaction counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Weight of the item when it was used last, at most 1; below 0 the items like it rank lower; 0
    /// leaves the kind out.
    pub confidence: f32,
    /// Items used since until half of the weight is left; a value that is not above 0 or not finite
    /// means no decay.
    pub half_life: f32,
}

/// How every kind counts.
///
/// | case | weight of the item |
/// |---|---|
/// | several interactions of implicit kinds | that of the strongest, at the age of the latest |
/// | any explicit one (rating, like, dislike) | that of the latest explicit one, nothing else |
/// | rating below [`Self::poor_below`] | as a dislike |
/// | dwell of less than [`Self::dwell_full_s`] seconds | in proportion |
/// | kind with confidence 0, or an item outside the catalogue | as if it had not happened |
/// | any remaining interaction without a time | order of recording, no decay |
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// By kind, in the order of [`InteractionKind::ALL`].
    rules: [Rule; InteractionKind::ALL.len()],
    /// Ratings below this count as a dislike.
    pub poor_below: f32,
    /// Seconds of dwell that count in full.
    pub dwell_full_s: f32,
    /// Effective number of items at which an owner's taste is trusted by half; the rest of the
    /// score stays with popularity. 0 trusts it at once.
    pub taste_prior: f32,
    /// How interactions of other scenes than the present one count. Explicit feedback counts in
    /// every scene.
    pub scene: SceneRules,
}

impl Default for Rules {
    /// Every use counts alike with a half-life of [`HALF_LIFE`], as in training; a dislike counts
    /// half against.
    fn default() -> Self {
        let rules = InteractionKind::ALL.map(|kind| match kind {
            InteractionKind::Hide => Rule {
                confidence: 0.0,
                half_life: HALF_LIFE,
            },
            InteractionKind::Dislike => Rule {
                confidence: -0.5,
                half_life: HALF_LIFE,
            },
            _ => Rule {
                confidence: 1.0,
                half_life: HALF_LIFE,
            },
        });
        Self {
            rules,
            poor_below: 0.0,
            dwell_full_s: 30.0,
            taste_prior: narrow(TASTE_PRIOR),
            scene: SceneRules::default(),
        }
    }
}

impl Rules {
    /// A start for shops, where most interactions are looks. A cart foretells a purchase, so it
    /// counts most. A purchase shows a taste, so it counts longest, but the item is no longer
    /// missing.
    ///
    /// Taste is trusted at once, because histories are short and popularity says little of what one
    /// owner buys next. How the weights were chosen: `tests/quality/TUNING.md`, "Kinds of
    /// interaction".
    pub fn shop() -> Self {
        [
            (InteractionKind::View, 0.2, 10.0),
            (InteractionKind::Click, 0.3, 10.0),
            (InteractionKind::Search, 0.4, 10.0),
            (InteractionKind::Dwell, 0.3, 10.0),
            (InteractionKind::Cart, 1.0, 20.0),
            (InteractionKind::Purchase, 0.6, 40.0),
        ]
        .into_iter()
        .fold(
            Self {
                taste_prior: 0.0,
                ..Self::default()
            },
            |rules, (kind, confidence, half_life)| {
                rules.with(
                    kind,
                    Rule {
                        confidence,
                        half_life,
                    },
                )
            },
        )
    }

    /// The same rules, with another for `kind`. A confidence outside -1 to 1 is moved to the
    /// nearest end; NaN becomes 0.
    #[must_use]
    pub fn with(mut self, kind: InteractionKind, rule: Rule) -> Self {
        let confidence = if rule.confidence.is_nan() {
            0.0
        } else {
            rule.confidence.clamp(-1.0, 1.0)
        };
        self.rules[kind as usize] = Rule { confidence, ..rule };
        self
    }

    /// The rule of a kind.
    pub fn rule(&self, kind: InteractionKind) -> Rule {
        self.rules[kind as usize]
    }

    /// The half-life of every kind that counts, if they share one: then fading all weights alike
    /// keeps them right.
    pub(crate) fn shared_half_life(&self) -> Option<f32> {
        let mut counting = self
            .rules
            .iter()
            .filter(|rule| rule.confidence != 0.0)
            .map(|rule| rule.half_life);
        let first = counting.next()?;
        counting
            .all(|half_life| half_life == first)
            .then_some(first)
    }

    /// The rule of one interaction, its confidence scaled by its value; `None` where it says
    /// nothing.
    pub(crate) fn opinion(&self, one: &Interaction) -> Option<Rule> {
        let mut rule = self.rule(one.kind);
        match one.kind {
            InteractionKind::Rating if one.value < self.poor_below => {
                rule = self.rule(InteractionKind::Dislike)
            }
            InteractionKind::Dwell => {
                rule.confidence *= (one.value / self.dwell_full_s).clamp(0.0, 1.0)
            }
            _ => {}
        }
        // A NaN is no opinion either.
        (rule.confidence.abs() > 0.0).then_some(rule)
    }
}

/// An owner's items with their weights, oldest first, each once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fused {
    /// Item and weight, before the model's own item weights.
    pub weights: Vec<(ItemId, f64)>,
    /// Whether every interaction had a time, so that ages mean something.
    pub timed: bool,
}

/// [`fuse_in`] no particular scene.
pub fn fuse(interactions: &[Interaction], catalogue_len: u32, cap: usize, rules: &Rules) -> Fused {
    fuse_in(Scene::default(), interactions, catalogue_len, cap, rules)
}

/// Fuses interactions given in any order into one weight per item; the most recent `cap` items are
/// kept.
///
/// # Guarantees
/// Repeating an interaction changes nothing. With distinct times, neither does the order they are
/// given in.
pub fn fuse_in(
    scene: Scene,
    interactions: &[Interaction],
    catalogue_len: u32,
    cap: usize,
    rules: &Rules,
) -> Fused {
    let known = interactions
        .iter()
        .filter(|one| one.item.0 < catalogue_len);
    let mut kept: Vec<(&Interaction, Rule)> = known
        .filter_map(|one| Some((one, rules.opinion(one)?)))
        .collect();
    let timed = kept.iter().all(|(one, _)| one.timestamp.is_some());
    if timed {
        kept.sort_by_key(|(one, _)| one.timestamp);
    }
    let mut place = HashMap::new();
    let mut verdicts: Vec<Verdict> = Vec::new();
    for (one, rule) in kept.into_iter().rev() {
        let age = *place.entry(one.item).or_insert(verdicts.len());
        let explicit = is_explicit(one.kind);
        let fresh = if timed {
            decay(rule.half_life, age)
        } else {
            1.0
        };
        let alike = if explicit {
            1.0
        } else {
            rules.scene.share(Scene::from(one), scene)
        };
        let said = Verdict {
            item: one.item,
            weight: f64::from(rule.confidence) * fresh * alike,
            explicit,
        };
        match verdicts.get_mut(age) {
            Some(verdict) => verdict.hear(said),
            None => verdicts.push(said),
        }
    }
    let weights = verdicts
        .into_iter()
        .take(cap)
        .rev()
        .map(|verdict| (verdict.item, verdict.weight))
        .collect();
    Fused { weights, timed }
}

fn is_explicit(kind: InteractionKind) -> bool {
    matches!(
        kind,
        InteractionKind::Rating | InteractionKind::Like | InteractionKind::Dislike
    )
}

/// The weight of one item so far, going from its latest interaction to its first.
struct Verdict {
    item: ItemId,
    weight: f64,
    explicit: bool,
}

impl Verdict {
    /// Takes in an earlier interaction with the same item.
    fn hear(&mut self, earlier: Self) {
        let stronger = earlier.weight.abs() > self.weight.abs();
        if !self.explicit && (earlier.explicit || stronger) {
            *self = earlier;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tacit_types::Timestamp;

    use super::*;
    use crate::history::preference::{HISTORY_CAP, History};

    fn at(item: u32, time: u64, kind: InteractionKind) -> Interaction {
        Interaction {
            item: ItemId(item),
            timestamp: Some(Timestamp(time)),
            value: 5.0,
            kind,
            surface: 0,
        }
    }

    fn weight(interactions: &[Interaction], item: u32, rules: &Rules) -> f64 {
        let fused = fuse(interactions, 100, 100, rules);
        fused
            .weights
            .iter()
            .find(|(known, _)| known.0 == item)
            .map_or(0.0, |(_, weight)| *weight)
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-7
    }

    #[test]
    fn the_strongest_implicit_interaction_counts_at_the_age_of_the_latest() {
        use InteractionKind::{Purchase, View};
        let used = [at(1, 1, Purchase), at(1, 2, View), at(2, 3, View)];
        let rules = Rules::shop();
        let rule = |kind| rules.rule(kind);
        assert!(close(
            weight(&used, 2, &rules),
            f64::from(rule(View).confidence)
        ));
        let faded = f64::from(rule(Purchase).confidence)
            * (-1.0 / f64::from(rule(Purchase).half_life)).exp2();
        assert!(close(weight(&used, 1, &rules), faded));
    }

    #[test]
    fn the_latest_explicit_word_beats_everything_else() {
        use InteractionKind::{Dislike, Like, Purchase, View};
        let rules = Rules::default();
        let mut used = vec![
            at(1, 1, Like),
            at(1, 2, Purchase),
            at(1, 3, Dislike),
            at(1, 4, View),
        ];
        assert!(close(weight(&used, 1, &rules), -0.5));
        used.push(at(1, 5, Like));
        assert!(close(weight(&used, 1, &rules), 1.0));
    }

    #[test]
    fn values_decide_what_ratings_and_dwell_say() {
        let rules = Rules {
            poor_below: 3.0,
            ..Rules::default()
        };
        let rated = |value| {
            [Interaction {
                value,
                ..at(1, 1, InteractionKind::Rating)
            }]
        };
        assert_eq!(
            (
                weight(&rated(2.0), 1, &rules),
                weight(&rated(3.0), 1, &rules)
            ),
            (-0.5, 1.0)
        );
        let stayed = |value| {
            [Interaction {
                value,
                ..at(1, 1, InteractionKind::Dwell)
            }]
        };
        assert!(
            close(weight(&stayed(15.0), 1, &rules), 0.5)
                && close(weight(&stayed(900.0), 1, &rules), 1.0)
        );
        for nothing in [0.0, -4.0, f32::NAN] {
            assert!(
                fuse(&stayed(nothing), 100, 100, &rules)
                    .weights
                    .is_empty(),
                "{nothing}"
            );
        }
    }

    #[test]
    fn hiding_says_nothing_about_taste() {
        let used = [
            at(1, 1, InteractionKind::View),
            at(1, 2, InteractionKind::Hide),
            at(2, 3, InteractionKind::Hide),
        ];
        assert_eq!(
            fuse(&used, 100, 100, &Rules::default()).weights,
            vec![(ItemId(1), 1.0)]
        );
    }

    #[test]
    fn a_confidence_without_meaning_is_moved_into_its_range() {
        let with = |confidence| {
            Rules::default()
                .with(
                    InteractionKind::View,
                    Rule {
                        confidence,
                        half_life: 1.0,
                    },
                )
                .rule(InteractionKind::View)
                .confidence
        };
        assert_eq!((with(9.0), with(-9.0), with(f32::NAN)), (1.0, -1.0, 0.0));
    }

    /// Interactions with distinct times over few items.
    fn any_interactions() -> impl Strategy<Value = Vec<Interaction>> {
        let kind = (0..InteractionKind::ALL.len()).prop_map(|kind| InteractionKind::ALL[kind]);
        prop::collection::vec((0u32..12, kind, 0.0f32..60.0), 0..60).prop_map(|drawn| {
            let one = |(time, (item, kind, value))| Interaction {
                value,
                ..at(item, time, kind)
            };
            (1u64..).zip(drawn).map(one).collect()
        })
    }

    proptest! {
        #[test]
        fn repeating_and_reordering_change_nothing(used in any_interactions(), turn in 0usize..60) {
            let rules = Rules { poor_below: 30.0, ..Rules::shop() };
            let fused = fuse(&used, 10, 8, &rules);
            let mut turned = [&used[..], &used[..]].concat();
            let turn = turn.min(turned.len());
            turned.rotate_left(turn);
            prop_assert_eq!(fuse(&turned, 10, 8, &rules), fused.clone());
            prop_assert!(fused.weights.iter().all(|(_, weight)| weight.abs() <= 1.0));
        }

        #[test]
        fn one_kind_alone_is_the_history_of_training(used in any_interactions()) {
            let mut views = used.clone();
            views.iter_mut().for_each(|one| one.kind = InteractionKind::View);
            let fused = fuse(&views, 10, 8, &Rules::default());
            let history = History::new(&views, 10, 8);
            let items: Vec<ItemId> = fused.weights.iter().map(|(item, _)| *item).collect();
            prop_assert_eq!(&items[..], history.items());
            for (age, (_, weight)) in fused.weights.iter().rev().enumerate() {
                prop_assert!((weight - decay(HALF_LIFE, age)).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn without_times_nothing_fades() {
        let mut used = vec![
            at(1, 5, InteractionKind::View),
            at(2, 1, InteractionKind::View),
        ];
        used[0].timestamp = None;
        let fused = fuse(&used, 100, HISTORY_CAP, &Rules::default());
        assert_eq!(
            (fused.weights, fused.timed),
            (vec![(ItemId(1), 1.0), (ItemId(2), 1.0)], false)
        );
    }
}
