//! One owner's cleaned data, from which a device's vectors are made.

use tacit_types::ItemId;

use crate::family::rating::Ratings;
use crate::history::preference::History;

/// One owner's cleaned data: all that a device's vectors are made of.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// Items used.
    pub history: &'a History,
    /// Their ratings, where the model asks for ratings.
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
    /// Its rating; `None` where it was not rated.
    pub rating: Option<f64>,
}

impl Owner<'_> {
    /// Holds out the item used last, and its rating.
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
    /// The owner without the item held out.
    pub fn owner(&self) -> Owner<'_> {
        Owner {
            history: &self.history,
            ratings: &self.ratings,
        }
    }
}
