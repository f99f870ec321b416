//! Known answers, answers of the HPKE crate, and what must not open.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use tacit_privacy::canonical::digest;
use tacit_round::keys::SigningKey;
use tacit_round::member::{Member, Proof};
use tacit_round::seal::{Binding, ENCAPSULATED_LEN, MaskSeed, SEALED_LEN, seal};
use tacit_types::{Commitment, ContributionId, Digest, RoundId, TaskId};
use x_wing::{Decapsulate, Decapsulator};

use super::*;

/// A vector of draft-connolly-cfrg-xwing-kem, and what another implementation makes of it: the
/// secret after the ciphertext's first bit was turned (implicit rejection), and [`CONTENTS`] sealed
/// under [`INFO`] and [`DATA`] with the secret of the vector.
struct Known {
    key: &'static str,
    encapsulation_seed: &'static str,
    secret: &'static str,
    encapsulated_sha256: &'static str,
    rejected: &'static str,
    sealed: &'static str,
}

const INFO: &[u8] = b"tacit seal v2";
const DATA: &[u8] = b"bound to this";
const CONTENTS: &[u8] = b"what was sealed.";

const KNOWN: [Known; 3] = [
    Known {
        key: "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26",
        encapsulation_seed: "3cb1eea988004b93103cfb0aeefd2a686e01fa4a58e8a3639ca8a1e3f9ae57e2\
            35b8cc873c23dc62b8d260169afa2f75ab916a58d974918835d25e6a435085b2",
        secret: "d2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384",
        encapsulated_sha256: "17cd532d657e44c897ca6583e548a5424fc70bf54f99515a4d2bcf99e3469f33",
        rejected: "0a403cbc6fe416a9d0582a3328819905fb512902a6a52ce32819cf80aaf2a9e8",
        sealed: "f53ae5ecc6eb6a3b58f2c47c319717910f43b6ff901c0b46f77439d88327586b",
    },
    Known {
        key: "badfd6dfaac359a5efbb7bcc4b59d538df9a04302e10c8bc1cbf1a0b3a5120ea",
        encapsulation_seed: "17cda7cfad765f5623474d368ccca8af0007cd9f5e4c849f167a580b14aabdef\
            aee7eef47cb0fca9767be1fda69419dfb927e9df07348b196691abaeb580b32d",
        secret: "f2e86241c64d60f6649fbc6c5b7d17180b780a3f34355e64a85749949c45f150",
        encapsulated_sha256: "1661ea86d608a1924ba30840cb0a65f13ae051e3aec9cf0f064efc0bc92f2154",
        rejected: "efc46cf033ccd2ca213cf5c9b63fcfb0aed0968ec19ca0e401eb31897b0ee680",
        sealed: "9f9c137207b2786e7f26f9e5e606450be671593cf7985db3a99edef5675a0747",
    },
    Known {
        key: "ef58538b8d23f87732ea63b02b4fa0f4873360e2841928cd60dd4cee8cc0d4c9",
        encapsulation_seed: "22a96188d032675c8ac850933c7aff1533b94c834adbb69c6115bad4692d8619\
            f90b0cdf8a7b9c264029ac185b70b83f2801f2f4b3f70c593ea3aeeb613a7f1b",
        secret: "953f7f4e8c5b5049bdc771d1dffada0dd961477d1a2ae0988baa7ea6898d893f",
        encapsulated_sha256: "d3ca5578500344b5896cffc4fd740c9311946b82951df155e6fd86a7966b43c6",
        rejected: "443c07a4a67db9e11088e5fcd89ab0a7cb60a535a56a8aee38248cee3a44badf",
        sealed: "30cf15eb5d1c6a69ba0673eec4f50e3381613d871aace4b53170e39bfcfa2f99",
    },
];

fn opening_key(hexadecimal: &str) -> OpeningKey {
    OpeningKey::from_secret(&hex::decode(hexadecimal).unwrap()).unwrap()
}

/// X-Wing by the crate that the HPKE crate is made of.
fn x_wing(key: &OpeningKey) -> x_wing::DecapsulationKey {
    let secret: [u8; 32] = key.secret().as_slice().try_into().unwrap();
    secret.into()
}

