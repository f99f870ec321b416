//! Tickets a device must refuse, each for its own reason, before anything is spent.

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use tacit_privacy::canonical::NotCanonical;
use tacit_privacy::mechanism::LENGTH_MAX;
use tacit_privacy::record::Countersigned;
use tacit_privacy::{Mechanism, MechanismError, Rho, Tier, merkle};
use tacit_round::continuity::Continuity;
use tacit_round::device::{Device, Effect, Input, Offer, Outcome};
use tacit_round::keys::{Context, SignatureBytes};
use tacit_round::policy::{FactorFault, LogMark, Policy, TicketRefusal};
use tacit_round::seal::{OpeningKey, SEALING_KEY_LEN};
use tacit_round::signed_policy::{PolicyRefusal, SignedPolicy};
use tacit_round::ticket::{Countersignature, SignedTicket, TICKET_BYTES_MAX, Ticket};
use tacit_types::{Digest, RoundId, TaskId, Timestamp};

use crate::deployment::*;

const NOW: Timestamp = START;

/// The point of the ledger every sound ticket stands at.
fn seen() -> LogMark {
    LogMark {
        ledger_id: LEDGER,
        generation: GENERATION,
        size: TREE_SIZE,
        root: merkle::root(&leaves()),
        model_seq: MODEL_SEQ,
        model: sound().model_in_hash,
        rho_total: Rho::ZERO,
    }
}

/// HOSTILE 168: what a helper shows beside its line is signed only as what it was asked for.
#[test]
fn a_ticket_that_nobody_asked_for_gets_no_signature() {
    let ticket = sound();
    let line = Countersigned {
        task: ticket.task.clone(),
        round: ticket.round,
        ticket_hash: ticket.hash(),
        rho: ticket.mechanism.rho(),
        participation_index: 1,
    };
    let shown = |ticket: &Ticket, asked: &Ticket| {
        let bytes = ticket.to_bytes().unwrap();
        let draft = asked.draft().to_bytes().unwrap();
        Countersignature {
            helper_signature: helper_key().sign(Context::Ticket, &bytes),
            draft_signature: coordinator_key().sign(Context::Draft, &draft),
            bytes,
        }
    };
    let sign = |line: &Countersigned, shown: Countersignature| {
        SignedTicket::of_own_draft(line, shown, &coordinator_key())
    };
    assert_eq!(sign(&line, shown(&ticket, &ticket)), Some(signed(&ticket)));

    let mut weak = ticket.clone();
    weak.mechanism.sigma2 /= 2;
    let of_weak = Countersigned {
        ticket_hash: weak.hash(),
        rho: weak.mechanism.rho(),
        ..line.clone()
    };
    let ticket_for_draft = Countersignature {
        draft_signature: coordinator_key().sign(Context::Ticket, &ticket.to_bytes().unwrap()),
        ..shown(&ticket, &ticket)
    };
    let dearer = Countersigned {
        rho: weak.mechanism.rho(),
        ..line.clone()
    };
    let later = Countersigned {
        round: RoundId(ticket.round.0 + 1),
        ..line.clone()
    };
    let refused = [
        ("another draft", &of_weak, shown(&weak, &ticket)),
        ("another ticket", &line, shown(&weak, &weak)),
        ("no draft", &line, ticket_for_draft),
        ("another price", &dearer, shown(&ticket, &ticket)),
        ("another round", &later, shown(&ticket, &ticket)),
    ];
    for (name, line, shown) in refused {
        assert_eq!(sign(line, shown), None, "{name}");
    }
}

fn sound() -> Ticket {
    let key = OpeningKey::draw(&mut ChaCha20Rng::seed_from_u64(7));
    Ticket {
        sealing_key: hex::encode(key.sealing_key()),
        ..draft(mechanism(10, 5), 100)
    }
}

fn check(ticket: &SignedTicket, policy: &Policy, seen: LogMark) -> Option<TicketRefusal> {
    check_continued(ticket, policy, seen, Vec::new())
}

