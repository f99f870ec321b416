//! Enrolment under races and repeats: PRIVACY 11.4, a budget moves only by proof of the old key.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use tacit_round::keys::SigningKey;
use tacit_round::token::Token;
use tacit_wire::pki::create_authorities;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::book::SWEPT_AT_ONCE;
use super::*;

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn backend() -> SigningKey {
    SigningKey::from_seed(&Zeroizing::new([9; 32]))
}

struct World {
    folder: TempDir,
    chain: String,
    key: String,
}

impl World {
    fn new() -> Self {
        let made = create_authorities(NOW).unwrap().issuing;
        Self {
            folder: TempDir::new().unwrap(),
            chain: made.chain,
            key: made.key,
        }
    }

    /// One of the processes that share the book; it knows the tokens `[1; 32]` to `[9; 32]`.
    fn enrolment(&self) -> Enrolment {
        let single = (1..10_u8).map(|token| (digest(&[token; 32]), None));
        let issuing = Issuing {
            authority: Authority::from_pem(&self.chain, &self.key).unwrap(),
            tokens: Tokens {
                single: TokenList(single.collect()),
                backend: Some(backend().public()),
            },
            roots: Vec::new(),
        };
        let revoked = Current::default();
        Enrolment::open(issuing.into(), revoked, self.folder.path()).unwrap()
    }
}

fn request() -> Vec<u8> {
    request_for(&KeyPair::generate_for(&PKCS_ED25519).unwrap())
}

fn request_for(key: &KeyPair) -> Vec<u8> {
    let request = CertificateParams::default();
    request.serialize_request(key).unwrap().der().to_vec()
}

fn who(issued: &Issued) -> (DeviceId, LeafKey) {
    let leaf = leaf_of(&issued.chain).unwrap();
    match Peer::from_certificate(&leaf) {
        Some(Peer::Device(device)) => (device, key_of(&leaf).unwrap()),
        other => panic!("{other:?}"),
    }
}

/// HOSTILE 76, 78.
#[test]
fn a_token_works_once_however_often_and_by_however_many_it_is_tried() {
    let world = World::new();
    let processes = [world.enrolment(), world.enrolment()];
    let signed = Token {
        id: [7; 32],
        ends: NOW.plus_millis(DAY_MS),
    };
    let signed = signed.sign(&backend());
    for token in [&[1; 32][..], &signed] {
        let barrier = Barrier::new(8);
        let tried: Vec<_> = thread::scope(|scope| {
            let one = |number: usize| {
                let (enrolment, barrier) = (&processes[number % 2], &barrier);
                scope.spawn(move || {
                    let request = request();
                    barrier.wait();
                    (enrolment.enrol(token, &request, NOW).ok(), request)
                })
            };
            let threads: Vec<_> = (0..8).map(one).collect();
            let ended = threads
                .into_iter()
                .map(|thread| thread.join().unwrap());
            ended.collect()
        });
        let won: Vec<_> = tried
            .iter()
            .filter(|(issued, _)| issued.is_some())
            .collect();
        assert_eq!(won.len(), 1);
        let (issued, request) = won[0];
        let chain = &issued.as_ref().unwrap().chain;
        let again = processes[1].enrol(token, request, NOW).unwrap();
        assert_eq!(again.chain, *chain, "asked again, the same certificate");
    }

    let over = processes[0].enrol(&signed, &request(), NOW.plus_millis(2 * DAY_MS));
    assert!(matches!(over, Err(EnrolError::Token)));
    for guess in 0..1000_u32 {
        let token = digest(&guess.to_le_bytes()).0;
        let refused = processes[0].enrol(&token, &request_of(), NOW);
        assert!(matches!(refused, Err(EnrolError::Token)));
    }
}

/// A request that is never looked at.
fn request_of() -> Vec<u8> {
    vec![0x30; 200]
}

