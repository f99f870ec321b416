//! Fixed keys, one policy, one small ledger and one sealed seed, so that a target has something
//! genuine to compare with.

use std::sync::LazyLock;

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use tacit_privacy::canonical::digest;
use tacit_privacy::record::{
    Abandoned, Answered, Charge, Countersigned, Empty, Event, Genesis, Keeper, Line, Release,
    Restored, SCHEMA, TreeHead,
};
use tacit_privacy::{Mechanism, Rho, Tier, merkle};
use tacit_round::head::{self, LoggedLine, SignedHead};
use tacit_round::keys::{Context, SigningKey};
use tacit_round::nobody_entered::NobodyEntered;
use tacit_round::policy::Policy;
use tacit_round::seal::{Binding, MaskSeed, OpeningKey, SCHEME_ID, seal};
use tacit_round::signed_policy::SignedPolicy;
use tacit_round::ticket::{Kind, SignedTicket, Ticket};
use tacit_types::{Commitment, ContributionId, Digest, RoundId, TaskId, Timestamp};
use zeroize::Zeroizing;

/// What cannot fail because nothing outside has a say in it.
const FIXED: &str = "built from fixed values";

pub(super) static COORDINATOR: LazyLock<SigningKey> = LazyLock::new(|| key(1));
pub(super) static HELPER: LazyLock<SigningKey> = LazyLock::new(|| key(2));
pub(super) static PUBLISHER: LazyLock<SigningKey> = LazyLock::new(|| key(3));
pub(super) static OPENING: LazyLock<OpeningKey> =
    LazyLock::new(|| OpeningKey::from_secret(&[4; 32]).expect(FIXED));
pub(super) static TASK: LazyLock<TaskId> = LazyLock::new(|| TaskId::new("films").expect(FIXED));
pub(super) static SEALED: LazyLock<Vec<u8>> =
    LazyLock::new(|| sealed_to(&OPENING.sealing_key()).expect(FIXED));

pub(super) const LEDGER: Digest = Digest([15; 32]);
/// What the helper certified of a round.
const EMPTY: NobodyEntered = NobodyEntered {
    ticket_hash: Digest([17; 32]),
    generation: 1,
};
/// Before the deadline of [`ticket`].
pub(super) const NOW: Timestamp = Timestamp(1_764_000_000_000);

fn key(byte: u8) -> SigningKey {
    SigningKey::from_seed(&Zeroizing::new([byte; 32]))
}

/// A seed sealed to any bytes that call themselves a sealing key, for [`binding`]; `None` when they
/// are none.
pub(super) fn sealed_to(key: &[u8]) -> Option<Vec<u8>> {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let seed = MaskSeed::draw(&mut rng);
    seal(&seed, None, key, &binding(), &mut rng).ok()
}

pub(super) fn binding() -> Binding<'static> {
    Binding {
        task: &TASK,
        round: RoundId(3),
        ticket: Digest([6; 32]),
        length: 320,
        contribution: ContributionId([7; 16]),
        commitment: Commitment([8; 32]),
    }
}

pub(super) fn policy() -> Policy {
    Policy {
        rho_release_max: Rho::saturating_from_units(1 << 66),
        honest_min: 2,
        honest_max: 50,
        history_max: 64,
        rounds_max: 8,
        ..Policy::new(COORDINATOR.public(), HELPER.public(), Rho::MAX, 50)
    }
}

pub(super) fn signed_policy() -> SignedPolicy {
    SignedPolicy::new(&policy(), &PUBLISHER).expect(FIXED)
}

pub(super) fn mechanism() -> Mechanism {
    Mechanism {
        tier: Tier::Helper,
        length: 320,
        row_width: 4,
        row_cap_milli: 1000,
        history_max: 10,
        nnz_max: 16,
        steps: 64,
        sigma2: 5120,
        n_min: 5,
        cohort_max: 100,
        helper_noise: false,
    }
}