fn encapsulated(known: &Known) -> Vec<u8> {
    let seed: [u8; 64] = hex::decode(known.encapsulation_seed)
        .unwrap()
        .try_into()
        .unwrap();
    let key = x_wing(&opening_key(known.key));
    let made = key.encapsulation_key();
    made.encapsulate_deterministic(&seed.into()).0.to_vec()
}

#[test]
fn the_vectors_of_the_draft_decapsulate() {
    for known in &KNOWN {
        let key = ExpandedKey::new(&opening_key(known.key)).unwrap();
        let mut encapsulated = encapsulated(known);
        assert_eq!(digest(&encapsulated).to_string(), known.encapsulated_sha256);
        let secret = key.decapsulate(&encapsulated).unwrap();
        assert_eq!(hex::encode(*secret), known.secret);
        encapsulated[0] ^= 1;
        let rejected = key.decapsulate(&encapsulated).unwrap();
        assert_eq!(hex::encode(*rejected), known.rejected);
    }
}

#[test]
fn what_another_implementation_sealed_opens() {
    for known in &KNOWN {
        let (encapsulated, sealed) = (encapsulated(known), hex::decode(known.sealed).unwrap());
        let key = opening_key(known.key);
        for opener in [&ExpandedKey::new(&key).unwrap() as &dyn Opener, &key] {
            let opened = opener.open_bytes(&encapsulated, &sealed, INFO, DATA);
            assert_eq!(opened.unwrap().as_slice(), CONTENTS);
        }
    }
}

/// A sealed seed with all that it hangs on.
struct Sealed {
    key: OpeningKey,
    expanded: ExpandedKey,
    task: TaskId,
    contribution: ContributionId,
    bytes: Vec<u8>,
}

impl Sealed {
    /// A random seed under a random key; every other one with a member's proof.
    fn draw(rng: &mut ChaCha20Rng) -> Self {
        let key = OpeningKey::draw(rng);
        let mut sealed = Self {
            expanded: ExpandedKey::new(&key).unwrap(),
            key,
            task: TaskId::new("films").unwrap(),
            contribution: ContributionId(rng.random()),
            bytes: Vec::new(),
        };
        let issuer = SigningKey::from_seed(&Zeroizing::new([4; 32]));
        let member = Member::issue(&issuer, Zeroizing::new(rng.random()));
        let member = rng.random::<bool>().then_some(&member);
        let to = sealed.key.sealing_key();
        let seed = MaskSeed::draw(rng);
        sealed.bytes = seal(&seed, member, &to, &sealed.binding(), rng).unwrap();
        sealed
    }

    fn binding(&self) -> Binding<'_> {
        Binding {
            task: &self.task,
            round: RoundId(7),
            ticket: Digest([1; 32]),
            length: 118_592,
            contribution: self.contribution,
            commitment: Commitment([3; 32]),
        }
    }

    /// Seed and proof as one implementation opens them.
    fn opened(&self, opener: &dyn Opener) -> Option<(Digest, Proof)> {
        let (seed, proof) = opener.open(&self.bytes, &self.binding()).ok()?;
        Some((seed.fingerprint(), proof))
    }
}

#[test]
fn whatever_the_hpke_crate_opens_opens_to_the_same_bytes() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    for case in 0..400 {
        let sealed = Sealed::draw(&mut rng);
        let opened = sealed.opened(&sealed.expanded);
        assert!(opened.is_some(), "seed {case} does not open");
        assert!(opened == sealed.opened(&sealed.key), "seed {case} differs");
    }
}

/// Every byte of KEM ciphertext (both halves), contents and tag.
#[test]
fn a_seed_with_any_byte_changed_does_not_open() {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let mut sealed = Sealed::draw(&mut rng);
    for byte in 0..SEALED_LEN {
        let bit = 1 << (byte % 8);
        sealed.bytes[byte] ^= bit;
        assert!(sealed.opened(&sealed.expanded).is_none(), "byte {byte}");
        sealed.bytes[byte] ^= bit;
    }
    assert!(sealed.opened(&sealed.expanded).is_some());
}

