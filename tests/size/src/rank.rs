//! Ranking alone, by a model the app holds.

use std::sync::{Mutex, PoisonError};

use tacit_sdk::model::family::catalogue::Catalogue as Listing;
use tacit_sdk::model::history::fusion::Rules;
use tacit_sdk::model::history::preference::HISTORY_CAP;
use tacit_sdk::model::history::scene::Scene;
use tacit_sdk::model::rank::explain::contributions;
use tacit_sdk::model::rank::filter::{Catalogue, Filter};
use tacit_sdk::model::rank::profile::OnlineProfile;
use tacit_sdk::model::rank::ranker::{Precision, Ranker};
use tacit_sdk::model::rank::rerank::{diversify, explore};
use tacit_sdk::model::rank::similar::similarities;
use tacit_sdk::model::rank::top::top_k;
use tacit_sdk::model::{Interaction, InteractionKind, Model};
use tacit_sdk::types::{ItemId, Timestamp};

use crate::desk::{Desk, call};

static OPEN: Mutex<Option<Open>> = Mutex::new(None);

struct Open {
    ranker: Ranker,
    listing: Listing,
    interactions: Vec<Interaction>,
    profile: OnlineProfile,
}

/// Runs one call on what is open.
fn with(work: impl FnOnce(&mut Open, &mut Desk) -> String) -> i32 {
    call(|desk| {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let open = open.as_mut().ok_or("nothing is open")?;
        Ok(work(open, desk))
    })
}

/// Told: the length of the catalogue, the catalogue, the model.
#[unsafe(no_mangle)]
pub extern "C" fn tacit_open() -> i32 {
    call(|desk| {
        let length = desk.number();
        let both = desk.rest();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (catalogue, model) = both.split_at(length.min(both.len()));
        let listing = Listing::parse(catalogue)?;
        let model = Model::from_bytes(model).map_err(|error| error.to_string())?;
        let ranker = Ranker::of(&model, Precision::default());
        let profile = OnlineProfile::new(&[], Rules::default(), HISTORY_CAP, &ranker);
        *OPEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(Open {
            ranker,
            listing,
            interactions: Vec::new(),
            profile,
        });
        Ok(String::new())
    })
}

/// Told: the item, the kind and the time.
#[unsafe(no_mangle)]
pub extern "C" fn tacit_record() -> i32 {
    with(|open, desk| {
        let item = open.listing.item(&desk.text());
        let kind = InteractionKind::parse(&desk.text());
        if let (Some(item), Some(kind)) = (item, kind) {
            open.interactions.push(Interaction {
                item,
                timestamp: Some(Timestamp(desk.number())),
                value: 1.0,
                kind,
                surface: 0,
            });
            open.profile.record(&open.interactions, &open.ranker);
        }
        String::new()
    })
}

/// Told: how many. Varied, with some from further down.
#[unsafe(no_mangle)]
pub extern "C" fn tacit_recommend() -> i32 {
    with(|open, desk| {
        let k = usize::try_from(desk.number()).unwrap_or(0);
        let items = open.ranker.catalogue_len() as usize;
        let shares = Filter::default().shares(&open.interactions, &Catalogue::default(), items);
        let best = open
            .ranker
            .top(open.profile.profile(), &shares, k.saturating_mul(5));
        let mut list = diversify(&best, &open.ranker, k, 0.2);
        explore(&mut list, best, 0.1, desk.number());
        names(open, &list)
    })
}

/// Told: the item.
#[unsafe(no_mangle)]
pub extern "C" fn tacit_similar() -> i32 {
    with(|open, desk| {
        let Some(item) = open.listing.item(&desk.text()) else {
            return String::new();
        };
        let alike = similarities(item, &open.ranker).unwrap_or_default();
        names(open, &top_k(&alike, &[item], 10))
    })
}

/// Told: the item.
#[unsafe(no_mangle)]
pub extern "C" fn tacit_explain() -> i32 {
    with(|open, desk| {
        let Some(item) = open.listing.item(&desk.text()) else {
            return String::new();
        };
        let scene = Scene {
            at: None,
            surface: 0,
        };
        let own = open
            .ranker
            .weights(scene, &open.interactions, HISTORY_CAP, open.profile.rules())
            .weights;
        let shares = contributions(item, &own, &open.ranker);
        let list: Vec<(ItemId, f32)> = own
            .iter()
            .zip(shares)
            .map(|(&(item, _), share)| (item, share))
            .collect();
        names(open, &list)
    })
}

fn names(open: &Open, list: &[(ItemId, f32)]) -> String {
    list.iter()
        .map(|(item, score)| {
            let name = open.listing.title(*item).unwrap_or_default();
            format!("{name}\t{score}\n")
        })
        .collect()
}