/// One line of every kind, the helper's last; the others are one ledger.
pub(super) fn lines() -> Vec<Vec<u8>> {
    let charge = |round: u32| {
        let mechanism = mechanism();
        Charge {
            task: TASK.clone(),
            round: RoundId(round),
            kind: Kind::Counts.as_str().into(),
            ticket_hash: Digest([9; 32]),
            model_in_hash: model(0),
            squared_sensitivity: mechanism.squared_sensitivity(),
            total_variation: 1 << 70,
            rho: mechanism.rho(),
            rho_total: mechanism.rho(),
            mechanism,
            dishonest_milli: 50,
            dropout_milli: 50,
            participation_index: round,
            separation: 1,
            sampler: Charge::SAMPLER.into(),
            rng: Charge::RNG.into(),
            table_hash: Digest([14; 32]),
            build_hash: LEDGER,
            unit: Charge::UNIT.into(),
            adjacency: Charge::ADJACENCY.into(),
        }
    };
    let (set_digest, contributors) = (Digest([10; 32]), 7);
    let events = [
        Event::Genesis(Genesis {
            task: TASK.clone(),
            model_out_hash: model(0),
            catalogue_hash: Digest([11; 32]),
            rho_budget: Rho::saturating_from_units(1 << 66),
        }),
        Event::Release(Box::new(Release {
            charge: charge(1),
            contributors,
            set_digest,
            sum_digest: Digest([12; 32]),
            helper_line_hash: Digest([13; 32]),
            model_out_hash: model(1),
        })),
        Event::Restarted {},
        Event::Abandoned(Box::new(Abandoned {
            charge: charge(2),
            contributors,
            reason: "too few came".into(),
        })),
        Event::Empty(Empty {
            task: TASK.clone(),
            round: RoundId(3),
            ticket_hash: EMPTY.ticket_hash,
            ticket_rho: mechanism().rho(),
            free_rounds: 1,
            reason: "nobody came".into(),
            helper_generation: EMPTY.generation,
            certificate: EMPTY.sign(&HELPER).to_string(),
        }),
        Event::Restored(Restored {
            last_head: first_head(),
            helper_size: 1,
            lost: 0,
        }),
        Event::Countersigned(Countersigned {
            task: TASK.clone(),
            round: RoundId(1),
            ticket_hash: Digest([9; 32]),
            rho: mechanism().rho(),
            participation_index: 1,
        }),
        Event::Answered(Answered {
            task: TASK.clone(),
            round: RoundId(1),
            ticket_hash: Digest([9; 32]),
            contributors,
            set_digest,
            mask_digest: Digest([14; 32]),
        }),
    ];
    let mut prev_hash = Digest([0; 32]);
    let line = |(seq, event)| {
        let helper = matches!(event, Event::Countersigned(_) | Event::Answered(_));
        let keeper = if helper {
            Keeper::Helper
        } else {
            Keeper::Coordinator
        };
        let (ledger_id, time_bucket) = (LEDGER, 490_000);
        let line = Line {
            schema: SCHEMA,
            ledger_id,
            generation: 1,
            seq,
            prev_hash,
            keeper,
            time_bucket,
            event,
        };
        let bytes = line.to_bytes().expect(FIXED);
        prev_hash = digest(&bytes);
        bytes
    };
    (0..).zip(events).map(line).collect()
}

/// The model that line `seq` published.
fn model(seq: u8) -> Digest {
    Digest([16 + seq; 32])
}

/// Leaves of the coordinator's ledger.
pub(super) fn leaves() -> Vec<Digest> {
    lines()[..6]
        .iter()
        .map(|line| merkle::leaf(line))
        .collect()
}

/// A head that a restore names.
fn first_head() -> TreeHead {
    TreeHead {
        ledger_id: LEDGER,
        generation: 1,
        size: 1,
        root: Digest([15; 32]),
        helper_size: 0,
        helper_last_hash: Digest([0; 32]),
    }
}

pub(super) fn tree_head() -> TreeHead {
    let leaves = leaves();
    TreeHead {
        ledger_id: LEDGER,
        generation: 1,
        size: leaves.len() as u64,
        root: merkle::root(&leaves),
        helper_size: 0,
        helper_last_hash: Digest([0; 32]),
    }
}

/// Any head with both signatures.
pub(super) fn sign_head(head: TreeHead) -> SignedHead {
    let by = |key| head::sign(&head, key).expect(FIXED);
    SignedHead {
        coordinator_signature: by(&COORDINATOR),
        helper_signature: by(&HELPER),
        head,
    }
}

pub(super) fn logged(seq: usize) -> LoggedLine {
    LoggedLine {
        line: String::from_utf8(lines()[seq].clone()).expect(FIXED),
        seq: seq as u64,
        proof: merkle::inclusion_proof(&leaves(), seq).expect(FIXED),
        head: sign_head(tree_head()),
    }
}

/// A ticket that [`policy`] takes.
pub(super) fn ticket() -> Ticket {
    Ticket {
        schema: tacit_round::ticket::SCHEMA,
        scheme_id: SCHEME_ID,
        task: TASK.clone(),
        round: RoundId(3),
        kind: Kind::FactorGradient,
        model_in_hash: model(1),
        logged: logged(1),
        mechanism: mechanism(),
        dishonest_milli: 100,
        dropout_milli: 50,
        delta_pico: 10_000_000,
        membership: false,
        hold_out: false,
        free_rounds: 0,
        deadline: NOW.plus_millis(3_600_000),
        latest_deadline: NOW.plus_millis(7_200_000),
        sealing_key: hex::encode(OPENING.sealing_key()),
    }
}

/// Any bytes signed as a ticket by both parties.
pub(super) fn sign_ticket(bytes: &[u8]) -> SignedTicket {
    SignedTicket::new(
        bytes.to_vec(),
        HELPER.sign(Context::Ticket, bytes),
        &COORDINATOR,
    )
}
