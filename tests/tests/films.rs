//! The terminal app of `client/sdk/examples/films`, as a process that reads its commands from a
//! pipe: a list before anybody can be reached, what moves it, and one whole life with a round.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tacit_model::InteractionKind;
use tacit_model::rank::ranker::Precision;
use tacit_sdk::{Conditions, Consent, Event, Installation, Outcome};
use tacit_tests::deployment::{Deployment, Role, Settings};
use tacit_tests::enrolled::shipped;
use tacit_tests::examples::{example, ship};
use tacit_tests::stand_in::catalogue;
use tacit_types::Timestamp;
use tacit_wire::clock;
use tempfile::TempDir;
use tokio::time::Instant;

const COHORT: u32 = 4;
const ITEMS: u32 = 60;
/// Whatever a test waits for happens within this time.
const SOON: Duration = Duration::from_secs(60);

/// The app with its two folders.
struct Films {
    home: TempDir,
}

impl Films {
    fn shipped(&self) -> PathBuf {
        self.home.path().join("shipped")
    }

    /// Runs the app on these commands; what it said, which has no terminal codes.
    fn run(&self, commands: &str) -> String {
        let mut child = Command::new(example("films"))
            .args([self.shipped(), self.home.path().join("state")])
            .current_dir(self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(commands.as_bytes()).unwrap();
        drop(input);
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(!said.contains('\x1b'), "a terminal code:\n{said}");
        said
    }

    /// Repeats a command until the app says this.
    fn until(&self, command: &str, expected: &str) {
        let end = Instant::now() + SOON;
        loop {
            let said = self.run(command);
            if said.contains(expected) {
                return;
            }
            assert!(Instant::now() < end, "no '{expected}' in:\n{said}");
        }
    }
}

/// Everything an app's host may give.
fn given() -> Conditions {
    Conditions {
        charging: true,
        unmetered: true,
        idle: true,
        now: clock::now(),
    }
}

/// An owner of another device of the cohort, who saw some films.
fn neighbour(
    folder: &Path,
    app: &tacit_sdk::Deployment,
    token: &[u8],
    number: u32,
) -> Installation {
    let opened = Installation::open(folder, app.clone(), Precision::Full, None).unwrap();
    let saw = |film: u32| Event {
        id: format!("film-{}", (number + film * 3) % ITEMS),
        timestamp: Some(Timestamp(1_700_000_000_000 + u64::from(film))),
        value: 1.0,
        kind: InteractionKind::View,
        surface: 0,
    };
    opened
        .record_all(&(0..15).map(saw).collect::<Vec<_>>())
        .unwrap();
    opened
        .change(|lists| lists.set_consent(Consent::Contribute))
        .unwrap();
    let end = Instant::now() + SOON;
    while opened.enrol(token).is_err() {
        assert!(Instant::now() < end, "nobody enrols");
        std::thread::sleep(Duration::from_millis(50));
    }
    opened
}

/// Takes part until the task has ended for this one.
fn train(device: &Installation) {
    let end = Instant::now() + SOON;
    while device.step(given()).unwrap().outcome != Outcome::Retired {
        assert!(Instant::now() < end, "the task does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A deployment whose cohort is three neighbours and the app, and what the app ships.
fn deployment() -> (Deployment, Films) {
    let settings = Settings {
        cohort: COHORT,
        tokens: COHORT,
        items: ITEMS,
        epsilon: 200.0,
        task: "rounds = 2\nfactors = 4\n",
        ..Settings::default()
    };
    let mut deployment = Deployment::new(settings).unwrap();
    fs::write(deployment.path("catalogue.txt"), catalogue(ITEMS)).unwrap();
    deployment.start(Role::Helper).unwrap();
    deployment.start(Role::Coordinator).unwrap();
    let home = tempfile::tempdir().unwrap();
    (deployment, Films { home })
}

/// The app ships the first model that is published, which nobody has trained yet.
fn ship_first(deployment: &Deployment, films: &Films) {
    let end = Instant::now() + SOON;
    while ship(deployment, &films.shipped()).is_err() {
        assert!(Instant::now() < end, "nothing is published");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn title(line: &str) -> &str {
    let start = line.find("Film ").unwrap();
    line[start..].split("  ").next().unwrap()
}

/// Numbered lines of the last list that was shown.
fn last_list(said: &str) -> Vec<&str> {
    let list = said.rsplit("For you").next().unwrap();
    list.lines()
        .skip(2)
        .take_while(|line| line.contains("Film "))
        .collect()
}

/// Nothing that a person types, and nobody who is away, stops the app or takes its
/// list.
#[test]
fn a_life_in_a_terminal_from_the_first_list_to_the_last() {
    let (mut deployment, films) = deployment();
    let app = shipped(&deployment, &deployment.pki("root.crt").unwrap()).unwrap();
    let tokens = deployment.tokens().unwrap();
    let folders = tempfile::tempdir().unwrap();
    let neighbours: Vec<Installation> = (1..COHORT)
        .map(|number| {
            let folder = folders.path().join(number.to_string());
            neighbour(&folder, &app, &tokens[number as usize], number)
        })
        .collect();
    ship_first(&deployment, &films);

    // Offline: the list is there before any consent or identity, and moves at once.
    let first = films.run("");
    assert_eq!(last_list(&first).len(), 12, "{first}");
    let liked = title(last_list(&first)[4]).to_owned();
    let said = films.run("like 5\nmine\nwhy 1\n");
    assert!(
        !last_list(&said)
            .iter()
            .any(|line| title(line) == liked)
    );
    assert!(said.contains("liked"), "{said}");
    offline(&films);

    // One round of the cohort, in which the app is one of four.
    let token = hex::encode(&tokens[0]);
    let said = films.run(&format!("consent contribute\nenrol {token}\n"));
    assert!(said.contains("has an identity"), "{said}");
    std::thread::scope(|scope| {
        for device in &neighbours {
            scope.spawn(|| train(device));
        }
        films.until("step\n", "the task is over");
    });
    let said = films.run("privacy\nlist\nexport mine.json\n");
    assert!(said.contains("sent and counted"), "{said}");
    assert!(said.contains("because you liked "), "{said}");
    let mine = fs::read_to_string(films.home.path().join("mine.json")).unwrap();
    assert!(mine.contains("\"releases\":[{"), "{mine}");

    // Nobody left to talk to: the list stays, and forgetting gives no budget back.
    deployment.kill(Role::Coordinator).unwrap();
    deployment.kill(Role::Helper).unwrap();
    let said = films.run("refresh\nforget all\nprivacy\n");
    assert!(said.contains("cannot be reached; again in"), "{said}");
    assert!(said.contains("is gone for good"), "{said}");
    assert_eq!(last_list(&said).len(), 12, "{said}");
    assert!(said.contains("sent and counted"), "{said}");
}

/// What needs nobody, and what cannot be typed.
fn offline(films: &Films) {
    let said = films.run("find film 3\nhide 1\nsimilar 2\ntopics\ntopics 1\ntopics none\nstep\n");
    for expected in [
        "kind 1",
        "not now: you have not allowed it",
        "For you  consent off, 0 % of the budget spent",
    ] {
        assert!(said.contains(expected), "no '{expected}' in:\n{said}");
    }
    let wrong = "like 0\nlike 99\nlike\nrate 1 9\ntopics 7\nconsent maybe\nenrol 00\nfind ☃\n\
                 enrol \u{e9}\u{e9}\nforget x\nexport\nfly\n\nquit\nlist\n";
    let said = films.run(wrong);
    for expected in [
        "write the number in front of a film",
        "no film has that number",
        "1 to 5 stars",
        "no such topic",
        "off, receive, contribute",
        "a token is a line of tokens.txt",
        "no such title",
        "no such command; type: help",
    ] {
        assert!(said.contains(expected), "no '{expected}' in:\n{said}");
    }
    assert_eq!(said.matches("For you").count(), 1, "it ended with quit");
}
