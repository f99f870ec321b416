//! When and where: an interaction in a scene like the present one may count more when ranking.
//!
//! A soft form of contextual pre-filtering (Adomavicius and Tuzhilin 2011, section 3.3): nothing is
//! left out, it counts less.

use tacit_types::Timestamp;

use crate::history::interaction::Interaction;

const MINUTES_A_DAY: i64 = 24 * 60;

/// A moment and a place in the app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scene {
    /// When; `None` where unknown.
    pub at: Option<Timestamp>,
    /// Place in the app, by the app's own numbers; 0 where unknown.
    pub surface: u8,
}

impl From<&Interaction> for Scene {
    fn from(one: &Interaction) -> Self {
        Self {
            at: one.timestamp,
            surface: one.surface,
        }
    }
}

/// Strengths by which an interaction of another scene counts less: each difference multiplies its
/// weight by exp(-strength).
///
/// The default, all 0, makes no difference. A strength that is not above 0 counts as 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SceneRules {
    /// Strength of the opposite time of day, in proportion for times between.
    pub hour: f32,
    /// Strength of a Saturday or Sunday against another day.
    pub weekend: f32,
    /// Strength of another surface, both being known.
    pub surface: f32,
    /// The owner's local time, minutes east of UTC.
    pub utc_offset_minutes: i16,
}

impl SceneRules {
    /// Whether the scene makes a difference.
    pub fn count(&self) -> bool {
        [self.hour, self.weekend, self.surface]
            .into_iter()
            .any(|strength| strength > 0.0)
    }

    /// Share of its weight, 0 to 1, that an interaction of the scene `then` keeps in the scene
    /// `now`.
    pub(crate) fn share(&self, then: Scene, now: Scene) -> f64 {
        let strength = |value: f32| f64::from(value.max(0.0));
        let mut distance = 0.0;
        if let (Some(then), Some(now)) = (then.at, now.at) {
            let hours = opposition(self.minute(then), self.minute(now));
            distance += strength(self.hour) * hours;
            if self.is_weekend(then) != self.is_weekend(now) {
                distance += strength(self.weekend);
            }
        }
        let surfaces_known = then.surface > 0 && now.surface > 0;
        if surfaces_known && then.surface != now.surface {
            distance += strength(self.surface);
        }
        (-distance).exp()
    }

    /// Local minutes since 1970.
    fn local_minutes(&self, at: Timestamp) -> i64 {
        i64::try_from(at.0 / 60_000).unwrap_or(i64::MAX / 2) + i64::from(self.utc_offset_minutes)
    }

    /// Minute of the local day.
    fn minute(&self, at: Timestamp) -> i64 {
        self.local_minutes(at).rem_euclid(MINUTES_A_DAY)
    }

    fn is_weekend(&self, at: Timestamp) -> bool {
        // 1970 began on a Thursday: two days later it was Saturday.
        (self.local_minutes(at).div_euclid(MINUTES_A_DAY) - 2).rem_euclid(7) < 2
    }
}

/// Distance of two minutes of the day round the clock: 0 for the same, 1 for the opposite.
fn opposition(a: i64, b: i64) -> f64 {
    let apart = (a - b).abs();
    apart.min(MINUTES_A_DAY - apart) as f64 / (MINUTES_A_DAY / 2) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 3_600_000;
    const ALL: SceneRules = SceneRules {
        hour: 2.0,
        weekend: 1.0,
        surface: 3.0,
        utc_offset_minutes: 0,
    };

    /// Hours after Thursday 1 January 1970, 00:00.
    fn at(hours: u64) -> Scene {
        Scene {
            at: Some(Timestamp(hours * HOUR)),
            surface: 0,
        }
    }

    #[test]
    fn the_clock_goes_round_and_the_weekend_is_two_days() {
        let left = |then, now| -ALL.share(at(then), at(now)).ln();
        for (then, now, expected) in [
            (0, 0, 0.0),
            (0, 12, 2.0),
            (23, 1, 2.0 / 6.0),
            (0, 6, 1.0),
            (24, 0, 0.0),
            (47, 48, 2.0 / 12.0 + 1.0), // Friday night, Saturday
            (48, 72, 0.0),              // Saturday, Sunday
            (72, 96, 1.0),              // Sunday, Monday
        ] {
            assert!((left(then, now) - expected).abs() < 1e-12, "{then} {now}");
            assert!((left(now, then) - expected).abs() < 1e-12, "{now} {then}");
        }
    }

    #[test]
    fn the_owners_own_clock_counts() {
        // 23:00 UTC on Friday is Saturday in Berlin, and still Friday in New York.
        for (offset, weekend) in [(60, true), (0, false), (-300, false)] {
            let rules = SceneRules {
                utc_offset_minutes: offset,
                ..ALL
            };
            assert_eq!(rules.is_weekend(Timestamp(47 * HOUR)), weekend, "{offset}");
        }
        let rules = SceneRules {
            utc_offset_minutes: -300,
            ..ALL
        };
        assert_eq!(rules.minute(Timestamp(0)), 19 * 60, "before 1970 there");
    }

    #[test]
    fn only_what_is_known_of_both_is_compared() {
        let on = |surface| Scene { at: None, surface };
        assert_eq!(ALL.share(on(0), on(2)), 1.0);
        assert_eq!(ALL.share(on(2), on(0)), 1.0);
        assert_eq!(ALL.share(on(2), on(2)), 1.0);
        assert!(ALL.share(on(1), on(2)) < 0.05);
        assert_eq!(
            ALL.share(
                Scene {
                    at: None,
                    surface: 0
                },
                at(12)
            ),
            1.0
        );
        for nothing in [0.0, -1.0, f32::NAN] {
            let rules = SceneRules {
                hour: nothing,
                weekend: nothing,
                surface: nothing,
                utc_offset_minutes: 0,
            };
            assert!(!rules.count());
            assert_eq!(
                rules.share(
                    Scene {
                        surface: 1,
                        ..at(0)
                    },
                    Scene {
                        surface: 2,
                        ..at(60)
                    }
                ),
                1.0
            );
        }
    }

    proptest! {
        #[test]
        fn a_share_is_a_share(
            then: u64,
            now: u64,
            offset: i16,
            surfaces: (u8, u8),
            hour: f32,
            weekend: f32,
        ) {
            let rules = SceneRules { hour, weekend, surface: 1.0, utc_offset_minutes: offset };
            let scene = |at, surface| Scene { at: Some(Timestamp(at)), surface };
            let share = rules.share(scene(then, surfaces.0), scene(now, surfaces.1));
            prop_assert!((0.0..=1.0).contains(&share));
        }
    }
}
