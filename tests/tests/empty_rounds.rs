//! Rounds that nobody entered, with the real processes: they cost their task nothing, and whatever
//! is killed or lost on the way, no other round becomes free.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]
#![allow(clippy::print_stdout, reason = "tests say what they measured")]

use std::fs;
use std::time::Duration;

use tacit_privacy::Rho;
use tacit_privacy::record::{Abandoned, Empty, Event};
use tacit_proto::v2::ContributionOutcome::Accepted;
use tacit_round::device::Status;
use tacit_round::keys::SigningKey;
use tacit_round::policy::Policy;
use tacit_round::signed_policy::SignedPolicy;
use tacit_sdk::Store;
use tacit_tests::bare::{BareDevice, Contribution, Credentials, enrolled, ticket_of};
use tacit_tests::deployment::{Deployment, Role, Settings};
use tacit_tests::faults;
use tokio::time::{Instant, sleep};

/// Whatever a test waits for happens within this time.
const SOON: Duration = Duration::from_secs(60);

/// A round is over after seven seconds, with nobody in it.
fn short() -> Settings {
    Settings {
        deadline_seconds: 4,
        task: "latest_deadline_seconds = 8\n",
        ..Settings::default()
    }
}

fn events(deployment: &Deployment) -> Vec<Event> {
    let lines = deployment.lines().unwrap();
    lines.into_iter().map(|line| line.event).collect()
}

fn empty(deployment: &Deployment) -> Vec<Empty> {
    let events = events(deployment).into_iter();
    let empty = events.filter_map(|event| match event {
        Event::Empty(empty) => Some(empty),
        _ => None,
    });
    empty.collect()
}

fn abandoned(deployment: &Deployment) -> Vec<Abandoned> {
    let events = events(deployment).into_iter();
    let abandoned = events.filter_map(|event| match event {
        Event::Abandoned(abandoned) => Some(*abandoned),
        _ => None,
    });
    abandoned.collect()
}

/// Whether the export is whole: its last file is the head over all lines.
fn is_exported(deployment: &Deployment) -> bool {
    let lines = deployment.lines().unwrap().len();
    let head = format!("heads/{lines:08}.json");
    deployment.ledger().join(head).exists()
}

/// Waits until so many rounds have ended without a release, and their lines are exported.
async fn ended(deployment: &Deployment, rounds: usize) {
    let deadline = Instant::now() + SOON;
    let over = || empty(deployment).len() + abandoned(deployment).len();
    while over() < rounds || !is_exported(deployment) {
        assert!(Instant::now() < deadline, "no line of the round");
        sleep(Duration::from_millis(50)).await;
    }
}

fn devices(deployment: &Deployment, count: u16) -> Vec<BareDevice> {
    let root = deployment.pki("root.crt").unwrap();
    let address = deployment.coordinator_address();
    let device = |own: Credentials| BareDevice::new(&address, &root, Some(&own)).unwrap();
    let credentials = enrolled(deployment, count).unwrap();
    credentials.into_iter().map(device).collect()
}

/// HOSTILE 151: what four devices had spent reaches nobody, for the helper is away until the round
/// is over. The task has lost nothing by it, and they are given nothing back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_that_nobody_entered_costs_the_task_nothing() {
    let settings = Settings {
        deadline_seconds: 6,
        task: "latest_deadline_seconds = 14\n",
        ..short()
    };
    let mut deployment = Deployment::new(settings).unwrap();
    let larger = ["--epsilon", "4", "--cohort", "4", "--replace"];
    deployment
        .succeed(&[&["pki", "policy", "pki"][..], &larger].concat())
        .unwrap();
    let rows: String = (0..4)
        .map(|device| format!("{device},{device},1,1,view\n"))
        .collect();
    let interactions = format!("device,item,timestamp,value,type\n{rows}");
    fs::write(deployment.path("interactions.csv"), interactions).unwrap();

    deployment.start(Role::Helper).unwrap();
    deployment.start(Role::Coordinator).unwrap();
    deployment.open_round().unwrap();
    deployment.kill(Role::Helper).unwrap();
    deployment.start(Role::Devices).unwrap();
    deployment
        .logs(Role::Coordinator, "round_abandoned")
        .await
        .unwrap();
    deployment.start(Role::Helper).unwrap();
    // Those that met nobody so often would wait longer and longer.
    deployment.crash(Role::Devices).unwrap();
    deployment.finish(SOON).unwrap();

    let free = empty(&deployment);
    assert_eq!((free.len(), abandoned(&deployment).len()), (1, 0));
    assert_eq!((free[0].round.0, free[0].free_rounds), (1, 1));
    let releases = deployment.releases().unwrap();
    let charge = &releases[0].charge;
    assert_eq!(releases.len(), 1);
    assert_eq!((charge.round.0, charge.participation_index), (2, 1));
    assert_eq!(charge.rho_total, charge.rho);
    assert_eq!(
        charge.rho, free[0].ticket_rho,
        "its share is as it was planned"
    );

    deployment.verify().unwrap();
    let explained = ["audit", "explain", "coordinator/ledger", "1"];
    let told = String::from_utf8(deployment.succeed(&explained).unwrap()).unwrap();
    assert!(told.contains("cost the task nothing"), "{told}");

    let both = charge.rho.compose(free[0].ticket_rho);
    for device in 0..4 {
        let folder = deployment.path(&format!("devices/{device:06}"));
        let store = Store::open(&folder).unwrap();
        let rounds: Vec<(u32, Status)> = store
            .ledger()
            .unwrap()
            .into_iter()
            .map(|(line, status)| (line.round.0, status))
            .collect();
        assert_eq!(rounds, [(1, Status::Forfeited), (2, Status::Acknowledged)]);
        assert_eq!(store.spent().unwrap(), both, "what was spent stays spent");
    }
}

