//! A network over public features beside the spectral model with the same features: quality, and
//! what a device sends.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use tacit_data::Split;
use tacit_model::history::recency::HALF_LIFE;
use tacit_simulate::{Family, Population};

use crate::markdown::cells;
use crate::{ML_1M, ML_100K, measure_family, population};

/// Budgets: from where a network is ahead to where the spectral model is.
const EPSILONS: [f64; 4] = [10.0, 3.0, 1.0, 0.5];

/// The table.
pub(crate) fn measure(data: &Path) -> anyhow::Result<String> {
    let mut out = "\nBoth models know genres, and years and decades in titles, and each has the \
                   whole budget. The network trains factors that know nothing of an item but \
                   these; the spectral model trains factors of its own and has features beside \
                   them. Published or last item with half-life 10, random 80/20 without recency. \
                   Largest: what a device sends in the longest of its releases. Factors and \
                   rounds were chosen on second-last interactions.\n\n\
                   | data, split | epsilon | model | HR@10 (99) | NDCG@10 (99) | HR@10 | NDCG@10 \
                   | largest |\n|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for (name, split, label, half_life) in [
        (ML_1M, Split::LeaveOneOut, "leave-one-out", Some(HALF_LIFE)),
        (ML_1M, Split::Random, "random-20", None),
        (ML_100K, Split::Random, "random-20", None),
    ] {
        rows(
            &mut out,
            &population(&data.join(name), split)?,
            &format!("{name}, {label}"),
            half_life,
        )?;
    }
    Ok(out)
}

fn rows(
    out: &mut String,
    population: &Population,
    label: &str,
    half_life: Option<f32>,
) -> anyhow::Result<()> {
    let of = |family| measure_family(family, label, population, &EPSILONS, &[None], half_life);
    let (network, spectral) = (of(Family::Neural)?, of(Family::Spectral)?);
    for (network, spectral) in network.points.iter().zip(&spectral.points) {
        let popularity = (spectral, "private popularity", "private_popularity");
        for (point, name, row) in [
            popularity,
            (spectral, "spectral", "federated"),
            (network, "network", "federated"),
        ] {
            let figures = cells(
                point
                    .row(row)
                    .context("every outcome has these rows")?,
            );
            let longest = point
                .releases
                .iter()
                .map(|release| 4 * release.length)
                .max()
                .filter(|_| row == "federated");
            let sent = longest.map_or("-".into(), |bytes| format!("{} KiB", bytes.div_ceil(1024)));
            writeln!(
                out,
                "| {label} | {} | {name} | {figures} | {sent} |",
                point.epsilon_asked
            )?;
        }
    }
    Ok(())
}
