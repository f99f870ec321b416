//! Crafted tickets and models, served by the coordinator with both signatures where they matter:
//! the installation refuses each with its reason, reserves nothing and sends nothing. HOSTILE 126
//! for the model kept on the device.

use tacit_model::Model;
use tacit_model::family::spectral::SpectralModel;
use tacit_model::family::weighted::WeightedTerms;
use tacit_privacy::Tier;
use tacit_privacy::canonical::{self, digest};
use tacit_privacy::ledger::Refusal;
use tacit_proto::v2;
use tacit_round::device::Outcome;
use tacit_round::keys::{Context, SigningKey};
use tacit_round::policy::{FREE_ROUNDS_MAX, FactorFault, Policy, TicketRefusal};
use tacit_round::ticket::{Kind, Ticket};
use tacit_sdk::{Recommender, SdkError, Store};
use tacit_tests::kept_model;
use tacit_tests::stand_in::{
    Round, Script, StandIn, consistency, coordinator_key, helper_key, logged, sign, to_proto,
};
use tacit_types::{Digest, RoundId, Timestamp};
use tacit_wire::clock;
use tempfile::TempDir;

use crate::{contributions, enrolled, outcome, step};

pub(crate) const ITEMS: u32 = 40;

/// Bytes of a model with these factors, (items, columns), over the whole catalogue.
pub(crate) fn model(columns: &[fn(u32) -> f32]) -> Vec<u8> {
    let mut bytes = b"TCTSPEC1".to_vec();
    let sizes = [ITEMS, ITEMS, u32::try_from(columns.len()).unwrap(), 0];
    sizes
        .iter()
        .for_each(|size| bytes.extend_from_slice(&size.to_le_bytes()));
    let counts = [0.0f32; 2].into_iter().chain((0..ITEMS).map(|_| 1.0));
    counts.for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
    (0..ITEMS).for_each(|item| bytes.extend_from_slice(&item.to_le_bytes()));
    for item in 0..ITEMS {
        columns
            .iter()
            .for_each(|column| bytes.extend_from_slice(&column(item).to_le_bytes()));
    }
    bytes
}

/// 1 / sqrt(20): a column of norm 1 over half the items.
const UNIT: f32 = 0.223_606_8;

pub(crate) fn even(item: u32) -> f32 {
    if item.is_multiple_of(2) { UNIT } else { 0.0 }
}

pub(crate) fn odd(item: u32) -> f32 {
    UNIT - even(item)
}

/// Orthogonal to [`even`] and [`odd`].
fn turned(item: u32) -> f32 {
    if item.is_multiple_of(4) {
        -even(item)
    } else {
        even(item)
    }
}

pub(crate) fn turned_odd(item: u32) -> f32 {
    if item % 4 == 1 { -odd(item) } else { odd(item) }
}

