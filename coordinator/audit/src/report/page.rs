//! The HTML form of a report: every value as the template shows it.

use askama::Template;
use tacit_privacy::Tier;

use crate::canary::Measured;
use crate::chart::{Chart, Join, Line, Mark, Point, XAxis};
use crate::report::texts::{self, Note};
use crate::report::{CURVE_DELTA, Figure, Round, curve, figures, format};
use crate::summary::{self, DELTAS};
use crate::{Evaluated, Outcome, Summary, Verified};

/// The whole page.
#[derive(Template)]
#[template(path = "report.html")]
pub(super) struct Page<'a> {
    summary: Summary,
    verified: &'a Verified,
    period: (String, String),
    epsilons: Vec<EpsilonRow>,
    epsilon_shown: String,
    rho_shown: String,
    /// The most a device can have spent, where that is more.
    rho_spent_max: Option<String>,
    budget_rho: String,
    budget_epsilon: String,
    budget_share: String,
    tiers: &'static str,
    local: bool,
    dishonest: String,
    dropout: String,
    /// Charts as HTML.
    epsilon_chart: String,
    rho_chart: String,
    profile_chart: String,
    rows: Vec<Row>,
    evaluations: Vec<EvaluationTable>,
    incidents: Vec<String>,
    contributors: Option<(u32, u32)>,
    n_min: Option<u32>,
    separation: Option<u32>,
    helper_noise: &'static str,
    builds: Vec<String>,
    total_variation: String,
    empirical: String,
    assumed: &'static [Note],
    side_channels: &'static [Note],
    known_gaps: &'static [Note],
}

struct EpsilonRow {
    delta: &'static str,
    epsilon: String,
    population: String,
}

struct Row {
    round: u32,
    kind: String,
    length: String,
    noise: String,
    contributors: String,
    n_min: String,
    rho: String,
    share: String,
    epsilon: String,
    abandoned: bool,
}

struct EvaluationTable {
    round: u32,
    contributors: u32,
    figures: Vec<Figure>,
    factors_dropped: bool,
}

impl<'a> Page<'a> {
    pub(super) fn new(
        verified: &'a Verified,
        rounds: &[Round<'_>],
        measured: Option<&Measured>,
    ) -> Self {
        let summary = Summary::of(verified);
        let budget = verified.genesis.rho_budget;
        let budget_epsilon = summary::epsilon(budget, verified.total_variation, CURVE_DELTA);
        let at_curve_delta =
            summary::epsilon(verified.rho_total, verified.total_variation, CURVE_DELTA);
        let releases = || verified.releases().map(|entry| entry.contributors);
        Self {
            period: (
                format::hour(verified.time_first),
                format::hour(verified.time_last),
            ),
            epsilons: epsilons(&summary),
            epsilon_shown: format::round_up(at_curve_delta, 4),
            rho_shown: format::round_up(verified.rho_total.to_f64_up(), 5),
            rho_spent_max: (!verified.empty.is_empty())
                .then(|| format::round_up(verified.rho_spent_max().to_f64_up(), 5)),
            budget_rho: format::round_up(budget.to_f64_up(), 5),
            budget_epsilon: format::round_up(budget_epsilon, 4),
            budget_share: percent(verified.rho_total.to_f64_up(), budget.to_f64_up()),
            tiers: tiers(verified),
            local: verified
                .entries
                .iter()
                .any(|entry| entry.charge.mechanism.tier == Tier::Local),
            dishonest: largest_share(verified, |charge| charge.dishonest_milli),
            dropout: largest_share(verified, |charge| charge.dropout_milli),
            epsilon_chart: epsilon_chart(rounds, budget_epsilon).svg(),
            rho_chart: rho_chart(rounds, budget.to_f64_up()).svg(),
            profile_chart: profile_chart(verified).svg(),
            rows: rounds
                .iter()
                .map(|round| row(round, budget.to_f64_up()))
                .collect(),
            evaluations: verified
                .evaluations
                .iter()
                .filter_map(|one| evaluation(verified, one))
                .collect(),
            incidents: incidents(verified),
            contributors: releases().min().zip(releases().max()),
            n_min: verified
                .entries
                .iter()
                .map(|entry| entry.charge.mechanism.n_min)
                .min(),
            separation: verified
                .entries
                .iter()
                .skip(1)
                .map(|entry| entry.charge.separation)
                .min(),
            helper_noise: helper_noise(verified),
            builds: builds(verified),
            total_variation: format::scientific_up(
                verified.total_variation as f64 * 2f64.powi(-128),
            ),
            empirical: empirical(verified, measured),
            assumed: &texts::ASSUMED,
            side_channels: &texts::SIDE_CHANNELS,
            known_gaps: &texts::KNOWN_GAPS,
            verified,
            summary,
        }
    }
}

fn evaluation(verified: &Verified, evaluated: &Evaluated) -> Option<EvaluationTable> {
    let entry = verified
        .entries
        .iter()
        .find(|entry| entry.seq == evaluated.seq)?;
    Some(EvaluationTable {
        round: entry.charge.round.0,
        contributors: entry.contributors,
        figures: figures(&evaluated.evaluation),
        factors_dropped: evaluated.factors_dropped,
    })
}

/// What canaries found, which bounds nothing from above.
fn empirical(verified: &Verified, measured: Option<&Measured>) -> String {
    let Some(found) = measured else {
        return "not measured.".into();
    };
    let same = verified
        .entries
        .iter()
        .any(|entry| Some(entry.charge.build_hash) == found.build_hash);
    format!(
        "at least {} with probability {} %, measured by canaries in releases certified at epsilon \
         {} and delta {:e}, by {}{}.",
        format::round_down(found.epsilon_lower_bound, 3),
        format::nearest(100.0 * found.confidence, 3),
        format::round_up(found.certified_epsilon, 4),
        found.delta,
        if same {
            "a build that kept this ledger"
        } else {
            "another build than those that kept this ledger"
        },
        if found.passed {
            ""
        } else {
            "; the audit FAILED, see its output"
        },
    )
}

fn epsilons(summary: &Summary) -> Vec<EpsilonRow> {
    let row = |(name, delta): (&'static str, f64)| EpsilonRow {
        delta: name,
        epsilon: format::round_up(
            summary
                .epsilon
                .get(name)
                .copied()
                .unwrap_or(f64::INFINITY),
            5,
        ),
        population: format::grouped(population(delta)),
    };
    DELTAS.map(row).into()
}

/// Devices for which a delta is small enough: at most 1/(10 n).
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a named delta of at least 1e-10"
)]
fn population(delta: f64) -> u64 {
    (0.1 / delta).round() as u64
}

