//! From an owner's profile to scores, and to the best items.

use tacit_types::ItemId;

use super::{NO_ROW, Ranker};
use crate::family::spectral::score::popularity_scores;
use crate::maths::linalg::{narrow, norm_squared};
use crate::rank::filter::shared;
use crate::rank::profile::Profile;
use crate::rank::top::Best;

/// Rows met between two looks at whether the rest can still matter.
const ROWS: usize = 256;
/// What rounding to bytes and to f32 can add to a score, relative to the reach of its row.
const ROUNDING: f32 = 1.01;

impl Ranker {
    /// Scores every item for a profile: length [`Self::catalogue_len`], finite, larger is better.
    /// By private popularity where the profile is empty or the model has no factors.
    pub fn scores(&self, profile: &Profile) -> Vec<f32> {
        let bare = self.d == 0 && self.fit.is_none();
        if bare || profile.is_empty() {
            return if self.base.is_empty() {
                popularity_scores(&self.counts)
            } else {
                self.base.clone()
            };
        }
        let (p, along) = profile.user_factors();
        let mut scores: Vec<f32> = self.axis.iter().map(|axis| axis * along).collect();
        self.products(&p, 0..self.block.len(), |item, product| {
            scores[item as usize] += product
        });
        scores
            .iter_mut()
            .zip(&self.popularity)
            .for_each(|(score, popularity)| *score *= popularity);
        scores
            .iter_mut()
            .zip(&self.base)
            .for_each(|(score, base)| *score += base);
        scores
    }

    /// The `k` best items, best first, by their scores with `shares` of them left
    /// ([`crate::rank::filter::Filter::shares`]).
    ///
    /// The same list as from all [`Self::scores`]. Rows are met by falling reach, `sqrt(|Q_j|^2 +
    /// q_j^2) (c_j / max c)^b`; once no further row can reach the k-th best (Cauchy and Schwarz),
    /// the rest is not looked at. Predicted ratings are all computed.
    pub fn top(&self, profile: &Profile, shares: &[f32], k: usize) -> Vec<(ItemId, f32)> {
        let mut best = Best::new(k);
        if profile.is_empty() || self.d == 0 || !self.base.is_empty() {
            let scores = self.scores(profile);
            let scored = (0u32..).zip(&scores).zip(shares);
            scored.for_each(|((item, &score), &share)| {
                best.offer(ItemId(item), shared(score, share))
            });
            return best.into_sorted();
        }
        let (p, along) = profile.user_factors();
        let offer = |best: &mut Best, item: u32, product: f32| {
            let at = item as usize;
            let score = (self.axis[at] * along + product) * self.popularity[at];
            best.offer(
                ItemId(item),
                shared(score, shares.get(at).copied().unwrap_or(f32::NAN)),
            );
        };
        let without_row = (0u32..)
            .zip(&self.row_of)
            .filter(|(_, row)| **row == NO_ROW);
        without_row.for_each(|(item, _)| offer(&mut best, item, 0.0));
        let trained = self.reach.len();
        self.products(&p, trained..self.block.len(), |item, product| {
            offer(&mut best, item, product)
        });
        let norm =
            narrow((norm_squared(&p) + f64::from(along) * f64::from(along)).sqrt()) * ROUNDING;
        for start in (0..trained).step_by(ROWS) {
            if best
                .tighten()
                .is_some_and(|least| self.reach[start] * norm < least)
            {
                break;
            }
            let rows = start..(start + ROWS).min(trained);
            self.products(&p, rows, |item, product| offer(&mut best, item, product));
        }
        best.into_sorted()
    }
}