fn check_continued(
    ticket: &SignedTicket,
    policy: &Policy,
    seen: LogMark,
    shown: impl Into<Continuity>,
) -> Option<TicketRefusal> {
    let ticket = match Device::read(ticket.clone(), policy) {
        Ok(ticket) => ticket,
        Err(refused) => return Some(refused),
    };
    let shown = shown.into();
    let refused = policy.check(&ticket, seen, &shown, NOW).err();
    // The machine says the same and asks for nothing: no spend, no bytes.
    let offer = Offer {
        ticket,
        seen,
        shown,
    };
    let (device, effect) = Device::Idle.handle(Input::Offered(Box::new(offer)), policy, NOW);
    match &refused {
        Some(reason) => {
            assert!(
                matches!(device, Device::Done(Outcome::TicketRefused(said)) if said == *reason)
            );
            assert_eq!(effect, None);
        }
        None => assert!(matches!(effect, Some(Effect::Judge(_)))),
    }
    refused
}

#[test]
fn a_sound_ticket_is_accepted_with_its_place_in_the_ledger() {
    let ticket = Device::read(signed(&sound()), &policy()).unwrap();
    let mark = policy().check(&ticket, LogMark::default(), &Continuity::default(), NOW);
    assert_eq!((ticket.content(), mark), (&sound(), Ok(seen())));
    assert_eq!(check(&signed(&sound()), &policy(), seen()), None);
}

#[test]
fn bytes_behind_the_size_limit_are_never_ignored() {
    let mut ticket = sound();
    let rest = TICKET_BYTES_MAX - ticket.to_bytes().unwrap().len();
    ticket.logged.line.push_str(&"x".repeat(rest));
    let mut bytes = ticket.to_bytes().unwrap();
    assert_eq!(
        (bytes.len(), Ticket::from_bytes(&bytes)),
        (TICKET_BYTES_MAX, Ok(ticket))
    );
    bytes.push(b' ');
    let max = TICKET_BYTES_MAX;
    assert_eq!(
        Ticket::from_bytes(&bytes),
        Err(NotCanonical::TooLong { max })
    );
}

#[test]
fn a_policy_is_taken_from_its_publisher_only() {
    let signed = SignedPolicy::new(&policy(), &key(3)).unwrap();
    assert_eq!(signed.open(&key(3).public()), Ok(policy()));
    assert_eq!(signed.open(&key(4).public()), Err(PolicyRefusal::Signature));
    let text = "no policy".to_owned();
    let signature = key(3).sign(Context::Policy, text.as_bytes());
    let signed = SignedPolicy {
        policy: text,
        signature,
    };
    let refusal = signed.open(&key(3).public()).unwrap_err();
    assert!(
        refusal
            .to_string()
            .starts_with("the publisher signed what is no policy"),
        "{refusal}"
    );
}

#[test]
fn a_policy_of_another_schema_is_refused_by_its_number() {
    for schema in [0, 1, 3] {
        let other = Policy { schema, ..policy() };
        let signed = SignedPolicy::new(&other, &key(3)).unwrap();
        let refused = Err(PolicyRefusal::Version(schema));
        assert_eq!(signed.open(&key(3).public()), refused);
    }
}

#[test]
fn a_policy_says_its_bounds_in_words() {
    let signed = SignedPolicy::new(&policy(), &key(3)).unwrap();
    let written: serde_json::Value = serde_json::from_str(&signed.policy).unwrap();
    let fields = written.as_object().unwrap();
    let worded = |name: &&String| {
        ["largest_", "smallest_"]
            .iter()
            .any(|w| name.starts_with(w))
            || name.ends_with("_required")
    };
    let rest: Vec<&String> = fields.keys().filter(|name| !worded(name)).collect();
    let plain = [
        "coordinator_key",
        "factors",
        "helper_key",
        "schema",
        "serial",
        "window_hours",
    ];
    assert_eq!(rest, plain);
    assert_eq!(fields["smallest_n_min"], policy().honest_min);
}