fn percent(part: f64, whole: f64) -> String {
    if whole > 0.0 {
        format!("{} %", format::round_up(100.0 * part / whole, 3))
    } else {
        "–".into()
    }
}

fn tiers(verified: &Verified) -> &'static str {
    let mut tiers = verified
        .entries
        .iter()
        .map(|entry| entry.charge.mechanism.tier);
    match (
        tiers.clone().any(|tier| tier == Tier::Helper),
        tiers.any(|tier| tier == Tier::Local),
    ) {
        (true, false) => {
            "Helper: each device adds its share of the noise, and only sums are opened"
        }
        (false, true) => "Local: each device adds all of the noise itself",
        (true, true) => "Helper in some rounds, local in others",
        (false, false) => "None yet: nothing was charged",
    }
}

fn helper_noise(verified: &Verified) -> &'static str {
    let mut rounds = verified
        .entries
        .iter()
        .map(|entry| entry.charge.mechanism.helper_noise);
    match (rounds.clone().any(|on| on), rounds.any(|on| !on)) {
        (true, false) => {
            "In every round: the bound also holds if the helper alone is honest, whatever devices \
             the coordinator invents"
        }
        (true, true) => {
            "In some rounds only: over the whole period the bound rests on the devices' own shares"
        }
        (false, _) => "None: the bound rests on the devices' own shares",
    }
}

/// Programs that kept the ledger, in order of first use.
fn builds(verified: &Verified) -> Vec<String> {
    let mut builds: Vec<String> = verified
        .entries
        .iter()
        .map(|entry| entry.charge.build_hash.to_string())
        .collect();
    builds.dedup();
    builds
}

fn largest_share(verified: &Verified, field: fn(&tacit_privacy::record::Charge) -> u32) -> String {
    let milli = verified
        .entries
        .iter()
        .map(|entry| field(&entry.charge))
        .max()
        .unwrap_or(0);
    format!("{}.{} %", milli / 10, milli % 10)
}