/// PRIVACY 11.4: of an installation and its copy that renew at once, in two processes, one goes on
/// and the other is told; no certificate of the loser's is ever let in.
#[test]
fn of_two_copies_that_renew_at_once_one_goes_on() {
    let world = World::new();
    let processes = [world.enrolment(), world.enrolment()];
    for round in 1..9_u8 {
        let first = processes[0]
            .enrol(&[round; 32], &request(), NOW)
            .unwrap();
        let (device, old) = who(&first);
        let barrier = Barrier::new(2);
        let renewed: Vec<Option<LeafKey>> = thread::scope(|scope| {
            let copy = |number: usize| {
                let (enrolment, barrier) = (&processes[number], &barrier);
                scope.spawn(move || {
                    let request = request();
                    barrier.wait();
                    let issued = enrolment.renew(device, &old, &request, NOW).ok()?;
                    let (same, next) = who(&issued);
                    assert_eq!(same, device);
                    // Its first use ends the old certificate.
                    enrolment.admit(device, &next).ok().map(|()| next)
                })
            };
            let threads = [copy(0), copy(1)];
            threads.map(|thread| thread.join().unwrap()).to_vec()
        });
        let inside: BTreeSet<LeafKey> = renewed
            .into_iter()
            .flatten()
            .filter(|key| processes[0].admit(device, key).is_ok())
            .collect();
        assert_eq!(inside.len(), 1, "round {round}");
        for enrolment in &processes {
            assert!(matches!(
                enrolment.admit(device, &old),
                Err(EnrolError::Replaced)
            ));
            let again = enrolment.renew(device, &old, &request(), NOW);
            assert!(matches!(again, Err(EnrolError::Replaced)));
        }
    }
}

/// PRIVACY 11.4: between the look at the old key and the note of the next, another may have gone
/// on.
#[test]
fn a_renewal_that_was_overtaken_notes_nothing() {
    let world = World::new();
    let enrolment = world.enrolment();
    let (device, old) = who(&enrolment.enrol(&[1; 32], &request(), NOW).unwrap());
    let (_, next) = who(&enrolment.renew(device, &old, &request(), NOW).unwrap());
    let late = given(
        &enrolment
            .renew(device, &old, &request(), NOW)
            .unwrap()
            .chain,
    )
    .unwrap();
    assert!(matches!(
        enrolment.admit(device, &next),
        Err(EnrolError::Replaced)
    ));
    enrolment.admit(device, &late.key).unwrap();
    let rows = enrolment.book.rows();
    assert!(!rows.expect(device, &old, &late).unwrap());
    assert!(!rows.advance(device, &next).unwrap());
    drop(rows);
    enrolment.admit(device, &late.key).unwrap();
}

/// What is stated of retention: for what a token was used is forgotten, that it was used is not; a
/// token that ended and a device that can come back no more leave nothing; a tombstone stays.
#[test]
fn what_is_needed_no_more_is_forgotten_and_nothing_else() {
    let world = World::new();
    let enrolment = world.enrolment();
    let signed = Token {
        id: [7; 32],
        ends: NOW.plus_millis(DAY_MS),
    };
    let signed = signed.sign(&backend());
    let asked = request();
    let first = enrolment.enrol(&[1; 32], &asked, NOW).unwrap();
    let other = enrolment.enrol(&signed, &request(), NOW).unwrap();
    let left = enrolment.enrol(&[2; 32], &request(), NOW).unwrap();
    let ((first, first_key), (other, _), (left, left_key)) = (who(&first), who(&other), who(&left));
    enrolment.leave(left, &left_key).unwrap();

    let after = |days: u64| NOW.plus_millis(days * DAY_MS);
    assert_eq!(enrolment.sweep(30, after(0)).unwrap(), 0);
    // The signed token ended after a day.
    assert_eq!(enrolment.sweep(30, after(2)).unwrap(), 1);
    enrolment.enrol(&[1; 32], &asked, after(29)).unwrap();
    // What the first token was used for, and no more.
    assert_eq!(enrolment.sweep(30, after(31)).unwrap(), 1);
    let again = enrolment.enrol(&[1; 32], &asked, after(31));
    assert!(matches!(again, Err(EnrolError::Token)), "it stays used");
    enrolment.admit(first, &first_key).unwrap();

    // Certificates of 30 days, and a grace of 60 after them.
    assert_eq!(enrolment.sweep(30, after(89)).unwrap(), 0);
    assert_eq!(enrolment.sweep(30, after(91)).unwrap(), 2);
    for gone in [first, other] {
        assert!(enrolment.book.keys(gone).unwrap().is_none());
    }
    let dead = enrolment.admit(left, &left_key);
    assert!(matches!(dead, Err(EnrolError::Left)));
    assert_eq!(enrolment.sweep(30, after(10_000)).unwrap(), 0);
}

