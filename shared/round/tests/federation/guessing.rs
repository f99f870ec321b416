//! What the helper can find out of a vector from all it receives, knowing the mask. HOSTILE 128.

use std::collections::BTreeSet;

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use tacit_privacy::{Mechanism, canonical};
use tacit_round::commitment::{CommitmentKey, commit};
use tacit_types::Commitment;

use crate::deployment::mechanism;

/// Two cells of a catalogue of two items: what a guesser has to find, mask already taken off.
const VECTOR: [i32; 2] = [45, -45];
/// Noise of a standard deviation of 4 or 5 steps stays within this.
const REACH: i32 = 20;

fn bytes(values: [i32; 2]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// Every value a guesser tries: all vectors of the catalogue with all likely noise.
fn guesses() -> impl Iterator<Item = [i32; 2]> {
    let near = |centre: i32| centre - REACH..=centre + REACH;
    near(VECTOR[0]).flat_map(move |first| near(VECTOR[1]).map(move |second| [first, second]))
}

fn found(received: Commitment, hash: impl Fn(&[u8]) -> [u8; 32]) -> Vec<[i32; 2]> {
    guesses()
        .filter(|guess| hash(&bytes(*guess)) == received.0)
        .collect()
}

#[test]
fn a_commitment_is_found_by_guessing_only_with_its_key() {
    let key = CommitmentKey::draw(&mut ChaCha20Rng::seed_from_u64(1));
    let sent = [VECTOR[0] + 3, VECTOR[1] - 7];
    let received = commit(&key, &bytes(sent));

    // The guesses hold the truth, so this search succeeds as soon as the key leaks.
    assert_eq!(found(received, |guess| commit(&key, guess).0), [sent]);

    let zeros = CommitmentKey::from_slice(&[0; 32]).unwrap();
    let other = CommitmentKey::draw(&mut ChaCha20Rng::seed_from_u64(2));
    assert!(found(received, |guess| commit(&zeros, guess).0).is_empty());
    assert!(found(received, |guess| commit(&other, guess).0).is_empty());
    assert!(found(received, |guess| canonical::digest(guess).0).is_empty());
    // What the helper was given before commitments had keys: the search found it.
    let unkeyed = Commitment(canonical::digest(&bytes(sent)).0);
    assert_eq!(found(unkeyed, |guess| canonical::digest(guess).0), [sent]);
}

/// Over fresh keys, the commitments to two vectors look alike: each of their 256 bits is set as
/// often as a fair coin shows heads, within 5 standard deviations, whatever was committed to.
#[test]
fn over_its_keys_a_commitment_does_not_depend_on_the_vector() {
    const DRAWS: u32 = 4_096;
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let mut seen = BTreeSet::new();
    for vector in [[0, 0], VECTOR] {
        let mut set = [0u32; 256];
        for _ in 0..DRAWS {
            let commitment = commit(&CommitmentKey::draw(&mut rng), &bytes(vector));
            assert!(seen.insert(commitment.0), "a commitment came twice");
            for (bit, count) in set.iter_mut().enumerate() {
                *count += u32::from(commitment.0[bit / 8] >> (bit % 8) & 1);
            }
        }
        let (mean, deviation) = (DRAWS / 2, DRAWS.isqrt() / 2);
        let fair = set
            .iter()
            .all(|count| count.abs_diff(mean) <= 5 * deviation);
        assert!(fair, "{vector:?}: {set:?}");
    }
}

#[test]
fn a_catalogue_of_four_items_is_sent_behind_256_bits_of_noise() {
    let four = Mechanism {
        length: 4,
        row_width: 1,
        nnz_max: 4,
        sigma2: 20 * 5,
        ..mechanism(10, 5)
    };
    assert_eq!((four.check(), four.sent_length()), (Ok(()), 86));
}