/// HOSTILE 129.
#[test]
fn a_round_of_a_kind_to_come_is_skipped_when_both_parties_signed_it() {
    let text = String::from_utf8(sound().to_bytes().unwrap()).unwrap();
    let read = |from: &str, to: &str| {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        Device::read(signed_bytes(changed.into_bytes()), &policy()).unwrap_err()
    };
    let kind = "\"kind\":\"factor_gradient\"";
    for to in [
        "\"kind\":\"agreement\"",
        "\"kind\":\"agreement\",\"of_the_kind\":{\"any\":[1]}",
    ] {
        assert_eq!(read(kind, to), TicketRefusal::UnknownKind);
    }
    let long = format!("\"kind\":\"{}\"", "k".repeat(33));
    for to in [
        "\"kind\":\"\"",
        "\"kind\":\"Agreement\"",
        "\"kind\":7",
        long.as_str(),
    ] {
        assert!(
            matches!(read(kind, to), TicketRefusal::Unreadable(_)),
            "{to}"
        );
    }
    // A known kind with a field nobody knows is no ticket to skip but one that cannot be read.
    let more = read(kind, "\"kind\":\"factor_gradient\",\"l\":1");
    assert!(matches!(more, TicketRefusal::Unreadable(_)));

    let mut unsigned = signed_bytes(
        text.replacen("factor_gradient", "agreement", 1)
            .into_bytes(),
    );
    unsigned.helper_signature = SignatureBytes([0; 64]);
    assert_eq!(
        Device::read(unsigned, &policy()),
        Err(TicketRefusal::Signature)
    );
}

#[test]
fn a_ticket_not_signed_by_both_parties_is_refused() {
    let good = signed(&sound());
    let foreign = key(9).sign(Context::Ticket, &good.bytes);
    let nothing = SignatureBytes([0; 64]);
    let (coordinator, helper) = (good.coordinator_signature, good.helper_signature);
    let other_purpose = coordinator_key().sign(Context::Head, &good.bytes);
    for (name, coordinator_signature, helper_signature) in [
        ("no coordinator", nothing, helper),
        ("no helper", coordinator, nothing),
        ("foreign coordinator", foreign, helper),
        ("foreign helper", coordinator, foreign),
        ("swapped", helper, coordinator),
        ("the coordinator twice", coordinator, coordinator),
        ("signed for another purpose", other_purpose, helper),
    ] {
        let ticket = SignedTicket {
            bytes: good.bytes.clone(),
            coordinator_signature,
            helper_signature,
        };
        assert_eq!(
            check(&ticket, &policy(), seen()),
            Some(TicketRefusal::Signature),
            "{name}"
        );
    }
    for at in [0, good.bytes.len() / 2, good.bytes.len() - 1] {
        let mut altered = good.clone();
        altered.bytes[at] ^= 1;
        assert_eq!(
            check(&altered, &policy(), seen()),
            Some(TicketRefusal::Signature),
            "byte {at}"
        );
    }
}

#[test]
fn bytes_that_are_not_a_canonical_ticket_are_refused_even_when_signed() {
    let text = String::from_utf8(sound().to_bytes().unwrap()).unwrap();
    let long = format!(
        "{}{}",
        text,
        " ".repeat(tacit_round::ticket::TICKET_BYTES_MAX)
    );
    for (name, bytes) in [
        ("empty", String::new()),
        ("null", "null".into()),
        ("cut", text[..text.len() - 1].into()),
        ("white space", text.replacen(':', ": ", 1)),
        ("unknown field", text.replacen('{', "{\"aaa\":1,", 1)),
        ("repeated field", text.replacen('{', "{\"deadline\":1,", 1)),
        (
            "fraction",
            text.replacen("\"dishonest_milli\":100", "\"dishonest_milli\":0.5", 1),
        ),
        ("too long", long),
    ] {
        let refused = check(&signed_bytes(bytes.into_bytes()), &policy(), seen());
        assert!(
            matches!(refused, Some(TicketRefusal::Unreadable(_))),
            "{name}: {refused:?}"
        );
    }
}

