//! The facade over a store: what every app has.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tacit_sdk::model::InteractionKind;
use tacit_sdk::model::rank::filter::Filter;
use tacit_sdk::model::rank::ranker::Precision;
use tacit_sdk::privacy::{DeviceBudget, Rho};
use tacit_sdk::types::{ItemId, Timestamp};
use tacit_sdk::{Consent, Event, Feedback, Forget, Recommendation, Recommender, SdkError};

use crate::desk::{Desk, call};

static OPEN: Mutex<Option<Recommender>> = Mutex::new(None);

/// Runs one call on what is open.
fn with(work: impl FnOnce(&mut Recommender, &mut Desk) -> Result<String, SdkError>) -> i32 {
    call(|desk| {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let open = open.as_mut().ok_or("nothing is open")?;
        work(open, desk).map_err(|error| error.to_string())
    })
}

/// Told: the folder.
#[unsafe(no_mangle)]
pub extern "C" fn tacit_open() -> i32 {
    call(|desk| {
        let folder = desk.text();
        let opened = Recommender::open_with(Path::new(&folder), Precision::Compact, None);
        let opened = opened.map_err(|error| error.to_string())?;
        *OPEN.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
        Ok(String::new())
    })
}

/// Told: the item, the kind and the time.
#[unsafe(no_mangle)]
pub extern "C" fn tacit_record() -> i32 {
    with(|open, desk| {
        let event = Event {
            id: desk.text(),
            kind: InteractionKind::parse(&desk.text()).unwrap_or(InteractionKind::View),
            timestamp: Some(Timestamp(desk.number())),
            value: 1.0,
            surface: 0,
        };
        Ok(open.record_event(&event)?.to_string())
    })
}

/// Told: how many.
#[unsafe(no_mangle)]
pub extern "C" fn tacit_recommend() -> i32 {
    with(|open, desk| {
        let k = usize::try_from(desk.number()).unwrap_or(0);
        let filter = Filter {
            diversity: 0.2,
            exploration: 0.1,
            seed: desk.number(),
            ..Filter::default()
        };
        let list = open.recommend(k, &filter);
        Ok(names(open, &list))
    })
}

/// Told: the item.
#[unsafe(no_mangle)]
pub extern "C" fn tacit_similar() -> i32 {
    with(|open, desk| {
        let item = item(open, desk);
        let list = open.similar(item, 10, &Filter::default());
        Ok(names(open, &list))
    })
}

/// Told: the item.
#[unsafe(no_mangle)]
pub extern "C" fn tacit_explain() -> i32 {
    with(|open, desk| {
        let item = item(open, desk);
        let why = open.explain(item, &Filter::default());
        Ok(why.map_or(String::new(), |why| names(open, &why.reasons)))
    })
}

/// Told: the item and the time.
#[unsafe(no_mangle)]
pub extern "C" fn tacit_dislike() -> i32 {
    with(|open, desk| {
        let item = item(open, desk);
        open.feedback(item, Feedback::Dislike, Timestamp(desk.number()))?;
        Ok(String::new())
    })
}

/// Told: one category, by its number.
#[unsafe(no_mangle)]
pub extern "C" fn tacit_choose() -> i32 {
    with(|open, desk| {
        let category = u32::try_from(desk.number()).unwrap_or(0);
        open.choose_categories(&[category])?;
        Ok(open.category_names().join("\n"))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn tacit_forget() -> i32 {
    with(|open, _| Ok(open.forget(&Forget::Everything)?.to_string()))
}

#[unsafe(no_mangle)]
pub extern "C" fn tacit_export() -> i32 {
    with(|open, _| open.export_my_data())
}

/// Told: the time.
#[unsafe(no_mangle)]
pub extern "C" fn tacit_privacy() -> i32 {
    with(|open, desk| {
        let budget = DeviceBudget {
            rho_release_max: Rho::MAX,
            rho_lifetime: Rho::MAX,
            rho_window: Rho::MAX,
            window_hours: 24,
            releases_max: 100,
            separation_min: 1,
        };
        let status = open.privacy_status(budget, Timestamp(desk.number()))?;
        Ok(format!("{} {}", status.spent, status.releases))
    })
}

/// Told: whether the owner contributes.
#[unsafe(no_mangle)]
pub extern "C" fn tacit_consent() -> i32 {
    with(|open, desk| {
        let consent = match desk.number() {
            0 => Consent::Off,
            1 => Consent::Receive,
            _ => Consent::Contribute,
        };
        open.set_consent(consent)?;
        Ok(open.reload()?.to_string())
    })
}

fn item(open: &Recommender, desk: &mut Desk) -> ItemId {
    open.item(&desk.text()).unwrap_or(ItemId(0))
}

fn names(open: &Recommender, list: &[Recommendation]) -> String {
    list.iter()
        .map(|one| {
            let name = open.title(one.item).unwrap_or_default();
            format!("{name}\t{}\n", one.score)
        })
        .collect()
}
