//! A task that is evaluated by its devices, over the wire: the evaluation comes last, keeps or
//! trims the model, and a stranger reads the same figures off the exported sum.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tacit_model::measure::evaluation::layout::LENGTH;
use tacit_tests::deployment::{Deployment, Role, Settings};
use tacit_types::Kind;
use tokio::time::{Instant, sleep};

const COHORT: u32 = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_devices_evaluation_is_released_exported_and_recomputed() {
    let settings = Settings {
        cohort: COHORT,
        tokens: COHORT,
        items: 40,
        epsilon: 20.0,
        task: "evaluation = 0.3\n",
        ..Settings::default()
    };
    let mut deployment = Deployment::new(settings).unwrap();
    let mut rows = String::from("device,item,timestamp,value,type\n");
    for device in 0..COHORT {
        // One device has nothing to hold out, and contributes all the same.
        for time in 0..if device == 0 { 1 } else { 6 } {
            writeln!(
                rows,
                "{device},{},{time},1,view",
                (device * 7 + time * 5) % 40
            )
            .unwrap();
        }
    }
    fs::write(deployment.path("interactions.csv"), rows).unwrap();
    for role in [Role::Helper, Role::Coordinator, Role::Devices] {
        deployment.start(role).unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(120);
    let ended = loop {
        if let Some(status) = deployment.ended(Role::Devices).unwrap() {
            break status;
        }
        assert!(
            Instant::now() < deadline,
            "the devices did not complete the task"
        );
        sleep(Duration::from_millis(50)).await;
    };
    assert!(ended.success(), "the devices ended with {ended}");
    let releases = deployment.releases().unwrap();
    let last = releases.last().unwrap();
    assert_eq!(
        (last.charge.kind.as_str(), last.contributors),
        (Kind::Metrics.as_str(), COHORT)
    );
    assert!(
        releases.len() > 1
            && releases[..releases.len() - 1]
                .iter()
                .all(|one| one.charge.kind != "metrics")
    );
    let sum = deployment
        .ledger()
        .join(format!("sums/{}.bin", last.sum_digest));
    assert_eq!(fs::read(&sum).unwrap().len(), 4 * LENGTH);

    deployment.verify().unwrap();
    let found = tacit_audit::verify(&deployment.ledger()).unwrap();
    let report: serde_json::Value =
        serde_json::from_str(&tacit_audit::report(&found, None).json).unwrap();
    assert_eq!(report["evaluations"][0]["contributors"], COHORT);
    assert!(
        found.evaluations[0]
            .evaluation
            .evaluated
            .value
            .is_finite()
    );
    let seq = deployment.lines().unwrap().last().unwrap().seq;
    assert!(
        tacit_audit::explain(&deployment.ledger(), seq)
            .unwrap()
            .contains("HR@10")
    );
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../coordinator/audit/python/verify.py");
    let python = || {
        Command::new("python3")
            .arg(&script)
            .arg(deployment.ledger())
            .output()
    };
    assert!(python().unwrap().status.success());

    let mut spoilt = fs::read(&sum).unwrap();
    spoilt[0] ^= 1;
    fs::write(&sum, spoilt).unwrap();
    assert!(deployment.verify().is_err());
    let refused = python().unwrap();
    assert!(
        !refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("SHA-256")
    );
}
