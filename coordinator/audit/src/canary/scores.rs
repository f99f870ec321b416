//! Canaries: devices whose unit vector points in a direction only the auditor knows, behind a fair
//! coin each.
//!
//! Heads, the device sends its canary in every release; tails, the zero vector: exactly the
//! neighbours of zero-out adjacency. Everybody else sends zero, the worst case of the certificate.
//! Releases with equal noise are added up: for Gaussian noise their sum says all that they say
//! together.

use rand::Rng;

use super::pipeline::{PipelineError, add};
use super::session::{Session, along};

/// Directions no device ever had, for comparison.
const UNUSED: usize = 1024;

/// Inner products with the sum of all releases, in grid steps.
pub(super) struct Scores {
    /// What a canary in the sum adds to its own.
    pub(super) unit: f64,
    /// One a canary.
    pub(super) canaries: Vec<Score>,
    /// Directions nobody had, with a sum from which every canary is taken out.
    pub(super) unused: Vec<f64>,
}

/// What one canary left in the sum.
#[derive(Clone, Copy)]
pub(super) struct Score {
    /// Whether it was in the sum.
    pub(super) heads: bool,
    /// With the sum as it is. Other canaries overlap a little with this one, which can only blur
    /// it.
    pub(super) whole: f64,
    /// With the sum from which every other canary is taken out: what an adversary measures who
    /// knows all other devices.
    pub(super) alone: f64,
}

/// Runs the releases and scores every canary and unused direction.
pub(super) fn collect(session: &mut Session<'_>) -> Result<Scores, PipelineError> {
    let canaries: Vec<(Vec<f32>, bool)> = (0..session.prepared.settings.canaries)
        .map(|_| {
            let heads = session.rng.next_u32() & 1 == 1;
            (session.direction(), heads)
        })
        .collect();
    let mut total = vec![0f64; session.prepared.settings.length as usize];
    for _ in 0..session.prepared.settings.releases {
        let sum = release(session, &canaries)?;
        total
            .iter_mut()
            .zip(sum)
            .for_each(|(total, value)| *total += f64::from(value));
    }

    let unit =
        f64::from(session.prepared.settings.releases) * f64::from(session.prepared.mechanism.steps);
    let mut rest = total.clone();
    for (direction, _) in canaries.iter().filter(|(_, heads)| *heads) {
        rest.iter_mut()
            .zip(direction)
            .for_each(|(rest, &x)| *rest -= unit * f64::from(x));
    }
    let score = |(direction, heads): &(Vec<f32>, bool)| Score {
        heads: *heads,
        whole: along(direction, &total),
        alone: along(direction, &rest) + if *heads { unit } else { 0.0 },
    };
    let canaries = canaries.iter().map(score).collect();
    Ok(Scores {
        unit,
        canaries,
        unused: (0..UNUSED)
            .map(|_| along(&session.direction(), &rest))
            .collect(),
    })
}

fn release(
    session: &mut Session<'_>,
    canaries: &[(Vec<f32>, bool)],
) -> Result<Vec<i32>, PipelineError> {
    let round = session.next_round();
    let mut sum = round.nothing();
    for device in 0..session.prepared.settings.devices {
        let vector = match canaries.get(device as usize) {
            Some((direction, true)) => direction.clone(),
            _ => session.zero(),
        };
        add(&mut sum, &session.contribute(&round, device, vector)?)?;
    }
    Ok(sum.open())
}
