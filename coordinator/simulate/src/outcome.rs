//! What a sweep found, as it is printed and written. Holds nothing that depends on the machine.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use tacit_data::Reading;

use crate::evaluated::Evaluated;
use crate::quality::{Figures, Group, LENGTHS, METRICS};
use crate::throughput::Throughput;

/// Everything one call of the simulator found.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Name of the data.
    pub data: String,
    /// What was trained.
    pub family: &'static str,
    /// What was held out.
    pub split: String,
    /// How the data was read.
    pub reading: Reading,
    /// How the noise was made.
    pub mode: &'static str,
    /// Whom the guarantee would be for, and against whom.
    pub statement: &'static str,
    /// Conversion every epsilon is stated with.
    pub conversion: &'static str,
    /// Delta every epsilon is stated at.
    pub delta: f64,
    /// Share of devices that drop out of each round.
    pub dropout: f64,
    /// Share of devices assumed dishonest.
    pub dishonest: f64,
    /// History cap.
    pub history_max: u32,
    /// Half-life devices rank with, in interactions, where histories have times.
    pub half_life: Option<f32>,
    /// Seeds of noise, rounding and dropouts.
    pub seeds: Vec<u64>,
    /// One entry per combination.
    pub points: Vec<Point>,
    /// Work done, for the person who waits; not part of the result.
    #[serde(skip)]
    pub throughput: Throughput,
}

/// One combination of options, over all seeds.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// Users simulated.
    pub users: u32,
    /// Items in the catalogue.
    pub items: u32,
    /// Devices the users stand for, when that is more than there are: a projection.
    pub projected_users: Option<u32>,
    /// Epsilon asked for.
    pub epsilon_asked: f64,
    /// Factors asked for, in place of the planner's choice.
    pub factors_asked: Option<u32>,
    /// Rounds asked for, in place of the planner's choice.
    pub rounds_asked: Option<u32>,
    /// Clipping norm, where weighted squares are trained.
    pub clip_norm: Option<f64>,
    /// Epsilon of what was released, at most that.
    pub epsilon: f64,
    /// Its zCDP parameter.
    pub rho: f64,
    /// Signal-to-noise ratio q.
    pub signal: f64,
    /// Whether the signal was too weak to train factors.
    pub fallback: bool,
    /// Honest surviving shares assumed.
    pub n_min: u32,
    /// Item factors planned, d.
    pub factors: u32,
    /// Rounds of factor gradients, T.
    pub rounds: u32,
    /// Head items, K.
    pub head: u32,
    /// Releases of the first seed.
    pub releases: Vec<ReleaseLine>,
    /// What the devices' own evaluation found in the first seed, if the plans have one.
    pub evaluation: Option<Evaluated>,
    /// One row per model.
    pub rows: Vec<Row>,
}

/// One release, as a table shows it.
#[derive(Clone, Debug, Serialize)]
pub struct ReleaseLine {
    /// What was summed.
    pub kind: &'static str,
    /// Vector length N.
    pub length: u32,
    /// Grid steps per clipping norm.
    pub steps: u32,
    /// Devices in the sum, or that it stands for.
    pub contributors: u32,
    /// Standard deviation of the noise on the sum, in clipping norms.
    pub noise_std: f64,
    /// Price.
    pub rho: f64,
}

/// One model's quality over all its seeds.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `federated`, `private_popularity`, `counts_features`, `random`, `noise_free`,
    /// `central_ials`, `central_ials_recent` or `central_ease`; those that do not apply have no
    /// row.
    pub model: &'static str,
    /// Users with something held out.
    pub tested: usize,
    /// Figures by name; those the data does not have are absent.
    pub figures: BTreeMap<&'static str, Spread>,
    /// Quality by length of history, mean over seeds.
    pub by_history: Vec<Group>,
    /// HR@10 and NDCG@10 of each tested user, mean over seeds; empty unless asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub per_user: Vec<[f64; 2]>,
}

