//! The JSON form of a report; its fields are listed at [`super::Report::json`].

use std::collections::BTreeMap;

use serde::Serialize;
use tacit_model::measure::evaluation::Evaluation;
use tacit_privacy::Rho;
use tacit_types::shown::shown_json;

use crate::canary::Measured;
use crate::keys::Keys;
use crate::report::texts::{self, Note};
use crate::report::{Round, curve};
use crate::{EmptyRound, Evaluated, Outcome, Summary, Verified};

#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    summary: Summary,
    warnings: &'a [String],
    keys: Keys,
    period: Period,
    rounds: Vec<JsonRound<'a>>,
    empty_rounds: Vec<JsonEmpty<'a>>,
    evaluations: Vec<JsonEvaluation<'a>>,
    epsilon_curve: Vec<Point>,
    empirical_epsilon: Option<&'a Measured>,
    assumed: BTreeMap<&'static str, &'static str>,
    side_channels: BTreeMap<&'static str, &'static str>,
    known_gaps: BTreeMap<&'static str, &'static str>,
}

#[derive(Serialize)]
struct JsonEmpty<'a> {
    seq: u64,
    round: u32,
    ticket_rho: Rho,
    reason: &'a str,
}

#[derive(Serialize)]
struct Period {
    first_hour: u64,
    last_hour: u64,
}

#[derive(Serialize)]
struct Point {
    delta: f64,
    epsilon: f64,
}

#[derive(Serialize)]
struct JsonEvaluation<'a> {
    seq: u64,
    factors_dropped: bool,
    #[serde(flatten)]
    evaluation: &'a Evaluation,
}

#[derive(Serialize)]
struct JsonRound<'a> {
    seq: u64,
    round: u32,
    kind: &'a str,
    status: &'static str,
    length: u32,
    noise_std: f64,
    n_min: u32,
    contributors: u32,
    dishonest_milli: u32,
    dropout_milli: u32,
    rho: Rho,
    rho_total: Rho,
    epsilon: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

pub(super) fn write(
    verified: &Verified,
    rounds: &[Round<'_>],
    measured: Option<&Measured>,
) -> String {
    let notes = |notes: &[Note]| notes.iter().copied().collect();
    let json = Json {
        summary: Summary::of(verified),
        warnings: &verified.warnings,
        keys: verified.keys,
        period: Period {
            first_hour: verified.time_first,
            last_hour: verified.time_last,
        },
        rounds: rounds.iter().map(json_round).collect(),
        empty_rounds: verified.empty.iter().map(json_empty).collect(),
        evaluations: verified
            .evaluations
            .iter()
            .map(json_evaluation)
            .collect(),
        epsilon_curve: curve(verified)
            .into_iter()
            .map(|(delta, epsilon)| Point { delta, epsilon })
            .collect(),
        empirical_epsilon: measured,
        assumed: notes(&texts::ASSUMED),
        side_channels: notes(&texts::SIDE_CHANNELS),
        known_gaps: notes(&texts::KNOWN_GAPS),
    };
    shown_json(&serde_json::to_string_pretty(&json).expect("every key is a text"))
}

fn json_evaluation(evaluated: &Evaluated) -> JsonEvaluation<'_> {
    let Evaluated {
        seq,
        factors_dropped,
        evaluation,
    } = evaluated;
    JsonEvaluation {
        seq: *seq,
        factors_dropped: *factors_dropped,
        evaluation,
    }
}

fn json_empty(empty: &EmptyRound) -> JsonEmpty<'_> {
    JsonEmpty {
        seq: empty.seq,
        round: empty.line.round.0,
        ticket_rho: empty.line.ticket_rho,
        reason: &empty.line.reason,
    }
}

fn json_round<'a>(round: &Round<'a>) -> JsonRound<'a> {
    let entry = round.entry;
    let (status, reason) = match &entry.outcome {
        Outcome::Released { .. } => ("released", None),
        Outcome::Abandoned { reason, .. } => ("abandoned", Some(reason.as_str())),
    };
    JsonRound {
        seq: entry.seq,
        round: entry.charge.round.0,
        kind: &entry.charge.kind,
        status,
        length: entry.charge.mechanism.length,
        noise_std: round.noise_std,
        n_min: entry.charge.mechanism.n_min,
        contributors: entry.contributors,
        dishonest_milli: entry.charge.dishonest_milli,
        dropout_milli: entry.charge.dropout_milli,
        rho: entry.charge.rho,
        rho_total: entry.charge.rho_total,
        epsilon: round.epsilon,
        reason,
    }
}
