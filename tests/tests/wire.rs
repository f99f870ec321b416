//! What a device sends says nothing about its history: same calls, same sizes, and bytes that look
//! drawn at random.
//!
//! Through the whole SDK, against a coordinator that records. The statistics cannot show that the
//! masks are secure; they show that nothing was left out of them. Every false-alarm rate is stated.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tacit_model::history::interaction::{Interaction, InteractionKind};
use tacit_privacy::noise::NoiseTable;
use tacit_privacy::{MemoryLedger, ledger};
use tacit_proto::v2::ContributeRequest;
use tacit_proto::v2::contribute_request::Part;
use tacit_round::contribute::contribute;
use tacit_round::device::Outcome;
use tacit_sdk::identity::certificate_path;
use tacit_sdk::{Agent, Consent, Deployment, Store, TableCache, identity};
use tacit_tests::ear::Ear;
use tacit_tests::stand_in::{Call, Round, Said, StandIn};
use tacit_types::{ItemId, Timestamp};
use tacit_wire::clock;

/// Two chunks of 65,536 bytes are not filled: 80,000 bytes.
const ITEMS: u32 = 20_000;
const PROFILES: u32 = 1_000;

fn one(item: u32, value: f32, kind: InteractionKind, at: Option<u64>) -> Interaction {
    Interaction {
        item: ItemId(item),
        timestamp: at.map(Timestamp),
        value,
        kind,
        surface: 0,
    }
}

/// Histories as different as they come; HOSTILE 33, 119, 120.
fn profile(number: u32) -> Vec<Interaction> {
    use InteractionKind::{Purchase, Rating, View};
    let at = Some(1_700_000_000_000 + u64::from(number));
    match number % 10 {
        0 => vec![],
        1 => vec![one(number, 5.0, Rating, at)],
        2 => vec![one(7, 1.0, View, at); 1000],
        3 => (0..2000)
            .map(|i| one(i * 7 % ITEMS, 1.0, View, None))
            .collect(),
        4 => (0..5)
            .map(|i| one(number * 31 + i, 4.0, Rating, at))
            .collect(),
        5 => vec![
            one(ITEMS - 1, 1e6, Purchase, Some(u64::MAX)),
            one(0, -1e6, Purchase, Some(0)),
        ],
        6 => vec![one(1, 0.0, View, None); 3],
        7 => (0..300).map(|i| one(i, 1.0, Rating, at)).collect(),
        8 => vec![one(ITEMS, 5.0, Rating, at), one(u32::MAX, 5.0, Rating, at)],
        _ => (0..50)
            .flat_map(|i| [one(i, 5.0, Rating, at), one(i, 1.0, Rating, None)])
            .collect(),
    }
}

/// Fields of a recorded contribution.
struct Sent {
    id: Vec<u8>,
    sealed: Vec<u8>,
    commitment: Vec<u8>,
    commitment_key: Vec<u8>,
    masked: Vec<u8>,
}

fn read(messages: &[ContributeRequest]) -> Sent {
    let mut sent = Sent {
        id: vec![],
        sealed: vec![],
        commitment: vec![],
        commitment_key: vec![],
        masked: vec![],
    };
    for message in messages {
        match message.part.as_ref().unwrap() {
            Part::Header(header) => {
                sent.id = header.contribution_id.to_vec();
                sent.sealed = header.sealed_seed.to_vec();
                sent.commitment = header.commitment.to_vec();
                sent.commitment_key = header.commitment_key.to_vec();
            }
            Part::Chunk(chunk) => sent.masked.extend_from_slice(chunk),
        }
    }
    sent
}

/// The call with zeros in place of the bytes that must differ: what is left must be the same for
/// everybody.
fn blank(call: &Call) -> Call {
    let mut call = call.clone();
    let Said::Contribute(messages) = &mut call.said else {
        return call;
    };
    for message in messages {
        match message.part.as_mut().unwrap() {
            Part::Header(header) => {
                for field in [
                    &mut header.contribution_id,
                    &mut header.sealed_seed,
                    &mut header.commitment,
                    &mut header.commitment_key,
                ] {
                    *field = vec![0; field.len()].into();
                }
            }
            Part::Chunk(chunk) => *chunk = vec![0; chunk.len()].into(),
        }
    }
    call
}

/// Bytes of the certificates an installation shows, which differ from one to the next: a serial
/// number is written without its leading zeros.
fn certificates(folder: &Path) -> u64 {
    let chain = CertificateDer::pem_file_iter(certificate_path(folder)).unwrap();
    chain.map(|one| one.unwrap().len() as u64).sum()
}

