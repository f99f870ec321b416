//! The rest of an identity's life: tokens that a backend signs, roots that take over from others,
//! and the end of an account.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use tacit_sdk::{SdkError, Store, identity};
use tacit_tests::bare::{BareDevice, Credentials, repeat};
use tacit_tests::deployment::{Deployment, Role, Settings};
use tacit_tests::enrolled::{Installation, device_of};
use tacit_types::Timestamp;
use tacit_wire::clock;
use tokio::time::{Instant, sleep};
use tonic::Code;

const DAY_MS: u64 = 86_400_000;
/// Whatever is waited for happens within this time.
const SOON: Duration = Duration::from_secs(20);

fn in_days(days: u64) -> Timestamp {
    clock::now().plus_millis(days * DAY_MS)
}

fn succeed(deployment: &Deployment, command: &str) -> String {
    let words: Vec<_> = command.split(' ').collect();
    String::from_utf8(deployment.succeed(&words).unwrap()).unwrap()
}

async fn reloaded(deployment: &Deployment, role: Role, times: usize) {
    let until = Instant::now() + SOON;
    while deployment
        .log(role)
        .matches("event=\"reloaded\"")
        .count()
        < times
    {
        assert!(Instant::now() < until, "{role:?} does not reload");
        sleep(Duration::from_millis(20)).await;
    }
}

fn bare(deployment: &Deployment, root: &str, own: Option<&Credentials>) -> BareDevice {
    BareDevice::new(&deployment.coordinator_address(), root, own).unwrap()
}

/// HOSTILE 76: the app's backend signs tokens on demand; each enrols one installation, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_the_backend_signed_enrols_once_and_others_do_not() {
    let mut deployment = Deployment::new(Settings::default()).unwrap();
    let key = deployment.pki("tokens.pub").unwrap();
    let from = "tokens = \"pki/tokens.sha256\"";
    let to = format!("token_key = \"{}\"", key.trim());
    deployment
        .configure(Role::Coordinator, from, &to)
        .unwrap();
    fs::remove_file(deployment.path("pki/tokens.txt")).unwrap();
    succeed(&deployment, "pki tokens pki --count 2 --expires 1 --sign");
    deployment.start(Role::Helper).unwrap();
    deployment.start(Role::Coordinator).unwrap();

    let tokens = deployment.tokens().unwrap();
    assert_eq!(tokens[0].len(), 104);
    let first = Installation::enrol(&deployment, &tokens[0])
        .await
        .unwrap();
    first.agent.step(clock::now()).await.unwrap();
    let again = Installation::enrol(&deployment, &tokens[0]).await;
    let again = again.err().unwrap().to_string();
    assert!(again.contains("unknown or already used"), "{again}");

    let mut later = tokens[1].clone();
    later[39] ^= 1;
    let forged = Installation::enrol(&deployment, &later).await;
    assert!(forged.is_err(), "its end was changed");
    deployment.crash(Role::Coordinator).unwrap();
    let used = Installation::enrol(&deployment, &tokens[0]).await;
    assert!(used.is_err(), "it is used for good");
    Installation::enrol(&deployment, &tokens[1])
        .await
        .unwrap();
}

/// Tokens are added, listed and taken away while the coordinator serves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_added_and_taken_away_while_serving() {
    let deployment = Deployment::running(Settings::default()).unwrap();
    let old = deployment.tokens().unwrap();
    let first = Installation::enrol(&deployment, &old[0])
        .await
        .unwrap();
    succeed(&deployment, "pki tokens pki --append --count 2 --expires 9");
    reloaded(&deployment, Role::Coordinator, 1).await;
    let all = deployment.tokens().unwrap();
    assert_eq!((&all[..8], all.len()), (&old[..], 10));
    Installation::enrol(&deployment, &all[9])
        .await
        .unwrap();

    let listed = succeed(&deployment, "pki tokens pki --list");
    assert_eq!(listed.lines().count(), 10);
    assert_eq!(listed.matches("ends in 8 days").count(), 2, "{listed}");
    assert_eq!(listed.matches("does not end").count(), 8);
    let token = hex::encode(&all[8]);
    let said = succeed(&deployment, &format!("pki tokens pki --revoke {token}"));
    assert_eq!(said, "took 1 tokens off pki/tokens.sha256\n");
    reloaded(&deployment, Role::Coordinator, 2).await;
    assert!(
        Installation::enrol(&deployment, &all[8])
            .await
            .is_err()
    );
    first.agent.step(clock::now()).await.unwrap();
    let unknown = ["pki", "tokens", "pki", "--revoke", &token];
    assert_eq!(deployment.tacit(&unknown).unwrap().status.code(), Some(2));
}

