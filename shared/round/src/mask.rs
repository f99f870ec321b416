//! The secure sum: a keyed keystream hides each update, and masks cancel only in the sum of a whole
//! set.

use chacha20::ChaCha20LegacyCore;
use chacha20::cipher::array::Array;
use chacha20::cipher::consts::U64;
use chacha20::cipher::{KeyIvInit, StreamCipherCore};
use hkdf::Hkdf;
use sha2::Sha256;
use tacit_privacy::PrivateUpdate;
use tacit_types::{Commitment, ContributionId, Digest, RoundId, TaskId};
use zeroize::Zeroizing;

use crate::commitment::{CommitmentKey, commit};
use crate::seal::{MaskSeed, SCHEME_ID};

/// Ring elements that may be stored and sent: a private update plus its mask, as little-endian
/// bytes.
///
/// Made only by [`mask`], so nothing but a [`PrivateUpdate`] can become one.
pub struct MaskedUpdate(Vec<u8>);

impl MaskedUpdate {
    /// The bytes as they go over the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The commitment to the bytes under `key`, bound into the sealed seed.
    pub fn commit(&self, key: &CommitmentKey) -> Commitment {
        commit(key, &self.0)
    }
}

/// Adds the mask of `seed` to `update`, modulo 2^32, consuming the update.
pub fn mask(update: PrivateUpdate, seed: &MaskSeed, contribution: ContributionId) -> MaskedUpdate {
    let (task, round) = (update.task().clone(), update.round());
    let mut values = update.into_values();
    add_mask(&mut values, seed, &task, round, contribution);
    MaskedUpdate(
        values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
    )
}

/// Adds one contribution's mask to `sum`: the helper does this for every seed of a set.
///
/// The keystream is ChaCha20 under HKDF-SHA256(seed, scheme | task | round | contribution).
pub fn add_mask(
    sum: &mut [u32],
    seed: &MaskSeed,
    task: &TaskId,
    round: RoundId,
    contribution: ContributionId,
) {
    add_keystream(sum, keystream(seed, task, round, contribution));
}

/// Ring elements in one block of the cipher.
const BLOCK_VALUES: usize = 16;

/// Blocks drawn at a time: a multiple of what any processor computes at once, and little enough to
/// stay in the nearest cache until it is added.
const BLOCKS: usize = 64;

/// Adds a keystream to `sum` as little-endian words.
fn add_keystream(sum: &mut [u32], mut stream: ChaCha20LegacyCore) {
    let mut buffer = Zeroizing::new([Array::<u8, U64>::default(); BLOCKS]);
    for values in sum.chunks_mut(BLOCKS * BLOCK_VALUES) {
        let blocks = &mut buffer[..values.len().div_ceil(BLOCK_VALUES)];
        stream.write_keystream_blocks(blocks);
        let (words, _) = Array::slice_as_flattened(blocks).as_chunks::<4>();
        for (value, word) in values.iter_mut().zip(words) {
            *value = value.wrapping_add(u32::from_le_bytes(*word));
        }
    }
}

/// The cipher itself and not the generator over it, which has no AVX-512 code. It overwrites key
/// and counter when dropped: what it leaves in memory opens nothing.
fn keystream(
    seed: &MaskSeed,
    task: &TaskId,
    round: RoundId,
    contribution: ContributionId,
) -> ChaCha20LegacyCore {
    let scheme = SCHEME_ID.to_le_bytes();
    let info: [&[u8]; 6] = [
        b"tacit mask v2\0",
        &scheme,
        task.as_str().as_bytes(),
        b"\0",
        &round.0.to_le_bytes(),
        &contribution.0,
    ];
    let mut key = Zeroizing::new([0u8; 32]);
    Hkdf::<Sha256>::new(None, seed.0.as_ref())
        .expand_multi_info(&info, key.as_mut())
        .expect("32 bytes is a length HKDF-SHA256 can give");
    cipher(&key)
}

/// ChaCha20 with its counter and its 64-bit nonce at zero.
fn cipher(key: &[u8; 32]) -> ChaCha20LegacyCore {
    ChaCha20LegacyCore::new(key.into(), &[0; 8].into())
}

