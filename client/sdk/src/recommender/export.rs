//! What an installation holds of one owner, written out for the owner. Releases are the
//! installation's, whoever of its owners is in them.
//!
//! The types of behaviour have no serialisation on purpose; this is the one place where they are
//! put into words, and only the owner's own app calls it.

use serde_json::{Value, json};
use tacit_model::history::interaction::Interaction;
use tacit_model::rank::profile::Profile;

use crate::error::SdkError;
use crate::store::Store;

/// Version of the format: a reader that knows another one should say so.
const FORMAT: u32 = 1;

/// One JSON object; times are milliseconds, hours are hours, both since 1970; prices are units of
/// 2^-64 rho, as strings.
pub(crate) fn export(
    store: &Store,
    interactions: &[Interaction],
    taste: &Profile,
) -> Result<String, SdkError> {
    let did: Vec<Value> = interactions.iter().map(interaction).collect();
    let waiting = store.waiting()?;
    let waiting: Vec<Value> = waiting
        .iter()
        .map(|event| {
            json!({
                "id": event.id, "at": event.timestamp.map(|at| at.0), "value": event.value,
                "kind": event.kind.as_str(), "surface": event.surface,
            })
        })
        .collect();
    let trusted: Vec<Value> = store
        .trusted()?
        .into_iter()
        .map(|period| json!({ "since": period.start.0, "until": period.end.0 }))
        .collect();
    let releases: Vec<Value> = store
        .ledger()?
        .iter()
        .map(|(line, status)| {
            json!({
                "task": line.task, "round": line.round, "ticket": line.ticket,
                "rho": line.rho.to_string(), "hour": line.hour, "status": status,
            })
        })
        .collect();
    let (factors, popularity) = taste.user_factors();
    let all = json!({
        "format": FORMAT,
        "owner": store.owner_name()?,
        "interactions": did,
        "waiting": waiting,
        "trusted_periods": trusted,
        "chosen_categories": store.categories()?,
        "consent": store.consent()?.as_str(),
        "taste": { "factors": factors, "popularity": popularity },
        "releases": releases,
        "rho_counted_elsewhere": store.unrecorded()?.to_string(),
    });
    Ok(all.to_string())
}

fn interaction(one: &Interaction) -> Value {
    json!({
        "item": one.item.0,
        "at": one.timestamp.map(|at| at.0),
        "value": one.value,
        "kind": one.kind.as_str(),
        "surface": one.surface,
    })
}
