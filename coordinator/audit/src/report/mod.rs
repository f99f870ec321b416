//! A verified export as a report: one self-contained HTML page and the same numbers in JSON.
//!
//! The page has no script and loads nothing. It claims what the privacy specification allows and
//! names the conversion with every epsilon.

mod evaluation;
pub(crate) mod format;
mod json;
mod page;
mod registry;
mod texts;

use askama::Template as _;

pub use evaluation::{Figure, figures};

use crate::canary::Measured;
use crate::summary;
use crate::verify::Verified;

/// The delta of the cumulative epsilon shown for every round.
pub(crate) const CURVE_DELTA: f64 = 1e-5;

/// One export, for people and for programs.
#[derive(Clone, Debug)]
pub struct Report {
    /// A self-contained page.
    pub html: String,
    /// The same numbers: the fields of [`crate::Summary`], then `warnings` (texts), `keys`,
    /// `period` (`first_hour`, `last_hour`, since the Unix epoch), `rounds` (one object for every
    /// charged line: `seq`, `round`, `kind`, `status`, `length`, `noise_std` in clipping norms,
    /// `n_min`, `contributors`, `dishonest_milli`, `dropout_milli`, `rho`, `rho_total`, `epsilon`
    /// cumulative at delta 1e-5, and `reason` if abandoned), `empty_rounds` (`seq`, `round`,
    /// `ticket_rho`, `reason`), `evaluations` (`seq`, `factors_dropped`, then the fields of
    /// [`tacit_model::measure::evaluation::Evaluation`]), `epsilon_curve` (`delta`, `epsilon`),
    /// `empirical_epsilon` (the fields of [`Measured`], null when nothing was measured), and
    /// `assumed`, `side_channels`, `known_gaps` (objects of heading to text). Infinite numbers are
    /// null.
    pub json: String,
    /// A draft entry for the public registry of deployments; empty texts are for the operator to
    /// fill in.
    pub registry: String,
}

/// Writes the report of a verified export, with what an audit of the pipeline `measured`, if one
/// was made.
pub fn report(verified: &Verified, measured: Option<&Measured>) -> Report {
    let rounds = rounds(verified);
    let page = page::Page::new(verified, &rounds, measured);
    Report {
        html: page
            .render()
            .expect("texts and numbers are written to memory"),
        json: json::write(verified, &rounds, measured),
        registry: registry::write(verified),
    }
}

/// One charged line with the totals after it.
pub(crate) struct Round<'a> {
    pub(crate) entry: &'a crate::Entry,
    /// Noise guaranteed on the sum, standard deviation in clipping norms.
    pub(crate) noise_std: f64,
    /// Cumulative epsilon at [`CURVE_DELTA`].
    pub(crate) epsilon: f64,
}

fn rounds(verified: &Verified) -> Vec<Round<'_>> {
    let totals = verified.entries.iter().scan(0u128, |sum, entry| {
        *sum = sum.saturating_add(entry.charge.total_variation);
        Some(*sum)
    });
    let entries = verified.entries.iter().zip(totals);
    entries
        .map(|(entry, total_variation)| Round {
            entry,
            noise_std: entry
                .charge
                .mechanism
                .sum_noise_std(entry.charge.mechanism.n_min),
            epsilon: summary::epsilon(entry.charge.rho_total, total_variation, CURVE_DELTA),
        })
        .collect()
}

/// epsilon at many deltas, largest delta last.
pub(crate) fn curve(verified: &Verified) -> Vec<(f64, f64)> {
    let deltas =
        (-12..=-3).flat_map(|power| [1.0, 3.0].map(|factor: f64| factor * 10f64.powi(power)));
    let named = summary::DELTAS.map(|(_, delta)| delta);
    let mut deltas: Vec<f64> = deltas
        .filter(|d| named.iter().all(|n| (d / n - 1.0).abs() > 1e-9))
        .chain(named)
        .collect();
    deltas.retain(|delta| *delta <= 1e-3);
    deltas.sort_by(f64::total_cmp);
    deltas
        .into_iter()
        .map(|delta| {
            (
                delta,
                summary::epsilon(verified.rho_total, verified.total_variation, delta),
            )
        })
        .collect()
}