/// A sum in the ring, fed contribution by contribution in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartialSum(Vec<u32>);

impl PartialSum {
    /// The empty sum of `length` elements.
    pub fn new(length: u32) -> Self {
        Self(vec![0; length as usize])
    }

    /// Restores a sum from [`Self::to_bytes`]; `None` when the byte count is not a multiple of 4.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<4>();
        rest.is_empty().then(|| {
            Self(
                words
                    .iter()
                    .map(|word| u32::from_le_bytes(*word))
                    .collect(),
            )
        })
    }

    /// The elements as little-endian bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds masked bytes. Returns whether they had the right length; nothing is added otherwise.
    pub fn add(&mut self, bytes: &[u8]) -> bool {
        let (words, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() || words.len() != self.0.len() {
            return false;
        }
        for (sum, word) in self.0.iter_mut().zip(words) {
            *sum = sum.wrapping_add(u32::from_le_bytes(*word));
        }
        true
    }

    /// Takes the mask sum off and reads the elements as signed: the noised sum of the set.
    ///
    /// # Guarantees
    /// Equals the integer sum of the contributions when every coordinate stays within (-2^31,
    /// 2^31), which `Mechanism::check` proves from public bounds; minus the helper's noise when it
    /// added its own. `None` when lengths differ.
    pub fn unmask(&self, mask_sum: &Self) -> Option<Vec<i32>> {
        (self.0.len() == mask_sum.0.len()).then(|| {
            self.0
                .iter()
                .zip(&mask_sum.0)
                .map(|(sum, mask)| sum.wrapping_sub(*mask).cast_signed())
                .collect()
        })
    }

    /// Adds one seed's mask, as [`add_mask`].
    pub fn add_mask(
        &mut self,
        seed: &MaskSeed,
        task: &TaskId,
        round: RoundId,
        contribution: ContributionId,
    ) {
        add_mask(&mut self.0, seed, task, round, contribution);
    }

    /// Adds another sum element by element; `false`, adding nothing, when lengths differ.
    pub fn merge(&mut self, other: &Self) -> bool {
        self.add_values(&other.0)
    }

    /// Adds ring elements one by one, such as the helper's noise; `false`, adding nothing, when
    /// lengths differ.
    pub fn add_values(&mut self, values: &[u32]) -> bool {
        if self.0.len() != values.len() {
            return false;
        }
        self.0
            .iter_mut()
            .zip(values)
            .for_each(|(sum, value)| *sum = sum.wrapping_add(*value));
        true
    }
}

