//! The server half: from the noisy sum of the devices' answers to figures with standard errors, and
//! to the one decision they are good for. Post-processing of released numbers: anybody who has the
//! sum gets the same.
//!
//! With `c_b` the noisy count of bucket b, all of noise variance v, a figure is a ratio `R = sum_b
//! g_b c_b / sum_b c_b`. Its standard error joins the noise, `sqrt(v sum_b (g_b - R)^2) / sum_b
//! c_b` (the delta method), and the chance that other owners like these had answered, `sqrt((mean
//! of g^2 - R^2) / sum_b c_b)`. Nothing is cut off at its natural range: a share may come out below
//! 0, and cutting would bias the mean of many evaluations.

use serde::{Deserialize, Serialize};

use super::layout::{
    BANDS, BANDS_HEAD, CHANCES, COSINES, DRIFT, ERROR_LAST, ERRORS, LENGTH, LISTED, PAIRED,
    PREDICTED, Question, RANK, RANKS, RANKS_HIT, RATING_ERROR,
};

/// A count is worth dividing by when it is this many standard deviations of its noise above 0.
const COUNT_MIN: f64 = 3.0;

/// A figure and its standard error, of noise and of who happened to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The figure; may lie outside its natural range.
    pub value: f64,
    /// Standard error.
    pub error: f64,
}

/// Hits among owners to whom the model gave a similar chance of a hit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// Least chance of this group.
    pub chance_from: f64,
    /// Chance at which the next group begins.
    pub chance_to: f64,
    /// Share of the owners.
    pub share: Estimate,
    /// How many of them had a hit; `None` where the noise hides the group.
    pub hits: Option<Estimate>,
}

/// The figures of one evaluation. A figure is `None` where the noise hides how many answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Devices in the sum.
    pub contributors: u32,
    /// Devices that had something to hold out.
    pub evaluated: Estimate,
    /// Share of owners whose held-out item the model has in its first ten, out of all they had not
    /// met.
    pub hr_at_10: Option<Estimate>,
    /// NDCG of the first ten, from rank ranges: off by at most 0.09 a hit.
    pub ndcg_at_10: Option<Estimate>,
    /// HR@10 of popularity alone, for the same owners.
    pub popularity_hr_at_10: Option<Estimate>,
    /// HR@10 less that of popularity. More exact than the difference of both, because each owner is
    /// their own comparison.
    pub gain: Option<Estimate>,
    /// Root of the mean square of rating errors, from ranges; `None` also for a model that predicts
    /// none.
    pub rmse: Option<Estimate>,
    /// Share of listed items outside the most popular fifth of the catalogue.
    pub tail_share: Option<Estimate>,
    /// Share of listed items in each band of popularity ([`BANDS`]).
    pub coverage: Option<[Estimate; BANDS.len()]>,
    /// Predicted chance of a hit against hits.
    pub calibration: Option<[Reliability; CHANCES.len()]>,
    /// Mean cosine between user factors of older and newer halves of histories, from ranges; low
    /// means that tastes move.
    pub drift: Option<Estimate>,
}

/// Reads figures off the sum of [`super::Answers::vector`]s; `None` for a sum of another length.
///
/// `noise_std`: standard deviation of the noise on each coordinate, in clipping norms.
pub fn evaluate(sum: &[f64], noise_std: f64, contributors: u32) -> Option<Evaluation> {
    if sum.len() != LENGTH {
        return None;
    }
    let counts = |question| Counts::read(question, sum, noise_std);
    let (rank, listed) = (counts(RANK), counts(LISTED));
    let hr = rank.mean(&first::<{ RANKS.len() }>(RANKS_HIT));
    let gain = hr.and_then(|hr| gain(&counts(PAIRED), &rank, hr));
    Some(Evaluation {
        contributors,
        evaluated: Estimate {
            value: rank.total(),
            error: rank.total_std(),
        },
        hr_at_10: hr,
        ndcg_at_10: rank.mean(&gains()),
        popularity_hr_at_10: hr.zip(gain).map(|(hr, gain)| difference(hr, gain)),
        gain,
        rmse: counts(RATING_ERROR).mean(&squares()).and_then(root),
        tail_share: listed.mean(&first::<{ BANDS.len() }>(BANDS_HEAD).map(|head| 1.0 - head)),
        coverage: listed.shares(),
        calibration: calibration(&counts(PREDICTED)),
        drift: counts(DRIFT).mean(&middles(&COSINES, 1.0)),
    })
}

