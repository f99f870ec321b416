//! The device half: hold out what the owner used last, rank as serving does, answer the questions.

use std::fmt;

use tacit_types::{ItemGradient, ItemId};

use super::layout::{
    self, BANDS, CHANCES, COSINES, DRIFT, ERRORS, LENGTH, LISTED, PAIRED, PREDICTED, Question,
    RANK, RANKS, RATING_ERROR, TOP,
};
use crate::family::sparse::SparseGradient;
use crate::family::spectral::SpectralModel;
use crate::family::{Family, Model, Owner};
use crate::history::preference::History;
use crate::history::recency::HALF_LIFE;
use crate::maths::linalg::{add_scaled, dot, narrow, norm_squared};
use crate::rank::top::top_k_open;

/// Fewer items than this have no older and newer half to compare.
const DRIFT_MIN: usize = 4;

/// One owner's answers. They never leave the device as they are: no `Serialize`, and they print
/// nothing.
#[derive(Clone, PartialEq, Default)]
pub struct Answers {
    /// Rank of the held-out item by the model among what the owner had not met, from 1. `None`:
    /// nothing could be held out, and then nothing else is answered either.
    pub rank: Option<usize>,
    /// Its rank by popularity alone.
    pub popular_rank: usize,
    /// The chance of a hit that the model gave.
    pub chance: f64,
    /// Distance of the predicted from the given rating, where the model predicts ratings and there
    /// was one.
    pub rating_error: Option<f64>,
    /// Cosine of the user factors of the older and of the newer half of the history.
    pub drift: Option<f64>,
    /// How many items of the list are in each band of popularity.
    pub listed: [usize; BANDS.len()],
}

/// Holds out the owner's latest item and asks how a device that knew only the rest would have
/// ranked it.
///
/// Ranks as serving does: by [`Model::scores`] with the usual half-life, what the owner used left
/// out, equal scores by lower index.
///
/// | case | answers |
/// |---|---|
/// | fewer than two items used | none |
/// | model without factors | ranked by popularity; no drift |
/// | model that carries no spectral one | no drift |
/// | model of ratings, and the held-out item was rated | also how far the prediction was off |
/// | fewer than four items in the rest | no drift |
pub fn answers(owner: &Owner<'_>, model: &Model) -> Answers {
    let spared = owner.hold_out();
    let (Some(held_out), rest) = (spared.held_out, spared.owner()) else {
        return Answers::default();
    };
    let counts = model.counts();
    let Some(at) = Some(held_out.0 as usize).filter(|at| *at < counts.len()) else {
        return Answers::default();
    };
    let mut closed = vec![false; counts.len()];
    for item in rest.history.items() {
        if let Some(flag) = closed.get_mut(item.0 as usize) {
            *flag = true;
        }
    }
    let scores = model.scores(&rest, Some(HALF_LIFE));
    // Its scores are ratings on their scale.
    let predicts = model.family() == Family::Rating;
    Answers {
        rank: Some(rank(&scores, &closed, at)),
        popular_rank: rank(counts, &closed, at),
        chance: chance(&scores, &closed),
        rating_error: spared
            .rating
            .filter(|_| predicts)
            .map(|given| (f64::from(scores[at]) - given).abs()),
        drift: model
            .spectral()
            .and_then(|model| drift(rest.history, model)),
        listed: listed(&scores, &closed, counts),
    }
}

impl Answers {
    /// The vector this device sends, without its zeros.
    ///
    /// # Guarantees
    /// Its norm is at most 1 up to f32 rounding, and 0 for an owner of whom nothing can be held
    /// out.
    pub fn sparse(&self) -> SparseGradient {
        let mut vector = SparseGradient::empty(1);
        let mut set = |question: Question, at: usize, value: f64| {
            vector.push(question.start + at, [narrow(question.scale() * value)]);
        };
        let Some(rank) = self.rank else { return vector };
        let (hit, popular_hit) = (rank <= TOP, self.popular_rank <= TOP);
        set(RANK, layout::range(&RANKS, &rank), 1.0);
        if hit != popular_hit {
            set(PAIRED, 0, if hit { 1.0 } else { -1.0 });
        }
        if let Some(error) = self.rating_error {
            set(RATING_ERROR, layout::range(&ERRORS, &error), 1.0);
        }
        set(
            PREDICTED,
            layout::range(&CHANCES, &self.chance) + if hit { CHANCES.len() } else { 0 },
            1.0,
        );
        if let Some(cosine) = self.drift {
            set(DRIFT, layout::range(&COSINES, &cosine), 1.0);
        }
        // Shares that add up to at most 1 have a norm of at most 1.
        for (band, &items) in self
            .listed
            .iter()
            .enumerate()
            .filter(|(_, items)| **items > 0)
        {
            set(LISTED, band, items as f64 / TOP as f64);
        }
        vector
    }

    /// The vector this device sends: [`LENGTH`] coordinates.
    pub fn vector(&self) -> ItemGradient {
        self.sparse().dense(LENGTH)
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answers(..)")
    }
}

/// Place of an item in the list of all open items, from 1; equal scores by lower index.
fn rank(scores: &[f32], closed: &[bool], item: usize) -> usize {
    let own = scores[item];
    let mut before = 0;
    for (other, &score) in scores.iter().enumerate() {
        let first = score > own || (score == own && other < item);
        if first && !closed[other] {
            before += 1;
        }
    }
    before + 1
}

/// Scores stand for how much of the owner's interest an item has, up to a factor: the share that
/// the first ten have of all that is above 0.
fn chance(scores: &[f32], closed: &[bool]) -> f64 {
    let open = scores
        .iter()
        .zip(closed)
        .filter(|(score, closed)| !**closed && **score > 0.0);
    let all: f64 = open.map(|(score, _)| f64::from(*score)).sum();
    let first: f64 = top_k_open(scores, closed, TOP)
        .iter()
        .map(|(_, score)| f64::from(score.max(0.0)))
        .sum();
    if all > 0.0 {
        (first / all).min(1.0)
    } else {
        0.0
    }
}

fn listed(scores: &[f32], closed: &[bool], counts: &[f32]) -> [usize; BANDS.len()] {
    let mut listed = [0; BANDS.len()];
    for (item, _) in top_k_open(scores, closed, TOP) {
        let own = counts[item.0 as usize];
        let place = counts.iter().filter(|count| **count > own).count();
        let band = layout::band(place, counts.len());
        listed[band] += 1;
    }
    listed
}

/// Both halves count every item alike, so that only what was used tells them apart.
fn drift(rest: &History, model: &SpectralModel) -> Option<f64> {
    if rest.len() < DRIFT_MIN {
        return None;
    }
    let (older, newer) = rest.items().split_at(rest.len() / 2);
    let older = taste(older, model);
    let newer = taste(newer, model);
    let norms = (norm_squared(&older) * norm_squared(&newer)).sqrt();
    if norms > 0.0 {
        let product = f64::from(dot(&older, &newer));
        Some(product / norms)
    } else {
        None
    }
}

/// The direction of the user factors of these items: (d).
fn taste(items: &[ItemId], model: &SpectralModel) -> Vec<f32> {
    let d = model.factor_count();
    let mut taste = vec![0.0; d];
    for &item in items {
        if let Some(row) = model.block_row(item) {
            add_scaled(
                &mut taste,
                model.weights()[item.0 as usize],
                &model.factor_slice()[row * d..][..d],
            );
        }
    }
    taste
}
