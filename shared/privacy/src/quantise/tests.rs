use chacha20::ChaCha20Rng;
use proptest::prelude::*;
use rand::{SeedableRng, TryRng};
use tacit_types::ItemGradient;

use super::*;
use crate::clip::clip;
use crate::clip::tests::multiplied;
use crate::mechanism::tests::example;
use crate::noise::tests::Metered;

/// The coarsest sound grid for a vector of this length, all of which may be non-zero.
fn mechanism(length: usize, steps: u32) -> Mechanism {
    let length = u32::try_from(length).unwrap();
    let coarsest = (25 * length).isqrt() + 1;
    Mechanism {
        length,
        row_width: 1,
        nnz_max: length,
        steps: steps.max(coarsest),
        cohort_max: 90,
        ..example()
    }
}

fn quantised(values: &[f32], mechanism: &Mechanism, rng: &mut impl Rng) -> Vec<i32> {
    assert_eq!(mechanism.check(), Ok(()));
    quantise(
        clip(ItemGradient::new(values.to_vec()), mechanism),
        mechanism,
        rng,
    )
    .values()
    .to_vec()
}

fn clipped(values: &[f32]) -> ClippedGradient {
    clip(
        ItemGradient::new(values.to_vec()),
        &mechanism(values.len(), 1),
    )
}

fn seeded(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// A generator stuck at one bit: with 0 every fraction is rounded up, which no honest generator
/// does.
struct Stuck(u8);

impl TryRng for Stuck {
    type Error = std::convert::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(u32::from_ne_bytes([self.0; 4]))
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(u64::from_ne_bytes([self.0; 8]))
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.fill(self.0);
        Ok(())
    }
}

#[test]
fn zeros_stay_zero_whatever_is_drawn() {
    let mut input = vec![0.0; 50];
    (input[7], input[8]) = (1.0, -0.0);
    let mechanism = mechanism(50, 90);
    for draw in [0, 255] {
        let values = quantised(&input, &mechanism, &mut Stuck(draw));
        assert!(
            values
                .iter()
                .enumerate()
                .all(|(i, &v)| v == if i == 7 { 90 } else { 0 })
        );
    }
}

#[test]
fn the_squared_norm_is_exact_however_large_and_long() {
    let small = |at: usize| i32::try_from(at % 7).unwrap() - 3;
    for length in [0, 1, STRETCH - 1, STRETCH, 3 * STRETCH + 5] {
        for (place, large) in [
            (0, 0),
            (length / 2, i32::MIN),
            (0, i32::MAX),
            (length.saturating_sub(1), 1 << 27),
        ] {
            let mut values: Vec<i32> = (0..length).map(small).collect();
            values
                .iter_mut()
                .skip(place)
                .take(3)
                .for_each(|value| *value = large);
            let expected = values
                .iter()
                .map(|&v| i128::from(v) * i128::from(v))
                .sum::<i128>();
            assert_eq!(squared_norm(&values), expected.cast_unsigned());
        }
    }
    // A full stretch on either side of what 64 bits hold.
    for large in [(1 << 27) - 1, 1 << 27, i32::MAX, i32::MIN] {
        let expected =
            (i128::from(large) * i128::from(large)).cast_unsigned() * (2 * STRETCH) as u128;
        assert_eq!(squared_norm(&[large; 2 * STRETCH]), expected);
    }
}

/// Where no draw fits, the vector rounded toward zero is sent if it fits, to the last unit, and
/// nothing else.
#[test]
fn the_bound_itself_is_kept() {
    let sent = |bound| {
        within(bound, &clipped(&[0.325; 4]), 20, &mut Stuck(0))
            .values()
            .to_vec()
    };
    assert_eq!(sent(4 * 49), [7; 4]);
    assert_eq!(sent(4 * 49 - 1), [6; 4]);
    assert_eq!(sent(4 * 36), [6; 4]);
    assert_eq!(sent(4 * 36 - 1), [0; 4]);
}