#[test]
fn a_ticket_outside_version_time_or_policy_is_refused_with_its_reason() {
    use MechanismError::{GridTooCoarse, RingTooSmall, ShareTooLarge, ShareTooSmall};
    use TicketRefusal::{Expired, Mechanism as Unsound, OutsidePolicy, Unlogged, Version};
    type Change = fn(&mut Ticket);
    let cases: [(Change, TicketRefusal); 40] = [
        (|t| t.schema = 1, Version),
        (|t| t.schema = 0, Version),
        (|t| t.scheme_id = 1, Version),
        (|t| t.latest_deadline = NOW, Expired),
        (
            |t| t.latest_deadline = t.deadline,
            OutsidePolicy("latest_deadline"),
        ),
        (
            |t| t.latest_deadline = Timestamp(NOW.0 + 16 * 24 * 3_600_000 + 1),
            OutsidePolicy("latest_deadline"),
        ),
        (
            |t| t.deadline = Timestamp(NOW.0 + 8 * 24 * 3_600_000 + 1),
            OutsidePolicy("deadline"),
        ),
        (
            |t| t.deadline = Timestamp(u64::MAX),
            OutsidePolicy("deadline"),
        ),
        (
            |t| (t.mechanism.tier, t.mechanism.n_min) = (Tier::Local, 1),
            OutsidePolicy("tier"),
        ),
        (|t| t.mechanism.n_min = 1, OutsidePolicy("n_min")),
        (
            |t| {
                t.mechanism = Mechanism {
                    sigma2: 51 << 10,
                    ..mechanism(60, 51)
                }
            },
            OutsidePolicy("n_min"),
        ),
        (
            |t| t.mechanism.history_max = 65,
            OutsidePolicy("history_max"),
        ),
        (|t| t.round = RoundId(0), OutsidePolicy("round")),
        (|t| t.round = RoundId(9), OutsidePolicy("round")),
        (
            |t| t.dishonest_milli = 1000,
            OutsidePolicy("dishonest_milli"),
        ),
        (|t| t.dropout_milli = 1000, OutsidePolicy("dropout_milli")),
        (|t| t.delta_pico = 10_000_001, OutsidePolicy("delta_pico")),
        (|t| t.delta_pico = 0, OutsidePolicy("delta_pico")),
        // Tiny gamma: the finest grid there is, with as little noise as a share may have.
        (
            |t| (t.mechanism.steps, t.mechanism.sigma2) = (1 << 20, 16 * 5),
            OutsidePolicy("rho"),
        ),
        (
            |t| t.mechanism.steps = (1 << 20) + 1,
            Unsound(MechanismError::OutOfRange("steps")),
        ),
        (
            |t| t.dishonest_milli = u32::MAX,
            OutsidePolicy("dishonest_milli"),
        ),
        (|t| t.sealing_key.clear(), OutsidePolicy("sealing_key")),
        (|t| t.sealing_key.truncate(2), OutsidePolicy("sealing_key")),
        // Of the right length, and no key: its numbers are beyond ML-KEM's modulus.
        (
            |t| t.sealing_key = "ff".repeat(SEALING_KEY_LEN),
            OutsidePolicy("sealing_key"),
        ),
        (|t| t.mechanism.sigma2 = 16 * 5, OutsidePolicy("rho")),
        (|t| t.mechanism.sigma2 = 16 * 5 - 1, Unsound(ShareTooSmall)),
        (|t| t.mechanism.sigma2 = 5 << 27, Unsound(ShareTooLarge)),
        (|t| t.mechanism.steps = 19, Unsound(GridTooCoarse)),
        (
            |t| (t.mechanism.cohort_max, t.mechanism.steps) = (1 << 20, 1 << 11),
            Unsound(RingTooSmall),
        ),
        (
            |t| t.mechanism.length = 0,
            Unsound(MechanismError::OutOfRange("length")),
        ),
        (
            |t| t.mechanism.length = LENGTH_MAX + 4,
            Unsound(MechanismError::OutOfRange("length")),
        ),
        (
            |t| t.mechanism.row_width = 3,
            Unsound(MechanismError::OutOfRange("row_width")),
        ),
        (
            |t| t.mechanism.row_cap_milli = 0,
            Unsound(MechanismError::OutOfRange("row_cap_milli")),
        ),
        (
            |t| t.mechanism.row_cap_milli = 1001,
            Unsound(MechanismError::OutOfRange("row_cap_milli")),
        ),
        (
            |t| t.mechanism.history_max = 0,
            Unsound(MechanismError::OutOfRange("history_max")),
        ),
        // A B2_int for fewer or more non-zero numbers than there can be.
        (
            |t| t.mechanism.nnz_max = 0,
            Unsound(MechanismError::OutOfRange("nnz_max")),
        ),
        (
            |t| t.mechanism.nnz_max = LENGTH + 1,
            Unsound(MechanismError::OutOfRange("nnz_max")),
        ),
        (
            |t| t.mechanism.cohort_max = 0,
            Unsound(MechanismError::OutOfRange("cohort_max")),
        ),
        (
            |t| t.mechanism.n_min = 11,
            Unsound(MechanismError::OutOfRange("n_min")),
        ),
        // The model stands in the ledger, and belongs to another task.
        (|t| t.task = TaskId::new("books").unwrap(), Unlogged),
    ];
    for (i, (change, reason)) in cases.into_iter().enumerate() {
        let mut ticket = sound();
        change(&mut ticket);
        assert_eq!(
            check(&signed(&ticket), &policy(), seen()),
            Some(reason),
            "case {i}"
        );
    }
    let poor = Policy {
        rho_release_max: Rho::saturating_from_units(1),
        ..policy()
    };
    assert_eq!(
        check(&signed(&sound()), &poor, seen()),
        Some(OutsidePolicy("rho"))
    );
    let doubtful = Policy {
        dishonest_milli_min: 101,
        ..policy()
    };
    assert_eq!(
        check(&signed(&sound()), &doubtful, seen()),
        Some(OutsidePolicy("dishonest_milli"))
    );
    let wary = Policy {
        helper_noise: true,
        ..policy()
    };
    assert_eq!(
        check(&signed(&sound()), &wary, seen()),
        Some(OutsidePolicy("helper_noise"))
    );
    let mut noisy = sound();
    noisy.mechanism.helper_noise = true;
    assert_eq!(check(&signed(&noisy), &wary, seen()), None);
    let closed = Policy {
        membership: true,
        ..policy()
    };
    assert_eq!(
        check(&signed(&sound()), &closed, seen()),
        Some(OutsidePolicy("membership"))
    );
    assert_eq!(
        check(
            &signed(&Ticket {
                membership: true,
                ..sound()
            }),
            &closed,
            seen()
        ),
        None
    );
}

