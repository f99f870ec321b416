//! Round and ledger of one task.

use tacit_privacy::Rho;
use tacit_round::coordinator::Contribution;
use tacit_round::keys::SignatureBytes;
use tacit_round::lease::Lease;
use tacit_round::ticket::SignedTicket;
use tacit_server::ServerError;
use tacit_server::storage::{NewContribution, Phase, Recorded, SignedLine, StoredRound};
use tacit_types::{Commitment, ContributionId, DeviceId, Digest, Timestamp};

use super::Kind;

const TICKET: Digest = Digest([7; 32]);

fn contribution(byte: u8) -> NewContribution {
    NewContribution {
        contribution: Contribution {
            device: DeviceId([byte; 16]),
            id: ContributionId([byte; 16]),
            commitment: Commitment([byte; 32]),
        },
        sealed: vec![byte; 4],
    }
}

fn lease(valid_until: u64) -> Lease {
    Lease {
        send_at: Timestamp(10),
        valid_until: Timestamp(valid_until),
    }
}

fn ticket() -> SignedTicket {
    SignedTicket {
        bytes: b"{}".to_vec(),
        coordinator_signature: SignatureBytes([1; 64]),
        helper_signature: SignatureBytes([2; 64]),
    }
}

fn helper_line(seq: u64, bytes: &[u8]) -> SignedLine {
    SignedLine {
        seq,
        bytes: bytes.to_vec(),
        signature: SignatureBytes([3; 64]),
    }
}

fn rho(units: u128) -> Rho {
    Rho::saturating_from_units(units)
}

/// Line number `seq`, which costs every contributor a rho of 5.
fn end(seq: u64, helper: Option<SignedLine>) -> Recorded {
    Recorded {
        seq,
        line: format!("line {seq}").into_bytes(),
        rho: rho(5),
        helper,
    }
}

#[test]
fn what_was_answered_is_there_when_it_is_opened_again() {
    for kind in Kind::all() {
        let store = kind.task();
        store.keep_note("plan", "1".into()).wait().unwrap();
        store.keep_note("plan", "2".into()).wait().unwrap();
        store.append_line(0, b"genesis".into()).wait().unwrap();
        store.keep_head(1, "head".into()).wait().unwrap();
        store
            .open_round(ticket(), Timestamp(7))
            .wait()
            .unwrap();
        let new = vec![contribution(1), contribution(2)];
        store.checkpoint(new, vec![9]).wait().unwrap();
        for valid_until in [20, 30] {
            let kept = store.keep_lease(TICKET, DeviceId([1; 16]), lease(valid_until));
            kept.wait().unwrap();
        }
        store.close_round().wait().unwrap();
        drop(store);

        let store = kind.task();
        assert_eq!(store.note("plan").wait().unwrap().as_deref(), Some("2"));
        assert_eq!(store.note("other").wait().unwrap(), None);
        assert_eq!(store.lines().wait().unwrap(), [b"genesis"]);
        assert_eq!(store.heads().wait().unwrap(), [(1, "head".to_owned())]);
        assert_eq!(store.partial().wait().unwrap(), Some(vec![9]));
        let round = StoredRound {
            phase: Phase::Closing,
            ticket: ticket(),
            opened: Timestamp(7),
        };
        assert_eq!(store.round().wait().unwrap(), Some(round));
        let leases = [(DeviceId([1; 16]), lease(30))];
        assert_eq!(store.leases(TICKET).wait().unwrap(), leases);
        assert!(
            store
                .leases(Digest([8; 32]))
                .wait()
                .unwrap()
                .is_empty()
        );
        let contributed = store.contributions().wait().unwrap();
        let (known, seed) = &contributed[1];
        assert_eq!(
            (contributed.len(), *known),
            (2, contribution(2).contribution)
        );
        assert_eq!((&seed.sealed, seed.contribution), (&vec![2; 4], known.id));
    }
}

#[test]
fn a_checkpoint_is_whole_or_absent() {
    for kind in Kind::all() {
        let store = kind.task();
        let kept = store.keep_lease(TICKET, DeviceId([1; 16]), lease(20));
        kept.wait().unwrap();
        store
            .checkpoint(vec![contribution(1)], vec![1])
            .wait()
            .unwrap();
        // The second entry repeats an id: the whole commit is refused, sum included.
        let again = vec![contribution(2), contribution(1)];
        assert!(store.checkpoint(again, vec![2]).wait().is_err());
        assert_eq!(store.partial().wait().unwrap(), Some(vec![1]));
        assert_eq!(store.contributions().wait().unwrap().len(), 1);

        store.end_round().wait().unwrap();
        assert_eq!(store.partial().wait().unwrap(), None);
        assert!(store.contributions().wait().unwrap().is_empty());
        assert!(store.leases(TICKET).wait().unwrap().is_empty());
    }
}

