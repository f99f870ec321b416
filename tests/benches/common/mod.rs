//! The release both benchmarks measure: a factor gradient of MovieLens-1M shape, 3,706 items by 32
//! factors.

use tacit_privacy::record::TreeHead;
use tacit_privacy::{Mechanism, Tier};
use tacit_round::head::{LoggedLine, SignedHead};
use tacit_round::keys::SignatureBytes;
use tacit_round::seal::{OpeningKey, SCHEME_ID};
use tacit_round::ticket::{Kind, SCHEMA, Ticket};
use tacit_types::{Digest, RoundId, TaskId, Timestamp};

/// Items of the catalogue.
pub(crate) const ITEMS: u32 = 3_706;
/// Factors of an item.
pub(crate) const FACTORS: u32 = 32;
/// Coordinates of one release.
pub(crate) const LENGTH: u32 = ITEMS * FACTORS;

/// Public numbers of the release, with noise shares of `deviation` grid steps.
pub(crate) fn mechanism(deviation: u64) -> Mechanism {
    let n_min = 5_000;
    Mechanism {
        tier: Tier::Helper,
        length: LENGTH,
        row_width: FACTORS,
        row_cap_milli: 1000,
        history_max: 1024,
        nnz_max: 1024 * FACTORS,
        steps: 1024,
        sigma2: deviation * deviation * u64::from(n_min),
        n_min,
        cohort_max: 6_040,
        helper_noise: false,
    }
}

/// A ticket for `key`. Its signatures and its ledger line are not looked at here.
pub(crate) fn ticket(mechanism: Mechanism, key: &OpeningKey) -> Ticket {
    let nothing = SignatureBytes([0; 64]);
    let head = TreeHead {
        ledger_id: Digest([0; 32]),
        generation: 1,
        size: 1,
        root: Digest([0; 32]),
        helper_size: 0,
        helper_last_hash: Digest([0; 32]),
    };
    let head = SignedHead {
        head,
        coordinator_signature: nothing,
        helper_signature: nothing,
    };
    Ticket {
        schema: SCHEMA,
        scheme_id: SCHEME_ID,
        task: TaskId::new("bench").expect("a task name"),
        round: RoundId(1),
        kind: Kind::FactorGradient,
        model_in_hash: Digest([0; 32]),
        logged: LoggedLine {
            line: String::new(),
            seq: 0,
            proof: vec![],
            head,
        },
        mechanism,
        dishonest_milli: 50,
        dropout_milli: 50,
        delta_pico: 10_000_000,
        membership: false,
        hold_out: false,
        free_rounds: 0,
        deadline: Timestamp(0),
        latest_deadline: Timestamp(0),
        sealing_key: hex::encode(key.sealing_key()),
    }
}
