//! A draft entry for the public registry of differential-privacy deployments (registry.opendp.org),
//! in its fields.
//!
//! JSON is YAML, so the file can be taken as it is. The operator fills in the empty texts;
//! everything else follows from the verified export.

use serde_json::{Value, json};
use tacit_privacy::Tier;

use crate::report::{format, texts};
use crate::{Summary, Verified};

/// Writes the entry.
pub(super) fn write(verified: &Verified) -> String {
    let summary = Summary::of(verified);
    let entry = json!({
        "url_slug": summary.task,
        "status": "Draft",
        "tier": 3,
        "deployment": {
            "product": product(&summary, verified),
            "dp_flavor": flavor(),
            "privacy_loss": privacy_loss(&summary),
            "model": model(verified),
            "accounting": accounting(&summary),
            "implementation": implementation(verified),
            "resources": { "sources": "", "registry_authors": [] },
        },
    });
    format!("{entry:#}")
}

fn product(summary: &Summary, verified: &Verified) -> Value {
    json!({
        "name": summary.task,
        "data_curators": [],
        "intended_use": "",
        "data_product_type": "Machine learning model",
        "data_product_region": "",
        "description": "Item factors and item counts of a recommender, learned from people's \
                        devices by federated learning; each device ranks items for its owner by \
                        itself.",
        "publication_date": format::hour(verified.time_last).get(..10).unwrap_or_default(),
        "data_product_sector": "",
    })
}

fn flavor() -> Value {
    json!({
        "name": "Zero-concentrated DP",
        "input_metric": "Zero-out of one device: it takes part with the zero vector instead of \
                         with its own",
        "bound_on_input_distance": 1,
        "output_measure": "Zero-concentrated divergence",
        "data_domain": "Interactions with items, kept on each device.",
        "unprotected_quantities": "Which devices take part in a round, when, and from which \
                                   network address.",
    })
}

fn privacy_loss(summary: &Summary) -> Value {
    json!({
        "privacy_unit": "Device",
        "privacy_unit_description": "One installation with everything recorded on it. A wiped and \
                                     newly enrolled installation counts as another.",
        "privacy_parameters": {
            "rho": format::round_up(summary.rho.to_f64_up(), 6),
            "epsilon": summary.epsilon,
        },
        "privacy_parameters_description": format!(
            "rho of all releases together, exactly {} units of 2^-64; epsilon at the deltas \
             named, by the {}, sampler error included.",
            summary.rho, summary.conversion
        ),
    })
}

fn model(verified: &Verified) -> Value {
    let local = verified
        .entries
        .iter()
        .all(|entry| entry.charge.mechanism.tier == Tier::Local);
    json!({
        "model_name": if local { "Local" } else { "Distributed" },
        "model_name_description": "Each device adds a share of the noise; masked vectors are \
                                   summed by a coordinator, masks by a helper, and only the \
                                   noised sum is opened.",
        "actors": "Devices hold the data. The coordinator sees masked vectors and noised sums and \
                   is trusted to be at most curious. The helper sees mask seeds and must not \
                   collude with the coordinator. Everybody sees the models.",
        "release_type": "Many releases",
        "release_type_description": format!(
            "{} charged releases from {} to {}; each device's own ledger bounds what it spends in \
             its lifetime.",
            verified.entries.len(),
            format::hour(verified.time_first),
            format::hour(verified.time_last)
        ),
        "data_source_type": "Dynamic",
        "access_type": "Non-interactive",
    })
}

fn accounting(summary: &Summary) -> Value {
    json!({
        "post_processing": "Models are made from noised sums alone; ranking on a device uses its \
                            owner's data exactly.",
        "composition": format!(
            "Sum of rho over all {} releases and {} abandoned rounds, under fully adaptive \
             choice. No amplification by sampling or shuffling is claimed.",
            summary.releases, summary.abandoned
        ),
    })
}

fn implementation(verified: &Verified) -> Value {
    let note = |notes: &[texts::Note]| {
        notes
            .iter()
            .map(|(what, text)| format!("{what}: {text}"))
            .collect::<Vec<_>>()
    };
    json!({
        "pre_processing_eda_hyperparameter_tuning": "",
        "mechanisms": "Distributed discrete Gaussian: L2 clipping to norm 1, stochastic rounding \
                       with an exact integer norm test, discrete Gaussian shares from a table of \
                       128-bit thresholds, no floating point after rounding.",
        "side_channels_considered": note(&texts::SIDE_CHANNELS),
        "assumed": note(&texts::ASSUMED),
        "not_protected": note(&texts::KNOWN_GAPS),
        "ledger": {
            "id": verified.ledger_id,
            "lines": verified.lines,
            "last_line_hash": verified.last_line_hash,
        },
    })
}
