//! Exact mode against a run over the wire, to the last bit.
//!
//! No seed can be put into a device, so the operating system is replaced instead: a library loaded
//! into the unchanged `tacit device` process, and into the simulation, answers the request that
//! becomes the rounding and noise seed with the same bytes for everybody. Contribution ids and
//! masks stay random. Every model and every sum must then be the same.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tacit_data::{Dataset, SyntheticSpec, synthetic};
use tacit_model::family::catalogue::Catalogue;
use tacit_plan::Plan;
use tacit_privacy::Mechanism;
use tacit_privacy::canonical::digest;
use tacit_simulate::exact;
use tacit_tests::deployment::{Deployment, Role, Settings};

const USERS: u32 = 60;
const ITEMS: u32 = 40;
/// The task must be finished by then.
const DEADLINE: Duration = Duration::from_secs(120);

/// A device asks for 32 bytes (rounding and noise), then 16 (contribution id), then 32 (mask). The
/// first are fixed here, and so are 32 bytes asked for anywhere else; what follows 16 bytes, and
/// any other number, comes from the kernel.
const STUCK_SYSTEM: &str = r"
#define _GNU_SOURCE
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static __thread size_t last;

ssize_t getrandom(void *out, size_t length, unsigned flags) {
    size_t before = last;
    last = length;
    if (length != 32 || before == 16) return syscall(SYS_getrandom, out, length, flags);
    memset(out, 0x5a, length);
    return (ssize_t)length;
}
";

const LIBRARY: &str = "stuck.so";
/// What the child is given.
const PLAN: &str = "plan.json";
const SEED: &str = "seed";
/// What it leaves.
const MODEL: &str = "exact.bin";
const MECHANISMS: &str = "exact.json";
/// Tells a process that it is the child, and in which deployment's folder.
const FOLDER: &str = "TACIT_TEST_EXACT_FOLDER";

/// Compiles the library.
fn stuck_system(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("stuck.c"), folder.join(LIBRARY));
    fs::write(&source, STUCK_SYSTEM).unwrap();
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(
        status
            .expect("a C compiler, which SQLite needs too")
            .success()
    );
    library
}

/// A finished task whose devices were asked for no other seed, its processes ended.
fn over_the_wire() -> Deployment {
    let task = "factors = 4\nrounds = 2\nevaluation = 0.05\n";
    let settings = Settings {
        cohort: USERS,
        tokens: USERS,
        items: ITEMS,
        epsilon: 200.0,
        dropout: 0.0,
        task,
        ..Settings::default()
    };
    let mut deployment = Deployment::new(settings).unwrap();
    let titles: String = (0..ITEMS)
        .map(|item| format!("item {item}\tkind {}\n", item % 3))
        .collect();
    fs::write(deployment.path("catalogue.txt"), titles).unwrap();
    deployment.write_interactions(&behaviour()).unwrap();
    let library = stuck_system(&deployment.path(""));
    [Role::Helper, Role::Coordinator]
        .into_iter()
        .for_each(|role| deployment.start(role).unwrap());
    let loaded = ["env".into(), format!("LD_PRELOAD={}", library.display())];
    deployment.start_under(&loaded, Role::Devices).unwrap();
    deployment.finish(DEADLINE).unwrap();
    deployment.verify().unwrap();
    deployment
}

fn behaviour() -> Dataset {
    synthetic(&SyntheticSpec {
        users: USERS as usize,
        items: ITEMS as usize,
        seed: 1,
    })
}

/// The child's part: the same task in exact mode, under the same system.
fn simulate(folder: &Path) {
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let plan: Plan = serde_json::from_str(&text(PLAN)).unwrap();
    let catalogue = Catalogue::parse(text("catalogue.txt").as_bytes()).unwrap();
    let features = catalogue.features().unwrap();
    let run = exact::train_featured(
        &behaviour().users,
        &features,
        &plan,
        text(SEED).parse().unwrap(),
    )
    .unwrap();
    let mechanisms: Vec<Mechanism> = run
        .releases
        .into_iter()
        .map(|release| release.mechanism)
        .collect();
    fs::write(
        folder.join(MECHANISMS),
        serde_json::to_vec(&mechanisms).unwrap(),
    )
    .unwrap();
    fs::write(folder.join(MODEL), run.model.to_bytes()).unwrap();
}

/// Leaves the plan the coordinator kept and its public seed where the child finds them.
fn hand_over(deployment: &Deployment) {
    let database =
        rusqlite::Connection::open(deployment.path("coordinator/coordinator.sqlite")).unwrap();
    let plan: String = database
        .query_row("SELECT value FROM meta WHERE key = 'job'", [], |row| {
            row.get(0)
        })
        .unwrap();
    let ledger = deployment.lines().unwrap()[0].ledger_id;
    let seed = u64::from_le_bytes(ledger.0[..8].try_into().unwrap());
    fs::write(deployment.path(PLAN), plan).unwrap();
    fs::write(deployment.path(SEED), seed.to_string()).unwrap();
}

#[test]
fn the_same_system_gives_the_same_model_over_the_wire_and_in_exact_mode() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return simulate(Path::new(&folder));
    }
    let mut deployment = over_the_wire();
    for role in [Role::Helper, Role::Coordinator] {
        deployment.kill(role).unwrap();
    }
    hand_over(&deployment);
    let child = |library: Option<&str>| {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .arg("the_same_system")
            .env(FOLDER, deployment.path(""));
        child.envs(library.map(|library| ("LD_PRELOAD", deployment.path(library))));
        let output = child.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
        fs::read(deployment.path(MODEL)).unwrap()
    };

    let exact = child(Some(LIBRARY));
    let releases = deployment.releases().unwrap();
    assert!(
        releases.len() >= 4
            && releases
                .iter()
                .all(|release| release.contributors == USERS)
    );
    let mechanisms: Vec<&Mechanism> = releases
        .iter()
        .map(|release| &release.charge.mechanism)
        .collect();
    let simulated: Vec<Mechanism> =
        serde_json::from_slice(&fs::read(deployment.path(MECHANISMS)).unwrap()).unwrap();
    assert!(
        simulated.iter().eq(mechanisms),
        "every release has the same public numbers"
    );
    let published = releases.last().unwrap().model_out_hash;
    assert_eq!(
        digest(&exact),
        published,
        "every bit of the last model, and so of every sum before it"
    );
    // With the real system the models differ: the comparison can fail.
    assert_ne!(digest(&child(None)), published);
}
