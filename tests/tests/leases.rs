//! Selection before the spend, with the real processes: who is not selected spends nothing, and who
//! is selected is counted, whatever is killed meanwhile.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use tacit_data::{SyntheticSpec, synthetic};
use tacit_privacy::record::Event;
use tacit_proto::v2::ContributionOutcome::{Accepted, Refused};
use tacit_proto::v2::check_in_response::Selection;
use tacit_round::device::Status;
use tacit_round::ticket::Ticket;
use tacit_sdk::Store;
use tacit_tests::bare::{BareDevice, Contribution, Credentials, enrolled, repeat};
use tacit_tests::deployment::{Deployment, Role, Settings};
use tacit_types::Digest;
use tokio::time::{Instant, sleep};
use tonic::Status as Refusal;

/// Whatever a test waits for happens within this time.
const SOON: Duration = Duration::from_secs(60);
const FLEET: u32 = 300;

/// Rounds this installation has spent for, and how many of them were counted in no sum.
fn spends(folder: &Path) -> (usize, usize) {
    let lines = Store::open(folder).unwrap().ledger().unwrap();
    let forfeited = lines
        .iter()
        .filter(|(_, status)| *status == Status::Forfeited);
    (lines.len(), forfeited.count())
}

/// HOSTILE 142: 300 devices and a cohort of 40. Half of what they spent was for nothing when every
/// device got a ticket.
#[test]
fn a_fleet_much_larger_than_the_cohort_forfeits_next_to_nothing() {
    let settings = Settings {
        cohort: 40,
        devices: FLEET,
        tokens: FLEET,
        epsilon: 8.0,
        task: "factors = 4\nrounds = 2\n",
        ..Settings::default()
    };
    let mut deployment = Deployment::running(settings).unwrap();
    let data = synthetic(&SyntheticSpec {
        users: FLEET as usize,
        items: 64,
        seed: 1,
    });
    deployment.write_interactions(&data).unwrap();
    deployment.start(Role::Devices).unwrap();
    deployment.finish(2 * SOON).unwrap();

    let folder = |device: u32| deployment.path(&format!("devices/{device:06}"));
    let (spent, forfeited) = (0..FLEET)
        .map(|device| spends(&folder(device)))
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let releases = deployment.releases().unwrap();
    let counted: usize = releases
        .iter()
        .map(|one| one.contributors as usize)
        .sum();
    println!(
        "{spent} spent in {} rounds, {forfeited} forfeited",
        releases.len()
    );
    assert_eq!(spent - forfeited, counted, "who spent is counted");
    assert!(spent >= 40 * releases.len());
    assert!(20 * forfeited < spent, "{forfeited} of {spent} forfeited");
    deployment.verify().unwrap();
}

fn devices(deployment: &Deployment, count: u16) -> Vec<BareDevice> {
    let root = deployment.pki("root.crt").unwrap();
    let address = deployment.coordinator_address();
    let device = |own: Credentials| BareDevice::new(&address, &root, Some(&own)).unwrap();
    let credentials = enrolled(deployment, count).unwrap();
    credentials.into_iter().map(device).collect()
}

fn contribution(ticket: &Ticket, hash: Digest) -> Contribution {
    Contribution::new(ticket, hash, vec![1; 64]).unwrap()
}

/// What the open round has for a device; waits until there is one.
async fn selection(device: &BareDevice) -> Selection {
    let deadline = Instant::now() + SOON;
    let asked = repeat(deadline, || async {
        let selection = device.check_in().await?.selection;
        selection.ok_or_else(|| Refusal::unavailable("no round is open"))
    });
    asked.await.unwrap()
}

async fn is_selected(device: &BareDevice) -> bool {
    matches!(selection(device).await, Selection::Lease(_))
}

