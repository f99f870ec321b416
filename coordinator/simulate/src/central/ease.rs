//! EASE: a linear autoencoder of items in closed form (Steck, "Embarrassingly Shallow Autoencoders
//! for Sparse Data", 2019, equation 8). With G the pairs of items that users share and P the
//! inverse of `G + ridge I`, its weights are `B = I - P / diag(P)`. In f32: the ridge keeps G well
//! conditioned.

use ndarray::{Array2, ArrayView2, Axis};
use tacit_model::history::preference::History;
use tacit_types::ItemId;

/// Matrices up to this size are inverted directly.
const DIRECT: usize = 64;

/// Weights of each item for each other one: (M, M).
pub(super) struct Ease {
    weights: Array2<f32>,
}

impl Ease {
    /// Trains on all histories.
    pub(super) fn of(histories: &[History], items: u32, ridge: f32) -> Self {
        let mut gram = Array2::zeros((items as usize, items as usize));
        for history in histories {
            let used: Vec<usize> = places(history, items).collect();
            for &i in &used {
                for &j in &used {
                    gram[(i, j)] += 1.0;
                }
            }
        }
        gram.diag_mut().map_inplace(|square| *square += ridge);
        let mut weights = inverse(gram.view());
        let diagonal = weights.diag().to_owned();
        for (mut column, &scale) in weights.columns_mut().into_iter().zip(&diagonal) {
            column.map_inplace(|weight| *weight /= -scale);
        }
        weights.diag_mut().fill(0.0);
        Self { weights }
    }

    /// Scores every item for a history: (M).
    pub(super) fn scores(&self, history: &History) -> Vec<f32> {
        let items = self.weights.nrows();
        let mut scores = vec![0.0; items];
        for item in places(history, u32::try_from(items).unwrap_or(u32::MAX)) {
            let row = self.weights.row(item);
            scores
                .iter_mut()
                .zip(row)
                .for_each(|(score, weight)| *score += weight);
        }
        scores
    }
}

fn places(history: &History, items: u32) -> impl Iterator<Item = usize> {
    let known = history
        .items()
        .iter()
        .filter(move |item| item.0 < items);
    known.map(|&ItemId(item)| item as usize)
}

/// The inverse of a positive definite matrix, by halves (Schur complement), so that nearly all work
/// is in products of matrices.
fn inverse(matrix: ArrayView2<'_, f32>) -> Array2<f32> {
    let n = matrix.nrows();
    if n <= DIRECT {
        return inverse_directly(matrix);
    }
    let half = n / 2;
    let (top, bottom) = matrix.split_at(Axis(0), half);
    let (first, corner) = top.split_at(Axis(1), half);
    let (_, last) = bottom.split_at(Axis(1), half);

    let first = inverse(first);
    let reach = first.dot(&corner);
    let rest = &last - &corner.t().dot(&reach);
    let second = inverse(rest.view());
    let across = -reach.dot(&second);
    let first = first - across.dot(&reach.t());

    let mut whole = Array2::zeros((n, n));
    let (top, bottom) = whole.view_mut().split_at(Axis(0), half);
    let (mut left, mut right) = top.split_at(Axis(1), half);
    left.assign(&first);
    right.assign(&across);
    let (mut left, mut right) = bottom.split_at(Axis(1), half);
    left.assign(&across.t());
    right.assign(&second);
    whole
}

/// Gauss-Jordan without pivots, which a positive definite matrix does not need, in f64.
fn inverse_directly(matrix: ArrayView2<'_, f32>) -> Array2<f32> {
    let n = matrix.nrows();
    let mut left = matrix.mapv(f64::from);
    let mut right = Array2::<f64>::eye(n);
    for pivot in 0..n {
        let scale = left[(pivot, pivot)].recip();
        left.row_mut(pivot)
            .map_inplace(|value| *value *= scale);
        right
            .row_mut(pivot)
            .map_inplace(|value| *value *= scale);
        let (own_left, own_right) = (left.row(pivot).to_owned(), right.row(pivot).to_owned());
        for row in (0..n).filter(|row| *row != pivot) {
            let factor = left[(row, pivot)];
            left.row_mut(row).scaled_add(-factor, &own_left);
            right.row_mut(row).scaled_add(-factor, &own_right);
        }
    }
    #[allow(clippy::cast_possible_truncation, reason = "weights need no f64")]
    right.mapv(|value| value as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_times_the_matrix_is_one() {
        let n = 150;
        // Diagonally dominant, so positive definite.
        let matrix = Array2::from_shape_fn((n, n), |(i, j)| {
            let shared = ((i.min(j) * 7 + i.max(j) * 3) % 5) as f32;
            if i == j { 900.0 } else { shared }
        });
        let product = inverse(matrix.view()).dot(&matrix);
        for ((i, j), value) in product.indexed_iter() {
            let expected = if i == j { 1.0 } else { 0.0 };
            assert!((value - expected).abs() < 1e-3, "{i} {j} {value}");
        }
    }

    #[test]
    fn what_is_used_together_scores_and_no_item_votes_for_itself() {
        let used = |items: &[u32]| {
            let all: Vec<_> = items.iter().map(|&item| viewed(item)).collect();
            History::new(&all, 4, 10)
        };
        let histories = [used(&[0, 1]), used(&[0, 1]), used(&[2, 3]), used(&[2, 3])];
        let model = Ease::of(&histories, 4, 1.0);
        let scores = model.scores(&used(&[0]));
        assert!(scores[1] > 0.3 && scores[0] == 0.0 && scores[2].abs() < 1e-6);
    }

    fn viewed(item: u32) -> tacit_model::Interaction {
        tacit_model::Interaction {
            item: ItemId(item),
            timestamp: None,
            value: 1.0,
            kind: tacit_model::InteractionKind::View,
            surface: 0,
        }
    }
}
