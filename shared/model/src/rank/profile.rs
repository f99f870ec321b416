//! An owner's taste as running sums over the weighted items, so that one more interaction costs one
//! more row.

use std::fmt;

use tacit_types::ItemId;

use crate::family::fit::Fitted;
use crate::history::fusion::Rules;
use crate::history::interaction::Interaction;
use crate::history::recency::decay;
use crate::history::scene::Scene;
use crate::history::trust::taste_share;
use crate::maths::linalg::narrow;
use crate::rank::ranker::Ranker;

/// Sums over an owner's items i with signed weights x_i: `Q^T x` (d), `q0 . x`, `|x|^2`, and `sum
/// |x_i|`. Never leaves the device.
///
/// Where user factors are fitted (weighted squares, ratings), the sums are the equation they solve,
/// and the items' counts take the place of `|x|^2`.
///
/// The sums are not yet divided by `|x|`; [`Self::user_factors`] does that. In f64, so that what is
/// added and taken out again leaves no trace above 1e-12.
#[derive(Clone, PartialEq)]
pub struct Profile {
    taste: Vec<f64>,
    along: f64,
    squares: f64,
    sizes: f64,
    taste_prior: f64,
    fitted: Option<Fitted>,
}

impl Profile {
    /// The profile of an owner who did nothing yet.
    pub fn new(ranker: &Ranker) -> Self {
        let taste = vec![0.0; ranker.factor_count()];
        Self {
            taste,
            along: 0.0,
            squares: 0.0,
            sizes: 0.0,
            taste_prior: ranker.taste_prior(),
            fitted: ranker.fit().map(Fitted::new),
        }
    }

    /// Sums items that are all different. O(n d).
    pub fn of(weights: &[(ItemId, f64)], ranker: &Ranker) -> Self {
        let mut profile = Self::new(ranker);
        weights
            .iter()
            .for_each(|&(item, weight)| profile.add(item, weight, ranker));
        profile
    }

    /// Whether no item in it has weight.
    pub fn is_empty(&self) -> bool {
        self.squares <= 0.0
    }

    /// Lets everything so far count `share` as much. O(d).
    pub fn fade(&mut self, share: f64) {
        self.taste.iter_mut().for_each(|sum| *sum *= share);
        self.along *= share;
        self.sizes *= share;
        match &mut self.fitted {
            Some(fitted) => {
                fitted.fade(share);
                self.squares *= share;
            }
            None => self.squares *= share * share,
        }
    }

    /// Adds an item as if it were not in it; items the model does not know are left out. O(d).
    pub fn add(&mut self, item: ItemId, weight: f64, ranker: &Ranker) {
        self.shift(item, weight, 1.0, ranker);
    }

    /// Takes out an item that was added and has since faded to `weight`. O(d).
    pub fn remove(&mut self, item: ItemId, weight: f64, ranker: &Ranker) {
        self.shift(item, weight, -1.0, ranker);
    }

    fn shift(&mut self, item: ItemId, weight: f64, sign: f64, ranker: &Ranker) {
        let Some(item_weight) = ranker.weight(item) else {
            return;
        };
        let x = weight * f64::from(item_weight);
        let axis = ranker.axis(item);
        self.along += sign * x * f64::from(axis);
        self.sizes += sign * x.abs();
        let row = ranker.factors(item);
        if let Some(row) = &row {
            for (sum, &v) in self.taste.iter_mut().zip(row) {
                *sum += sign * x * f64::from(v);
            }
        }
        self.squares += match &mut self.fitted {
            Some(fitted) => {
                let mut h = row.unwrap_or_else(|| vec![0.0; self.taste.len()]);
                h.push(axis);
                fitted.shift(&h, x, sign)
            }
            None => sign * x * x,
        };
    }

    /// `A^-1 h` for an item with factors and axis `h`: (d + 1), the score each unit of the owner's
    /// right side adds; `None` unless the profile is fitted.
    pub(crate) fn pull(&self, h: Vec<f64>) -> Option<Vec<f64>> {
        Some(self.fitted.as_ref()?.solve(h, self.squares))
    }

    /// `|x|`.
    pub(crate) fn norm(&self) -> f64 {
        self.squares.max(0.0).sqrt()
    }

    /// Share of its score that taste gets, 0 to 1, by the items in the sums.
    pub(crate) fn taste_share(&self) -> f64 {
        taste_share(self.sizes, self.squares, self.taste_prior)
    }

    /// `Q^T x` (d), scaled by the trust in taste, and `q0 . x`, for the unit vector x; or the
    /// fitted factors. Zeros for an empty profile.
    pub fn user_factors(&self) -> (Vec<f32>, f32) {
        if let Some(fitted) = &self.fitted {
            let rhs = self
                .taste
                .iter()
                .copied()
                .chain([self.along])
                .collect();
            return fitted.user_factors(rhs, self.squares);
        }
        let scale = if self.is_empty() {
            0.0
        } else {
            self.norm().recip()
        };
        let trusted = scale * self.taste_share();
        (
            self.taste
                .iter()
                .map(|sum| narrow(sum * trusted))
                .collect(),
            narrow(self.along * scale),
        )
    }
}

impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Profile(d={})", self.taste.len())
    }
}

/// A [`Profile`] that follows an owner's interactions as they come.
///
/// | the new interaction | cost |
/// |---|---|
/// | a new item, not before the latest, all rules of one half-life | O(d), one look at the list |
/// | anything else: a repeat, a late arrival, several half-lives, ratings | a rebuild, O(n d) |
///
/// Where user factors are fitted, read d^2 for d; asking for the factors costs O(d^3).
///
/// # Guarantees
/// Always equal to a rebuild from all interactions, up to f64 rounding.
#[derive(Clone)]
pub struct OnlineProfile {
    profile: Profile,
    rules: Rules,
    cap: usize,
    /// Items in the sums with their weight when they came in, oldest first.
    items: Vec<(ItemId, f64)>,
    timed: bool,
}