/// HOSTILE 134: a root takes over from another while both are trusted; installations that learned
/// of it go on when the old one is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_root_takes_over_and_installations_follow() {
    let mut deployment = Deployment::running(Settings::default()).unwrap();
    let tokens = deployment.tokens().unwrap();
    let old_root = deployment.pki("root.crt").unwrap();
    let old = Installation::enrol(&deployment, &tokens[0])
        .await
        .unwrap();
    let asleep = Installation::enrol(&deployment, &tokens[1])
        .await
        .unwrap();
    old.agent.step(clock::now()).await.unwrap();

    succeed(&deployment, "pki rotate pki");
    for role in [Role::Coordinator, Role::Helper] {
        reloaded(&deployment, role, 1).await;
    }
    let both = deployment.pki("root.crt").unwrap();
    let new_root = both.strip_suffix(&old_root).unwrap();
    // Whoever trusts either comes in, and so does a whole round.
    old.agent.step(clock::now()).await.unwrap();
    let new = Installation::trusting(&deployment, new_root, &tokens[2])
        .await
        .unwrap();
    new.agent.step(clock::now()).await.unwrap();
    let shipped_old = Installation::trusting(&deployment, &old_root, &tokens[3])
        .await
        .unwrap();
    shipped_old.agent.step(clock::now()).await.unwrap();
    // It learns of the new root with its next certificate.
    old.agent.step(in_days(25)).await.unwrap();
    let learned = fs::read_to_string(old.folder().join("roots.txt")).unwrap();
    assert_eq!(learned, deployment.pki("roots.txt").unwrap());
    assert!(!asleep.folder().join("roots.txt").exists());

    succeed(&deployment, "pki rotate pki --finish");
    assert_eq!(deployment.pki("root.crt").unwrap(), new_root);
    for role in [Role::Helper, Role::Coordinator] {
        deployment.crash(role).unwrap();
    }
    let own = new.credentials().unwrap();
    repeat(Instant::now() + SOON, || async {
        bare(&deployment, new_root, Some(&own))
            .check_in()
            .await
    })
    .await
    .unwrap();
    for device in [&old, &new, &shipped_old] {
        device.agent.step(clock::now()).await.unwrap();
    }
    match asleep.agent.step(clock::now()).await {
        Err(SdkError::RetryLater { reason, .. }) => {
            assert_eq!(reason, tacit_sdk::Reason::Untrusted);
        }
        other => panic!("{:?}", other.err()),
    }
    // And once more: the same installation follows a second time.
    succeed(&deployment, "pki rotate pki");
    reloaded(&deployment, Role::Coordinator, 2).await;
    old.agent.step(in_days(50)).await.unwrap();
    let learned = fs::read_to_string(old.folder().join("roots.txt")).unwrap();
    assert_eq!(learned.lines().count(), 2);
    // A third would leave out those that know only the first.
    let early = deployment.tacit(&["pki", "rotate", "pki"]).unwrap();
    let said = String::from_utf8(early.stderr).unwrap();
    assert_eq!(early.status.code(), Some(2), "{said}");
    assert!(
        said.contains("root.crt: the last rotation is not finished"),
        "{said}"
    );
}