#[test]
fn a_seed_of_another_length_does_not_open() {
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let mut sealed = Sealed::draw(&mut rng);
    let whole = sealed.bytes.clone();
    for length in 0..SEALED_LEN {
        sealed.bytes.truncate(SEALED_LEN - 1 - length);
        assert!(sealed.opened(&sealed.expanded).is_none());
    }
    sealed.bytes = [whole.as_slice(), &[0]].concat();
    assert!(sealed.opened(&sealed.expanded).is_none());

    let (encapsulated, ciphertext) = whole.split_at(ENCAPSULATED_LEN);
    for (cut_key, cut_contents) in [(1, 0), (32, 0), (33, 0), (ENCAPSULATED_LEN, 0), (0, 200)] {
        let encapsulated = &encapsulated[cut_key..];
        let ciphertext = &ciphertext[cut_contents..];
        let opened = sealed
            .expanded
            .open_bytes(encapsulated, ciphertext, b"", b"");
        assert_eq!(opened, Err(SealError), "{cut_key} {cut_contents}");
    }
}

#[test]
fn a_seed_under_another_key_info_or_binding_does_not_open() {
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    let (sealed, other) = (Sealed::draw(&mut rng), Sealed::draw(&mut rng));
    assert!(sealed.opened(&other.expanded).is_none());

    let known = &KNOWN[0];
    let key = ExpandedKey::new(&opening_key(known.key)).unwrap();
    let (encapsulated, contents) = (encapsulated(known), hex::decode(known.sealed).unwrap());
    let opens = |info: &[u8], data: &[u8]| {
        key.open_bytes(&encapsulated, &contents, info, data)
            .is_ok()
    };
    assert!(opens(INFO, DATA));
    for byte in 0..INFO.len() {
        let mut info = INFO.to_vec();
        info[byte] ^= 1;
        assert!(!opens(&info, DATA) && !opens(&INFO[..byte], DATA));
    }
    for byte in 0..DATA.len() {
        let mut data = DATA.to_vec();
        data[byte] ^= 1;
        assert!(!opens(INFO, &data) && !opens(INFO, &DATA[..byte]));
    }
    assert!(!opens(INFO, b"bound to this."));
}

/// ML-KEM's implicit rejection: bytes that nobody encapsulated give the secret that the standard
/// says, so that a difference tells nothing about the key.
#[test]
fn made_up_ciphertexts_give_the_secret_that_x_wing_says() {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let key = OpeningKey::draw(&mut rng);
    let expanded = ExpandedKey::new(&key).unwrap();
    let agree = |encapsulated: [u8; ENCAPSULATED_LEN]| {
        let secret = expanded.decapsulate(&encapsulated).unwrap();
        let expected = x_wing(&key).decapsulate(&encapsulated.into());
        assert_eq!(secret.as_slice(), expected.as_slice());
    };
    for _ in 0..200 {
        agree(rng.random());
    }
    // X25519 takes a coordinate modulo 2^255 - 19 and without its highest bit; the hash takes it
    // as it came.
    let mut largest = [0xff; ENCAPSULATED_LEN];
    agree(largest);
    largest[ENCAPSULATED_LEN - 1] = 0x7f;
    agree(largest);
}

/// Points of low order would make X25519's half of the secret zero.
#[test]
fn an_x25519_share_of_low_order_is_refused() {
    let mut rng = ChaCha20Rng::seed_from_u64(6);
    let sealed = Sealed::draw(&mut rng);
    let prime = |lowest: u8| {
        let mut coordinate = [0xff; 32];
        (coordinate[0], coordinate[31]) = (lowest, 0x7f);
        coordinate
    };
    let mut one = [0; 32];
    one[0] = 1;
    for share in [[0; 32], one, prime(0xec), prime(0xed), prime(0xee)] {
        let mut encapsulated = sealed.bytes[..ENCAPSULATED_LEN].to_vec();
        encapsulated[CIPHERTEXT_M..].copy_from_slice(&share);
        assert!(sealed.expanded.decapsulate(&encapsulated).is_err());
    }
}
