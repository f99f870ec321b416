//! Keys, a small ledger, a policy and sound tickets: what every party of a test agrees on.

use tacit_privacy::record::{Event, Genesis, Keeper, Line, TreeHead};
use tacit_privacy::{Mechanism, Rho, Tier, canonical, merkle};
use tacit_round::head::{self, LoggedLine, SignedHead};
use tacit_round::helper::Terms;
use tacit_round::keys::{Context, SigningKey};
use tacit_round::policy::Policy;
use tacit_round::ticket::{Kind, SCHEMA, SignedTicket, Ticket};
use tacit_types::{Digest, RoundId, TaskId, Timestamp};
use zeroize::Zeroizing;

/// When the tests begin.
pub(crate) const START: Timestamp = Timestamp(1_800_000_000_000);
/// Deadline of every ticket.
pub(crate) const DEADLINE: Timestamp = Timestamp(START.0 + 4_000);
pub(crate) const LATEST: Timestamp = Timestamp(START.0 + 8_000);
/// The last moment a contribution is taken.
pub(crate) const LAST_CALL: Timestamp = Timestamp(START.0 + 7_000);
/// Vector length.
pub(crate) const LENGTH: u32 = 64;
/// Position of the line that published the model.
pub(crate) const MODEL_SEQ: u64 = 1;
/// Size of the tree under the head.
pub(crate) const TREE_SIZE: u64 = 3;
/// Name of the ledger.
pub(crate) const LEDGER: Digest = Digest([1; 32]);
/// Generation of the ledger.
pub(crate) const GENERATION: u32 = 2;

pub(crate) fn key(byte: u8) -> SigningKey {
    SigningKey::from_seed(&Zeroizing::new([byte; 32]))
}

pub(crate) fn coordinator_key() -> SigningKey {
    key(1)
}

pub(crate) fn helper_key() -> SigningKey {
    key(2)
}

pub(crate) fn task() -> TaskId {
    TaskId::new("films").unwrap()
}

pub(crate) fn policy() -> Policy {
    let (coordinator, helper) = (coordinator_key().public(), helper_key().public());
    Policy {
        rho_release_max: Rho::saturating_from_units(1 << 66),
        honest_min: 2,
        honest_max: 50,
        dishonest_milli_min: 0,
        history_max: 64,
        rounds_max: 8,
        ..Policy::new(coordinator, helper, Rho::MAX, 50)
    }
}

/// Lines of the ledger: only the one at [`MODEL_SEQ`] published a model.
pub(crate) fn lines() -> Vec<Vec<u8>> {
    let genesis = Genesis {
        task: task(),
        model_out_hash: model(),
        catalogue_hash: Digest([8; 32]),
        rho_budget: Rho::saturating_from_units(1 << 66),
    };
    let events = [
        Event::Restarted {},
        Event::Genesis(genesis),
        Event::Restarted {},
    ];
    let line = |(seq, event)| {
        let line = Line {
            schema: tacit_privacy::record::SCHEMA,
            ledger_id: LEDGER,
            generation: GENERATION,
            seq,
            prev_hash: Digest([3; 32]),
            keeper: Keeper::Coordinator,
            time_bucket: 500_000,
            event,
        };
        line.to_bytes().unwrap()
    };
    (0..).zip(events).map(line).collect()
}

/// Hash of the published model.
pub(crate) fn model() -> Digest {
    Digest([9; 32])
}

/// Leaf hashes of the ledger's lines.
pub(crate) fn leaves() -> Vec<Digest> {
    lines().iter().map(|line| merkle::leaf(line)).collect()
}

/// Line `seq` with its proof under a head of all lines, signed by `coordinator` and `helper`.
pub(crate) fn logged(seq: u64, coordinator: &SigningKey, helper: &SigningKey) -> LoggedLine {
    let (lines, leaves) = (lines(), leaves());
    let at = usize::try_from(seq).unwrap();
    let head = TreeHead {
        ledger_id: LEDGER,
        generation: GENERATION,
        size: TREE_SIZE,
        root: merkle::root(&leaves),
        helper_size: 0,
        helper_last_hash: Digest([0; 32]),
    };
    let coordinator_signature = head::sign(&head, coordinator).unwrap();
    let helper_signature = head::sign(&head, helper).unwrap();
    LoggedLine {
        line: String::from_utf8(lines[at].clone()).unwrap(),
        seq,
        proof: merkle::inclusion_proof(&leaves, at).unwrap(),
        head: SignedHead {
            head,
            coordinator_signature,
            helper_signature,
        },
    }
}

pub(crate) fn mechanism(cohort_max: u32, n_min: u32) -> Mechanism {
    Mechanism {
        tier: Tier::Helper,
        length: LENGTH,
        row_width: 4,
        row_cap_milli: 1000,
        history_max: 10,
        nnz_max: 16,
        steps: 64,
        sigma2: 1024 * u64::from(n_min),
        n_min,
        cohort_max,
        helper_noise: false,
    }
}

/// What the helper countersigns.
pub(crate) fn terms() -> Terms {
    Terms {
        honest_min: 2,
        issuer: None,
        membership_required: false,
    }
}

/// A draft without its sealing key.
pub(crate) fn draft(mechanism: Mechanism, dishonest_milli: u32) -> Ticket {
    Ticket {
        schema: SCHEMA,
        scheme_id: tacit_round::seal::SCHEME_ID,
        task: task(),
        round: RoundId(3),
        kind: Kind::FactorGradient,
        model_in_hash: model(),
        logged: logged(MODEL_SEQ, &coordinator_key(), &helper_key()),
        mechanism,
        dishonest_milli,
        dropout_milli: 50,
        delta_pico: 10_000_000,
        membership: false,
        hold_out: false,
        free_rounds: 0,
        deadline: DEADLINE,
        latest_deadline: LATEST,
        sealing_key: String::new(),
    }
}

/// A ticket signed by both parties.
pub(crate) fn signed(ticket: &Ticket) -> SignedTicket {
    signed_bytes(ticket.to_bytes().unwrap())
}

/// Any bytes signed by both parties as a ticket.
pub(crate) fn signed_bytes(bytes: Vec<u8>) -> SignedTicket {
    let helper = helper_key().sign(Context::Ticket, &bytes);
    SignedTicket::new(bytes, helper, &coordinator_key())
}

/// SHA-256, for tests that name things.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    canonical::digest(bytes)
}
