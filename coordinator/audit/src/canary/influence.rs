//! Releases of too much: how far one device can move the sum, and whether it can move it twice.
//!
//! Single shares are opened, where the noise is smallest, so that a clip which is slightly too wide
//! shows too.

use tacit_privacy::Refusal;
use tacit_round::rehearsal::Rehearsal;

use super::pipeline::{Contribution, PipelineError, open_one};
use super::session::{Session, along};
use super::stats::{deviations, variance_range};
use super::{Check, FALSE_ALARM};

/// Projections of opened shares on the direction each device tried to move them, in units of the
/// clipping norm.
#[derive(Default)]
struct Moved {
    total: f64,
    count: u32,
}

impl Moved {
    fn mean(&self) -> f64 {
        self.total / f64::from(self.count)
    }

    /// How far the mean of sub-Gaussian noise of standard deviation `std` strays.
    fn slack(&self, std: f64) -> f64 {
        deviations(FALSE_ALARM / 2.0) * std / f64::from(self.count).sqrt()
    }
}

/// Runs one round of unit vectors and one of vectors far outside the ball, then asks a device for
/// its round again.
pub(super) fn audit(session: &mut Session<'_>) -> Result<Vec<Check>, PipelineError> {
    let mut checks = neighbours(session)?;
    checks.extend(excess(session)?);
    checks.push(replay(session)?);
    Ok(checks)
}

/// Zero against one unit: the neighbouring inputs of the certificate. The mean moves by the unit
/// and the noise stays.
fn neighbours(session: &mut Session<'_>) -> Result<Vec<Check>, PipelineError> {
    let (round, std) = (session.next_round(), session.prepared.share_std());
    let steps = round.ticket().mechanism.steps;
    let (mut moved, mut squares, mut count) = (Moved::default(), 0.0, 0u64);
    for device in 0..session.prepared.settings.devices {
        let at = device as usize % round.ticket().mechanism.length as usize;
        let contribution = send_along(session, &round, device, at, 1.0)?;
        let share = open_one(&round, &contribution)?;
        moved.total += f64::from(share[at]) / f64::from(steps);
        moved.count += 1;
        count += share.len() as u64;
        let noise = |(i, &value): (usize, &i32)| {
            f64::from(value) - if i == at { f64::from(steps) } else { 0.0 }
        };
        squares += share
            .iter()
            .enumerate()
            .map(noise)
            .map(|x| x * x)
            .sum::<f64>();
    }
    let slack = moved.slack(std);
    let variance = (std * f64::from(steps)).powi(2);
    Ok(vec![
        Check::new(
            "neighbour mean",
            "shift by a vector of 1 clip, in clips",
            (1.0 - slack, session.prepared.norm_max() + slack),
            moved.mean(),
        ),
        Check::new(
            "neighbour variance",
            "of a share around that, over sigma^2/n_min",
            variance_range(count, FALSE_ALARM),
            squares / (count as f64 * variance),
        ),
    ])
}

/// Vectors of a hundred times the clipping norm or more, on one number and spread over all.
fn excess(session: &mut Session<'_>) -> Result<Vec<Check>, PipelineError> {
    let (round, std) = (session.next_round(), session.prepared.share_std());
    let norm = 100.0 * std.max(1.0);
    let steps = f64::from(round.ticket().mechanism.steps);
    let (mut narrow, mut wide) = (Moved::default(), Moved::default());
    for device in 0..session.prepared.settings.devices {
        let (moved, pulled) = if device % 2 == 0 {
            let at = device as usize % round.ticket().mechanism.length as usize;
            let contribution = send_along(session, &round, device, at, norm)?;
            (&mut narrow, f64::from(open_one(&round, &contribution)?[at]))
        } else {
            let direction = session.direction();
            let vector = direction.iter().map(|&x| scaled(x, norm)).collect();
            let contribution = session.contribute(&round, device, vector)?;
            (
                &mut wide,
                along(&direction, &open_one(&round, &contribution)?),
            )
        };
        moved.total += pulled / steps;
        moved.count += 1;
    }
    let within = |moved: &Moved| {
        let reach = session.prepared.norm_max() + moved.slack(std);
        (-reach, reach)
    };
    Ok(vec![
        Check::new(
            "norm boundary, narrow",
            "pull of 100 clips on one number, in clips",
            within(&narrow),
            narrow.mean(),
        ),
        Check::new(
            "norm boundary, wide",
            "pull of 100 clips on all numbers, in clips",
            within(&wide),
            wide.mean(),
        ),
    ])
}

/// A device that is asked for a round a second time must not answer: noise would be drawn twice
/// around one vector.
fn replay(session: &mut Session<'_>) -> Result<Check, PipelineError> {
    let round = session.next_round();
    session.contribute(&round, 0, session.zero())?;
    let answered = match session.contribute(&round, 0, session.zero()) {
        Err(PipelineError::Refused(Refusal::AlreadyReserved)) => 0.0,
        Ok(_) => 1.0,
        Err(error) => return Err(error),
    };
    Ok(Check::new(
        "replay",
        "answers to a round already answered",
        (0.0, 0.0),
        answered,
    ))
}

/// A contribution whose vector is `norm` at one coordinate.
fn send_along(
    session: &mut Session<'_>,
    round: &Rehearsal,
    device: u32,
    at: usize,
    norm: f64,
) -> Result<Contribution, PipelineError> {
    let mut vector = session.zero();
    vector[at] = scaled(1.0, norm);
    session.contribute(round, device, vector)
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "vectors are f32; what is lost is rounding"
)]
fn scaled(x: f32, norm: f64) -> f32 {
    (f64::from(x) * norm) as f32
}