/// Records a profile as the history of 1 to 4 owners, who take turns, and lets all contribute.
fn record(folder: &Path, number: u32) {
    let history = profile(number);
    let owners = 1 + number / 10 % 4;
    for owner in 0..owners {
        let store = Store::open(folder).unwrap();
        let mut store = match owner {
            0 => store,
            _ => store.for_owner(&owner.to_string()).unwrap(),
        };
        let own = history.iter().copied();
        let own = own.skip(owner as usize).step_by(owners as usize);
        store.record(&own.collect::<Vec<_>>()).unwrap();
        store.set_consent(Consent::Contribute).unwrap();
    }
}

/// HOSTILE 119, 176: over a thousand histories, of one owner or of several, a refresh and a round
/// are the same calls of the same sizes, and on the network the same number of bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_histories_send_the_same_calls_of_the_same_sizes() {
    let round = Round::counts(ITEMS).unwrap();
    let stand_in = StandIn::start(&round).await.unwrap();
    let mut ear = Ear::before(&stand_in.deployment.coordinator)
        .await
        .unwrap();
    let mut heard = Deployment::clone(&stand_in.deployment);
    heard.coordinator = ear.address();
    let heard = Arc::new(heard);
    let (folder, tables) = (tempfile::tempdir().unwrap(), TableCache::default());
    let mut uploads = BTreeSet::new();
    let mut passed = BTreeSet::new();
    for number in 0..PROFILES {
        let folder = folder.path().join(number.to_string());
        identity::enrol(&folder, &stand_in.deployment, &[1; 32])
            .await
            .unwrap();
        record(&folder, number);
        let agent = Agent::new(&folder, heard.clone(), tables.clone());
        agent.refresh(clock::now()).await.unwrap();
        let refresh = ear.ended().await.unwrap();
        let step = agent.step(clock::now()).await.unwrap();
        let own = certificates(&folder);
        let round = ear.ended().await.unwrap();
        passed.insert([refresh, round].map(|passed| passed.up.content() - own));
        assert_eq!(
            step.outcome,
            Some(Outcome::Acknowledged),
            "profile {number}"
        );
        uploads.insert((step.bytes_up, step.bytes_down));
    }
    assert_eq!(uploads.len(), 1, "uploads of different length: {uploads:?}");
    assert_eq!(passed.len(), 1, "seen from the network: {passed:?}");

    let recorded = stand_in.recorded();
    assert_eq!(recorded.len(), PROFILES as usize);
    let expected: Vec<Call> = recorded[0].iter().map(blank).collect();
    assert!(matches!(
        expected[..],
        [
            Call {
                said: Said::CheckIn(_),
                ..
            },
            Call {
                said: Said::CheckIn(_),
                ..
            },
            Call {
                said: Said::Fetch(_),
                ..
            },
            _
        ]
    ));
    let mut contributions = Vec::new();
    for (number, calls) in recorded.iter().enumerate() {
        assert!(
            calls.iter().map(blank).eq(expected.iter().cloned()),
            "profile {number} is seen in sizes or fields"
        );
        let Said::Contribute(messages) = &calls[3].said else {
            panic!("profile {number} did not contribute")
        };
        let chunks: Vec<usize> = messages[1..].iter().map(chunk_len).collect();
        assert_eq!(chunks, [65_536, 4 * ITEMS as usize - 65_536]);
        contributions.push(read(messages));
    }
    for (name, field) in [
        (
            "contribution id",
            (|sent| &sent.id) as fn(&Sent) -> &Vec<u8>,
        ),
        ("sealed seed", |sent| &sent.sealed),
        ("commitment", |sent| &sent.commitment),
        ("commitment key", |sent| &sent.commitment_key),
        ("masked bytes", |sent| &sent.masked),
    ] {
        let distinct: BTreeSet<&[u8]> = contributions
            .iter()
            .map(|sent| field(sent).as_slice())
            .collect();
        assert_eq!(
            distinct.len(),
            PROFILES as usize,
            "two devices sent the same {name}"
        );
    }
    assert_uniform(&contributions);
}

fn chunk_len(message: &ContributeRequest) -> usize {
    match message.part.as_ref().unwrap() {
        Part::Chunk(chunk) => chunk.len(),
        Part::Header(_) => 0,
    }
}

/// Chi-square test of each of the four bytes of a ring element, and of what two devices' bytes
/// differ by.
///
/// With 255 degrees of freedom the statistic lies below 161.5 or above 377.2 with probability 1e-6
/// each (Wilson and Hilferty); eight tests: false-alarm rate 1.6e-5.
fn assert_uniform(contributions: &[Sent]) {
    let differences: Vec<Vec<u8>> = contributions
        .chunks_exact(2)
        .map(|pair| {
            pair[0]
                .masked
                .iter()
                .zip(&pair[1].masked)
                .map(|(a, b)| a.wrapping_sub(*b))
                .collect()
        })
        .collect();
    for position in 0..4 {
        let own = chi_square(
            contributions
                .iter()
                .flat_map(|sent| sent.masked.iter().skip(position).step_by(4)),
        );
        let between = chi_square(
            differences
                .iter()
                .flat_map(|bytes| bytes.iter().skip(position).step_by(4)),
        );
        for statistic in [own, between] {
            assert!(
                (161.5..377.2).contains(&statistic),
                "byte {position}: chi-square {statistic:.1}"
            );
        }
    }
}