/// HOSTILE 45.
#[test]
fn a_model_that_is_not_in_the_signed_ledger_is_refused() {
    let (coordinator, helper) = (coordinator_key(), helper_key());
    type Change = fn(&mut Ticket);
    let cases: [(&str, Change); 8] = [
        ("another model", |t| t.model_in_hash = Digest([7; 32])),
        ("line altered", |t| {
            t.logged.line = t
                .logged
                .line
                .replace("\"time_bucket\":500000", "\"time_bucket\":500001")
        }),
        ("proof altered", |t| t.logged.proof[0].0[0] ^= 1),
        ("proof cut", |t| t.logged.proof.truncate(1)),
        ("another place", |t| t.logged.seq = 0),
        ("a place past the end", |t| t.logged.seq = TREE_SIZE),
        ("root altered", |t| t.logged.head.head.root.0[0] ^= 1),
        ("size altered", |t| t.logged.head.head.size += 1),
    ];
    for (name, change) in cases {
        let mut ticket = sound();
        change(&mut ticket);
        assert_eq!(
            check(&signed(&ticket), &policy(), seen()),
            Some(TicketRefusal::Unlogged),
            "{name}"
        );
    }
    for (name, logged) in [
        (
            "head signed by strangers",
            logged(MODEL_SEQ, &key(8), &key(9)),
        ),
        (
            "head signed by the coordinator alone",
            logged(MODEL_SEQ, &coordinator, &coordinator),
        ),
        (
            "head signed by the helper alone",
            logged(MODEL_SEQ, &helper, &helper),
        ),
        (
            "head signatures swapped",
            logged(MODEL_SEQ, &helper, &coordinator),
        ),
        (
            "a line that published nothing",
            logged(0, &coordinator, &helper),
        ),
    ] {
        let ticket = Ticket { logged, ..sound() };
        assert_eq!(
            check(&signed(&ticket), &policy(), seen()),
            Some(TicketRefusal::Unlogged),
            "{name}"
        );
    }
}