/// HOSTILE 134: a rotation that was cut off anywhere is taken up with the same new root, and what
/// lies there meanwhile is a working set.
#[test]
fn a_rotation_cut_off_anywhere_is_taken_up() {
    let names = [
        "root.crt",
        "root.key",
        "root.old.key",
        "root.next.crt",
        "root.next.key",
        "issuing.crt",
        "roots.txt",
    ];
    let deployment = Deployment::new(Settings::default()).unwrap();
    let read = |name: &str| fs::read(deployment.path("pki").join(name)).ok();
    let before = names.map(&read);
    succeed(&deployment, "pki rotate pki");
    let after = names.map(&read);
    let check = [
        "coordinator",
        "--config",
        "coordinator.toml",
        "--check-config",
    ];

    let put = |name: &str, bytes: &Option<Vec<u8>>| {
        let path = deployment.path("pki").join(name);
        match bytes {
            Some(bytes) => {
                fs::write(&path, bytes).unwrap();
                let mode = if name.ends_with(".key") { 0o600 } else { 0o644 };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
            None => drop(fs::remove_file(&path)),
        }
    };
    let new_root = |bytes: &Option<Vec<u8>>| {
        let text = String::from_utf8(bytes.clone().unwrap()).unwrap();
        text.split_inclusive("-----END CERTIFICATE-----\n")
            .next()
            .unwrap()
            .to_owned()
    };
    let next = Some(new_root(&after[0]).into_bytes());
    // The files as they are after each step of a rotation.
    let steps: [(&str, &Option<Vec<u8>>); 8] = [
        ("root.next.key", &after[1]),
        ("root.next.crt", &next),
        ("roots.txt", &after[6]),
        ("issuing.crt", &after[5]),
        ("root.crt", &after[0]),
        ("root.old.key", &before[1]),
        ("root.key", &None),
        ("root.key", &after[1]),
    ];
    for cut in 0..=steps.len() {
        names
            .iter()
            .zip(&before)
            .for_each(|(name, old)| put(name, old));
        for (name, bytes) in &steps[..cut] {
            put(name, bytes);
        }
        if cut == steps.len() {
            put("root.next.key", &None);
        }
        let sound = deployment.tacit(&check).unwrap();
        assert_eq!(sound.status.code(), Some(0), "after {cut} steps");
        succeed(&deployment, "pki rotate pki");
        let sound = deployment.tacit(&check).unwrap();
        assert_eq!(sound.status.code(), Some(0), "taken up after {cut} steps");
        let root = new_root(&read("root.crt"));
        if cut >= 2 {
            assert_eq!(
                root.as_bytes(),
                next.as_deref().unwrap(),
                "after {cut} steps"
            );
            let told = String::from_utf8(read("roots.txt").unwrap()).unwrap();
            assert_eq!(told.lines().count(), 1, "after {cut} steps");
        }
        assert!(read("root.next.crt").is_none() && read("root.next.key").is_none());
    }
}

/// A device that leaves is out for good, its traces are erased, and what it spent stays spent, on
/// its side and on the coordinator's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_leaves_and_begins_no_new_budget() {
    let deployment = Deployment::running(Settings::default()).unwrap();
    let tokens = deployment.tokens().unwrap();
    let device = Installation::enrol(&deployment, &tokens[0])
        .await
        .unwrap();
    device.agent.step(clock::now()).await.unwrap();
    let (root, own) = (
        deployment.pki("root.crt").unwrap(),
        device.credentials().unwrap(),
    );
    let folder = device.folder();
    identity::leave(folder, &device.shipped).await.unwrap();
    for name in ["device.crt", "device.key", "device.life"] {
        assert!(!folder.join(name).exists(), "{name}");
    }
    let refused = bare(&deployment, &root, Some(&own)).check_in().await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("has left"), "{refused}");
    // Said again, as after a lost answer.
    identity::leave(folder, &device.shipped).await.unwrap();
    fs::write(folder.join("device.crt"), &own.chain).unwrap();
    fs::write(folder.join("device.key"), &own.key).unwrap();
    identity::leave(folder, &device.shipped).await.unwrap();

    let book = deployment.path("enrolled/enrolment.sqlite");
    let book = rusqlite::Connection::open(book).unwrap();
    let count = |question: &str| -> i64 {
        let id = device_of(&own).unwrap().0;
        book.query_row(question, [id], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(
        count("SELECT count(*) FROM enrolments WHERE device = ?1"),
        0
    );
    let tombstones = "SELECT count(*) FROM leaves WHERE device = ?1 AND current = x''";
    assert_eq!(count(tombstones), 1);

    // The token stays used, and the installation's own ledger stays.
    let again = identity::enrol(folder, &device.shipped, &tokens[0]).await;
    assert!(again.is_err(), "the token was used");
    identity::enrol(folder, &device.shipped, &tokens[1])
        .await
        .unwrap();
    assert_ne!(
        device_of(&device.credentials().unwrap()).unwrap(),
        device_of(&own).unwrap()
    );
    assert!(Store::open(folder).is_ok());
    device.agent.step(clock::now()).await.unwrap();
}

/// PRIVACY 11.14; HOSTILE 135: what a publisher signs next is taken over from the coordinator, in
/// the step that hears of it; an earlier one never is, and what was spent stays spent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_policy_is_taken_over_and_an_earlier_one_never() {
    let mut deployment = Deployment::new(Settings::default()).unwrap();
    let (from, to) = ("listen =", "policy = \"pki/policy.json\"\nlisten =");
    deployment
        .configure(Role::Coordinator, from, to)
        .unwrap();
    deployment.start(Role::Helper).unwrap();
    deployment.start(Role::Coordinator).unwrap();
    deployment.open_round().unwrap();
    let tokens = deployment.tokens().unwrap();
    let device = Installation::enrol(&deployment, &tokens[0])
        .await
        .unwrap();
    let until = Instant::now() + SOON;
    while device
        .agent
        .step(clock::now())
        .await
        .unwrap()
        .outcome
        .is_none()
    {
        assert!(Instant::now() < until, "no round opens");
    }
    let policies = device.folder().join("policies.json");
    assert!(!policies.exists(), "the app ships the newest");
    let spent = || {
        let store = Store::open(device.folder()).unwrap();
        store.spent().unwrap()
    };
    let before = spent();

    let path = deployment.path("pki/policy.json");
    let first = fs::read(&path).unwrap();
    succeed(
        &deployment,
        "pki policy pki --epsilon 2 --cohort 4 --releases 7 --replace",
    );
    reloaded(&deployment, Role::Coordinator, 1).await;
    device.agent.step(clock::now()).await.unwrap();
    let taken = fs::read_to_string(&policies).unwrap();
    assert!(taken.contains("largest_releases_per_task\\\":7"), "{taken}");
    assert!(taken.contains("serial\\\":2"), "{taken}");
    assert_eq!(spent(), before);

    fs::write(&path, first).unwrap();
    reloaded(&deployment, Role::Coordinator, 2).await;
    device.agent.step(clock::now()).await.unwrap();
    assert_eq!(fs::read_to_string(&policies).unwrap(), taken);
}
