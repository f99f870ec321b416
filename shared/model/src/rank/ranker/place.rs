//! Items placed since the model was published, by what is known of them.

use tacit_types::ItemId;

use super::{Factors, Ranker};
use crate::maths::bytes::{row_scale, to_byte};

impl Ranker {
    /// Places an item the model does not know, by `factors` (d), which
    /// [`FeatureMap`](crate::rank::cold_start::FeatureMap) predicts. The item gets the counts of
    /// the median item, so that it neither leads nor drowns.
    ///
    /// Returns `None`, and places nothing, unless there are d finite factors.
    pub fn place(&mut self, factors: &[f32]) -> Option<ItemId> {
        if factors.len() != self.d || self.d == 0 || !factors.iter().all(|v| v.is_finite()) {
            return None;
        }
        let (item, row) = (
            u32::try_from(self.counts.len()).ok()?,
            u32::try_from(self.block.len()).ok()?,
        );
        let like = median_item(&self.counts)?;
        for column in [
            &mut self.weights,
            &mut self.counts,
            &mut self.axis,
            &mut self.popularity,
        ] {
            column.push(column[like]);
        }
        if let Some(&base) = self.base.get(like) {
            self.base.push(base);
        }
        match &mut self.factors {
            Factors::Full(all) => all.extend_from_slice(factors),
            Factors::Compact { values, scales } => {
                let scale = row_scale(factors);
                values.extend(factors.iter().map(|&v| to_byte(v, scale)));
                scales.push(scale);
            }
        }
        self.block.push(item);
        self.row_of.push(row);
        Some(ItemId(item))
    }
}

fn median_item(counts: &[f32]) -> Option<usize> {
    let mut order: Vec<usize> = (0..counts.len()).collect();
    let middle = counts.len() / 2;
    (middle < counts.len()).then(|| {
        *order
            .select_nth_unstable_by(middle, |&a, &b| counts[a].total_cmp(&counts[b]))
            .1
    })
}