/// Digest of a set of contributions: SHA-256 over their ids in ascending order.
pub fn set_digest(ids: impl IntoIterator<Item = ContributionId>) -> Digest {
    let mut ids: Vec<_> = ids.into_iter().collect();
    ids.sort_unstable();
    tacit_privacy::canonical::digest(&ids.iter().flat_map(|id| id.0).collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use tacit_privacy::canonical::digest;

    use super::*;

    fn seed(byte: u8) -> MaskSeed {
        MaskSeed(Zeroizing::new([byte; 32]))
    }

    #[test]
    fn masks_cancel_in_the_sum_of_the_whole_set_only() {
        let task = TaskId::new("films").unwrap();
        let (mut sum, mut masks) = (PartialSum::new(3000), PartialSum::new(3000));
        for device in 0..5u8 {
            let mut values = vec![u32::from(device).wrapping_neg(); 3000];
            add_mask(
                &mut values,
                &seed(device),
                &task,
                RoundId(1),
                ContributionId([device; 16]),
            );
            assert!(
                sum.add(
                    &values
                        .iter()
                        .flat_map(|v| v.to_le_bytes())
                        .collect::<Vec<u8>>()
                )
            );
            if device < 4 {
                masks.add_mask(
                    &seed(device),
                    &task,
                    RoundId(1),
                    ContributionId([device; 16]),
                );
            }
        }
        assert_ne!(sum.unmask(&masks).unwrap()[..8], [-10; 8]);
        masks.add_mask(&seed(4), &task, RoundId(1), ContributionId([4; 16]));
        assert_eq!(sum.unmask(&masks).unwrap(), [-10; 3000]);
    }

    #[test]
    fn the_mask_is_the_ciphers_keystream_by_another_implementation_too() {
        let task = TaskId::new("films").unwrap();
        let mut key = [0; 32];
        let mut info = b"tacit mask v2\0\x02\0\0\0films\0\x07\0\0\0".to_vec();
        info.extend([2; 16]);
        Hkdf::<Sha256>::new(None, &[1; 32])
            .expand(&info, &mut key)
            .unwrap();
        let mut other = rand_chacha::ChaCha20Rng::from_seed(key);
        let mut values = vec![0; 5_000];
        add_mask(
            &mut values,
            &seed(1),
            &task,
            RoundId(7),
            ContributionId([2; 16]),
        );
        let mut bytes = vec![0; 20_000];
        other.fill_bytes(&mut bytes);
        assert_eq!(
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect::<Vec<u8>>(),
            bytes
        );
    }

    /// Computed from RFC 8439, with a 64-bit counter, in another language.
    #[test]
    fn a_known_keystream_comes_out_of_a_known_key() {
        let mut mask = PartialSum::new(118_592);
        let key = std::array::from_fn(|byte| u8::try_from(byte).unwrap());
        add_keystream(&mut mask.0, cipher(&key));
        assert_eq!(
            mask.0[..4],
            [0x7d2b_fd39, 0x6a19_c5d9, 0x7703_bd8d, 0x494a_dcb8]
        );
        assert_eq!(mask.0[118_590..], [0xc66b_cb51, 0x8fbe_a05f]);
        assert_eq!(
            digest(&mask.to_bytes()).to_string(),
            "fea8dc0bee8705e246e44407a6e9b0506f5202371f0dd099c308e30c82148ffb"
        );
    }

    /// Every number of blocks takes its own way through the vector code, with and without a part of
    /// a block behind it.
    #[test]
    fn at_every_length_it_is_the_keystream_of_another_implementation() {
        let key = [7; 32];
        let mut bytes = vec![0; 4 * 2_100];
        rand_chacha::ChaCha20Rng::from_seed(key).fill_bytes(&mut bytes);
        let whole = PartialSum::from_bytes(&bytes).unwrap();
        for length in (0..=1_040).chain(2_030..=2_100) {
            let mut values = vec![0; length];
            add_keystream(&mut values, cipher(&key));
            assert!(values == whole.0[..length], "{length} values");
            add_keystream(&mut values, cipher(&key));
            let doubled = |(value, word): (&u32, &u32)| *value == word.wrapping_mul(2);
            assert!(values.iter().zip(&whole.0).all(doubled), "added, not put");
        }
    }

    #[test]
    fn a_mask_depends_on_task_round_and_contribution() {
        let (films, books) = (TaskId::new("films").unwrap(), TaskId::new("books").unwrap());
        let draw = |task: &TaskId, round, id| {
            let mut values = vec![0; 16];
            add_mask(
                &mut values,
                &seed(1),
                task,
                RoundId(round),
                ContributionId([id; 16]),
            );
            values
        };
        let base = draw(&films, 1, 1);
        assert_eq!(base, draw(&films, 1, 1));
        assert!(
            [draw(&books, 1, 1), draw(&films, 2, 1), draw(&films, 1, 2)]
                .iter()
                .all(|other| *other != base)
        );
    }

    #[test]
    fn bytes_of_another_length_are_not_added() {
        let mut sum = PartialSum::new(2);
        assert!(
            !sum.add(&[1; 7]) && !sum.add(&[1; 4]) && !sum.add(&[]) && sum == PartialSum::new(2)
        );
        assert!(
            PartialSum::from_bytes(&[0; 9]).is_none() && sum.unmask(&PartialSum::new(3)).is_none()
        );
    }

    #[test]
    fn a_set_digest_ignores_order() {
        let (a, b) = (ContributionId([1; 16]), ContributionId([2; 16]));
        assert_eq!(set_digest([a, b]), set_digest([b, a]));
        assert_ne!(set_digest([a]), set_digest([a, b]));
    }
}
