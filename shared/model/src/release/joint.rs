//! The one vector of a device that several owners use.
//!
//! Each owner's vector is made from that owner's history alone, so no two owners' items are ever
//! taught as used together. The privacy unit is the device, and what bounds it is what bounds one
//! owner's vector: clipping to norm 1, and the integer test behind it.

use std::collections::BTreeSet;

use tacit_types::{ItemGradient, ItemId, Kind};

use crate::family::Model;
use crate::history::interaction::Interaction;

impl Model {
    /// The dense vector a device sends for one kind when it has these owners; `None` for a kind
    /// this model does not give.
    ///
    /// It is the sum of the owners' vectors ([`Self::vector`]), whose norm may be as large as the
    /// number of owners: clipping scales it to norm 1 at most. For [`Kind::Metrics`] it is their
    /// mean, over the owners that have an answer: a scale that followed from how far the answers
    /// agree would bias the figures made of them.
    ///
    /// | owners | what is made |
    /// |---|---|
    /// | none | the zero vector |
    /// | one | that owner's vector |
    /// | several | made of at most `history_max` items together: the longest histories give way |
    pub fn joint_vector(
        &self,
        kind: Kind,
        histories: &[Vec<Interaction>],
        history_max: usize,
        hold_out: bool,
    ) -> Option<ItemGradient> {
        let mut sum = vec![0.0; self.extent(kind)?.length()];
        let mut answers = 0u16;
        for (history, cap) in histories.iter().zip(self.caps(histories, history_max)) {
            let vector = self.cleaned_vector(kind, history, cap, hold_out)?;
            answers += u16::from(!vector.is_zero());
            vector.add_to(&mut sum);
        }
        if kind == Kind::Metrics && answers > 1 {
            let answers = f32::from(answers);
            sum.iter_mut().for_each(|value| *value /= answers);
        }
        Some(ItemGradient::new(sum))
    }

    /// Most items of each history, `history_max` in all: an equal part of what shorter histories
    /// have left over.
    fn caps(&self, histories: &[Vec<Interaction>], history_max: usize) -> Vec<usize> {
        let lengths: Vec<usize> = histories
            .iter()
            .map(|history| self.known_items(history))
            .collect();
        let mut shortest_first: Vec<usize> = (0..lengths.len()).collect();
        shortest_first.sort_by_key(|owner| lengths[*owner]);

        let mut caps = vec![0; lengths.len()];
        let mut left = history_max;
        for (done, owner) in shortest_first.into_iter().enumerate() {
            caps[owner] = left / (lengths.len() - done);
            left -= caps[owner].min(lengths[owner]);
        }
        caps
    }

    /// How many items of the catalogue a history names.
    fn known_items(&self, history: &[Interaction]) -> usize {
        let items = history.iter().map(|one| one.item);
        let known: BTreeSet<ItemId> = items
            .filter(|item| item.0 < self.catalogue_len())
            .collect();
        known.len()
    }
}

#[cfg(test)]
mod tests;