/// A factor round with its coordinator and an enrolled installation.
pub(crate) struct Fixture {
    pub(crate) round: Round,
    pub(crate) stand_in: StandIn,
    pub(crate) folder: TempDir,
    pub(crate) agent: tacit_sdk::Agent,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut Policy)) -> Self {
        let first = Model::from_bytes(&model(&[even, odd])).unwrap();
        let mut round = Round::of(Kind::FactorGradient, first).unwrap();
        round.policy.honest_max = round.ticket.mechanism.n_min;
        round.policy.history_max = round.ticket.mechanism.history_max;
        round.policy.rounds_max = 8;
        change(&mut round.policy);
        let stand_in = StandIn::start(&round).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let agent = enrolled(&stand_in, folder.path()).await;
        Self {
            round,
            stand_in,
            folder,
            agent,
        }
    }

    fn ticket(&self, change: impl Fn(&mut Ticket)) -> v2::SignedTicket {
        let mut ticket = self.round.ticket.clone();
        change(&mut ticket);
        to_proto(&sign(&ticket).unwrap())
    }

    /// Offers this ticket and gives the reason for which it is refused, having checked that nothing
    /// else happened.
    async fn refused(&self, name: &str, ticket: v2::SignedTicket) -> TicketRefusal {
        let before = self.books();
        self.stand_in
            .script(|script| script.ticket = Some(ticket));
        let outcome = outcome(&self.agent).await;
        assert_eq!(
            self.books(),
            before,
            "{name}: a refused ticket changed something"
        );
        match outcome {
            Some(Outcome::TicketRefused(reason)) => reason,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// Ledger lines, and contributions that arrived.
    pub(crate) fn books(&self) -> (usize, usize) {
        let lines = Store::open(self.folder.path())
            .unwrap()
            .ledger()
            .unwrap()
            .len();
        (lines, contributions(&self.stand_in).len())
    }

    /// A ticket of `round` for the last of these models, with the place of that model in a ledger
    /// of them all.
    fn next(&self, round: u32, models: &[Digest]) -> v2::SignedTicket {
        self.ticket(|ticket| {
            ticket.round = RoundId(round);
            ticket.model_in_hash = *models.last().unwrap();
            ticket.logged = logged(models).unwrap();
        })
    }

    /// Serves an object under the name a ticket may use for it.
    pub(crate) fn serve(&self, bytes: Vec<u8>) -> Digest {
        let hash = digest(&bytes);
        self.stand_in.script(|script| {
            script.objects.insert(hash, bytes.into());
        });
        hash
    }

    pub(crate) fn kept(&self) -> Vec<u8> {
        std::fs::read(kept_model(self.folder.path(), "test")).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crafted_tickets_are_refused_and_cost_nothing() {
    use TicketRefusal::{
        Expired, Mechanism, OutsidePolicy, Signature, Unlogged, Unreadable, Version,
    };
    let fixture = Fixture::new().await;
    type Change = fn(&mut Ticket);
    type Reason = fn(&TicketRefusal) -> bool;
    let cases: [(&str, Change, Reason); 27] = [
        ("schema", |t| t.schema += 1, |r| *r == Version),
        ("scheme", |t| t.scheme_id += 1, |r| *r == Version),
        (
            "latest deadline",
            |t| t.latest_deadline = Timestamp(1),
            |r| *r == Expired,
        ),
        (
            "local tier",
            |t| (t.mechanism.tier, t.mechanism.n_min) = (Tier::Local, 1),
            |r| matches!(r, Mechanism(_) | OutsidePolicy("tier")),
        ),
        (
            "alone",
            |t| t.mechanism.n_min = 1,
            |r| matches!(r, Mechanism(_) | OutsidePolicy("n_min")),
        ),
        (
            "too many hide",
            |t| t.mechanism.n_min += 1,
            |r| *r == OutsidePolicy("n_min"),
        ),
        (
            "history",
            |t| t.mechanism.history_max += 1,
            |r| *r == OutsidePolicy("history_max"),
        ),
        (
            "round 0",
            |t| t.round = RoundId(0),
            |r| *r == OutsidePolicy("round"),
        ),
        (
            "round 9",
            |t| t.round = RoundId(9),
            |r| *r == OutsidePolicy("round"),
        ),
        (
            "round max",
            |t| t.round = RoundId(u32::MAX),
            |r| *r == OutsidePolicy("round"),
        ),
        // HOSTILE 151.
        (
            "free rounds",
            |t| t.free_rounds = FREE_ROUNDS_MAX + 1,
            |r| *r == OutsidePolicy("free_rounds"),
        ),
        (
            "dishonest",
            |t| t.dishonest_milli = 1000,
            |r| *r == OutsidePolicy("dishonest_milli"),
        ),
        (
            "dropout",
            |t| t.dropout_milli = u32::MAX,
            |r| *r == OutsidePolicy("dropout_milli"),
        ),
        (
            "delta",
            |t| t.delta_pico = 10_000_001,
            |r| *r == OutsidePolicy("delta_pico"),
        ),
        (
            "delta 0",
            |t| t.delta_pico = 0,
            |r| *r == OutsidePolicy("delta_pico"),
        ),
        (
            "set",
            |t| t.dishonest_milli = 999,
            |r| *r == OutsidePolicy("cohort_max"),
        ),
        (
            "no key",
            |t| t.sealing_key.clear(),
            |r| *r == OutsidePolicy("sealing_key"),
        ),
        (
            "not hex",
            |t| t.sealing_key.replace_range(0..1, "x"),
            |r| *r == OutsidePolicy("sealing_key"),
        ),
        (
            "price",
            |t| {
                (t.mechanism.steps, t.mechanism.sigma2) =
                    (1 << 20, 16 * u64::from(t.mechanism.n_min))
            },
            |r| *r == OutsidePolicy("rho"),
        ),
        (
            "no noise",
            |t| t.mechanism.sigma2 = 0,
            |r| matches!(r, Mechanism(_)),
        ),
        (
            "too much noise",
            |t| t.mechanism.sigma2 = u64::MAX,
            |r| matches!(r, Mechanism(_)),
        ),
        (
            "coarse",
            |t| t.mechanism.steps = 1,
            |r| matches!(r, Mechanism(_)),
        ),
        (
            "ring",
            |t| t.mechanism.cohort_max = u32::MAX,
            |r| matches!(r, Mechanism(_)),
        ),
        (
            "length",
            |t| t.mechanism.length = 0,
            |r| matches!(r, Mechanism(_)),
        ),
        (
            "unlogged",
            |t| t.model_in_hash = Digest([7; 32]),
            |r| *r == Unlogged,
        ),
        (
            "other line",
            |t| t.logged.line = t.logged.line.replace("\"seq\":0", "\"seq\":1"),
            |r| *r == Unlogged,
        ),
        (
            "head altered",
            |t| t.logged.head.head.root.0[0] ^= 1,
            |r| *r == Unlogged,
        ),
    ];
    for (name, change, reason) in cases {
        let refused = fixture.refused(name, fixture.ticket(change)).await;
        assert!(reason(&refused), "{name}: {refused}");
    }

    let good = to_proto(&fixture.round.signed);
    let bytes = &fixture.round.signed.bytes;
    let foreign = tacit_round::keys::SigningKey::from_seed(&zeroize::Zeroizing::new([9; 32]));
    let signature =
        |key: &tacit_round::keys::SigningKey, purpose| key.sign(purpose, bytes).0.to_vec();
    let (coordinator, helper) = (
        good.coordinator_signature.to_vec(),
        good.helper_signature.to_vec(),
    );
    for (name, coordinator, helper) in [
        ("no coordinator", vec![], helper.clone()),
        ("no helper", coordinator.clone(), vec![]),
        ("short", coordinator[..63].to_vec(), helper.clone()),
        ("zeros", vec![0; 64], vec![0; 64]),
        ("swapped", helper.clone(), coordinator.clone()),
        (
            "foreign coordinator",
            signature(&foreign, Context::Ticket),
            helper.clone(),
        ),
        (
            "foreign helper",
            coordinator.clone(),
            signature(&foreign, Context::Ticket),
        ),
        (
            "the coordinator twice",
            coordinator.clone(),
            signature(&coordinator_key(), Context::Ticket),
        ),
        (
            "another purpose",
            coordinator.clone(),
            signature(&helper_key(), Context::Head),
        ),
    ] {
        let ticket = v2::SignedTicket {
            coordinator_signature: coordinator.into(),
            helper_signature: helper.into(),
            ..good.clone()
        };
        assert_eq!(fixture.refused(name, ticket).await, Signature, "{name}");
    }
    for bytes in [
        vec![],
        b"null".to_vec(),
        vec![b'['; 10_000],
        bytes[1..].to_vec(),
        vec![b' '; 1 << 17],
    ] {
        let ticket = v2::SignedTicket {
            ticket: bytes.clone().into(),
            ..good.clone()
        };
        assert_eq!(fixture.refused("unsigned bytes", ticket).await, Signature);
        let coordinator_signature = coordinator_key()
            .sign(Context::Ticket, &bytes)
            .0
            .to_vec()
            .into();
        let helper_signature = helper_key()
            .sign(Context::Ticket, &bytes)
            .0
            .to_vec()
            .into();
        let ticket = v2::SignedTicket {
            ticket: bytes.into(),
            coordinator_signature,
            helper_signature,
        };
        let refused = fixture.refused("signed bytes", ticket).await;
        assert!(matches!(refused, Unreadable(_)), "{refused}");
    }
    // After all of that it still takes part when it is asked properly.
    fixture
        .stand_in
        .script(|script| script.ticket = Some(good));
    assert_eq!(outcome(&fixture.agent).await, Some(Outcome::Acknowledged));
    assert_eq!(fixture.books(), (1, 1));
}

/// HOSTILE 129.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_of_a_kind_to_come_costs_nothing_and_the_next_is_answered() {
    let fixture = Fixture::new().await;
    let good = to_proto(&fixture.round.signed);
    let text = String::from_utf8(good.ticket.to_vec()).unwrap();
    let bytes = text.replacen("\"kind\":\"factor_gradient\"", "\"kind\":\"agreement\"", 1);
    assert_ne!(bytes, text);
    let sign = |key: &SigningKey| {
        key.sign(Context::Ticket, bytes.as_bytes())
            .0
            .to_vec()
            .into()
    };
    let ticket = v2::SignedTicket {
        coordinator_signature: sign(&coordinator_key()),
        helper_signature: sign(&helper_key()),
        ticket: bytes.clone().into(),
    };
    let refused = fixture.refused("a kind to come", ticket).await;
    assert_eq!(refused, TicketRefusal::UnknownKind);
    assert_eq!(fixture.books(), (0, 0));

    fixture
        .stand_in
        .script(|script| script.ticket = Some(good));
    assert_eq!(outcome(&fixture.agent).await, Some(Outcome::Acknowledged));
    assert_eq!(fixture.books(), (1, 1));
}

/// HOSTILE 34.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn implausible_models_are_refused_and_cost_nothing() {
    use FactorFault::{Norm, NotFinite, OneHot, Shape, Unreadable};
    let fixture = Fixture::new().await;
    let good = fixture.round.model.to_bytes();
    let weighted = Model::weighted_start(&SpectralModel::genesis(ITEMS), WeightedTerms::default());
    for (name, bytes, fault) in [
        ("NaN", model(&[even, |_| f32::NAN]), NotFinite),
        ("infinite", model(&[|_| f32::NEG_INFINITY, odd]), NotFinite),
        ("huge", model(&[|_| f32::MAX, odd]), NotFinite),
        ("long", model(&[|_| 0.9, odd]), Norm),
        (
            "one-hot",
            model(&[even, |item| if item == 7 { 1.0 } else { 0.0 }]),
            OneHot,
        ),
        ("one factor", model(&[even]), Shape),
        ("three factors", model(&[even, odd, turned]), Shape),
        (
            "no factors",
            SpectralModel::genesis(ITEMS).to_bytes(),
            Shape,
        ),
        (
            "another catalogue",
            SpectralModel::genesis(ITEMS + 1).to_bytes(),
            Shape,
        ),
        ("another family", weighted.to_bytes(), Shape),
        ("nothing", vec![], Unreadable),
        ("garbage", vec![b'T'; 5000], Unreadable),
        ("cut", good[..good.len() - 1].to_vec(), Unreadable),
        ("longer", [&good[..], &[0]].concat(), Unreadable),
    ] {
        let hash = fixture.serve(bytes);
        let refused = fixture.refused(name, fixture.next(1, &[hash])).await;
        assert_eq!(refused, TicketRefusal::Factors(fault), "{name}");
    }
    // Not what its hash names, and longer than any model.
    for bytes in [model(&[even, turned]), vec![0; 65 << 20]] {
        let hash = fixture.round.ticket.model_in_hash;
        fixture.stand_in.script(|script| {
            script.objects.insert(hash, bytes.into());
        });
        let refused = fixture
            .refused("another object", fixture.next(1, &[hash]))
            .await;
        assert_eq!(refused, TicketRefusal::Factors(Unreadable));
    }
    fixture
        .stand_in
        .script(|script| *script = Script::offer(&fixture.round));
    for kind in Kind::ALL
        .into_iter()
        .filter(|kind| *kind != fixture.round.ticket.kind)
    {
        let other = fixture.ticket(|ticket| ticket.kind = kind);
        assert_eq!(
            fixture.refused("another kind", other).await,
            TicketRefusal::Factors(Shape),
            "{kind}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_forks_or_goes_back_is_refused() {
    use TicketRefusal::{Forked, RolledBack};
    let fixture = Fixture::new().await;
    let (genesis, first) = (Digest([3; 32]), fixture.round.ticket.model_in_hash);
    fixture
        .stand_in
        .script(|script| script.ticket = Some(fixture.next(1, &[genesis, first])));
    assert_eq!(outcome(&fixture.agent).await, Some(Outcome::Acknowledged));

    let refused = |name, models: &[Digest], proof: Vec<Digest>| {
        let ticket = fixture.next(3, models);
        fixture.stand_in.script(|script| script.proof = proof);
        fixture.refused(name, ticket)
    };
    assert_eq!(refused("shorter", &[first], vec![]).await, RolledBack);
    assert_eq!(
        refused("other past, same size", &[Digest([4; 32]), first], vec![]).await,
        Forked
    );
    let longer = [genesis, first, first];
    let proof = consistency(&longer, 2).unwrap();
    assert_eq!(refused("no proof", &longer, vec![]).await, Forked);
    assert_eq!(
        refused("a hash too many", &longer, [&proof[..], &[first]].concat()).await,
        Forked
    );
    assert_eq!(
        refused("a proof without end", &longer, vec![first; 10_000]).await,
        Forked
    );
    let forked = [Digest([4; 32]), first, first];
    assert_eq!(
        refused("other past", &forked, consistency(&forked, 2).unwrap()).await,
        Forked
    );

    let ticket = fixture.next(2, &longer);
    fixture
        .stand_in
        .script(|script| (script.ticket, script.proof) = (Some(ticket), proof));
    assert_eq!(outcome(&fixture.agent).await, Some(Outcome::Acknowledged));
    assert_eq!(
        refused("the ledger of before", &[genesis, first], vec![]).await,
        RolledBack
    );
    assert_eq!(fixture.books(), (2, 2));
}

/// HOSTILE 126.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_of_a_round_is_kept_and_the_next_is_judged_by_it() {
    let fixture = Fixture::new().await;
    assert_eq!(outcome(&fixture.agent).await, Some(Outcome::Acknowledged));
    assert!(fixture.kept() == model(&[even, odd]));
    let price = fixture.round.ticket.mechanism.rho();
    let status = Recommender::open(fixture.folder.path()).unwrap();
    let status = status
        .privacy_status(fixture.round.policy.budget(), clock::now())
        .unwrap();
    assert_eq!(
        (status.spent, status.window_spent, status.releases),
        (price, price, 1)
    );
    assert_eq!(status.lifetime, fixture.round.policy.rho_lifetime);

    let (first, gone) = (
        fixture.round.ticket.model_in_hash,
        fixture.serve(model(&[turned, turned_odd])),
    );
    let near = fixture.serve(model(&[even, turned_odd]));
    let proof = |last| consistency(&[first, last], 1).unwrap();
    fixture
        .stand_in
        .script(|script| script.proof = proof(gone));
    let refused = fixture
        .refused("nothing is left", fixture.next(2, &[first, gone]))
        .await;
    assert_eq!(refused, TicketRefusal::Factors(FactorFault::Drift));
    assert!(
        fixture.kept() == model(&[even, odd]),
        "a refused model is not kept"
    );
    let next = fixture.next(2, &[first, near]);
    fixture
        .stand_in
        .script(|script| (script.ticket, script.proof) = (Some(next), proof(near)));
    assert_eq!(outcome(&fixture.agent).await, Some(Outcome::Acknowledged));
    assert!(fixture.kept() == model(&[even, turned_odd]));

    // A kept model that is garbage, or a pipe, or a folder, compares with nothing and stops no
    // round.
    let path = kept_model(fixture.folder.path(), "test");
    for (round, other) in [(3, "garbage"), (4, "pipe"), (5, "folder")] {
        std::fs::remove_file(&path).unwrap();
        match other {
            "garbage" => std::fs::write(&path, b"garbage").unwrap(),
            "pipe" => assert!(
                std::process::Command::new("mkfifo")
                    .arg(&path)
                    .status()
                    .unwrap()
                    .success()
            ),
            _ => std::fs::create_dir(&path).unwrap(),
        }
        let opened = Recommender::open(fixture.folder.path()).unwrap();
        assert!(!opened.has_model(), "{other}");
        let ticket = fixture.next(round, &[first, near]);
        fixture
            .stand_in
            .script(|script| script.ticket = Some(ticket));
        assert_eq!(
            outcome(&fixture.agent).await,
            Some(Outcome::Acknowledged),
            "{other}"
        );
        assert!(
            other == "folder" || fixture.kept() == model(&[even, turned_odd]),
            "{other}"
        );
    }

    // One the operating system does not give is not taken for a missing one: what is offered could
    // not be compared, so the step stops before anything is spent.
    let books = fixture.books();
    std::fs::remove_dir_all(&path).unwrap();
    let name = path.file_name().unwrap();
    std::os::unix::fs::symlink(name, &path).unwrap();
    let ticket = fixture.next(6, &[first, near]);
    fixture
        .stand_in
        .script(|script| script.ticket = Some(ticket));
    let stopped = step(&fixture.agent).await;
    assert!(
        matches!(&stopped, Err(SdkError::Stop(reason)) if reason.contains(".bin: ")),
        "{stopped:?}"
    );
    assert_eq!(fixture.books(), books);
}

/// A round this device may not pay for names a model it does not keep: the next is judged by the
/// one before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_spend_does_not_switch_the_drift_check_off() {
    let fixture = Fixture::with(|policy| policy.separation_min = 2).await;
    assert_eq!(outcome(&fixture.agent).await, Some(Outcome::Acknowledged));
    let first = fixture.round.ticket.model_in_hash;
    let (near, gone) = (
        fixture.serve(model(&[even, turned_odd])),
        fixture.serve(model(&[turned, turned_odd])),
    );
    let ticket = fixture.next(2, &[first, near]);
    fixture.stand_in.script(|script| {
        (script.ticket, script.proof) = (Some(ticket), consistency(&[first, near], 1).unwrap());
    });
    assert!(matches!(
        outcome(&fixture.agent).await,
        Some(Outcome::SpendRefused(Refusal::TooSoon(_)))
    ));
    let ledger = [first, near, gone];
    fixture
        .stand_in
        .script(|script| script.proof = consistency(&ledger, 2).unwrap());
    let refused = fixture
        .refused("nothing is left", fixture.next(3, &ledger))
        .await;
    assert_eq!(refused, TicketRefusal::Factors(FactorFault::Drift));
}

/// A device that was away for more than 16 lines of the ledger is not kept out by how far the model
/// has moved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_is_judged_against_recent_models_only() {
    let fixture = Fixture::new().await;
    assert_eq!(outcome(&fixture.agent).await, Some(Outcome::Acknowledged));
    let (first, gone) = (
        fixture.round.ticket.model_in_hash,
        fixture.serve(model(&[turned, turned_odd])),
    );
    let after = |lines: usize| [vec![first; lines], vec![gone]].concat();
    let ledger = after(16);
    fixture
        .stand_in
        .script(|script| script.proof = consistency(&ledger, 1).unwrap());
    let refused = fixture
        .refused("16 lines later", fixture.next(2, &ledger))
        .await;
    assert_eq!(refused, TicketRefusal::Factors(FactorFault::Drift));
    let ledger = after(17);
    let ticket = fixture.next(2, &ledger);
    fixture.stand_in.script(|script| {
        (script.ticket, script.proof) = (Some(ticket), consistency(&ledger, 1).unwrap());
    });
    assert_eq!(outcome(&fixture.agent).await, Some(Outcome::Acknowledged));
    assert!(fixture.kept() == model(&[turned, turned_odd]));
}

