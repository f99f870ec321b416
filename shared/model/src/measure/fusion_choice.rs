//! Which fusion rules suit one owner, judged on the device by the owner's own last items.

use std::collections::HashSet;

use tacit_types::ItemId;

use crate::history::fusion::{Rules, fuse_in};
use crate::history::interaction::Interaction;
use crate::history::preference::HISTORY_CAP;
use crate::history::scene::Scene;
use crate::measure::metric::full_ranks;
use crate::rank::profile::Profile;
use crate::rank::ranker::Ranker;

/// Chooses the candidate that would have ranked the owner's latest `held_out` new uses best: by the
/// sum of reciprocal ranks, each item ranked in the scene it was met in, from what came before it,
/// among all items not met until then. Equal candidates: the earlier; so list the default first.
/// `None` without candidates, and where ratings are predicted, which no rule weighs.
///
/// Local, so it costs no privacy. Needs an order: interactions are taken as given. One evaluation
/// costs one full scoring.
pub fn choose(
    interactions: &[Interaction],
    ranker: &Ranker,
    candidates: &[Rules],
    held_out: usize,
) -> Option<usize> {
    if ranker.scale().is_some() {
        return None;
    }
    let mut met = HashSet::new();
    let is_new = |at: &usize| interactions[*at].kind.is_use() && met.insert(interactions[*at].item);
    let new: Vec<usize> = (0..interactions.len()).filter(is_new).collect();
    let judged = &new[new.len().saturating_sub(held_out)..];
    let quality = |rules: &Rules| -> f64 {
        judged
            .iter()
            .map(|&at| reciprocal_rank(interactions, at, ranker, rules))
            .sum()
    };
    let qualities: Vec<f64> = candidates.iter().map(quality).collect();
    (0..qualities.len()).reduce(|best, next| {
        if qualities[next] > qualities[best] {
            next
        } else {
            best
        }
    })
}

fn reciprocal_rank(interactions: &[Interaction], at: usize, ranker: &Ranker, rules: &Rules) -> f64 {
    let (before, met) = (&interactions[..at], &interactions[at]);
    let fused = fuse_in(
        Scene::from(met),
        before,
        ranker.catalogue_len(),
        HISTORY_CAP,
        rules,
    );
    let profile = Profile::of(&fused.weights, ranker);
    let scores = ranker.scores(&profile);
    let seen: Vec<ItemId> = before.iter().map(|one| one.item).collect();
    let ranks = full_ranks(&scores, &seen, &[met.item]);
    (ranks[0] as f64 + 1.0).recip()
}

#[cfg(test)]
mod tests {
    use tacit_types::Timestamp;

    use super::*;
    use crate::history::fusion::Rule;
    use crate::history::interaction::InteractionKind::{self, Purchase, View};
    use crate::rank::ranker::Precision;
    use crate::synthetic::{learned, planted};

    #[test]
    fn an_owner_whose_views_mean_nothing_gets_rules_that_ignore_them() {
        let data = planted(1500, 400, 8, 2);
        let ranker = Ranker::new(&learned(&data, 8), Precision::Full);
        // Buys of taste 3, looks around in taste 6.
        let did = |at: u32| {
            let (item, kind): (u32, InteractionKind) = if at.is_multiple_of(2) {
                (at / 2 * 8 + 3, Purchase)
            } else {
                (at / 2 * 8 + 6, View)
            };
            Interaction {
                item: ItemId(item),
                timestamp: Some(Timestamp(at.into())),
                value: 1.0,
                kind,
                surface: 0,
            }
        };
        let all: Vec<Interaction> = (0..30)
            .map(did)
            .filter(|one| one.item.0 < 400)
            .collect();
        let buys: Vec<Interaction> = all
            .iter()
            .filter(|one| one.kind == Purchase)
            .copied()
            .collect();
        let ignoring = Rules::default().with(
            View,
            Rule {
                confidence: 0.0,
                half_life: 10.0,
            },
        );
        let mirrored = Rules::default().with(
            Purchase,
            Rule {
                confidence: 0.0,
                half_life: 10.0,
            },
        );
        let candidates = [Rules::default(), mirrored, ignoring];
        assert_eq!(
            choose(&buys, &ranker, &candidates, 5),
            Some(0),
            "equal without views: the default stays"
        );
        let chosen = |interactions: &[Interaction]| choose(interactions, &ranker, &candidates, 9);
        // All views come first, so that the last new items are purchases.
        let views: Vec<Interaction> = all
            .iter()
            .filter(|one| one.kind == View)
            .copied()
            .collect();
        assert_eq!(chosen(&[views, buys].concat()), Some(2));
        assert_eq!(choose(&[], &ranker, &candidates, 5), Some(0));
        assert_eq!(choose(&[], &ranker, &[], 5), None);
    }
}