/// Calls that share a commit: one that is refused takes none of its neighbours along.
#[test]
fn calls_that_nobody_waited_for_yet_take_effect_in_order_and_fail_alone() {
    for kind in Kind::all() {
        let store = kind.task();
        let calls: Vec<_> = [1, 2, 1, 3]
            .into_iter()
            .map(|byte| store.checkpoint(vec![contribution(byte)], vec![byte]))
            .collect();
        let seen = store.contributions();
        let done: Vec<bool> = calls
            .into_iter()
            .map(|call| call.wait().is_ok())
            .collect();
        assert_eq!(done, [true, true, false, true]);
        assert_eq!(seen.wait().unwrap().len(), 3);
        assert_eq!(store.partial().wait().unwrap(), Some(vec![3]));
    }
}

#[test]
fn one_round_is_open_at_a_time_and_its_ticket_outlives_it() {
    for kind in Kind::all() {
        let store = kind.task();
        assert_eq!(store.round().wait().unwrap(), None);
        assert!(store.ticket_file(ticket().hash()).wait().is_err());
        store
            .open_round(ticket(), Timestamp(7))
            .wait()
            .unwrap();
        assert!(
            store
                .open_round(ticket(), Timestamp(8))
                .wait()
                .is_err()
        );
        let round = store.round().wait().unwrap().unwrap();
        assert_eq!((round.phase, round.opened), (Phase::Open, Timestamp(7)));

        store.end_round().wait().unwrap();
        assert_eq!(store.round().wait().unwrap(), None);
        let kept = store.ticket_file(ticket().hash()).wait().unwrap();
        assert!(
            String::from_utf8(kept)
                .unwrap()
                .contains("\"ticket\":\"{}\"")
        );
        store
            .open_round(ticket(), Timestamp(9))
            .wait()
            .unwrap();
    }
}

#[test]
fn a_release_counts_its_contributors_once_and_nobody_else() {
    for kind in Kind::all() {
        let store = kind.task();
        store
            .open_round(ticket(), Timestamp(0))
            .wait()
            .unwrap();
        let new = vec![contribution(1), contribution(2)];
        store.checkpoint(new, vec![1]).wait().unwrap();
        store.record(end(0, None)).wait().unwrap();
        let phase = store.round().wait().unwrap().unwrap().phase;
        assert_eq!(phase, Phase::Recorded);

        store.end_round().wait().unwrap();
        let new = vec![contribution(2), contribution(3)];
        store.checkpoint(new, vec![1]).wait().unwrap();
        assert!(
            store.record(end(0, None)).wait().is_err(),
            "a place is taken once"
        );
        store.record(end(1, None)).wait().unwrap();
        let total = |device: u8, units| (DeviceId([device; 16]), rho(units));
        let of_round = store.totals_of_round().wait().unwrap();
        assert_eq!(of_round, [total(2, 10), total(3, 5)]);
        let first = store.totals(None, 2).wait().unwrap();
        assert_eq!(first, [total(1, 5), total(2, 10)]);
        let rest = store.totals(Some(first[1].0), 2).wait().unwrap();
        assert_eq!(rest, [total(3, 5)]);
        assert!(store.append_line(1, b"another".into()).wait().is_err());
        assert_eq!(store.lines().wait().unwrap(), [b"line 0", b"line 1"]);
    }
}

#[test]
fn a_helper_that_signs_another_line_at_the_same_place_is_refused_and_nothing_is_charged() {
    for kind in Kind::all() {
        let store = kind.task();
        store
            .checkpoint(vec![contribution(1)], vec![1])
            .wait()
            .unwrap();
        let first = helper_line(0, b"helper 0");
        store
            .record(end(0, Some(first.clone())))
            .wait()
            .unwrap();
        let forked = helper_line(0, b"another helper 0");
        let Err(ServerError::HelperRefused(reason)) = store.record(end(1, Some(forked))).wait()
        else {
            panic!("the fork was taken");
        };
        assert!(reason.contains("rolled back"), "{reason}");
        assert_eq!(store.lines().wait().unwrap(), [b"line 0"]);
        let totals = store.totals(None, 9).wait().unwrap();
        assert_eq!(totals, [(DeviceId([1; 16]), rho(5))]);

        let second = helper_line(1, b"helper 1");
        store
            .record(end(1, Some(second.clone())))
            .wait()
            .unwrap();
        assert_eq!(store.helper_lines().wait().unwrap(), [first, second]);
    }
}