/// A key whose certificates are revoked gets no other certificate either. HOSTILE 66.
#[test]
fn a_revoked_key_is_renewed_for_nobody() {
    let world = World::new();
    let enrolment = world.enrolment();
    let issued = enrolment.enrol(&[1; 32], &request(), NOW).unwrap();
    let (device, key) = who(&issued);
    let file = world.folder.path().join("device.crt");
    std::fs::write(&file, &issued.chain).unwrap();

    let mut list = Revoked::default();
    list.insert_key_of(&file).unwrap();
    enrolment.revoked.set(list);
    let refused = enrolment.renew(device, &key, &request(), NOW);
    assert!(matches!(refused, Err(EnrolError::Revoked)));
    let refused = enrolment.admit(device, &key);
    assert!(matches!(refused, Err(EnrolError::Revoked)));
}

/// A key is kept for as long as its last certificate may be renewed, also when that is of the same
/// key.
#[test]
fn a_renewal_of_the_same_key_is_kept_as_long() {
    let world = World::new();
    let enrolment = world.enrolment();
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let asked = request_for(&pair);
    let (device, key) = who(&enrolment.enrol(&[1; 32], &asked, NOW).unwrap());
    let after = |days: u64| NOW.plus_millis(days * DAY_MS);
    enrolment
        .renew(device, &key, &asked, after(20))
        .unwrap();

    enrolment.sweep(30, after(91)).unwrap();
    assert!(enrolment.book.keys(device).unwrap().is_some());
    enrolment.sweep(30, after(111)).unwrap();
    assert!(enrolment.book.keys(device).unwrap().is_none());
}

/// Every call asks for the keys of its device: whoever enrols, or forgets many at once, holds
/// nobody up.
#[test]
fn a_call_is_admitted_while_others_write() {
    let world = World::new();
    let enrolment = world.enrolment();
    let (device, key) = who(&enrolment.enrol(&[1; 32], &request(), NOW).unwrap());
    let rows = enrolment.book.rows();
    let calling = enrolment.clone();
    let called = thread::spawn(move || calling.admit(device, &key).is_ok());
    for _ in 0..1000 {
        if called.is_finished() {
            break;
        }
        thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(called.is_finished(), "it waits for who writes");
    drop(rows);
    assert!(called.join().unwrap());
}

/// A fleet that ended long ago is forgotten in parts, each found by an index and not by looking at
/// everybody.
#[test]
fn a_large_fleet_is_forgotten_in_parts() {
    let world = World::new();
    let enrolment = world.enrolment();
    let file = world.folder.path().join("enrolment.sqlite");
    let db = rusqlite::Connection::open(file).unwrap();
    let fleet = 2 * SWEPT_AT_ONCE + 7;
    db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
        INSERT INTO leaves SELECT CAST(i AS BLOB), x'01', NULL, 1 FROM n",
        [fleet],
    )
    .unwrap();
    let (used, ended) = (Timestamp(0), Timestamp(2));
    let first = enrolment.book.rows().sweep(used, ended, NOW);
    let (first, rest) = (first.unwrap(), enrolment.sweep(30, NOW).unwrap());
    assert_eq!(first, SWEPT_AT_ONCE as usize);
    assert_eq!(first + rest, fleet as usize);

    for rows in [
        "leaves WHERE ends < ?1",
        "enrolments WHERE ends < ?1",
        "enrolments WHERE made < ?1 AND chain IS NOT NULL",
    ] {
        let plan = format!("EXPLAIN QUERY PLAN SELECT * FROM {rows} LIMIT 9");
        let plan: String = db.query_row(&plan, [1], |row| row.get(3)).unwrap();
        assert!(plan.contains("INDEX"), "{plan}");
    }
}