/// Whether the item factors stay, by the paired answers alone: a fixed rule on public numbers.
///
/// `in_doubt`, below a signal of [`crate::family::recipe::SIGNAL_UNSURE`]: only if the model's wins
/// exceed its losses by more than one standard deviation of the noise on them. Above it: unless
/// losses exceed wins by more than that.
pub fn keeps_factors(sum: &[f64], noise_std: f64, in_doubt: bool) -> bool {
    let wins = PAIRED.of(sum)[0];
    if in_doubt {
        wins > noise_std
    } else {
        wins >= -noise_std
    }
}

/// Noisy counts of one question's buckets.
struct Counts {
    buckets: Vec<f64>,
    /// Standard deviation of the noise on each.
    std: f64,
}

impl Counts {
    fn read(question: Question, sum: &[f64], noise_std: f64) -> Self {
        let scale = question.scale();
        Self {
            buckets: question
                .of(sum)
                .iter()
                .map(|value| value / scale)
                .collect(),
            std: noise_std / scale,
        }
    }

    fn total(&self) -> f64 {
        self.buckets.iter().sum()
    }

    fn total_std(&self) -> f64 {
        self.std * (self.buckets.len() as f64).sqrt()
    }

    /// The total, where it stands out of the noise.
    fn denominator(&self) -> Option<f64> {
        let total = self.total();
        (total > COUNT_MIN * self.total_std() && total > 0.0).then_some(total)
    }

    /// Mean over the buckets, bucket b standing for `worth[b]`: the R of the module's text.
    fn mean(&self, worth: &[f64]) -> Option<Estimate> {
        let total = self.denominator()?;
        let sum = |of: &dyn Fn(f64) -> f64| {
            self.buckets
                .iter()
                .zip(worth)
                .map(|(c, w)| c * of(*w))
                .sum::<f64>()
        };
        let value = sum(&|worth| worth) / total;
        let noise = self.std.powi(2)
            * worth
                .iter()
                .map(|worth| (worth - value).powi(2))
                .sum::<f64>()
            / total.powi(2);
        let spread = (sum(&|worth| worth * worth) / total - value * value).max(0.0) / total;
        Some(Estimate {
            value,
            error: (noise + spread).sqrt(),
        })
    }

    /// Share of each bucket.
    fn shares<const N: usize>(&self) -> Option<[Estimate; N]> {
        let share = |at: usize| {
            self.mean(&std::array::from_fn::<f64, N, _>(|bucket| {
                f64::from(u8::from(bucket == at))
            }))
        };
        let shares: Vec<Estimate> = (0..N).map_while(share).collect();
        shares.try_into().ok()
    }
}

/// Wins less losses over all owners. At most twice the hits less the gain win or lose, which bounds
/// the spread.
fn gain(paired: &Counts, rank: &Counts, hr: Estimate) -> Option<Estimate> {
    let total = rank.denominator()?;
    let value = paired.total() / total;
    let of_owners = value * rank.total_std();
    let variance = paired.std.powi(2) + of_owners.powi(2);
    let noise = variance / total.powi(2);
    let decided = (2.0 * hr.value - value).clamp(0.0, 1.0);
    let spread = decided / total;
    Some(Estimate {
        value,
        error: (noise + spread).sqrt(),
    })
}

fn difference(a: Estimate, b: Estimate) -> Estimate {
    Estimate {
        value: a.value - b.value,
        error: a.error.hypot(b.error),
    }
}

fn root(square: Estimate) -> Option<Estimate> {
    (square.value > 0.0).then(|| {
        let value = square.value.sqrt();
        Estimate {
            value,
            error: square.error / (2.0 * value),
        }
    })
}

fn calibration(predicted: &Counts) -> Option<[Reliability; CHANCES.len()]> {
    let (misses, hits) = predicted.buckets.split_at(CHANCES.len());
    let groups = Counts {
        buckets: misses.iter().zip(hits).map(|(a, b)| a + b).collect(),
        std: predicted.std * 2f64.sqrt(),
    };
    let shares: [Estimate; CHANCES.len()] = groups.shares()?;
    Some(std::array::from_fn(|at| Reliability {
        chance_from: CHANCES[at],
        chance_to: CHANCES.get(at + 1).copied().unwrap_or(1.0),
        share: shares[at],
        hits: Counts {
            buckets: vec![misses[at], hits[at]],
            std: predicted.std,
        }
        .mean(&[0.0, 1.0]),
    }))
}

/// 1 for the first `len` buckets and 0 for the others.
fn first<const N: usize>(len: usize) -> [f64; N] {
    std::array::from_fn(|at| f64::from(u8::from(at < len)))
}