/// The last model of a task is offered without a ticket; it must stand in the signed ledger all the
/// same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_last_model_that_nobody_signed_for_is_not_kept() {
    let fixture = Fixture::new().await;
    assert_eq!(outcome(&fixture.agent).await, Some(Outcome::Acknowledged));
    let first = fixture.round.ticket.model_in_hash;
    let last = fixture.serve(model(&[turned, turned_odd]));
    let end = |model, logged: &str, proof: Vec<Digest>| {
        let logged = logged.to_owned().into();
        fixture.stand_in.script(|script| {
            (script.ticket, script.finished) = (None, true);
            (script.model, script.logged, script.proof) = (model, logged, proof);
        });
    };
    let place = |models: &[Digest]| {
        String::from_utf8(canonical::encode(&logged(models).unwrap()).unwrap()).unwrap()
    };
    let proven = consistency(&[first, last], 1).unwrap();
    let good = place(&[first, last]);
    let forked = [Digest([4; 32]), last];
    for (name, logged, proof, reason) in [
        ("nothing", String::new(), vec![], TicketRefusal::Unlogged),
        ("no place", "{}".into(), vec![], TicketRefusal::Unlogged),
        (
            "another model's place",
            place(&[first]),
            vec![],
            TicketRefusal::Unlogged,
        ),
        (
            "altered",
            good.replace("\"seq\":1", "\"seq\":0"),
            proven.clone(),
            TicketRefusal::Unlogged,
        ),
        (
            "another keeper",
            good.replace("coordinator\\\"", "helper\\\""),
            proven.clone(),
            TicketRefusal::Unlogged,
        ),
        (
            "other past",
            place(&forked),
            consistency(&forked, 1).unwrap(),
            TicketRefusal::Forked,
        ),
        ("no proof", good.clone(), vec![], TicketRefusal::Forked),
        (
            "another past of one line",
            place(&[last]),
            vec![],
            TicketRefusal::Forked,
        ),
    ] {
        end(last, &logged, proof);
        let refused = step(&fixture.agent).await.unwrap_err().to_string();
        assert_eq!(
            refused,
            format!("stopped: the published model: {reason}"),
            "{name}"
        );
        assert!(fixture.kept() == model(&[even, odd]), "{name}: it was kept");
    }
    let one_hot = fixture.serve(model(&[|item| f32::from(u8::from(item == 8)), odd]));
    end(
        one_hot,
        &place(&[first, one_hot]),
        consistency(&[first, one_hot], 1).unwrap(),
    );
    let refused = step(&fixture.agent).await.unwrap_err().to_string();
    assert!(
        refused.ends_with(&FactorFault::OneHot.to_string()),
        "{refused}"
    );

    end(last, &good, proven);
    assert!(step(&fixture.agent).await.unwrap().finished);
    assert!(fixture.kept() == model(&[turned, turned_odd]));
    // It is there already: nothing needs to be proven again.
    end(last, "", vec![]);
    assert!(step(&fixture.agent).await.unwrap().finished);
    end(first, &place(&[first]), vec![]);
    let refused = step(&fixture.agent).await.unwrap_err().to_string();
    assert_eq!(
        refused,
        format!(
            "stopped: the published model: {}",
            TicketRefusal::RolledBack
        )
    );
}
