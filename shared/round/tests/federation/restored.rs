//! A ledger that was restored: which devices go on in it, and from which line alone.

use tacit_privacy::record::{Event, Genesis, Keeper, Line, Restored, SCHEMA, TreeHead};
use tacit_privacy::{Rho, canonical, merkle};
use tacit_round::continuity::{Continuity, RestoredLine};
use tacit_round::head::{self, LoggedLine, SignedHead};
use tacit_round::policy::{LogMark, TicketRefusal};
use tacit_types::Digest;

use crate::deployment::*;

const ANOTHER: Digest = Digest([6; 32]);

/// The newest head before the restore: nine lines, of which one is left.
fn last_head() -> TreeHead {
    TreeHead {
        ledger_id: Digest([5; 32]),
        generation: 4,
        size: 9,
        root: Digest([7; 32]),
        helper_size: 3,
        helper_last_hash: Digest([8; 32]),
    }
}

/// Genesis, the restore, and a line after it.
fn lines() -> Vec<Vec<u8>> {
    let genesis = Event::Genesis(Genesis {
        task: task(),
        model_out_hash: model(),
        catalogue_hash: ANOTHER,
        rho_budget: Rho::MAX,
    });
    let restored = Event::Restored(Restored {
        last_head: last_head(),
        helper_size: 3,
        lost: 0,
    });
    let events = [(4, genesis), (5, restored), (5, Event::Restarted {})];
    let mut prev_hash = Digest([0; 32]);
    let line = |(seq, (generation, event))| {
        let line = Line {
            schema: SCHEMA,
            ledger_id: last_head().ledger_id,
            generation,
            seq,
            prev_hash,
            keeper: Keeper::Coordinator,
            time_bucket: 500_000,
            event,
        };
        let bytes = line.to_bytes().unwrap();
        prev_hash = canonical::digest(&bytes);
        bytes
    };
    (0..).zip(events).map(line).collect()
}

fn leaves() -> Vec<Digest> {
    lines().iter().map(|line| merkle::leaf(line)).collect()
}

/// The model's line under the head after the restore.
fn logged() -> LoggedLine {
    let head = TreeHead {
        generation: 5,
        size: 3,
        root: merkle::root(&leaves()),
        ..last_head()
    };
    LoggedLine {
        line: String::from_utf8(lines()[0].clone()).unwrap(),
        seq: 0,
        proof: merkle::inclusion_proof(&leaves(), 0).unwrap(),
        head: SignedHead {
            coordinator_signature: head::sign(&head, &coordinator_key()).unwrap(),
            helper_signature: head::sign(&head, &helper_key()).unwrap(),
            head,
        },
    }
}

fn shown(seq: usize) -> Continuity {
    Continuity {
        proof: Vec::new(),
        restored: Some(RestoredLine {
            line: lines()[seq].clone(),
            seq: seq as u64,
            proof: merkle::inclusion_proof(&leaves(), seq).unwrap(),
        }),
    }
}

/// A point of the ledger before the restore.
fn seen() -> LogMark {
    LogMark {
        ledger_id: last_head().ledger_id,
        generation: 4,
        size: 9,
        root: last_head().root,
        model_seq: 8,
        model: ANOTHER,
        rho_total: Rho::saturating_from_units(77),
    }
}

fn check(seen: LogMark, shown: &Continuity) -> Result<LogMark, TicketRefusal> {
    let checked = policy().check_model(&logged(), model(), seen, shown);
    checked.map(|(mark, _)| mark)
}

/// HOSTILE 164.
#[test]
fn a_device_goes_on_behind_what_it_saw_only_through_the_line_of_a_restore() {
    let mark = check(seen(), &shown(1)).unwrap();
    assert_eq!((mark.generation, mark.size, mark.model_seq), (5, 3, 0));
    assert_eq!(mark.rho_total, seen().rho_total, "what was paid for stays");
    let refused = check(seen(), &Continuity::default());
    assert_eq!(refused, Err(TicketRefusal::RolledBack));
    for other in [0, 2] {
        assert!(check(seen(), &shown(other)).is_err(), "line {other}");
    }

    // Whatever stood before the newest head, and in any earlier generation.
    let earlier = [
        LogMark {
            size: 5,
            root: ANOTHER,
            ..seen()
        },
        LogMark {
            generation: 3,
            size: 40,
            ..seen()
        },
    ];
    for seen in earlier {
        assert!(check(seen, &shown(1)).is_ok(), "{seen:?}");
    }
    // More than the helper says it had signed, or something else.
    let beyond = [
        LogMark { size: 10, ..seen() },
        LogMark {
            root: ANOTHER,
            ..seen()
        },
        LogMark {
            generation: 5,
            ..seen()
        },
        LogMark {
            generation: 6,
            ..seen()
        },
        LogMark {
            ledger_id: ANOTHER,
            ..seen()
        },
    ];
    for seen in beyond {
        assert!(check(seen, &shown(1)).is_err(), "{seen:?}");
    }
}

/// HOSTILE 164: the line must stand under the very head that both parties signed.
#[test]
fn the_line_of_a_restore_needs_its_proof() {
    let spoil: [fn(&mut RestoredLine); 4] = [
        |line| line.seq = 2,
        |line| line.proof.truncate(1),
        |line| line.proof[0] = ANOTHER,
        |line| {
            let text = String::from_utf8(line.line.clone()).unwrap();
            line.line = text.replace("\"size\":9", "\"size\":99").into();
        },
    ];
    for spoil in spoil {
        let mut shown = shown(1);
        spoil(shown.restored.as_mut().unwrap());
        assert_eq!(check(seen(), &shown), Err(TicketRefusal::RolledBack));
    }
}