#[test]
fn rows_scaled_to_their_cap_are_rounded_where_they_belong() {
    // Steps of 1/128: the first and last row come down to 32 each, the middle row is below its cap,
    // the row of zeros stays.
    let mechanism = Mechanism {
        row_width: 2,
        row_cap_milli: 250,
        ..mechanism(8, 128)
    };
    let values = quantised(
        &[0.5, 0.0, 0.125, 0.0, 0.0, 0.0, 0.0, -0.5],
        &mechanism,
        &mut Stuck(255),
    );
    assert_eq!(values, [32, 0, 16, 0, 0, 0, 0, -32]);
}

#[test]
fn a_vector_on_the_grid_is_unchanged() {
    let mechanism = mechanism(4, 128);
    let values = quantised(&[0.5, -0.25, 0.0, 0.125], &mechanism, &mut seeded(1));
    assert_eq!(values, [64, -32, 0, 16]);
}

#[test]
fn rounding_is_unbiased_on_both_sides_of_zero() {
    let length = 40_000;
    let mechanism = mechanism(length, 1_000);
    for (input, sign) in [(0.0013f32, 1.0), (-0.0013, -1.0)] {
        let values = quantised(&vec![input; length], &mechanism, &mut seeded(1));
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / length as f64;
        // Bernoulli with standard deviation at most 1/2; 5 standard errors: false alarm below 6e-7
        // each.
        assert!(
            (mean - sign * 1.3).abs() < 5.0 * 0.5 / (length as f64).sqrt(),
            "{mean}"
        );
    }
}

#[test]
fn a_vector_with_every_coordinate_allowed_and_norm_one_is_within_the_bound() {
    let mechanism = mechanism(6_400, 1);
    for seed in 0..20 {
        let values = quantised(&vec![1.0; 6_400], &mechanism, &mut seeded(seed));
        assert!(squared_norm(&values) <= mechanism.squared_sensitivity());
    }
}

#[test]
fn more_non_zero_coordinates_than_announced_still_end_within_the_bound() {
    let mechanism = Mechanism {
        nnz_max: 100,
        steps: 50,
        ..mechanism(6_400, 1)
    };
    let values = quantised(&vec![1.0; 6_400], &mechanism, &mut seeded(2));
    assert!(squared_norm(&values) <= mechanism.squared_sensitivity());
    // 6,400 coordinates of 0.625 steps each round to a squared norm near 4,000, far above 50^2 +
    // 80: toward zero it is.
    assert_eq!(values, vec![0; 6_400]);
}

#[test]
fn draws_that_never_meet_the_bound_end_in_rounding_toward_zero() {
    let mechanism = mechanism(100, 1);
    let input: Vec<f32> = (0..100)
        .map(|i| if i % 2 == 0 { 0.0999 } else { -0.0999 })
        .collect();
    let mut rng = Stuck(0);
    let up = rounded_up(&input, &mechanism);
    assert!(squared_norm(&up) > mechanism.squared_sensitivity());
    let values = quantised(&input, &mechanism, &mut rng);
    for (value, x) in values.iter().zip(&input) {
        assert_eq!(
            f64::from(*value),
            (f64::from(*x) * f64::from(mechanism.steps)).trunc()
        );
    }
    assert!(values.iter().any(|v| *v > 0) && values.iter().any(|v| *v < 0));
}

fn rounded_up(input: &[f32], mechanism: &Mechanism) -> Vec<i32> {
    let mut values = vec![0; input.len()];
    rounding::stochastic(input, 1.0, mechanism.steps, &mut Stuck(0), &mut values);
    values
}

#[test]
fn a_vector_no_rounding_brings_within_the_bound_becomes_zero() {
    let update = within(99, &clipped(&[1.0, 0.0]), 10, &mut seeded(3));
    assert_eq!(update.values(), [0, 0]);
    assert_eq!(
        within(100, &clipped(&[1.0, 0.0]), 10, &mut seeded(3)).values(),
        [10, 0]
    );
}

