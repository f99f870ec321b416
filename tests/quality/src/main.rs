//! Measures recommendation quality on public data and writes the results table: `cargo xtask
//! quality`.
//!
//! Data comes from the folder in `TACIT_DATA`, with `ml-1m/`, `ml-100k/` and `retailrocket/` in it.
//! Nothing here tunes anything: presets are the planner's, chosen on validation data, and what is
//! measured is what was held out. Runs in fast mode, so the table is the same on every machine up
//! to the last bits of its floating point. A second argument, `main`, `features`, `weighted`,
//! `network`, `growth`, `ratings`, `cold`, `thinned`, `replay`, `kinds` or `free`, measures one
//! part only and leaves the rest of the file as it is.

#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer command"
)]

mod cold;
mod control;
mod features;
mod kinds;
mod markdown;
mod models;
mod network;
mod replay;
mod server_side;
mod target;
mod thinned;

use std::path::{Path, PathBuf};

use anyhow::Context;
use tacit_data::{LoadOptions, Split};
use tacit_model::history::recency::HALF_LIFE;
use tacit_simulate::quality::Figures;
use tacit_simulate::{Family, Outcome, Population, Setting, Sweep, run};
use tacit_types::{Delta, Epsilon};

/// Folders within `TACIT_DATA`.
const ML_1M: &str = "ml-1m";
const ML_100K: &str = "ml-100k";
const RETAIL: &str = "retailrocket";
/// Seeds of noise, rounding and dropouts.
const SEEDS: [u64; 5] = [0, 1, 2, 3, 4];
/// Budgets of the random splits.
const FIFTH: [f64; 3] = [8.0, 2.0, 1.0];
/// Devices the projection stands for.
const PROJECTED: u32 = 70_000;

/// Everything that is measured.
struct Sections {
    leave_one_out: Outcome,
    without_recency: Outcome,
    random: Outcome,
    small: Outcome,
    control: Figures,
}

fn main() -> anyhow::Result<()> {
    let out = std::env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from("tests/quality/RESULTS.md"), PathBuf::from);
    let data = std::env::var_os("TACIT_DATA")
        .context("set TACIT_DATA to a folder with ml-1m/ and ml-100k/")?;
    let data = Path::new(&data);
    match std::env::args().nth(2).as_deref() {
        Some("main") => {
            let old = std::fs::read_to_string(&out)
                .with_context(|| format!("{} cannot be read", out.display()))?;
            let parts = old.find("\n# ").map_or("", |start| &old[start..]);
            write(&out, &(sections(data)? + parts))
        }
        Some(part) => models::replace(&out, part, data),
        None => write(&out, &(sections(data)? + &models::measure(data)?)),
    }
}

fn write(out: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(out, text).with_context(|| format!("{} cannot be written", out.display()))?;
    print!("{text}");
    Ok(())
}

/// The main tables.
fn sections(data: &Path) -> anyhow::Result<String> {
    let (ml_1m, ml_100k) = (data.join(ML_1M), data.join(ML_100K));
    let published = population(&ml_1m, Split::LeaveOneOut)?;
    let control = control::counter(&published);
    let one_out = [10.0, 3.0, 1.0];
    let sections = Sections {
        leave_one_out: measure(
            "leave-one-out",
            &published,
            &one_out,
            &[None, Some(PROJECTED)],
            Some(HALF_LIFE),
        )?,
        without_recency: measure("leave-one-out", &published, &one_out, &[None], None)?,
        random: measure(
            "random-20",
            &population(&ml_1m, Split::Random)?,
            &FIFTH,
            &[None],
            None,
        )?,
        small: measure(
            "random-20",
            &population(&ml_100k, Split::Random)?,
            &FIFTH,
            &[None],
            None,
        )?,
        control,
    };
    Ok(markdown::results(&sections))
}

fn population(folder: &Path, split: Split) -> anyhow::Result<Population> {
    let options = LoadOptions {
        split,
        ..LoadOptions::default()
    };
    Ok(Population::new(tacit_data::load(folder, &options)?))
}

fn measure(
    split: &str,
    population: &Population,
    epsilons: &[f64],
    projected: &[Option<u32>],
    half_life: Option<f32>,
) -> anyhow::Result<Outcome> {
    measure_family(
        Family::Spectral,
        split,
        population,
        epsilons,
        projected,
        half_life,
    )
}

fn measure_family(
    family: Family,
    split: &str,
    population: &Population,
    epsilons: &[f64],
    projected: &[Option<u32>],
    half_life: Option<f32>,
) -> anyhow::Result<Outcome> {
    let epsilons = epsilons
        .iter()
        .map(|&epsilon| Epsilon::new(epsilon))
        .collect::<Result<Vec<_>, _>>()?;
    let sweep = Sweep {
        family,
        split: split.into(),
        base: setting(epsilons[0])?,
        epsilons,
        factors: vec![None],
        rounds: vec![None],
        clip_norms: vec![None],
        projected: projected.to_vec(),
        seeds: SEEDS.to_vec(),
        half_life,
        exact: false,
        central: true,
    };
    eprintln!("{} {split}: {} tasks", population.name, sweep.trainings(1));
    Ok(run(std::slice::from_ref(population), &sweep, &|| {
        eprint!(".")
    })?)
}

/// What all measurements share.
fn setting(epsilon: Epsilon) -> anyhow::Result<Setting> {
    Ok(Setting {
        epsilon,
        delta: Delta::new(1e-5)?,
        dropout: 0.05,
        dishonest: 0.05,
        history_max: 1024,
        factors: None,
        clip_norm: None,
        rounds: None,
        evaluation: 0.0,
    })
}

/// `TACIT_DATA`, if this folder is in it.
#[cfg(test)]
fn data_or_skip(folder: &str) -> Option<PathBuf> {
    let data = std::env::var_os("TACIT_DATA")
        .map(PathBuf::from)
        .filter(|data| data.join(folder).is_dir());
    if data.is_none() {
        println!("SKIPPED: TACIT_DATA is not set or has no {folder}/");
    }
    data
}