/// HOSTILE 177: three of the four devices that the smallest set needs come again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_round_opens_before_enough_devices_have_come_not_even_the_first() {
    let deployment = Deployment::running(Settings::default()).unwrap();
    let devices = devices(&deployment, 4);
    let (last, few) = devices.split_last().unwrap();
    let deadline = Instant::now() + SOON;
    for _ in 0..20 {
        for device in few {
            let answer = repeat(deadline, || device.check_in()).await;
            assert!(answer.unwrap().selection.is_none());
        }
        sleep(Duration::from_millis(100)).await;
    }
    let genesis_alone = 1;
    assert_eq!(deployment.lines().unwrap().len(), genesis_alone);
    assert!(
        !deployment
            .log(Role::Coordinator)
            .contains("round_opened")
    );

    last.ticket(deadline).await.unwrap();
    deployment.verify().unwrap();
}

/// HOSTILE 177: the command that ran them says that nothing came of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_that_are_too_few_say_so_when_they_are_ended() {
    let settings = Settings {
        devices: 3,
        ..Settings::default()
    };
    let mut deployment = Deployment::running(settings).unwrap();
    let rows = "device,item,timestamp,value,type\n0,1,,1,view\n";
    fs::write(deployment.path("interactions.csv"), rows).unwrap();
    deployment.start(Role::Devices).unwrap();
    deployment
        .logs(Role::Coordinator, "waiting_for_devices")
        .await
        .unwrap();
    sleep(Duration::from_secs(2)).await;
    deployment.terminate(Role::Devices).unwrap();
    let status = ended(&mut deployment, Role::Devices).await;
    assert_eq!(status.code(), Some(128 + 15));
    assert!(
        deployment
            .log(Role::Devices)
            .contains("nothing_counted")
    );
    let printed = fs::read_to_string(deployment.path("device.out")).unwrap();
    assert!(printed.contains("\"acknowledged\":0"), "{printed}");
}

/// HOSTILE 140: five leases for a cohort of four, the coordinator killed between the leases and
/// what was spent on them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_outlives_the_coordinator_and_is_of_one_device() {
    let mut deployment = Deployment::with_open_round(Settings::default()).unwrap();
    let all = devices(&deployment, 7);
    let (selected, others) = all.split_at(5);
    let deadline = Instant::now() + SOON;
    let (ticket, hash) = selected[0].ticket(deadline).await.unwrap();
    for device in selected {
        assert!(is_selected(device).await);
        assert!(
            is_selected(device).await,
            "asking again takes no other place"
        );
    }
    assert!(!is_selected(&others[0]).await);

    deployment.crash(Role::Coordinator).unwrap();
    for device in others {
        assert!(!is_selected(device).await, "the places are still taken");
    }
    assert!(is_selected(&selected[0]).await);
    let sent = others[0]
        .send(&contribution(&ticket, hash))
        .await
        .unwrap();
    assert_eq!(sent, Refused, "nobody takes the place of who was selected");
    for device in selected {
        let own = contribution(&ticket, hash);
        let sent = device
            .send_until_answered(&own, deadline)
            .await
            .unwrap();
        assert_eq!(sent, Accepted);
    }
    selected[0]
        .wait_until_finished(deadline)
        .await
        .unwrap();
    assert_eq!(deployment.releases().unwrap()[0].contributors, 5);
    deployment.verify().unwrap();
}

/// HOSTILE 143: three of four contribute before the deadline, the fourth after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_too_small_at_the_deadline_goes_on_to_the_latest() {
    let settings = Settings {
        deadline_seconds: 3,
        task: "latest_deadline_seconds = 60\n",
        ..Settings::default()
    };
    let mut deployment = Deployment::with_open_round(settings).unwrap();
    let devices = devices(&deployment, 4);
    let deadline = Instant::now() + SOON;
    let (ticket, hash) = devices[0].ticket(deadline).await.unwrap();
    assert_eq!(ticket.set_min(), 4);
    for device in &devices[..3] {
        device.ticket(deadline).await.unwrap();
        let own = contribution(&ticket, hash);
        assert_eq!(device.send(&own).await.unwrap(), Accepted);
    }
    while tacit_wire::clock::now() <= ticket.deadline {
        sleep(Duration::from_millis(50)).await;
    }
    deployment.crash(Role::Coordinator).unwrap();
    let after = devices[3].ticket(deadline).await.unwrap();
    assert_eq!(
        after.1, hash,
        "the same ticket, whose deadlines nothing moved"
    );
    let own = contribution(&ticket, hash);
    let sent = devices[3].send_until_answered(&own, deadline).await;
    assert_eq!(sent.unwrap(), Accepted);
    devices[0].wait_until_finished(deadline).await.unwrap();
    assert_eq!(deployment.releases().unwrap()[0].contributors, 4);
    deployment.verify().unwrap();
}

