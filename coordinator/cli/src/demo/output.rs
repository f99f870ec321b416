//! What the demo says at its end: a table for people, one object for scripts.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use serde::Serialize;
use tacit_audit::Verified;
use tacit_data::{Dataset, Reading};
use tacit_model::History;
use tacit_model::family::rating::Ratings;
use tacit_model::family::{Family, Owner};
use tacit_model::history::interaction::{Interaction, InteractionKind};
use tacit_model::rank::filter::Filter;
use tacit_plan::Plan;
use tacit_privacy::convert::{CONVERSION, epsilon, shown};
use tacit_sdk::{Recommendation, Recommender};
use tacit_simulate::evaluated::{Evaluated, direct};
use tacit_simulate::table::{write_evaluation, write_reading};
use tacit_types::{Delta, Timestamp};

use super::children::Ran;
use super::evaluate::Row;
use super::world::World;
use crate::failure::Failure;

/// Deltas epsilon is stated at.
const DELTAS: [(&str, f64); 3] = [("1e-5", 1e-5), ("1e-6", 1e-6), ("1e-8", 1e-8)];

/// Everything the demo found out.
#[derive(Serialize)]
pub(super) struct Outcome {
    model: Family,
    /// How the data was read, and what was held out.
    reading: Reading,
    rows: Vec<Row>,
    /// What the devices found themselves, and the same questions answered centrally.
    #[serde(skip_serializing_if = "Option::is_none")]
    evaluation: Option<Evaluated>,
    epsilon: BTreeMap<&'static str, f64>,
    conversion: &'static str,
    rho: f64,
    releases: usize,
    devices: usize,
    items: usize,
    signal: f64,
    bytes_up_per_device: u64,
    bytes_down_per_device: u64,
    wall_seconds: f64,
    durable_commit_share: f64,
    peak_rss_bytes: u64,
    fallback: bool,
    report: PathBuf,
    ledger: PathBuf,
}

impl Outcome {
    #[allow(
        clippy::too_many_arguments,
        reason = "one place where the demo's threads come together"
    )]
    pub(super) fn collect(
        world: &World,
        data: &Dataset,
        plan: &Plan,
        ran: &Ran,
        rows: Vec<Row>,
        wall_seconds: f64,
        report: PathBuf,
    ) -> Result<Self, Failure> {
        let verified = tacit_audit::verify(&world.ledger())?;
        let devices = data.users.len();
        let evaluation = verified
            .evaluations
            .last()
            .map(|found| evaluated(world, data, &verified, found))
            .transpose()?;
        let mut stated = BTreeMap::new();
        for (name, value) in DELTAS {
            stated.insert(
                name,
                epsilon(
                    verified.rho_total,
                    verified.total_variation,
                    Delta::new(value)?,
                ),
            );
        }
        let summary = &ran.summary;
        Ok(Self {
            model: plan.model,
            reading: data.reading.clone(),
            rows,
            evaluation: evaluation.flatten(),
            epsilon: stated,
            conversion: CONVERSION,
            rho: verified.rho_total.to_f64_up(),
            releases: verified.releases().count(),
            devices,
            items: data.items.len(),
            signal: plan.signal,
            bytes_up_per_device: summary.bytes_up / devices as u64,
            bytes_down_per_device: summary.bytes_down / devices as u64,
            wall_seconds,
            durable_commit_share: summary.commit_seconds / summary.active_seconds.max(1e-9),
            peak_rss_bytes: ran.peak_rss_bytes,
            fallback: plan.fallback,
            report,
            ledger: world.ledger(),
        })
    }

    /// The table a person reads.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "\n{} devices, {} items, {} private releases in {:.0} s",
            self.devices, self.items, self.releases, self.wall_seconds
        )?;
        if self.fallback && self.model == Family::Rating {
            writeln!(
                out,
                "The signal q = {:.1} is too weak for factors of ratings: item biases were \
                 released, and nothing else.",
                self.signal
            )?;
        } else if self.fallback {
            writeln!(
                out,
                "The signal q = {:.1} is below the planner's floor of {:.1}: item factors were not \
                 trained.\n\
                 Devices rank by private popularity and by what public item features, where there \
                 are any, tell of a taste.",
                self.signal,
                tacit_plan::signal_min(self.model)
            )?;
        }
        writeln!(
            out,
            "privacy loss of one device that joined every round (rho {:.4}):",
            self.rho
        )?;
        let stated: Vec<String> = DELTAS
            .iter()
            .map(|(delta, _)| format!("epsilon {} at delta {delta}", shown(self.epsilon[delta])))
            .collect();
        writeln!(out, "  {}\n  {}\n", stated.join(", "), self.conversion)?;
        if self.rows.iter().any(|row| row.rmse.is_some()) {
            self.write_rated(out)?;
        } else {
            self.write_ranked(out)?;
        }
        if let Some(found) = &self.evaluation {
            write_evaluation(out, found)?;
        }
        write_reading(out, &self.reading)?;
        writeln!(
            out,
            "each device sent {} KB and fetched {} KB; durable commits took {:.0} % of device \
             time; peak memory {} MB",
            self.bytes_up_per_device / 1000,
            self.bytes_down_per_device / 1000,
            100.0 * self.durable_commit_share,
            self.peak_rss_bytes / 1_000_000
        )?;
        writeln!(
            out,
            "report  {}\nledger  {}",
            self.report.display(),
            self.ledger.display()
        )
    }

    fn write_ranked(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "{:<34}{:>8}{:>9}{:>11}{:>12}{:>13}",
            "", "HR@10", "NDCG@10", "Recall@20", "HR@10 (99)", "NDCG@10 (99)"
        )?;
        for row in &self.rows {
            let figure = |value: Option<f64>| {
                value.map_or("-".into(), |value| format!("{:.4}", value.max(0.0)))
            };
            writeln!(
                out,
                "{:<34}{:>8}{:>9}{:>11}{:>12}{:>13}",
                label(row.model),
                figure(row.hr_at_10),
                figure(row.ndcg_at_10),
                figure(row.recall_at_20),
                figure(row.hr_at_10_sampled),
                figure(row.ndcg_at_10_sampled)
            )?;
        }
        writeln!(
            out,
            "held out: {}; full ranking of everything not seen; (99): against 99 published \
             negatives\n",
            self.reading.split
        )
    }

    fn write_rated(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "{:<34}{:>8}", "", "RMSE")?;
        for row in &self.rows {
            writeln!(
                out,
                "{:<34}{:>8.4}",
                label(row.model),
                row.rmse.unwrap_or(f64::NAN)
            )?;
        }
        let scale = self.reading.scale.unwrap_or_default();
        writeln!(
            out,
            "held out: a random tenth of the ratings; scale {} to {}\n",
            scale[0], scale[1]
        )
    }
}