impl OnlineProfile {
    /// Sums all interactions; the most recent `cap` items count.
    pub fn new(interactions: &[Interaction], rules: Rules, cap: usize, ranker: &Ranker) -> Self {
        let profile = Profile::new(ranker);
        let mut online = Self {
            profile,
            rules,
            cap,
            items: Vec::new(),
            timed: true,
        };
        online.rebuild(interactions, ranker);
        online
    }

    /// The current sums.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The rules in use.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Starts over from all interactions: after some were removed, or the model or the rules
    /// changed.
    pub fn rebuild(&mut self, interactions: &[Interaction], ranker: &Ranker) {
        let fused = ranker.weights(Scene::default(), interactions, self.cap, &self.rules);
        self.profile = Profile::of(&fused.weights, ranker);
        self.timed = fused.timed;
        let half_life = self.half_life().unwrap_or(0.0);
        self.items.clear();
        let len = fused.weights.len();
        for (place, (item, weight)) in fused.weights.into_iter().enumerate() {
            let age = len - 1 - place;
            let when_new = weight / decay(half_life, age);
            self.items.push((item, when_new));
        }
    }

    /// Takes in the last of `interactions`, the others being known already.
    pub fn record(&mut self, interactions: &[Interaction], ranker: &Ranker) {
        let Some((last, before)) = interactions.split_last() else {
            return;
        };
        if last.item.0 >= ranker.catalogue_len() {
            return;
        }
        if ranker.scale().is_some() {
            return self.rebuild(interactions, ranker);
        }
        let Some(opinion) = self.rules.opinion(last) else {
            return;
        };
        let in_order = last.timestamp.is_some()
            && before
                .iter()
                .all(|one| one.timestamp <= last.timestamp);
        // Among all interactions, not only the items kept: what was said of an item long ago still
        // decides its weight.
        let known = before.iter().any(|one| one.item == last.item);
        match self.half_life() {
            Some(half_life) if !known && (!self.timed || in_order) => {
                self.append(last.item, f64::from(opinion.confidence), half_life, ranker);
            }
            _ => self.rebuild(interactions, ranker),
        }
    }

    fn append(&mut self, item: ItemId, confidence: f64, half_life: f32, ranker: &Ranker) {
        self.profile.fade(decay(half_life, 1));
        self.profile.add(item, confidence, ranker);
        self.items.push((item, confidence));
        if self.items.len() > self.cap {
            let (oldest, confidence) = self.items.remove(0);
            self.profile.remove(
                oldest,
                confidence * decay(half_life, self.items.len()),
                ranker,
            );
        }
    }

    /// The one half-life of all weights, if there is one; 0 for none at all.
    fn half_life(&self) -> Option<f32> {
        if self.timed {
            self.rules.shared_half_life()
        } else {
            Some(0.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tacit_types::Timestamp;

    use super::*;
    use crate::history::interaction::InteractionKind;
    use crate::rank::ranker::Precision;
    use crate::synthetic::trained;

    fn close(a: &Profile, b: &Profile) -> bool {
        let ((p, along), (q, beside)) = (a.user_factors(), b.user_factors());
        (along - beside).abs() < 1e-5 && p.iter().zip(&q).all(|(a, b)| (a - b).abs() < 1e-5)
    }

    #[derive(Clone, Debug)]
    enum Op {
        Record(Interaction),
        Forget(prop::sample::Index),
    }

    fn any_op() -> impl Strategy<Value = Op> {
        let kind = (0..InteractionKind::ALL.len()).prop_map(|kind| InteractionKind::ALL[kind]);
        // Times mostly grow with the draw; some are late, few are missing.
        let time = prop_oneof![20 => (0u64..3).prop_map(Some), 1 => Just(None)];
        let record = (0u32..70, kind, time).prop_map(|(item, kind, time)| {
            Op::Record(Interaction {
                item: ItemId(item),
                timestamp: time.map(Timestamp),
                value: 20.0,
                kind,
                surface: 0,
            })
        });
        prop_oneof![12 => record, 1 => any::<prop::sample::Index>().prop_map(Op::Forget)]
    }

    proptest! {
        #[test]
        fn following_equals_starting_over(
            ops in prop::collection::vec(any_op(), 0..120),
            shop: bool,
            cap in 1usize..40,
        ) {
            let ranker = Ranker::new(&trained(60, 4), Precision::Full);
            let rules = if shop { Rules::shop() } else { Rules::default() };
            let mut online = OnlineProfile::new(&[], rules.clone(), cap, &ranker);
            let mut all: Vec<Interaction> = Vec::new();
            for (now, op) in (10u64..).zip(ops) {
                match op {
                    Op::Record(one) => {
                        let timestamp = one.timestamp.map(|late| Timestamp(now - late.0 * 3));
                        all.push(Interaction { timestamp, ..one });
                        online.record(&all, &ranker);
                    }
                    Op::Forget(which) if !all.is_empty() => {
                        all.remove(which.index(all.len()));
                        online.rebuild(&all, &ranker);
                    }
                    Op::Forget(_) => {}
                }
                let again = OnlineProfile::new(&all, rules.clone(), cap, &ranker);
                prop_assert!(close(online.profile(), again.profile()));
                prop_assert_eq!(online.profile().is_empty(), again.profile().is_empty());
            }
        }
    }

    #[test]
    fn printing_shows_no_taste() {
        let ranker = Ranker::new(&trained(60, 8), Precision::Full);
        assert_eq!(format!("{:?}", Profile::new(&ranker)), "Profile(d=8)");
    }
}