/// NDCG@10 of one hit in each range of ranks: mean of `1/log2(1 + rank)`.
fn gains() -> [f64; RANKS.len()] {
    std::array::from_fn(|at| {
        if at >= RANKS_HIT {
            return 0.0;
        }
        let ranks = RANKS[at]..RANKS[at + 1];
        ranks
            .clone()
            .map(|rank| (rank as f64 + 1.0).log2().recip())
            .sum::<f64>()
            / ranks.len() as f64
    })
}

/// Mean square of an error somewhere in each range.
fn squares() -> [f64; ERRORS.len()] {
    std::array::from_fn(|at| match ERRORS.get(at + 1) {
        Some(to) => (ERRORS[at].powi(2) + ERRORS[at] * to + to.powi(2)) / 3.0,
        None => ERROR_LAST.powi(2),
    })
}

/// Middle of each range, the last one ending at `end`.
fn middles<const N: usize>(least: &[f64; N], end: f64) -> [f64; N] {
    std::array::from_fn(|at| {
        let next = least.get(at + 1);
        let to = next.copied().unwrap_or(end);
        f64::midpoint(least[at], to)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sum in which `counts` devices gave each answer.
    fn sum(question: Question, counts: &[f64]) -> Vec<f64> {
        let mut sum = vec![0.0; LENGTH];
        sum[question.start..][..counts.len()].copy_from_slice(counts);
        sum[question.start..][..counts.len()]
            .iter_mut()
            .for_each(|count| *count *= question.scale());
        sum
    }

    #[test]
    fn ranks_give_hits_and_gains() {
        let found = evaluate(&sum(RANK, &[10.0, 0.0, 0.0, 20.0, 30.0, 40.0]), 0.0, 120).unwrap();
        let (hr, ndcg) = (found.hr_at_10.unwrap(), found.ndcg_at_10.unwrap());
        assert!((hr.value - 0.1).abs() < 1e-12 && (ndcg.value - 0.1).abs() < 1e-12);
        assert!(
            (hr.error - 0.03).abs() < 1e-12,
            "sampling error of a share of 0.1 among 100"
        );
        assert_eq!(
            (found.contributors, found.evaluated.value.round()),
            (120, 100.0)
        );
        assert!(gains()[1] - 0.5655 < 1e-4 && gains()[2] > 1.0 / 11f64.log2() && gains()[3] == 0.0);
    }

    #[test]
    fn a_share_below_zero_is_kept_and_hidden_counts_give_nothing() {
        let odd = sum(RANK, &[-5.0, 0.0, 0.0, 0.0, 0.0, 405.0]);
        let found = evaluate(&odd, 1.0, 400).unwrap();
        assert!(found.hr_at_10.unwrap().value < 0.0);
        assert_eq!(
            (found.rmse, found.drift, found.calibration),
            (None, None, None)
        );
        let hidden = evaluate(&odd, 100.0, 400).unwrap();
        assert_eq!(
            (hidden.hr_at_10, hidden.gain, hidden.popularity_hr_at_10),
            (None, None, None)
        );
        assert_eq!(evaluate(&vec![0.0; LENGTH], 0.0, 0).unwrap().hr_at_10, None);
    }

    #[test]
    fn a_sum_of_another_length_is_no_evaluation_and_odd_numbers_do_no_harm() {
        assert_eq!(evaluate(&[0.0; LENGTH - 1], 1.0, 10), None);
        for odd in [f64::NAN, f64::INFINITY, f64::MIN, f64::MAX] {
            let _ = evaluate(&[odd; LENGTH], 1.0, 10);
            let _ = evaluate(&[1.0; LENGTH], odd, 10);
            let _ = keeps_factors(&[odd; LENGTH], 1.0, true);
        }
    }

    #[test]
    fn doubt_is_decided_against_the_factors_and_a_clear_signal_for_them() {
        let keeps = |wins: f64, in_doubt| {
            keeps_factors(&sum(PAIRED, &[wins / PAIRED.scale()]), 2.0, in_doubt)
        };
        assert_eq!(
            [keeps(2.1, true), keeps(1.9, true), keeps(-9.0, true)],
            [true, false, false]
        );
        assert_eq!(
            [keeps(2.1, false), keeps(-1.9, false), keeps(-2.1, false)],
            [true, true, false]
        );
    }

    #[test]
    fn rating_errors_give_their_root_mean_square() {
        let found = evaluate(&sum(RATING_ERROR, &[0.0, 0.0, 0.0, 100.0]), 0.0, 100).unwrap();
        assert!((found.rmse.unwrap().value - 0.878).abs() < 1e-3);
    }
}