#[test]
fn every_draw_takes_one_word_per_coordinate_whatever_the_data() {
    let mechanism = mechanism(320, 1_000);
    let sparse: Vec<f32> = (0..320u16)
        .map(|i| if i % 40 == 0 { 0.1 } else { 0.0 })
        .collect();
    let spread: Vec<f32> = (0..320u16).map(|i| f32::from(i) / 6_000.0).collect();
    for input in [
        vec![0.0; 320],
        sparse,
        spread,
        vec![f32::NAN; 320],
        vec![1.0; 3],
        vec![f32::MAX; 320],
    ] {
        let mut rng = Metered::new(4);
        quantised(&input, &mechanism, &mut rng);
        assert_eq!(rng.bytes, 4 * 320, "one draw each, with this seed");
    }
    let mut rng = Metered::new(5);
    within(0, &clipped(&[1.0; 10]), 10, &mut rng);
    assert_eq!(rng.bytes, REDRAWS_MAX * 4 * 10);
}

#[test]
fn redraws_are_as_rare_as_stated() {
    let mechanism = mechanism(6_400, 440);
    let mut rng = Metered::new(6);
    let (mut spread, mut halves) = (0, 0);
    for _ in 0..500 {
        let input: Vec<f32> = (0..6_400)
            .map(|_| (rng.next_u32() >> 8) as f32 / 2f32.powi(24) - 0.5)
            .collect();
        let draws = |input: &[f32], rng: &mut Metered| {
            let before = rng.bytes;
            quantised(input, &mechanism, rng);
            (rng.bytes - before) / (4 * 6_400)
        };
        spread += draws(&input, &mut rng) - 1;
        // Every fraction is one half and the norm exactly 1: (5.5 / 440)^2 times 6400.
        halves += draws(&[5.5 / 440.0; 6_400], &mut rng) - 1;
    }
    println!("redraws of 500: spread {spread}, halves {halves}");
    // Poisson of mean about 1, and about 80 with standard deviation 10: false alarm below 1e-6 for
    // a fresh seed.
    assert!(spread < 15 && (20..150).contains(&halves));
}

#[test]
fn debug_shows_the_length_only() {
    let mechanism = mechanism(3, 90);
    let raw = || ItemGradient::new(vec![0.123, 0.0, 0.0]);
    assert_eq!(format!("{:?}", raw()), "ItemGradient(N=3)");
    assert_eq!(
        format!("{:?}", clip(raw(), &mechanism)),
        "ClippedGradient(N=3, norm<=1)"
    );
    let update = quantise(clip(raw(), &mechanism), &mechanism, &mut seeded(1));
    assert_eq!(format!("{update:?}"), "QuantisedUpdate(N=3)");
}

proptest! {
    /// HOSTILE 37.
    #[test]
    fn every_vector_ends_within_the_bound_and_next_to_where_it_was(
        input in proptest::collection::vec(
            prop_oneof![
                4 => -1.0f32..1.0,
                1 => proptest::num::f32::ANY,
                1 => Just(0.0f32),
                1 => Just(f32::MAX),
            ],
            1..200,
        ),
        steps in 1u32..1 << 20,
        seed in any::<u64>(),
        stuck in any::<bool>(),
    ) {
        let mechanism = mechanism(input.len(), steps);
        let values = if stuck {
            quantised(&input, &mechanism, &mut Stuck(if seed % 2 == 0 { 0 } else { 255 }))
        } else {
            quantised(&input, &mechanism, &mut seeded(seed))
        };
        prop_assert!(squared_norm(&values) <= mechanism.squared_sensitivity());
        let clipped = multiplied(&clip(ItemGradient::new(input.clone()), &mechanism));
        for ((&value, &x), &raw) in values.iter().zip(&clipped).zip(&input) {
            let scaled = x * f64::from(mechanism.steps);
            let neighbours = [scaled.floor(), scaled.ceil()];
            prop_assert!(neighbours.contains(&f64::from(value)), "{} {}", value, scaled);
            prop_assert!(value == 0 || (raw.is_finite() && raw != 0.0));
        }
    }
}
