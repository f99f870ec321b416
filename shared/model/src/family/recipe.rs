//! The planner's table: from the signal-to-noise ratio of a task to its recipe, using public
//! numbers only.

use serde::{Deserialize, Serialize};

use crate::family::limits::FACTORS_MAX;
use crate::family::weighted::CLIP_NORM;

/// Signal-to-noise ratio below which item factors are not trained: they would lose to private
/// popularity.
pub const SIGNAL_MIN: f64 = 5.0;
/// Signal-to-noise ratio below which factors may or may not beat popularity.
pub const SIGNAL_UNSURE: f64 = 12.0;
/// Signal-to-noise ratio at which nine tenths of the gain are left, see [`gain_share`].
pub const SIGNAL_GOOD: f64 = 91.4;
/// Fewer head items than this are not worth a release.
const HEAD_MIN: u32 = 40;
/// Most head items: the head Gram has K(K+1)/2 coordinates.
const HEAD_MAX: u32 = 1000;
/// Share of rho for the item counts when nothing else is trained.
const COUNTS_SHARE_ALONE: f64 = 1.0;
/// Most columns of public features in the final model.
const FEATURE_COLUMNS: u32 = 48;
/// The head Gram's share of the rho that the counts leave.
const HEAD_SHARE_OF_REST: f64 = 0.35;

/// What one task trains, fixed before it starts and printed with its plan.
///
/// A task makes one release of counts, one of the head Gram if `head > 0`, then `rounds` releases
/// of the factor gradient. Shares are of the rho of the whole task and add up to 1; a release with
/// share s has noise of standard deviation `1/sqrt(2 rho s)` on its sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Rounds of factor gradients, T.
    pub rounds: u32,
    /// Item factors, d. The head Gram may leave fewer when it shows fewer directions above the
    /// noise.
    pub factors: u32,
    /// Most popular items whose pairs are released first, K; 0 for none.
    pub head: u32,
    /// How strongly rare items are weighted up in the device's vector, a.
    pub weight_exponent: f32,
    /// How strongly popularity is put back when ranking, b.
    pub popularity_exponent: f32,
    /// Share of the previous factors that each round after the first keeps, 0 to 1.
    pub carry: f32,
    /// Share of the noisy counts the trained block of items covers; 1 trains the whole catalogue.
    pub coverage: f32,
    /// Most columns of public features in the final model.
    #[serde(default)]
    pub feature_columns: u32,
    /// Weighted squares: norm at which a device's gradient is clipped before it is scaled to norm
    /// 1, C.
    #[serde(default = "clip_norm")]
    pub clip_norm: f64,
    /// Share of rho for the counts.
    pub counts_share: f64,
    /// Share of rho for the head Gram; 0 without one.
    pub head_share: f64,
}

fn clip_norm() -> f64 {
    CLIP_NORM
}

/// One row of the planner's table: it holds for signals below `below`.
struct Row {
    below: f64,
    rounds: u32,
    factors: u32,
    weight_exponent: f32,
    popularity_exponent: f32,
    carry: f32,
    coverage: f32,
    counts_share: f64,
}

/// The presets by rising signal; `tests/quality/TUNING.md`, "Recipe", says what each was chosen
/// over.
const TABLE: [Row; 7] = [
    // below, (T, d), (a, b), carry, coverage, share of the counts
    row(10.0, (1, 16), (0.1, 0.0), 0.5, 0.94, 0.7),
    row(25.0, (1, 16), (0.1, 0.0), 0.5, 0.94, 0.3),
    row(60.0, (1, 32), (0.1, 0.0), 0.5, 0.94, 0.1),
    row(150.0, (1, 32), (0.1, 0.15), 0.5, 0.94, 0.05),
    row(300.0, (1, 32), (0.2, 0.1), 0.4, 1.0, 0.05),
    row(1000.0, (1, 48), (0.2, 0.1), 0.2, 1.0, 0.05),
    row(f64::INFINITY, (2, 48), (0.4, 0.4), 0.0, 1.0, 0.05),
];

const fn row(
    below: f64,
    (rounds, factors): (u32, u32),
    (weight_exponent, popularity_exponent): (f32, f32),
    carry: f32,
    coverage: f32,
    counts_share: f64,
) -> Row {
    Row {
        below,
        rounds,
        factors,
        weight_exponent,
        popularity_exponent,
        carry,
        coverage,
        counts_share,
    }
}

impl Recipe {
    /// Picks the recipe for signal-to-noise ratio `q` (see [`signal_to_noise`]; infinite without
    /// noise).
    ///
    /// `None` below [`SIGNAL_MIN`] or when `q` is NaN: do not train factors, use
    /// [`Recipe::counts_only`] and say so.
    pub fn for_signal(q: f64, catalogue_len: u32) -> Option<Self> {
        if q.is_nan() || q < SIGNAL_MIN {
            return None;
        }
        let row = TABLE
            .iter()
            .find(|row| q < row.below)
            .unwrap_or(&TABLE[TABLE.len() - 1]);
        let head = head_items(q, catalogue_len);
        Some(Self {
            rounds: row.rounds,
            factors: row.factors.min(factors_max(catalogue_len)),
            head,
            weight_exponent: row.weight_exponent,
            popularity_exponent: row.popularity_exponent,
            carry: row.carry,
            coverage: row.coverage,
            feature_columns: FEATURE_COLUMNS,
            clip_norm: CLIP_NORM,
            counts_share: row.counts_share,
            head_share: if head > 0 {
                (1.0 - row.counts_share) * HEAD_SHARE_OF_REST
            } else {
                0.0
            },
        })
    }