/// One figure over seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Sample standard deviation over seeds; 0 for one.
    pub std: f64,
    /// The figure of each seed, in order.
    pub runs: Vec<f64>,
}

impl Spread {
    /// Of the figures of all seeds, at least one.
    pub fn of(runs: Vec<f64>) -> Self {
        let count = runs.len() as f64;
        let mean = runs.iter().sum::<f64>() / count;
        let squares: f64 = runs.iter().map(|run| (run - mean).powi(2)).sum();
        let std = if runs.len() > 1 {
            (squares / (count - 1.0)).sqrt()
        } else {
            0.0
        };
        Self { mean, std, runs }
    }
}

impl fmt::Display for Spread {
    /// Mean, and the deviation where there is more than one run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.4}", self.mean)?;
        if self.runs.len() > 1 {
            write!(f, " ± {:.4}", self.std)
        } else {
            Ok(())
        }
    }
}

impl Row {
    /// Gathers the figures of one model, one per seed.
    pub fn of(model: &'static str, runs: &[Figures]) -> Self {
        let figures = METRICS.iter().filter_map(|(name, figure)| {
            let runs: Vec<f64> = runs.iter().filter_map(figure).collect();
            (!runs.is_empty()).then(|| (*name, Spread::of(runs)))
        });
        let tested = runs.first().map_or(0, |run| run.tested);
        Self {
            model,
            tested,
            figures: figures.collect(),
            by_history: mean_groups(runs),
            per_user: mean_per_user(runs),
        }
    }

    /// The mean of a figure.
    pub fn mean(&self, metric: &str) -> Option<f64> {
        self.figures.get(metric).map(|spread| spread.mean)
    }
}

impl Point {
    /// Leaves out what each user got.
    pub fn forget_users(&mut self) {
        self.rows
            .iter_mut()
            .for_each(|row| row.per_user.clear());
    }

    /// The row of a model.
    pub fn row(&self, model: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.model == model)
    }

    /// Devices the result is about: projected or simulated.
    pub fn devices(&self) -> u32 {
        self.projected_users.unwrap_or(self.users)
    }
}

/// The tested users are the same for every seed.
fn mean_per_user(runs: &[Figures]) -> Vec<[f64; 2]> {
    let users = runs.first().map_or(0, |run| run.per_user.len());
    let mean = |user: usize, figure: usize| {
        let sum: f64 = runs
            .iter()
            .map(|run| f64::from(run.per_user[user][figure]))
            .sum();
        sum / runs.len() as f64
    };
    (0..users)
        .map(|user| [mean(user, 0), mean(user, 1)])
        .collect()
}

/// Groups are the same users for every seed; their quality is not.
fn mean_groups(runs: &[Figures]) -> Vec<Group> {
    let group = |from: usize| {
        let own: Vec<&Group> = runs
            .iter()
            .flat_map(|run| &run.by_history)
            .filter(|group| group.from == from)
            .collect();
        let mean = |part: fn(&Group) -> f64| {
            own.iter().map(|group| part(group)).sum::<f64>() / own.len() as f64
        };
        let tested = own.first()?.tested;
        Some(Group {
            from,
            tested,
            hr_at_10: mean(|group| group.hr_at_10),
            ndcg_at_10: mean(|group| group.ndcg_at_10),
        })
    };
    LENGTHS
        .iter()
        .filter_map(|&from| group(from))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_the_sample_standard_deviation() {
        let spread = Spread::of(vec![1.0, 2.0, 3.0]);
        assert_eq!((spread.mean, spread.std), (2.0, 1.0));
        assert_eq!(Spread::of(vec![0.5]).std, 0.0);
    }

    #[test]
    fn a_figure_the_data_does_not_have_is_absent() {
        let figures = Figures {
            tested: 3,
            hr_at_10: Some(0.5),
            ..Figures::default()
        };
        let row = Row::of("random", &[figures.clone(), figures]);
        assert_eq!(
            (
                row.tested,
                row.mean("hr_at_10"),
                row.mean("hr_at_10_sampled")
            ),
            (3, Some(0.5), None)
        );
    }
}
