//! Random streams by name, so that no result depends on which thread drew first.

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand_chacha::ChaCha8Rng;

/// Use of a stream.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// One device's rounding.
    Rounding = 1,
    /// One stretch of the noise on a sum.
    Noise = 2,
    /// Who drops out of a round.
    Dropout = 3,
    /// One user's random ranking.
    Ranking = 4,
    /// Which ratings are held out together.
    Folds = 5,
    /// Which items a catalogue grew by.
    Growth = 6,
}

/// The stream number `index` of a purpose in a release: a key of its own for (seed, purpose,
/// release).
pub(crate) fn stream(seed: u64, purpose: Purpose, release: u32, index: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8] = purpose as u8;
    key[12..16].copy_from_slice(&release.to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(index);
    rng
}

/// A stream for many words, twice as fast and as reproducible, begun from [`stream`]: what is drawn
/// in a simulation is no secret.
pub(crate) fn fast_stream(
    seed: u64,
    purpose: Purpose,
    release: u32,
    index: u64,
) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::from_rng(&mut stream(seed, purpose, release, index))
}
