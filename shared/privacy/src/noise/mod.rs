//! Adds calibrated noise: the only way to make a [`PrivateUpdate`].
//!
//! Integers only. The production sampler is [`table`] (constant work per draw); [`rejection`] is
//! the exact oracle it is tested against.

mod cache;
pub mod rejection;
pub mod table;

use std::{fmt, iter};

use chacha20::ChaCha20Rng;
use rand::{Rng, SeedableRng};
use tacit_types::{Digest, RoundId, TaskId};
use zeroize::Zeroizing;

use crate::ledger::SpendPermit;
use crate::mechanism::{Mechanism, MechanismError};
use crate::quantise::QuantisedUpdate;
pub use cache::TableCache;
pub use table::NoiseTable;

/// 256 fresh bits from the operating system for one release: rounding and noise come from it, and
/// nothing else does.
///
/// There is no other constructor, no `Clone` and no `Serialize`; it is erased when dropped.
pub struct NoiseSeed(Zeroizing<[u8; 32]>);

impl NoiseSeed {
    /// Draws a seed from the operating system.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn from_os() -> Result<Self, rand::rngs::SysError> {
        let mut seed = Zeroizing::new([0u8; 32]);
        rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, seed.as_mut())?;
        Ok(Self(seed))
    }

    /// Two independent streams of this seed: rounding, then noise.
    ///
    /// The seed and both generators (key, counter and buffered keystream) are overwritten when
    /// dropped, by writes the compiler may not leave out. Out of reach: copies it made in registers
    /// or on the stack while moving them, and memory the operating system swapped out or dumped.
    fn into_streams(self) -> (ChaCha20Rng, ChaCha20Rng) {
        let (rounding, mut noise) = (
            ChaCha20Rng::from_seed(*self.0),
            ChaCha20Rng::from_seed(*self.0),
        );
        noise.set_stream(1);
        (rounding, noise)
    }
}

/// A vector that may leave the device once masked (helper tier) or as it is (local tier): integers
/// modulo 2^32.
pub struct PrivateUpdate {
    task: TaskId,
    round: RoundId,
    ticket: Digest,
    values: Vec<u32>,
}

impl PrivateUpdate {
    /// Task the spend was made for.
    pub fn task(&self) -> &TaskId {
        &self.task
    }

    /// Round the spend was made for.
    pub fn round(&self) -> RoundId {
        self.round
    }

    /// Hash of the ticket the spend was made for.
    pub fn ticket(&self) -> Digest {
        self.ticket
    }

    /// The ring elements, giving up the update.
    pub fn into_values(mut self) -> Zeroizing<Vec<u32>> {
        Zeroizing::new(std::mem::take(&mut self.values))
    }
}

impl fmt::Debug for PrivateUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PrivateUpdate({} round {}, N={})",
            self.task,
            self.round,
            self.values.len()
        )
    }
}

impl Drop for PrivateUpdate {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.values);
    }
}

/// Rounds, tests and adds one discrete Gaussian share per coordinate, using the permit up. Zeros
/// behind a short vector get their share too: the update has [`Mechanism::sent_length`] elements.
///
/// The bounds of the vector, the noise scale and the price all come from the permit's mechanism, or
/// nothing is released. `table` may be shared between releases of the same mechanism because it is
/// public.
///
/// # Guarantees
/// Zero-out adjacency, device-level, squared sensitivity [`Mechanism::squared_sensitivity`]; share
/// variance sigma^2 / n_min per coordinate (PRIVACY.md, section 3; Kairouz, Liu & Steinke 2021).
/// Price: [`Mechanism::rho`].
///
/// # Panics
/// If `gradient` was clipped or `table` built for another mechanism: a programming error that must
/// not release anything.
pub fn privatise(
    gradient: crate::clip::ClippedGradient,
    permit: SpendPermit,
    table: &NoiseTable,
    seed: NoiseSeed,
) -> PrivateUpdate {
    let mechanism = permit.mechanism().clone();
    assert!(
        table.fits(&mechanism),
        "the noise table belongs to another mechanism"
    );
    assert!(
        gradient.fits(&mechanism),
        "the vector was clipped for another mechanism"
    );
    let (mut rounding, mut noise) = seed.into_streams();
    let quantised = crate::quantise::quantise(gradient, &mechanism, &mut rounding);
    let length = mechanism.sent_length() as usize;
    let values = add_noise(&quantised, length, table, &mut noise);
    let (task, round, ticket) = permit.into_parts();
    PrivateUpdate {
        task,
        round,
        ticket,
        values,
    }
}