fn label(model: &str) -> &str {
    match model {
        "popularity" => "private popularity, full epsilon",
        "federated" => "private federated (this run)",
        "counts_features" => "counts and features, full epsilon",
        "noise_free" => "the same without noise (no bound)",
        "central_ials" => "central iALS, no privacy",
        "central_ials_recent" => "the same with the half-life",
        "own_mean" => "own mean, nothing sent",
        "central_als" => "central ALS, no privacy",
        other => other,
    }
}

/// The devices' own evaluation, beside the same questions to everybody in the clear.
fn evaluated(
    world: &World,
    data: &Dataset,
    verified: &Verified,
    found: &tacit_audit::Evaluated,
) -> Result<Option<Evaluated>, Failure> {
    let Some(entry) = verified
        .entries
        .iter()
        .find(|entry| entry.seq == found.seq)
    else {
        return Ok(None);
    };
    let model = world.model(entry.charge.model_in_hash)?;
    let cap = entry.charge.mechanism.history_max as usize;
    let known = |user: &Vec<Interaction>| {
        (
            History::new(user, model.catalogue_len(), cap),
            model.ratings(user, cap),
        )
    };
    let known: Vec<(History, Ratings)> = data.users.iter().map(known).collect();
    let owners: Vec<Owner<'_>> = known
        .iter()
        .map(|(history, ratings)| Owner { history, ratings })
        .collect();
    let (private, factors_dropped) = (found.evaluation.clone(), found.factors_dropped);
    Ok(direct(&owners, &model).map(|direct| Evaluated {
        private,
        direct,
        factors_dropped,
    }))
}

/// The device that is shown: one that did something, and not too much to read.
pub(super) fn shown_device(data: &Dataset) -> Result<u32, Failure> {
    let middling = |user: &Vec<Interaction>| (10..60).contains(&user.len());
    let device = data.users.iter().position(middling);
    Ok(u32::try_from(device.unwrap_or(0))?)
}

/// One device's list, then the list after one more interaction, with titles.
pub(super) fn showcase(world: &World, data: &Dataset) -> Result<String, Failure> {
    let device = shown_device(data)?;
    let mut recommender = Recommender::open(&world.device(device))?;
    let mut out = format!(
        "\nDevice {device}, offline, after {} interactions:\n",
        recommender.recent().len()
    );
    let before = recommender.recommend(8, &Filter::default());
    list(&mut out, data, &before)?;
    // Something further down, so that the change shows.
    let Some(chosen) = before.last().copied() else {
        return Ok(out);
    };
    let rates = recommender.predicted_rating(chosen.item).is_some();
    let (kind, value, did) = match rates {
        true => (
            InteractionKind::Rating,
            best_rating(data),
            "giving the best rating to",
        ),
        false => (InteractionKind::View, 1.0, "one view of"),
    };
    let newest = recommender
        .recent()
        .iter()
        .filter_map(|one| one.timestamp)
        .max();
    let timed = recommender
        .recent()
        .iter()
        .all(|one| one.timestamp.is_some());
    recommender.record(Interaction {
        item: chosen.item,
        timestamp: newest.filter(|_| timed).map(|at| Timestamp(at.0 + 1)),
        value,
        kind,
        surface: 0,
    })?;
    writeln!(
        out,
        "the same device after {did} \"{}\":",
        data.items[chosen.item.0 as usize].title
    )?;
    list(
        &mut out,
        data,
        &recommender.recommend(8, &Filter::default()),
    )?;
    Ok(out)
}

/// The largest rating of the scale.
#[allow(clippy::cast_possible_truncation, reason = "ratings are stored so")]
fn best_rating(data: &Dataset) -> f32 {
    data.reading.scale.map_or(5.0, |[_, high]| high as f32)
}

fn list(out: &mut String, data: &Dataset, recommended: &[Recommendation]) -> std::fmt::Result {
    for (rank, one) in recommended.iter().enumerate() {
        let item = &data.items[one.item.0 as usize];
        writeln!(
            out,
            "  {:>2}. {:<48} {}",
            rank + 1,
            item.title,
            item.categories.join(", ")
        )?;
    }
    Ok(())
}
