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
        let all = 0..self.block.len();
        self.products(&p, all, |item, product| scores[item as usize] += product);
        for (score, popularity) in scores.iter_mut().zip(&self.popularity) {
            *score *= popularity;
        }
        for (score, base) in scores.iter_mut().zip(&self.base) {
            *score += base;
        }
        scores
    }

    /// The `k` best items, best first, by their scores with `shares` of them left
    /// ([`crate::rank::filter::Filter::shares`]).
    ///
    /// The same list as from all [`Self::scores`]. Rows are met by falling reach, `sqrt(|Q_j|^2 +
    /// q_j^2) (c_j / max c)^b`; once no further row can reach the k-th best (Cauchy and Schwarz),
    /// the rest is not looked at. Predicted ratings are all computed.
    pub fn top(&self, profile: &Profile, shares: &[f32], k: usize) -> Vec<(ItemId, f32)> {
        if profile.is_empty() || self.d == 0 || !self.base.is_empty() {
            return best_of(&self.scores(profile), shares, k);
        }
        let mut best = Best::new(k);
        let (p, along) = profile.user_factors();
        let offer = |best: &mut Best, item: u32, product: f32| {
            let at = item as usize;
            let score = (self.axis[at] * along + product) * self.popularity[at];
            let share = shares.get(at).copied().unwrap_or(f32::NAN);
            best.offer(ItemId(item), shared(score, share));
        };
        for (item, &row) in (0u32..).zip(&self.row_of) {
            if row == NO_ROW {
                offer(&mut best, item, 0.0);
            }
        }
        // Placed items have no reach, so all of them are looked at.
        let trained = self.reach.len();
        let placed = trained..self.block.len();
        self.products(&p, placed, |item, product| offer(&mut best, item, product));

        let along = f64::from(along);
        let norm = narrow((norm_squared(&p) + along * along).sqrt()) * ROUNDING;
        for start in (0..trained).step_by(ROWS) {
            let most = self.reach[start] * norm;
            if best.tighten().is_some_and(|least| most < least) {
                break;
            }
            let rows = start..(start + ROWS).min(trained);
            self.products(&p, rows, |item, product| offer(&mut best, item, product));
        }
        best.into_sorted()
    }
}

/// The `k` best of all scores, with `shares` of them left.
fn best_of(scores: &[f32], shares: &[f32], k: usize) -> Vec<(ItemId, f32)> {
    let mut best = Best::new(k);
    let scored = (0u32..).zip(scores).zip(shares);
    for ((item, &score), &share) in scored {
        best.offer(ItemId(item), shared(score, share));
    }
    best.into_sorted()
}
