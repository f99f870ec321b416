//! What public item features are worth: none, genres, and genres with the year and decade in
//! titles.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use tacit_data::{Item, LoadOptions, Split};
use tacit_model::Features;
use tacit_simulate::Population;

use crate::{FIFTH, ML_1M, ML_100K, measure as sweep};

/// The table, on the random splits.
pub(crate) fn measure(data: &Path) -> anyhow::Result<String> {
    let mut out = "\nSpectral model, random 80/20, full NDCG@10. The columns are fixed functions \
                   of the catalogue and the released counts, so they cost no privacy; each model \
                   has the whole budget.\n\n\
                   | data | epsilon | private popularity | no features | genres | genres, year \
                   and decade |\n|---|---|---|---|---|---|\n"
        .to_owned();
    for name in [ML_1M, ML_100K] {
        rows(&mut out, &data.join(name), name)?;
    }
    Ok(out)
}

fn rows(out: &mut String, folder: &Path, name: &str) -> anyhow::Result<()> {
    let options = LoadOptions {
        split: Split::Random,
        ..LoadOptions::default()
    };
    let data = tacit_data::load(folder, &options)?;
    let with = |tags: &dyn Fn(&Item) -> Vec<String>| -> anyhow::Result<Population> {
        let tags: Vec<Vec<String>> = data.items.iter().map(tags).collect();
        Ok(Population {
            features: Features::from_categories(&tags)?,
            ..Population::new(data.clone())
        })
    };
    let ways = [
        with(&|_| Vec::new())?,
        with(&|item| item.categories.clone())?,
        with(&Item::tags)?,
    ];
    let outcomes = ways
        .iter()
        .map(|way| sweep("random-20", way, &FIFTH, &[None], None))
        .collect::<anyhow::Result<Vec<_>>>()?;
    for (place, epsilon) in FIFTH.iter().enumerate() {
        let ndcg = |way: usize, model: &str| -> anyhow::Result<String> {
            let figure = outcomes[way].points[place]
                .row(model)
                .and_then(|row| row.figures.get("ndcg_at_10"));
            let figure = figure.context("every outcome has this figure")?;
            Ok(format!("{:.4} ± {:.4}", figure.mean, figure.std))
        };
        let cells = [
            ndcg(0, "private_popularity")?,
            ndcg(0, "federated")?,
            ndcg(1, "federated")?,
            ndcg(2, "federated")?,
        ];
        writeln!(out, "| {name} | {epsilon} | {} |", cells.join(" | "))?;
    }
    Ok(())
}
