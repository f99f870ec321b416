//! What a click on the page asks for, and what it does to the device.

use serde::Deserialize;
use tacit_model::history::interaction::{Interaction, InteractionKind};
use tacit_sdk::{Consent, Forget, Recommender, SdkError};
use tacit_types::{ItemId, Timestamp};

/// One click.
#[derive(Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Action {
    /// The owner did something with an item, or said something about it.
    Did {
        /// Its index in the catalogue.
        item: u32,
        /// What.
        kind: Said,
    },
    /// The owner likes these categories.
    Choose {
        /// Their numbers; none to go back.
        categories: Vec<u32>,
    },
    /// What may go over the network.
    Consent {
        /// From now on.
        to: Allowed,
    },
    /// All that was done with one item goes.
    Forget {
        /// Its index in the catalogue.
        item: u32,
    },
    /// All that was ever done here goes.
    ForgetAll {},
}

/// What may be said of an item.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Said {
    View,
    Like,
    Dislike,
    Hide,
}

/// The words of [`Consent`].
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Allowed {
    Off,
    Receive,
    Contribute,
}

impl Action {
    /// Does it, durably. The next list knows.
    pub(super) fn apply(self, lists: &mut Recommender, now: Timestamp) -> Result<(), SdkError> {
        match self {
            Self::Did { item, kind } => {
                let item = ItemId(item);
                let interaction = kind.as_interaction(item, lists, now);
                lists.record(interaction)
            }
            Self::Choose { categories } => lists.choose_categories(&categories),
            Self::Consent { to } => lists.set_consent(to.into()),
            Self::Forget { item } => {
                let what = Forget::Item(ItemId(item));
                lists.forget(&what).map(drop)
            }
            Self::ForgetAll {} => {
                let what = Forget::Everything;
                lists.forget(&what).map(drop)
            }
        }
    }
}

impl Said {
    /// Where ratings are predicted, to like is to give the best one.
    fn as_interaction(self, item: ItemId, lists: &Recommender, now: Timestamp) -> Interaction {
        let best = best_rating(lists);
        let mut value = 1.0;
        let kind = match (self, best) {
            (Self::Like, Some(best)) => {
                value = best;
                InteractionKind::Rating
            }
            (Self::Like, None) => InteractionKind::Like,
            (Self::View, _) => InteractionKind::View,
            (Self::Dislike, _) => InteractionKind::Dislike,
            (Self::Hide, _) => InteractionKind::Hide,
        };
        Interaction {
            item,
            timestamp: Some(now),
            value,
            kind,
            surface: 0,
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "ratings are stored so")]
fn best_rating(lists: &Recommender) -> Option<f32> {
    let scale = lists.ranker().scale()?;
    Some(scale.high as f32)
}

impl From<Allowed> for Consent {
    fn from(allowed: Allowed) -> Self {
        match allowed {
            Allowed::Off => Self::Off,
            Allowed::Receive => Self::Receive,
            Allowed::Contribute => Self::Contribute,
        }
    }
}