/// HOSTILE 151: it is enough that one device came, also when the coordinator is killed and the
/// helper has forgotten the seed with the round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_that_one_device_entered_stays_charged() {
    let mut deployment = Deployment::with_open_round(short()).unwrap();
    let device = devices(&deployment, 1).remove(0);
    let (ticket, hash) = device.ticket(Instant::now() + SOON).await.unwrap();
    let own = Contribution::new(&ticket, hash, vec![1; 64]).unwrap();
    assert_eq!(device.send(&own).await.unwrap(), Accepted);
    deployment.crash(Role::Coordinator).unwrap();

    ended(&deployment, 1).await;
    let charged = abandoned(&deployment);
    assert_eq!((charged.len(), empty(&deployment).len()), (1, 0));
    assert_eq!(charged[0].contributors, 1);
    assert_eq!(charged[0].charge.rho_total, charged[0].charge.rho);
    assert!(charged[0].charge.rho > Rho::ZERO);
    deployment.verify().unwrap();
}

/// HOSTILE 151: the round is over before the helper is asked. A coordinator that is killed while it
/// waits for the answer offers the ticket to nobody afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_that_waits_for_its_certificate_is_offered_to_nobody() {
    let mut deployment = Deployment::with_open_round(short()).unwrap();
    let device = devices(&deployment, 1).remove(0);
    device.ticket(Instant::now() + SOON).await.unwrap();
    deployment.kill(Role::Helper).unwrap();
    deployment
        .logs(Role::Coordinator, "helper_unavailable")
        .await
        .unwrap();
    deployment.crash(Role::Coordinator).unwrap();

    let deadline = Instant::now() + SOON;
    let answer = tacit_tests::bare::repeat(deadline, || device.check_in()).await;
    assert!(ticket_of(answer.unwrap()).is_none());
    deployment.start(Role::Helper).unwrap();
    ended(&deployment, 1).await;
    assert_eq!(empty(&deployment).len(), 1);
    deployment.verify().unwrap();
}

/// HOSTILE 151: the helper dies once the round has ended and before its key is gone, and once its
/// key is gone and before anything is signed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_helper_killed_between_end_erasure_and_signature_certifies_after_its_restart() {
    if !faults::available() {
        return;
    }
    for (call, folder_only, keys_left) in [("unlink,unlinkat", false, 1), ("fsync", true, 0)] {
        let mut deployment = Deployment::with_open_round(short()).unwrap();
        deployment.kill(Role::Helper).unwrap();
        let keys = deployment.path("helper/keys");
        let mut all = fs::read_dir(&keys).unwrap();
        let first = all.next().unwrap().unwrap().path();
        let killer = faults::killer(call, folder_only.then_some(&*keys));
        deployment.start_under(&killer, Role::Helper).unwrap();

        let deadline = Instant::now() + SOON;
        while deployment.ended(Role::Helper).unwrap().is_none() {
            assert!(Instant::now() < deadline, "{call}: it was not killed");
            sleep(Duration::from_millis(50)).await;
        }
        let left = fs::read_dir(&keys).unwrap().count();
        assert_eq!(left, keys_left, "{call}");
        assert!(
            !deployment
                .log(Role::Helper)
                .contains("round_certified_empty")
        );
        assert_eq!(empty(&deployment).len(), 0);

        deployment.restart(Role::Helper).unwrap();
        ended(&deployment, 1).await;
        assert!(!first.exists(), "{call}: the next round has another");
        assert_eq!(empty(&deployment).len(), 1, "{call}");
        deployment.verify().unwrap();
    }
}

/// HOSTILE 151: devices would refuse a task with more free rounds than their policy allows, so the
/// next one is charged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rounds_beyond_the_policys_largest_number_of_free_ones_are_charged() {
    let mut deployment = Deployment::new(short()).unwrap();
    let signed: SignedPolicy =
        serde_json::from_str(&deployment.pki("policy.json").unwrap()).unwrap();
    let policy = Policy {
        free_rounds_max: 1,
        ..signed.read().unwrap()
    };
    let seed = tacit_wire::files::read_seed(&deployment.path("pki/publisher.sign")).unwrap();
    let signed = SignedPolicy::new(&policy, &SigningKey::from_seed(&seed)).unwrap();
    let text = serde_json::to_string(&signed).unwrap();
    fs::write(deployment.path("pki/policy.json"), text).unwrap();
    let listen = "listen = ";
    deployment
        .configure(
            Role::Coordinator,
            listen,
            "policy = \"pki/policy.json\"\nlisten = ",
        )
        .unwrap();

    deployment.start(Role::Helper).unwrap();
    deployment.start(Role::Coordinator).unwrap();
    let four = devices(&deployment, 4);
    let deadline = Instant::now() + SOON;
    while empty(&deployment).len() + abandoned(&deployment).len() < 2 {
        assert!(Instant::now() < deadline, "no second round");
        for device in &four {
            // They come back and never send; some are turned away while a round ends.
            let _ = device.check_in().await;
        }
        sleep(Duration::from_millis(200)).await;
    }
    ended(&deployment, 2).await;
    assert_eq!(empty(&deployment)[0].round.0, 1);
    assert_eq!(abandoned(&deployment)[0].charge.round.0, 2);
    deployment.verify().unwrap();
}
