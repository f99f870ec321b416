//! Adds calibrated noise: the only way to make a [`PrivateUpdate`].
//!
//! Integers only. The production sampler is [`table`] (constant work per draw); [`rejection`] is the exact oracle it is
//! tested against.

pub mod rejection;
pub mod table;

use std::fmt;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tacit_types::{Digest, RoundId, TaskId};
use zeroize::Zeroizing;

use crate::ledger::SpendPermit;
use crate::mechanism::Mechanism;
use crate::quantise::QuantisedUpdate;
pub use table::NoiseTable;

/// 256 fresh bits from the operating system for one release: rounding and noise come from it, and nothing else does.
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
    fn into_streams(self) -> (ChaCha20Rng, ChaCha20Rng) {
        let rounding = ChaCha20Rng::from_seed(*self.0);
        let mut noise = rounding.clone();
        noise.set_stream(1);
        (rounding, noise)
    }
}

/// A vector that may leave the device once masked (helper tier) or as it is (local tier): integers modulo 2^32.
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
        write!(f, "PrivateUpdate({} round {}, N={})", self.task, self.round, self.values.len())
    }
}

impl Drop for PrivateUpdate {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.values);
    }
}

/// Rounds, tests and adds one discrete Gaussian share per coordinate, using the permit up.
///
/// The vector, the noise scale and the price all come from the permit's mechanism, so they cannot disagree. `table` may be
/// shared between releases of the same mechanism because it is public.
///
/// # Guarantees
/// Zero-out adjacency, device-level, squared sensitivity [`Mechanism::squared_sensitivity`]; share variance
/// sigma^2 / n_min per coordinate (PRIVACY: mechanism; Kairouz, Liu & Steinke 2021). Price: [`Mechanism::rho`].
///
/// # Panics
/// If `table` was built for another variance: a programming error that must not release anything.
pub fn privatise(
    gradient: crate::clip::ClippedGradient,
    permit: SpendPermit,
    table: &NoiseTable,
    seed: NoiseSeed,
) -> PrivateUpdate {
    let mechanism = permit.mechanism().clone();
    assert!(table.fits(&mechanism), "the noise table belongs to another mechanism");
    let (mut rounding, mut noise) = seed.into_streams();
    let quantised = crate::quantise::quantise(gradient, &mechanism, &mut rounding);
    let values = add_noise(&quantised, table, &mut noise);
    let (task, round, ticket) = permit.into_parts();
    PrivateUpdate { task, round, ticket, values }
}

fn add_noise(quantised: &QuantisedUpdate, table: &NoiseTable, rng: &mut impl Rng) -> Vec<u32> {
    let mut noise = vec![0i32; quantised.values().len()];
    table.fill(&mut noise, rng);
    let values = quantised.values().iter().zip(&noise).map(|(z, e)| z.wrapping_add(*e).cast_unsigned()).collect();
    zeroize::Zeroize::zeroize(&mut noise);
    values
}

/// Variance of one share as a fraction: (sigma^2, n_min).
pub fn share_variance(mechanism: &Mechanism) -> (u64, u32) {
    (mechanism.sigma2, mechanism.n_min)
}

#[cfg(test)]
mod tests {
    use tacit_types::ItemGradient;

    use super::*;
    use crate::clip::clip;
    use crate::ledger::tests::permit_for;
    use crate::mechanism::tests::example;

    #[test]
    fn two_releases_of_one_vector_differ_and_the_noise_has_the_share_variance() {
        let mechanism = Mechanism { length: 32_000, nnz_max: 320, n_min: 64, ..example() };
        let table = NoiseTable::new(&mechanism);
        let release = || {
            let zero = clip(ItemGradient::new(vec![0.0; 32_000]), &mechanism);
            privatise(zero, permit_for(&mechanism), &table, NoiseSeed::from_os().unwrap()).into_values()
        };
        let (first, second) = (release(), release());
        assert_ne!(*first, *second);
        let variance = first.iter().map(|&v| f64::from(v.cast_signed()).powi(2)).sum::<f64>() / 32_000.0;
        let expected = f64::from(1u32 << 18) / 64.0;
        // Standard error of a sample variance is sqrt(2/n) of it; 6 of those: false alarm about 2e-9.
        assert!((variance / expected - 1.0).abs() < 6.0 * (2.0f64 / 32_000.0).sqrt(), "{variance}");
    }

    #[test]
    #[should_panic(expected = "another mechanism")]
    fn a_table_of_another_variance_releases_nothing() {
        let mechanism = example();
        let table = NoiseTable::new(&Mechanism { sigma2: 1 << 16, ..example() });
        let gradient = clip(ItemGradient::new(vec![0.0; 320]), &mechanism);
        privatise(gradient, permit_for(&mechanism), &table, NoiseSeed::from_os().unwrap());
    }
}
