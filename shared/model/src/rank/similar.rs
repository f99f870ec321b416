//! Which items go with an item, whoever asks.

use tacit_types::ItemId;

use crate::maths::linalg::{dot, narrow, norm_squared};
use crate::rank::ranker::Ranker;

/// Likeness of every item to `item`: length M, at most 1, NaN for items without factors. `None` if
/// `item` has none itself.
///
/// The cosine of the item factors, shrunk: a row counts with length `sqrt(|Q_j|^2 + m)`, m the
/// median of `|Q_j|^2`. The plain cosine would put rare items first, whose short rows are mostly
/// noise.
pub fn similarities(item: ItemId, ranker: &Ranker) -> Option<Vec<f32>> {
    let own = ranker.factors(item)?;
    let mut squares = vec![f32::NAN; ranker.catalogue_len() as usize];
    for &other in ranker.block() {
        squares[other as usize] = narrow(norm_squared(&ranker.factors(ItemId(other))?));
    }
    let median = median(
        squares
            .iter()
            .copied()
            .filter(|square| !square.is_nan())
            .collect(),
    );
    let length = |square: f32| (square + median).sqrt();
    let scale = length(dot(&own, &own));
    let mut alike = vec![f32::NAN; squares.len()];
    ranker.products(&own, 0..ranker.block().len(), |other, product| {
        let other = other as usize;
        alike[other] = if product == 0.0 {
            0.0
        } else {
            product / (scale * length(squares[other]))
        };
    });
    Some(alike)
}

fn median(mut values: Vec<f32>) -> f32 {
    let middle = values.len() / 2;
    if values.is_empty() {
        0.0
    } else {
        *values.select_nth_unstable_by(middle, f32::total_cmp).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::spectral::SpectralModel;
    use crate::rank::ranker::Precision;
    use crate::rank::top::top_k;
    use crate::synthetic::trained;

    #[test]
    fn an_item_with_the_same_factors_comes_first_and_rare_noise_does_not() {
        for precision in [Precision::Full, Precision::Compact] {
            let mut ranker = Ranker::new(&trained(300, 8), precision);
            let factors = ranker.factors(ItemId(4)).unwrap();
            let twin = ranker.place(&factors).unwrap();
            let faint = ranker
                .place(&factors.iter().map(|v| v * 1e-4).collect::<Vec<_>>())
                .unwrap();
            let alike = similarities(ItemId(4), &ranker).unwrap();
            assert_eq!(top_k(&alike, &[ItemId(4)], 1)[0].0, twin);
            assert!(alike[faint.0 as usize] < 0.1);
            assert!(
                alike
                    .iter()
                    .all(|cosine| cosine.is_nan() || cosine.abs() <= 1.0 + 1e-3)
            );
        }
    }

    #[test]
    fn without_factors_nothing_is_known_to_be_similar() {
        let ranker = Ranker::new(&SpectralModel::genesis(3), Precision::Full);
        assert!(similarities(ItemId(1), &ranker).is_none());
        assert!(similarities(ItemId(9), &Ranker::new(&trained(9, 2), Precision::Full)).is_none());
    }
}