#[test]
fn a_ticket_behind_what_the_device_has_seen_is_refused() {
    for seen in [
        LogMark {
            size: TREE_SIZE + 1,
            ..seen()
        },
        LogMark {
            generation: GENERATION + 1,
            ..seen()
        },
        LogMark {
            model_seq: MODEL_SEQ + 1,
            ..seen()
        },
    ] {
        assert_eq!(
            check(&signed(&sound()), &policy(), seen),
            Some(TicketRefusal::RolledBack),
            "{seen:?}"
        );
    }
}

#[test]
fn a_ledger_that_does_not_continue_the_one_seen_is_refused_as_forked() {
    let other = LogMark {
        root: Digest([7; 32]),
        ..seen()
    };
    assert_eq!(
        check(&signed(&sound()), &policy(), other),
        Some(TicketRefusal::Forked),
        "same size"
    );
    // The same lines under another name: a ledger begun anew, to make devices forget what they have
    // seen.
    let renamed = LogMark {
        ledger_id: Digest([7; 32]),
        ..seen()
    };
    assert_eq!(
        check(&signed(&sound()), &policy(), renamed),
        Some(TicketRefusal::Forked),
        "another ledger"
    );
    let all = leaves();
    let earlier = |root| LogMark {
        size: TREE_SIZE - 1,
        root,
        ..seen()
    };
    let last = all.len() - 1;
    let proof = merkle::consistency_proof(&all, last).unwrap();
    let (ticket, policy) = (signed(&sound()), policy());
    let offered = |seen, proof: &[Digest]| check_continued(&ticket, &policy, seen, proof.to_vec());
    let past = merkle::root(&all[..last]);
    assert_eq!(offered(earlier(past), &proof), None);
    assert_eq!(
        offered(earlier(past), &[]),
        Some(TicketRefusal::Forked),
        "no proof"
    );
    assert_eq!(
        offered(earlier(past), &proof[1..]),
        Some(TicketRefusal::Forked),
        "half a proof"
    );
    assert_eq!(
        offered(earlier(Digest([7; 32])), &proof),
        Some(TicketRefusal::Forked),
        "another past"
    );
}

#[test]
fn an_implausible_model_is_refused_before_anything_is_reserved() {
    let bounds = policy().factors;
    let plausible = (1.0, 0.2, Some(0.5));
    assert_eq!(bounds.check(plausible.0, plausible.1, plausible.2), Ok(()));
    for (norm, concentration, drift, fault) in [
        (f64::NAN, 0.2, None, FactorFault::NotFinite),
        (f64::INFINITY, 0.2, None, FactorFault::NotFinite),
        (1.0, f64::NAN, None, FactorFault::NotFinite),
        (1.0, 0.2, Some(f64::NAN), FactorFault::NotFinite),
        (1.06, 0.2, None, FactorFault::Norm),
        (60.0, 0.2, None, FactorFault::Norm),
        (1.0, 1.0, None, FactorFault::OneHot),
        (1.0, 0.2, Some(0.96), FactorFault::Drift),
    ] {
        assert_eq!(
            bounds.check(norm, concentration, drift),
            Err(fault),
            "{norm} {concentration} {drift:?}"
        );
        let offer = Offer {
            ticket: Device::read(signed(&sound()), &policy()).unwrap(),
            seen: seen(),
            shown: Continuity::default(),
        };
        let (device, _) = Device::Idle.handle(Input::Offered(Box::new(offer)), &policy(), NOW);
        let (device, effect) = device.handle(Input::Implausible(fault), &policy(), NOW);
        let refused = Outcome::TicketRefused(TicketRefusal::Factors(fault));
        assert!(matches!(device, Device::Done(outcome) if outcome == refused));
        assert_eq!(effect, None);
    }
}
