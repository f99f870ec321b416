//! A task for members with helper noise, both demanded by the devices' policy: real devices with
//! memberships complete it, an enrolled device without one does not count.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::Duration;

use tacit_proto::v2::ContributionOutcome::Refused;
use tacit_tests::bare::{BareDevice, Contribution};
use tacit_tests::deployment::{Deployment, Role, Settings, tacit};
use tokio::time::{Instant, sleep};

const COHORT: u32 = 4;
const ITEMS: u32 = 64;

fn append(deployment: &Deployment, file: &str, text: &str) {
    let mut file = OpenOptions::new()
        .append(true)
        .open(deployment.path(file))
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_devices_the_helpers_organisation_enrolled_count() {
    let settings = Settings {
        cohort: COHORT,
        tokens: COHORT + 1,
        items: ITEMS,
        task: "membership = true\nhelper_noise = true\n",
        ..Settings::default()
    };
    let mut deployment = Deployment::new(settings).unwrap();
    let count = COHORT.to_string();
    fs::remove_file(deployment.path("pki/policy.json")).unwrap();
    let policy = [
        "pki",
        "policy",
        "pki",
        "--epsilon",
        "1",
        "--cohort",
        &count,
        "--helper-noise",
        "--membership",
    ];
    for command in [&["pki", "members", "pki", "--count", &count][..], &policy] {
        assert!(
            tacit(&deployment.path(""), command)
                .unwrap()
                .status
                .success(),
            "{command:?}"
        );
    }
    let issuer = deployment.pki("members.pub").unwrap();
    let membership = format!(
        "\n[membership]\nissuer_key = \"{}\"\nrequired = true\n",
        issuer.trim()
    );
    append(&deployment, "helper.toml", &membership);
    append(
        &deployment,
        "device.toml",
        "members = \"pki/members.txt\"\n",
    );
    let rows: String = (0..COHORT)
        .map(|device| format!("{device},{device},,1,view\n"))
        .collect();
    fs::write(
        deployment.path("interactions.csv"),
        format!("device,item,timestamp,value,type\n{rows}"),
    )
    .unwrap();
    deployment.start(Role::Helper).unwrap();
    deployment.start(Role::Coordinator).unwrap();
    deployment.open_round().unwrap();

    // Enrolled by the coordinator alone.
    let deadline = Instant::now() + Duration::from_secs(60);
    let token = deployment.tokens().unwrap().pop().unwrap();
    let invented = BareDevice::enrol(&deployment, &token, deadline)
        .await
        .unwrap();
    let (ticket, hash) = invented.ticket(deadline).await.unwrap();
    assert!(ticket.membership && ticket.mechanism.helper_noise);
    let contribution = Contribution::new(&ticket, hash, vec![0; ITEMS as usize]).unwrap();
    assert_eq!(
        invented
            .send_until_answered(&contribution, deadline)
            .await
            .unwrap(),
        Refused
    );

    deployment.start(Role::Devices).unwrap();
    let ended = loop {
        if let Some(status) = deployment.ended(Role::Devices).unwrap() {
            break status;
        }
        assert!(
            Instant::now() < deadline,
            "the members did not complete the task"
        );
        sleep(Duration::from_millis(50)).await;
    };
    assert!(ended.success(), "the devices ended with {ended}");
    let releases = deployment.releases().unwrap();
    assert_eq!(
        releases
            .iter()
            .map(|release| release.contributors)
            .collect::<Vec<_>>(),
        [COHORT]
    );
    deployment.verify().unwrap();
}