fn epsilon_chart(rounds: &[Round<'_>], budget: f64) -> Chart {
    let title = "Epsilon so far, at delta 1e-5";
    total_chart(title, "epsilon", rounds, budget, |round| round.epsilon)
}

fn rho_chart(rounds: &[Round<'_>], budget: f64) -> Chart {
    total_chart("Rho so far", "rho (zCDP)", rounds, budget, |round| {
        round.entry.charge.rho_total.to_f64_up()
    })
}

/// A total after each charged round, and the budget it stays below.
fn total_chart(
    title: &str,
    y_label: &'static str,
    rounds: &[Round<'_>],
    budget: f64,
    total: impl Fn(&Round<'_>) -> f64,
) -> Chart {
    let point = |(place, round): (usize, &Round<'_>)| Point {
        x: (place + 1) as f64,
        y: total(round),
        std: 0.0,
        mark: if round.entry.is_release() {
            Mark::Full
        } else {
            Mark::Hollow
        },
    };
    let line = Line {
        label: None,
        class: "total",
        join: Join::Stairs,
        points: rounds.iter().enumerate().map(point).collect(),
    };
    Chart {
        title: title.into(),
        x_label: "charged rounds, in order",
        y_label,
        x_axis: XAxis::Counts,
        lines: vec![line],
        limit: Some(("budget", budget)),
    }
}

/// Epsilon of everything at every delta; the named deltas carry a mark.
fn profile_chart(verified: &Verified) -> Chart {
    let is_named = |delta: f64| DELTAS.iter().any(|(_, named)| *named == delta);
    let point = |(delta, epsilon): (f64, f64)| Point {
        x: delta,
        y: epsilon,
        std: 0.0,
        mark: if is_named(delta) {
            Mark::Full
        } else {
            Mark::None
        },
    };
    let line = Line {
        label: None,
        class: "profile",
        join: Join::Straight,
        points: curve(verified).into_iter().map(point).collect(),
    };
    Chart {
        title: "Epsilon of everything, at every delta".into(),
        x_label: "delta (logarithmic)",
        y_label: "epsilon",
        x_axis: XAxis::Powers,
        lines: vec![line],
        limit: None,
    }
}

fn row(round: &Round<'_>, budget: f64) -> Row {
    let charge = &round.entry.charge;
    Row {
        round: charge.round.0,
        kind: format::kind(&charge.kind),
        length: format::grouped(charge.mechanism.length.into()),
        noise: format::nearest(round.noise_std, 4),
        contributors: format::grouped(round.entry.contributors.into()),
        n_min: format::grouped(charge.mechanism.n_min.into()),
        rho: format::round_up(charge.rho.to_f64_up(), 4),
        share: percent(charge.rho.to_f64_up(), budget),
        epsilon: format::round_up(round.epsilon, 4),
        abandoned: !round.entry.is_release(),
    }
}

fn incidents(verified: &Verified) -> Vec<String> {
    let abandoned = verified
        .abandoned()
        .filter_map(|entry| match &entry.outcome {
            Outcome::Released { .. } => None,
            Outcome::Abandoned { reason, answered } => Some(format!(
                "Line {}: round {} was abandoned and stays charged: {}. {}",
                entry.seq,
                entry.charge.round,
                format::shortened(reason, 300),
                if *answered {
                    "The helper had answered."
                } else {
                    "The helper had not answered."
                },
            )),
        });
    let empty = verified.empty.iter().map(|empty| {
        format!(
            "Line {}: nobody entered round {}, as the helper certified, so it cost the task \
             nothing: {}. A device that had set rho {} aside for it does not take that back.",
            empty.seq,
            empty.line.round,
            format::shortened(&empty.line.reason, 300),
            format::round_up(empty.line.ticket_rho.to_f64_up(), 4),
        )
    });
    let restarts = verified
        .restarts
        .iter()
        .map(|seq| format!("Line {seq}: the coordinator restarted."));
    let restores = verified.restores.iter().map(|restored| {
        format!(
            "Line {}: the ledger was restored from an older copy and goes on in generation {}. \
             Lines after the copy are lost, of at most {} that both parties had signed; {} rounds \
             of them are charged again in the lines that follow.",
            restored.seq, restored.generation, restored.line.last_head.size, restored.line.lost,
        )
    });
    let helper = (verified.helper_restarts > 0)
        .then(|| format!("The helper restarted {} times.", verified.helper_restarts));
    let warnings = verified.warnings.iter().map(|warning| {
        format!(
            "Noticed while verifying: {}.",
            format::shortened(warning, 300)
        )
    });
    abandoned
        .chain(empty)
        .chain(restarts)
        .chain(restores)
        .chain(helper)
        .chain(warnings)
        .collect()
}
