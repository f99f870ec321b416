//! One reason a suggestion, short enough to stand beside it.

use tacit_model::history::interaction::InteractionKind;
use tacit_model::rank::filter::Filter;
use tacit_types::ItemId;

use super::Recommender;

/// What speaks most for a suggestion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Something the owner did.
    Because {
        /// With this item.
        item: ItemId,
        /// What was done last with it.
        kind: InteractionKind,
    },
    /// A category the owner chose.
    Chosen,
    /// What everybody is told: popularity, or an item's mean rating.
    General,
}

impl Recommender {
    /// What speaks most for an item in the scene of this filter; [`Self::explain`] has all of it.
    /// `None` for an item the catalogue does not have.
    pub fn why(&self, item: ItemId, filter: &Filter) -> Option<Why> {
        let explained = self.explain(item, filter)?;
        let chosen = explained.chosen;
        if let Some(first) = explained.reasons.first()
            && first.score > 0.0
            && first.score >= chosen
        {
            let because = self.because(first.item);
            return Some(because);
        }
        if chosen > 0.0 {
            return Some(Why::Chosen);
        }
        Some(Why::General)
    }

    fn because(&self, item: ItemId) -> Why {
        let mut newest_first = self.interactions.iter().rev();
        let last = newest_first.find(|one| one.item == item);
        match last {
            Some(one) => Why::Because {
                item,
                kind: one.kind,
            },
            None => Why::General,
        }
    }
}