    /// The fallback below [`SIGNAL_MIN`]: item counts with the whole of rho, and nothing else.
    pub fn counts_only() -> Self {
        Self {
            rounds: 0,
            factors: 0,
            head: 0,
            weight_exponent: 0.0,
            popularity_exponent: 0.0,
            carry: 0.0,
            coverage: 1.0,
            feature_columns: FEATURE_COLUMNS,
            clip_norm: CLIP_NORM,
            counts_share: COUNTS_SHARE_ALONE,
            head_share: 0.0,
        }
    }

    /// Share of rho for each round of factor gradients; 0 when there are none.
    pub fn round_share(&self) -> f64 {
        if self.rounds == 0 {
            0.0
        } else {
            (1.0 - self.counts_share - self.head_share) / f64::from(self.rounds)
        }
    }
}

/// Most factors a catalogue of this length can have, at least 1.
pub(crate) fn factors_max(catalogue_len: u32) -> u32 {
    u32::try_from(FACTORS_MAX)
        .unwrap_or(u32::MAX)
        .checked_div(catalogue_len)
        .unwrap_or(u32::MAX)
        .max(1)
}

/// K: five head items per unit of signal up to 500, half as many beyond, within the catalogue; none
/// below [`HEAD_MIN`].
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0..=HEAD_MAX first"
)]
fn head_items(q: f64, catalogue_len: u32) -> u32 {
    let head = (5.0 * q)
        .min((2.5 * q).max(500.0))
        .clamp(0.0, f64::from(HEAD_MAX)) as u32;
    let head = head.min(catalogue_len);
    if head < HEAD_MIN { 0 } else { head }
}

/// Signal-to-noise ratio `q = n sqrt(2 rho) / sqrt(M)` of a task with `devices` devices, privacy
/// loss `rho` (zCDP) and `catalogue_len` items.
pub fn signal_to_noise(devices: f64, rho: f64, catalogue_len: f64) -> f64 {
    devices * (2.0 * rho).sqrt() / catalogue_len.sqrt()
}

/// Share of the gain over popularity that survives the noise at signal-to-noise ratio `q`: the
/// empirical law `max(q-4, 0)^1.2 / (max(q-4, 0)^1.2 + 14^1.2)`, half at 18 and 90 % at 90. Sparse
/// populations need about twice the `q`.
pub fn gain_share(q: f64) -> f64 {
    if q.is_infinite() && q > 0.0 {
        return 1.0;
    }
    let signal = (q - 4.0).max(0.0).powf(1.2);
    signal / (signal + 14.0f64.powf(1.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_not_trained_below_the_floor() {
        for q in [f64::NAN, f64::NEG_INFINITY, -1.0, 0.0, 4.99] {
            assert_eq!(Recipe::for_signal(q, 1000), None, "{q}");
        }
        assert!(Recipe::for_signal(5.0, 1000).is_some());
    }

    #[test]
    fn shares_add_up_to_the_whole_task() {
        for q in [
            5.0,
            9.0,
            20.0,
            59.0,
            100.0,
            200.0,
            900.0,
            5000.0,
            f64::INFINITY,
        ] {
            for catalogue_len in [1, 39, 40, 4000] {
                let recipe = Recipe::for_signal(q, catalogue_len).unwrap();
                let total = recipe.counts_share
                    + recipe.head_share
                    + recipe.round_share() * f64::from(recipe.rounds);
                assert!((total - 1.0).abs() < 1e-12, "{recipe:?}");
                assert_eq!(recipe.head > 0, recipe.head_share > 0.0);
            }
        }
        assert_eq!(Recipe::counts_only().round_share(), 0.0);
    }

    #[test]
    fn the_head_grows_with_the_signal_within_its_bounds() {
        let head = |q, catalogue_len| Recipe::for_signal(q, catalogue_len).unwrap().head;
        assert_eq!(
            [head(7.9, 4000), head(8.0, 4000), head(100.0, 4000)],
            [0, 40, 500]
        );
        assert_eq!([head(150.0, 4000), head(300.0, 4000)], [500, 750]);
        assert_eq!(
            [
                head(f64::INFINITY, 4000),
                head(f64::INFINITY, 300),
                head(100.0, 30)
            ],
            [1000, 300, 0]
        );
    }

    #[test]
    fn a_long_catalogue_gets_fewer_factors() {
        let factors = |catalogue_len| {
            Recipe::for_signal(500.0, catalogue_len)
                .unwrap()
                .factors
        };
        assert_eq!(
            [
                factors(4000),
                factors(100_000),
                factors(1 << 22),
                factors(u32::MAX)
            ],
            [48, 41, 1, 1]
        );
    }

    #[test]
    fn the_law_meets_its_anchors() {
        assert_eq!(gain_share(4.0), 0.0);
        assert!((gain_share(18.0) - 0.5).abs() < 1e-12);
        assert!((gain_share(90.0) - 0.9).abs() < 0.005 && (gain_share(300.0) - 0.97).abs() < 0.01);
        assert_eq!(gain_share(f64::INFINITY), 1.0);
    }

    #[test]
    fn the_signal_is_devices_over_noise_per_root_item() {
        assert!((signal_to_noise(6000.0, 0.5, 3600.0) - 100.0).abs() < 1e-9);
    }
}
