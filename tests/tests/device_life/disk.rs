//! A disk that is full, or that fails to synchronise, at every single step of a release: HOSTILE
//! 96, 97.

use std::path::Path;

use tacit_round::device::Status;
use tacit_tests::faults::{self, Fault};

use crate::contributions;
use crate::kills::Victim;

/// No release takes as many steps on the disk.
const STEPS_MAX: u32 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_at_any_write_costs_no_budget_twice_and_sends_nothing_unspent() {
    fails_everywhere(Fault::FullFrom).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_synchronisation_stops_the_step_and_the_next_process_knows_what_was_spent() {
    fails_everywhere(Fault::Sync).await;
}

/// Runs one step of a fresh copy with the fault at step 1, 2, ... until a run meets no fault.
async fn fails_everywhere(fault: impl Fn(u32) -> Fault) {
    if !faults::available() {
        return;
    }
    let mut victim = Victim::new().await;
    let untouched = victim.device();
    let (mut failed, mut spent_without_sending) = (0, 0);
    for n in 1..STEPS_MAX {
        victim.use_copy(&untouched, n);
        let before = contributions(&victim.stand_in).len();
        let files = ["store.sqlite", "store.sqlite-wal", "store.count"]
            .map(|name| victim.device().join(name));
        let files: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
        let (success, said) = victim
            .run_under(&faults::wrapper(fault(n), &files), "step")
            .await;
        assert!(!said.contains("panicked"), "{n}: {said}");
        if !success {
            failed += 1;
            assert!(
                said.lines()
                    .next()
                    .is_some_and(|line| line.contains("store.")),
                "{n}: {said}"
            );
        }
        let sent = &contributions(&victim.stand_in)[before..];
        let (status, spent) = victim.ledger();
        assert!(
            sent.is_empty() || spent == victim.price(),
            "{n}: sent without being spent"
        );
        spent_without_sending += usize::from(sent.is_empty() && spent == victim.price());

        // With a good disk the round ends, and is charged once.
        for _ in 0..2 {
            let (success, said) = victim.run("step").await;
            assert!(success, "{n}, {status:?}: {said}");
        }
        let (status, spent) = victim.ledger();
        assert!(
            matches!(status, Some(Status::Acknowledged | Status::Forfeited)),
            "{n}: {status:?}"
        );
        assert_eq!(spent, victim.price(), "{n}");
        let mut sent = contributions(&victim.stand_in).split_off(before);
        sent.dedup();
        let expected = usize::from(status == Some(Status::Acknowledged));
        assert_eq!(
            sent.len(),
            expected,
            "{n}: one contribution, the same bytes however often"
        );
        if success && failed > 0 {
            assert!(
                spent_without_sending > 0,
                "the fault fell between spending and sending at least once"
            );
            return;
        }
    }
    panic!("after {STEPS_MAX} steps there is still one more; {failed} failed");
}