fn add_noise(
    quantised: &QuantisedUpdate,
    length: usize,
    table: &NoiseTable,
    rng: &mut impl Rng,
) -> Vec<u32> {
    let mut noise = Zeroizing::new(vec![0i32; length]);
    table.fill(&mut noise, rng);
    quantised
        .values()
        .iter()
        .chain(iter::repeat(&0))
        .zip(noise.iter())
        .map(|(z, e)| z.wrapping_add(*e).cast_unsigned())
        .collect()
}

/// Draws the noise the helper adds to the sum of one round: the whole variance sigma^2 per
/// coordinate, not a share of it, as ring elements (PRIVACY.md, section 2).
///
/// To be drawn once per round, stored with the answer and never drawn again. With it the guarantee
/// against the coordinator rests on the helper alone, whatever devices the coordinator invents. Its
/// distance from the ideal is part of [`table::release_total_variation`].
///
/// # Errors
/// [`MechanismError`] when `mechanism` is not sound with helper noise.
pub fn helper_noise(
    mechanism: &Mechanism,
    seed: NoiseSeed,
) -> Result<Zeroizing<Vec<u32>>, MechanismError> {
    Mechanism {
        helper_noise: true,
        ..mechanism.clone()
    }
    .check()?;
    let (_, mut rng) = seed.into_streams();
    let mut noise = Zeroizing::new(vec![0i32; mechanism.sent_length() as usize]);
    NoiseTable::for_variance(mechanism.sigma2, 1).fill(&mut noise, &mut rng);
    Ok(Zeroizing::new(
        noise.iter().map(|e| e.cast_unsigned()).collect(),
    ))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::convert::Infallible;

    use rand::TryRng;
    use tacit_types::ItemGradient;

    use super::*;
    use crate::clip::clip;
    use crate::ledger::tests::permit_for;
    use crate::mechanism::VARIANCE_MAX;
    use crate::mechanism::tests::example;

    /// A generator that counts the bytes taken from it.
    pub(crate) struct Metered {
        rng: ChaCha20Rng,
        pub(crate) bytes: usize,
    }

    impl Metered {
        pub(crate) fn new(seed: u64) -> Self {
            Self {
                rng: ChaCha20Rng::seed_from_u64(seed),
                bytes: 0,
            }
        }
    }

    impl TryRng for Metered {
        type Error = Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            self.bytes += 4;
            self.rng.try_next_u32()
        }
        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            self.bytes += 8;
            self.rng.try_next_u64()
        }
        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
            self.bytes += out.len();
            self.rng.try_fill_bytes(out)
        }
    }

    #[test]
    fn the_generator_is_chacha20_and_is_erased_on_drop() {
        fn erased<T: zeroize::ZeroizeOnDrop>(value: T) -> T {
            value
        }
        let (rounding, noise) = NoiseSeed(Zeroizing::new([0; 32])).into_streams();
        let (mut rounding, mut noise) = (erased(rounding), erased(noise));
        // RFC 8439, appendix A.1, test vector 1: the keystream of the zero key.
        let known = [
            0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90, 0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86,
            0xbd, 0x28,
        ];
        let (mut first, mut second) = ([0u8; 16], [0u8; 16]);
        rounding.fill_bytes(&mut first);
        noise.fill_bytes(&mut second);
        assert_eq!(first, known);
        assert_ne!(first, second);
    }

    #[test]
    fn the_helper_adds_the_whole_variance_not_a_share() {
        let mechanism = Mechanism {
            length: 32_000,
            n_min: 64,
            ..example()
        };
        let draw = || helper_noise(&mechanism, NoiseSeed::from_os().unwrap()).unwrap();
        let (first, second) = (draw(), draw());
        assert_eq!(first.len(), 32_000);
        assert_ne!(*first, *second);
        let variance = first
            .iter()
            .map(|&v| f64::from(v.cast_signed()).powi(2))
            .sum::<f64>()
            / 32_000.0;
        // Standard error of a sample variance is sqrt(2/n) of it; 6 of those: false alarm about
        // 2e-9.
        assert!(
            (variance / f64::from(1u32 << 18) - 1.0).abs() < 6.0 * (2.0f64 / 32_000.0).sqrt(),
            "{variance}"
        );
    }

    #[test]
    fn helper_noise_is_refused_for_numbers_no_table_can_hold() {
        let seed = || NoiseSeed::from_os().unwrap();
        let quiet = Mechanism {
            sigma2: 1,
            ..example()
        };
        assert_eq!(
            helper_noise(&quiet, seed()).unwrap_err(),
            MechanismError::ShareTooSmall
        );
        let loud = Mechanism {
            sigma2: VARIANCE_MAX + 1,
            n_min: 90,
            steps: 100,
            ..example()
        };
        assert_eq!(
            helper_noise(&loud, seed()).unwrap_err(),
            MechanismError::HelperNoiseTooLarge
        );
    }

    #[test]
    fn two_releases_of_one_vector_differ_and_the_noise_has_the_share_variance() {
        let mechanism = Mechanism {
            length: 32_000,
            nnz_max: 320,
            n_min: 64,
            ..example()
        };
        let table = NoiseTable::new(&mechanism);
        let release = || {
            let zero = clip(ItemGradient::new(vec![0.0; 32_000]), &mechanism);
            privatise(
                zero,
                permit_for(&mechanism),
                &table,
                NoiseSeed::from_os().unwrap(),
            )
            .into_values()
        };
        let (first, second) = (release(), release());
        assert_ne!(*first, *second);
        let variance = first
            .iter()
            .map(|&v| f64::from(v.cast_signed()).powi(2))
            .sum::<f64>()
            / 32_000.0;
        let expected = f64::from(1u32 << 18) / 64.0;
        // Standard error of a sample variance is sqrt(2/n) of it; 6 of those: false alarm about
        // 2e-9.
        assert!(
            (variance / expected - 1.0).abs() < 6.0 * (2.0f64 / 32_000.0).sqrt(),
            "{variance}"
        );
    }

    #[test]
    fn debug_shows_the_length_only() {
        let table = NoiseTable::new(&example());
        let zero = clip(ItemGradient::new(vec![0.0; 320]), &example());
        let update = privatise(
            zero,
            permit_for(&example()),
            &table,
            NoiseSeed::from_os().unwrap(),
        );
        assert_eq!(format!("{update:?}"), "PrivateUpdate(films round 1, N=320)");
    }

    #[test]
    #[should_panic(expected = "another mechanism")]
    fn a_table_of_another_variance_releases_nothing() {
        let mechanism = example();
        let table = NoiseTable::new(&Mechanism {
            sigma2: 1 << 16,
            ..example()
        });
        let gradient = clip(ItemGradient::new(vec![0.0; 320]), &mechanism);
        privatise(
            gradient,
            permit_for(&mechanism),
            &table,
            NoiseSeed::from_os().unwrap(),
        );
    }

    #[test]
    #[should_panic(expected = "clipped for another mechanism")]
    fn a_vector_of_another_length_releases_nothing() {
        let paid = example();
        let longer = clip(
            ItemGradient::new(vec![0.1; 640]),
            &Mechanism {
                length: 640,
                ..example()
            },
        );
        privatise(
            longer,
            permit_for(&paid),
            &NoiseTable::new(&paid),
            NoiseSeed::from_os().unwrap(),
        );
    }

    #[test]
    #[should_panic(expected = "clipped for another mechanism")]
    fn a_vector_of_another_row_cap_releases_nothing() {
        let paid = Mechanism {
            row_cap_milli: 100,
            ..example()
        };
        let uncapped = clip(ItemGradient::new(vec![0.1; 320]), &example());
        privatise(
            uncapped,
            permit_for(&paid),
            &NoiseTable::new(&paid),
            NoiseSeed::from_os().unwrap(),
        );
    }
}