/// HOSTILE 146: the round is over long before its deadline, and stays charged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_whose_key_the_helper_lost_is_abandoned_at_once() {
    let settings = Settings {
        deadline_seconds: 3600,
        ..Settings::default()
    };
    let mut deployment = Deployment::with_open_round(settings).unwrap();
    let devices = devices(&deployment, 4);
    let deadline = Instant::now() + SOON;
    let (first, _) = devices[0].ticket(deadline).await.unwrap();
    deployment.kill(Role::Helper).unwrap();
    for key in fs::read_dir(deployment.path("helper/keys")).unwrap() {
        fs::remove_file(key.unwrap().path()).unwrap();
    }
    deployment.start(Role::Helper).unwrap();

    deployment
        .logs(Role::Coordinator, "round_abandoned")
        .await
        .unwrap();
    // Its line is exported once both parties have signed for it, an hour before the deadline.
    let is_charged = |event: &Event| match event {
        Event::Abandoned(abandoned) => abandoned.charge.round == first.round,
        _ => false,
    };
    let charged = || {
        let lines = deployment.lines().unwrap();
        lines
            .iter()
            .filter(|line| is_charged(&line.event))
            .count()
    };
    while charged() == 0 {
        assert!(Instant::now() < deadline, "no line of the round");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(charged(), 1);
}

async fn ended(deployment: &mut Deployment, role: Role) -> ExitStatus {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(status) = deployment.ended(role).unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "it goes on");
        sleep(Duration::from_millis(20)).await;
    }
}

/// HOSTILE 145: a crash loop burns no number, and says in one line what a person has to change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draft_that_the_helper_refuses_keeps_its_number() {
    let mut deployment = Deployment::new(Settings::default()).unwrap();
    // Killed while nobody answers: the same bytes are asked for again.
    deployment.start(Role::Coordinator).unwrap();
    deployment
        .logs(Role::Coordinator, "helper_unavailable")
        .await
        .unwrap();
    deployment.kill(Role::Coordinator).unwrap();

    // Changed before the coordinator starts, and while it waits for devices.
    let path = deployment.path("helper.toml");
    let sound = fs::read_to_string(&path).unwrap();
    let strict = format!("honest_min = 100\n{sound}");
    for waits in [false, false, true] {
        if waits {
            deployment.start(Role::Helper).unwrap();
            deployment.start(Role::Coordinator).unwrap();
            deployment
                .logs(Role::Coordinator, "waiting_for_devices")
                .await
                .unwrap();
            deployment.kill(Role::Helper).unwrap();
        }
        fs::write(&path, &strict).unwrap();
        deployment.start(Role::Helper).unwrap();
        if waits {
            deployment.check_in_crowd().await.unwrap();
        } else {
            deployment.start(Role::Coordinator).unwrap();
        }
        let ended = ended(&mut deployment, Role::Coordinator).await;
        assert_eq!(ended.code(), Some(2));
        let said = deployment.log(Role::Coordinator);
        let words = match waits {
            false => "the helper hides one among at least 100",
            true => "n_min is below this helper's minimum",
        };
        assert!(said.lines().last().unwrap().contains(words), "{said}");
        deployment.kill(Role::Coordinator).unwrap();
        deployment.kill(Role::Helper).unwrap();
        fs::write(&path, &sound).unwrap();
    }

    deployment.start(Role::Helper).unwrap();
    deployment.start(Role::Coordinator).unwrap();
    deployment.open_round().unwrap();
    let device = devices(&deployment, 1).remove(0);
    let (ticket, _) = device.ticket(Instant::now() + SOON).await.unwrap();
    assert_eq!(ticket.round.0, 1);
}
