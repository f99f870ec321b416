use tacit_round::coordinator::Contribution;
use tacit_types::{Commitment, ContributionId};

use super::*;

#[test]
fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Store::open(folder.path()).unwrap();
    // HOSTILE 100.
    let error = Store::open(folder.path()).err().unwrap().to_string();
    assert!(
        error.contains("another process uses this state folder"),
        "{error}"
    );
}

#[test]
fn a_checkpoint_is_whole_or_absent() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    let one = |byte: u8| NewContribution {
        contribution: Contribution {
            device: DeviceId([byte; 16]),
            id: ContributionId([byte; 16]),
            commitment: Commitment([byte; 32]),
        },
        sealed: vec![byte; 4],
    };
    store.checkpoint(&[one(1)], &[1]).unwrap();
    // The second entry repeats an id: the whole commit is refused, sum included.
    assert!(store.checkpoint(&[one(2), one(1)], &[2]).is_err());
    assert_eq!(store.partial().unwrap(), Some(vec![1]));
    assert_eq!(store.contributions().unwrap().len(), 1);
    store.end_round().unwrap();
    assert_eq!(
        (
            store.partial().unwrap(),
            store.contributions().unwrap().len()
        ),
        (None, 0)
    );
}

#[test]
fn a_helper_that_signs_another_line_at_the_same_place_is_refused_and_nothing_is_charged() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    let (rho, signature) = (Rho::saturating_from_units(1), SignatureBytes([0; 64]));
    store
        .record(0, b"line 0", rho, Some((0, b"helper 0", &signature)))
        .unwrap();
    let forked = store.record(
        1,
        b"line 1",
        rho,
        Some((0, b"another helper 0", &signature)),
    );
    let Err(ServerError::HelperRefused(reason)) = forked else {
        panic!("the fork was taken");
    };
    assert!(reason.contains("rolled back"), "{reason}");
    assert_eq!(store.lines().unwrap(), [b"line 0"]);
    store
        .record(1, b"line 1", rho, Some((1, b"helper 1", &signature)))
        .unwrap();
    assert_eq!(store.helper_lines().unwrap().len(), 2);
}
