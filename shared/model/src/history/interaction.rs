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
    /// Opened it from the results of a search.
    Search,
    /// Stayed with it, for `Interaction::value` seconds.
    Dwell,
    /// Put it in the cart.
    Cart,
    /// Bought it.
    Purchase,
    /// Gave it an explicit rating, in `Interaction::value`.
    Rating,
    /// Asked for more like it.
    Like,
    /// Asked for less like it. Feedback on a suggestion, not a use.
    Dislike,
    /// Asked not to see it again, which says nothing about taste. Feedback on a suggestion, not a
    /// use.
    Hide,
}

impl InteractionKind {
    /// Every kind, in the order of their declaration.
    pub const ALL: [Self; 10] = [
        Self::View,
        Self::Click,
        Self::Search,
        Self::Dwell,
        Self::Cart,
        Self::Purchase,
        Self::Rating,
        Self::Like,
        Self::Dislike,
        Self::Hide,
    ];

    /// The lower-case word used in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Click => "click",
            Self::Search => "search",
            Self::Dwell => "dwell",
            Self::Cart => "cart",
            Self::Purchase => "purchase",
            Self::Rating => "rating",
            Self::Like => "like",
            Self::Dislike => "dislike",
            Self::Hide => "hide",
        }
    }

    /// Reads the word [`Self::as_str`] gives; `None` for any other.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }

    /// Whether the owner used the item, so that it belongs in a [`crate::History`].
    pub fn is_use(self) -> bool {
        !matches!(self, Self::Dislike | Self::Hide)
    }
}

/// One thing a device's owner did. Never leaves the device: no `Serialize`, and it prints without
/// its content.
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
    /// Place in the app where it was done, by the app's own numbers; 0 where none was given.
    pub surface: u8,
}

impl fmt::Debug for Interaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interaction(..)")
    }
}
