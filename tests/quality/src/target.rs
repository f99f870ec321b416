//! What was aimed at, and whether it was reached.

use tacit_simulate::Outcome;
use tacit_simulate::outcome::{Point, Spread};

/// A figure that should be at least so large.
pub(crate) struct Target {
    pub(crate) epsilon: f64,
    pub(crate) metric: &'static str,
    pub(crate) name: &'static str,
    pub(crate) least: f64,
    pub(crate) stretch: Option<f64>,
}

/// MovieLens-1M, published leave-one-out.
pub(crate) const LEAVE_ONE_OUT: [Target; 5] = [
    target(10.0, "hr_at_10_sampled", "HR@10 (99)", 0.63, Some(0.66)),
    target(10.0, "hr_at_10", "HR@10 full", 0.080, Some(0.090)),
    target(3.0, "hr_at_10_sampled", "HR@10 (99)", 0.56, Some(0.60)),
    target(3.0, "hr_at_10", "HR@10 full", 0.071, Some(0.080)),
    target(1.0, "hr_at_10", "HR@10 full", 0.057, None),
];

/// MovieLens-1M, random fifth.
pub(crate) const RANDOM: [Target; 3] = [
    target(8.0, "ndcg_at_10", "NDCG@10 full", 0.385, None),
    target(2.0, "ndcg_at_10", "NDCG@10 full", 0.335, None),
    target(1.0, "ndcg_at_10", "NDCG@10 full", 0.29, None),
];

/// MovieLens-100K, random fifth.
pub(crate) const SMALL: [Target; 3] = [
    target(8.0, "ndcg_at_10", "NDCG@10 full", 0.365, None),
    target(2.0, "ndcg_at_10", "NDCG@10 full", 0.29, None),
    target(1.0, "ndcg_at_10", "NDCG@10 full", 0.24, None),
];

/// Share of central implicit ALS that the spectral model without noise must reach.
const PARITY: f64 = 0.99;

const fn target(
    epsilon: f64,
    metric: &'static str,
    name: &'static str,
    least: f64,
    stretch: Option<f64>,
) -> Target {
    Target {
        epsilon,
        metric,
        name,
        least,
        stretch,
    }
}

impl Target {
    /// What the federated model reached with the users there are.
    pub(crate) fn reached<'a>(&self, outcome: &'a Outcome) -> Option<&'a Spread> {
        point(outcome, self.epsilon)?
            .row("federated")?
            .figures
            .get(self.metric)
    }

    /// One word.
    pub(crate) fn verdict(&self, reached: f64) -> &'static str {
        match self.stretch {
            _ if reached < self.least => "**missed**",
            Some(stretch) if reached >= stretch => "met, stretch too",
            _ => "met",
        }
    }
}

/// The combination at this epsilon that is no projection.
pub(crate) fn point(outcome: &Outcome, epsilon: f64) -> Option<&Point> {
    outcome
        .points
        .iter()
        .find(|point| point.epsilon_asked == epsilon && point.projected_users.is_none())
}

/// At epsilon 1: the federated and the private popularity list against 99 negatives, and the
/// standard error of the latter.
pub(crate) fn against_popularity(outcome: &Outcome) -> Option<(f64, f64, f64)> {
    let point = point(outcome, 1.0)?;
    let popularity = point.row("private_popularity")?;
    let (own, list) = (
        point.row("federated")?.mean("hr_at_10_sampled")?,
        popularity.mean("hr_at_10_sampled")?,
    );
    Some((
        own,
        list,
        (list * (1.0 - list) / popularity.tested.max(1) as f64).sqrt(),
    ))
}

/// Full NDCG@10 without noise: what parity with central implicit ALS asks for, and what is reached.
pub(crate) fn parity(outcome: &Outcome) -> Option<(f64, f64)> {
    let ndcg = |model| outcome.points.first()?.row(model)?.mean("ndcg_at_10");
    Some((PARITY * ndcg("central_ials")?, ndcg("noise_free")?))
}

/// The last cell of a line that has a target.
pub(crate) fn verdict(met: bool, target: &str) -> String {
    format!("{}: {target}", if met { "met" } else { "**missed**" })
}
