//! SIGKILL and aborts of a real process at each kill point c1 to c4, and what a fresh process makes
//! of it: HOSTILE 105, 124.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rusqlite::Connection;
use tacit_privacy::Rho;
use tacit_round::device::Status;
use tacit_sdk::Store;
use tacit_sdk::store::Spooled;
use tacit_tests::copy_folder;
use tacit_tests::installation;
use tacit_tests::stand_in::{Answer, Round, Said, StandIn};
use tempfile::TempDir;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::{carries, contributions, enrolled, heard};

/// An installation that lives in processes of its own.
pub(crate) struct Victim {
    folder: TempDir,
    device: PathBuf,
    round: Round,
    pub(crate) stand_in: StandIn,
}

impl Victim {
    pub(crate) async fn new() -> Self {
        let round = Round::counts(300).unwrap();
        let stand_in = StandIn::start(&round).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().join("device");
        enrolled(&stand_in, &device).await;
        installation::order(&folder.path().join("order"), &stand_in.deployment, &round).unwrap();
        Self {
            folder,
            device,
            round,
            stand_in,
        }
    }

    pub(crate) fn device(&self) -> PathBuf {
        self.device.clone()
    }

    /// Goes on with a copy of `original`, number `n`.
    pub(crate) fn use_copy(&mut self, original: &Path, n: u32) {
        self.device = self.folder.path().join(format!("copy{n}"));
        copy_folder(original, &self.device).unwrap();
    }

    pub(crate) fn spawn(&self, mode: &str) -> Child {
        self.spawn_under(&[], mode)
    }

    fn spawn_under(&self, wrapper: &[String], mode: &str) -> Child {
        let words = wrapper
            .iter()
            .map(String::as_str)
            .chain([env!("CARGO_BIN_EXE_installation"), mode]);
        let words: Vec<&str> = words.collect();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .arg(self.device())
            .arg(self.folder.path().join("order"));
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Lets a fresh process run to its end; what it printed.
    pub(crate) async fn run(&self, mode: &str) -> (bool, String) {
        self.run_under(&[], mode).await
    }

    /// As [`Self::run`], as the argument of another command.
    pub(crate) async fn run_under(&self, wrapper: &[String], mode: &str) -> (bool, String) {
        let child = self.spawn_under(wrapper, mode);
        let output = spawn_blocking(|| child.wait_with_output().unwrap())
            .await
            .unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    }

    /// A fresh process does one action, which ends a round in this way, or none.
    pub(crate) async fn resumes(&self, outcome: &str) {
        let (success, said) = self.run("step").await;
        assert!(
            success && said.contains(&format!("outcome: {outcome}")),
            "{said}"
        );
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.device()).unwrap()
    }

    fn spooled(&self) -> Spooled {
        self.store()
            .spooled(&self.round.ticket.task, self.round.ticket.round)
            .unwrap()
    }

    /// Status and price in the ledger, which must be this round's alone.
    pub(crate) fn ledger(&self) -> (Option<Status>, Rho) {
        let store = self.store();
        assert!(store.ledger().unwrap().len() <= 1);
        (
            store
                .status(&self.round.ticket.task, self.round.ticket.round)
                .unwrap(),
            store.spent().unwrap(),
        )
    }

    pub(crate) fn price(&self) -> Rho {
        self.round.ticket.mechanism.rho()
    }
}

/// Kills with SIGKILL a process that must still be at work.
fn kill(mut child: Child) {
    assert_eq!(
        child.try_wait().unwrap(),
        None,
        "it ended before it was killed"
    );
    child.kill().unwrap();
    assert!(child.wait().unwrap().code().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_killed_before_the_spend_nothing_was_spent() {
    let victim = Victim::new().await;
    victim
        .stand_in
        .script(|script| script.fetch = Answer::Withhold);
    let child = victim.spawn("step");
    heard(&victim.stand_in, |said| matches!(said, Said::Fetch(_))).await;
    kill(child);
    assert_eq!(victim.ledger(), (None, Rho::ZERO));
    victim
        .stand_in
        .script(|script| script.fetch = Answer::Give);
    victim.resumes("Some(Acknowledged)").await;
    victim.resumes("None").await;
    assert_eq!(
        victim.ledger(),
        (Some(Status::Acknowledged), victim.price())
    );
    assert_eq!(contributions(&victim.stand_in).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c2_killed_between_spend_and_spool_the_round_is_forfeited_and_charged() {
    let victim = Victim::new().await;
    assert!(!victim.run("reserve").await.0);
    assert_eq!(victim.ledger(), (Some(Status::Reserved), victim.price()));
    victim.resumes("Some(Forfeited)").await;
    for _ in 0..3 {
        victim.resumes("None").await;
    }
    // Asked for the same release by its own code once more, its ledger refuses: the abort is never
    // reached.
    let (_, said) = victim.run("spool").await;
    assert!(said.contains("already reserved"), "{said}");
    assert_eq!(victim.ledger(), (Some(Status::Forfeited), victim.price()));
    assert!(contributions(&victim.stand_in).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c2_killed_between_spool_and_send_the_spooled_bytes_are_sent() {
    let victim = Victim::new().await;
    assert!(!victim.run("spool").await.0);
    assert_eq!(victim.ledger(), (Some(Status::Spooled), victim.price()));
    let spooled = victim.spooled();
    victim.resumes("Some(Acknowledged)").await;
    victim.resumes("None").await;
    let sent = contributions(&victim.stand_in);
    assert!(sent.len() == 1 && carries(&sent[0], &spooled));
    assert_eq!(
        victim.ledger(),
        (Some(Status::Acknowledged), victim.price())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c3_killed_before_the_acknowledgement_the_same_bytes_are_sent_again() {
    let victim = Victim::new().await;
    victim
        .stand_in
        .script(|script| script.contribute = Answer::Withhold);
    let child = victim.spawn("step");
    heard(&victim.stand_in, |said| matches!(said, Said::Contribute(_))).await;
    kill(child);
    assert_eq!(victim.ledger(), (Some(Status::Spooled), victim.price()));
    let spooled = victim.spooled();
    victim
        .stand_in
        .script(|script| script.contribute = Answer::Give);
    victim.resumes("Some(Acknowledged)").await;
    victim.resumes("None").await;
    let sent = contributions(&victim.stand_in);
    assert!(sent.len() == 2 && sent.iter().all(|sent| carries(sent, &spooled)));
    assert_eq!(
        victim.ledger(),
        (Some(Status::Acknowledged), victim.price())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c4_killed_before_the_local_mark_it_answers_once_more_with_the_same_bytes() {
    let victim = Victim::new().await;
    victim
        .stand_in
        .script(|script| script.contribute = Answer::Withhold);
    let child = victim.spawn("step");
    heard(&victim.stand_in, |said| matches!(said, Said::Contribute(_))).await;
    // The victim hears that it counts, and waits for this lock before it can write that down.
    let lock = Connection::open(Store::path(&victim.device())).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    victim
        .stand_in
        .script(|script| script.contribute = Answer::Give);
    sleep(Duration::from_millis(500)).await;
    kill(child);
    drop(lock);
    assert_eq!(victim.ledger(), (Some(Status::Spooled), victim.price()));
    let spooled = victim.spooled();
    victim.resumes("Some(Acknowledged)").await;
    victim.resumes("None").await;
    let sent = contributions(&victim.stand_in);
    assert!(sent.len() == 2 && sent.iter().all(|sent| carries(sent, &spooled)));
    assert_eq!(
        victim.ledger(),
        (Some(Status::Acknowledged), victim.price())
    );
}
