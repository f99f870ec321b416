//! What happened, when, and how much it counts: the raw record a device keeps.

use std::fmt;

use tacit_types::{ItemId, Timestamp};

/// What the owner of a device did with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InteractionKind {
    /// Looked at it.
    View,
    /// Chose it from a list.
    Click,
    /// Put it in the cart.
    Cart,
    /// Bought it.
    Purchase,
    /// Gave it an explicit rating, in `Interaction::value`.
    Rating,
}

impl InteractionKind {
    /// The lower-case word used in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Click => "click",
            Self::Cart => "cart",
            Self::Purchase => "purchase",
            Self::Rating => "rating",
        }
    }

    /// Reads the word [`Self::as_str`] gives; `None` for any other.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::View, Self::Click, Self::Cart, Self::Purchase, Self::Rating]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }
}

/// One thing a device's owner did. Never leaves the device: no `Serialize`, and it prints without its content.
#[derive(Clone, Copy, PartialEq)]
pub struct Interaction {
    /// The item, as its dense catalogue index.
    pub item: ItemId,
    /// When; `None` where the source kept no time.
    pub timestamp: Option<Timestamp>,
    /// Rating in stars for [`InteractionKind::Rating`], otherwise a count or 1.
    pub value: f32,
    /// What was done.
    pub kind: InteractionKind,
}

impl fmt::Debug for Interaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interaction(..)")
    }
}
