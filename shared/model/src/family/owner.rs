//! What one owner did, as a device's vectors are made of it.

use tacit_types::ItemId;

use crate::family::rating::Ratings;
use crate::history::preference::History;

/// What one owner did, cleaned: all that a device's vectors are made of.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// Items used.
    pub history: &'a History,
    /// What they were rated, where ratings are asked for.
    pub ratings: &'a Ratings,
}

impl<'a> From<&'a History> for Owner<'a> {
    /// An owner who rated nothing.
    fn from(history: &'a History) -> Self {
        static NOTHING: Ratings = Ratings::NONE;
        Self {
            history,
            ratings: &NOTHING,
        }
    }
}

/// An owner without the item used last.
#[derive(Clone, Debug)]
pub struct Spared {
    history: History,
    ratings: Ratings,
    /// The item held out; `None` where there is only one.
    pub held_out: Option<ItemId>,
    /// What it was rated.
    pub rating: Option<f64>,
}

impl Owner<'_> {
    /// Holds out the item used last, and what it was rated.
    pub fn hold_out(&self) -> Spared {
        let (history, held_out) = self.history.clone().hold_out();
        let (ratings, rating) = held_out.map_or_else(
            || (self.ratings.clone(), None),
            |item| self.ratings.without(item),
        );
        Spared {
            history,
            ratings,
            held_out,
            rating,
        }
    }
}

impl Spared {
    /// What is left.
    pub fn owner(&self) -> Owner<'_> {
        Owner {
            history: &self.history,
            ratings: &self.ratings,
        }
    }
}