fn chi_square<'a>(bytes: impl Iterator<Item = &'a u8>) -> f64 {
    let mut counts = [0u32; 256];
    bytes.for_each(|byte| counts[usize::from(*byte)] += 1);
    let expected = counts
        .iter()
        .map(|count| f64::from(*count))
        .sum::<f64>()
        / 256.0;
    counts
        .iter()
        .map(|count| (f64::from(*count) - expected).powi(2) / expected)
        .sum()
}

#[test]
fn the_chi_square_test_sees_unmasked_bytes() {
    let plain: Vec<u8> = (0..40_000u32)
        .map(|i| if i % 50 == 0 { 1 } else { 0 })
        .collect();
    assert!(chi_square(plain.iter()) > 377.2);
    assert!(chi_square([7; 40_000].iter()) > 377.2);
}

/// Cells one of the two chosen histories touches, and cells the other does.
const TOUCHED: [std::ops::Range<usize>; 2] = [0..40, 500..540];

/// Mean of one history's cells minus mean of the other's, as a curious coordinator would take it.
fn feature(values: &[i32]) -> f64 {
    let mean = |cells: &std::ops::Range<usize>| {
        values[cells.clone()]
            .iter()
            .map(|value| f64::from(*value))
            .sum::<f64>()
            / cells.len() as f64
    };
    mean(&TOUCHED[0]) - mean(&TOUCHED[1])
}

/// Learns a threshold from half of each class and gives the share of the other halves it tells
/// right.
fn accuracy(classes: &[Vec<f64>; 2]) -> f64 {
    let half = classes[0].len() / 2;
    let mean = |class: usize| classes[class][..half].iter().sum::<f64>() / half as f64;
    let (threshold, upward) = (f64::midpoint(mean(0), mean(1)), mean(0) > mean(1));
    let right = |class: usize| {
        classes[class][half..]
            .iter()
            .filter(|value| ((**value > threshold) == upward) == (class == 0))
            .count()
    };
    (right(0) + right(1)) as f64 / (2 * half) as f64
}

/// Trained on 100 and 100 contributions of two histories without an item in common, tested on 100
/// and 100: no better than chance within 4 standard errors of 0.5 / sqrt(200). False-alarm rate
/// 6.3e-5.
#[test]
fn masked_contributions_of_two_chosen_histories_cannot_be_told_apart() {
    let round = Round::counts(2000).unwrap();
    let (ticket, hash) = (&round.ticket, round.signed.hash());
    let table = NoiseTable::new(&ticket.mechanism);
    let (mut masked, mut plain) = ([vec![], vec![]], [vec![], vec![]]);
    for class in 0..2 {
        let touched = TOUCHED[class].clone();
        let items = touched
            .clone()
            .map(|item| u32::try_from(item).unwrap());
        let history: Vec<_> = items
            .map(|item| one(item, 5.0, InteractionKind::Rating, None))
            .collect();
        for number in 0..200 {
            let budget = round.policy.budget();
            let (task, mechanism, now) =
                (&ticket.task, &ticket.mechanism, tacit_wire::clock::now());
            let permit = ledger::spend(
                &mut MemoryLedger::default(),
                budget,
                task,
                ticket.round,
                hash,
                mechanism,
                now,
            );
            let history_max = mechanism.history_max as usize;
            let vector = round
                .model
                .vector(ticket.kind, &history, history_max, false)
                .unwrap();
            let sent = contribute(ticket, permit.unwrap().unwrap(), vector, &table, None).unwrap();
            let values: Vec<i32> = sent
                .masked()
                .as_chunks::<4>()
                .0
                .iter()
                .map(|word| i32::from_le_bytes(*word))
                .collect();
            masked[class].push(feature(&values));
            // The control: one vote in each touched cell and a little variation, without a mask.
            let clear: Vec<i32> = (0..2000)
                .map(|cell| i32::from(touched.contains(&cell)) * 9 + number % 3)
                .collect();
            plain[class].push(feature(&clear));
        }
    }
    assert_eq!(
        accuracy(&plain),
        1.0,
        "the distinguisher must see what is not masked"
    );
    let (told, error) = (accuracy(&masked), 0.5 / 200f64.sqrt());
    assert!(
        (told - 0.5).abs() < 4.0 * error,
        "told apart in {told:.3} of the cases"
    );
}
