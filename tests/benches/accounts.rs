//! What a million accounts cost the real coordinator: its start, its memory, a check-in and a
//! release. Targets: listening within 2 s, at most 256 MB, and the other two as among a thousand,
//! which is the reference of the same run.

#![allow(clippy::print_stdout, reason = "benchmarks say what they measured")]

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use rusqlite::{Connection, params};
use tacit_proto::v2;
use tacit_server::storage::sqlite::{SqliteAccounts, SqliteTask};
use tacit_tests::bare::{self, BareDevice, CHECK_IN, Contribution};
use tacit_tests::deployment::{Deployment, Role, Settings};
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep};

const COHORT: u16 = 300;
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at something that is awaited.
const PAUSE: Duration = Duration::from_millis(5);
/// What each device was counted for by an earlier task, in units of 2^-64: little.
const SPENT: u128 = 1 << 60;

fn main() -> Result<()> {
    // Under `cargo test --benches` a short run shows that it still works.
    let measured = std::env::args().any(|argument| argument == "--bench");
    let (accounts, calls) = if measured {
        (1_000_000, 500)
    } else {
        (20_000, 20)
    };
    let few = measure(1_000, calls)?;
    let many = measure(accounts, calls)?;
    few.print();
    many.print();
    println!(
        "{accounts} accounts beside 1000: start x{:.2}, check-in x{:.2}, release x{:.2}",
        many.start / few.start,
        many.check_in / few.check_in,
        many.release / few.release
    );
    Ok(())
}

/// Seconds and bytes.
struct Cost {
    accounts: u32,
    start: f64,
    memory: u64,
    check_in: f64,
    release: f64,
}

impl Cost {
    fn print(&self) {
        println!(
            "{} accounts: listening after {:.2} s (target 2), check-in {:.2} ms, release {:.0} ms, \
             {} MB (target 256)",
            self.accounts,
            self.start,
            1e3 * self.check_in,
            1e3 * self.release,
            self.memory >> 20
        );
    }
}

fn measure(accounts: u32, calls: usize) -> Result<Cost> {
    let settings = Settings {
        cohort: COHORT.into(),
        ..Settings::default()
    };
    let mut deployment = Deployment::new(settings)?;
    allow_two_tasks(&deployment)?;
    fill(&deployment, accounts)?;
    deployment.start(Role::Helper)?;
    let begun = Instant::now();
    deployment.start(Role::Coordinator)?;
    while !deployment.log(Role::Coordinator).contains("listening") {
        ensure!(begun.elapsed() < PATIENCE, "{}", deployment.log_tails());
        std::thread::sleep(PAUSE);
    }

    let start = begun.elapsed().as_secs_f64();
    let runtime = Runtime::new()?;
    let (check_in, release) = runtime.block_on(take_part(&deployment, calls))?;
    Ok(Cost {
        accounts,
        start,
        memory: deployment.memory(Role::Coordinator)?,
        check_in,
        release,
    })
}

/// The policy pays for this task and the earlier one, and the coordinator checks that it does.
fn allow_two_tasks(deployment: &Deployment) -> Result<()> {
    std::fs::remove_file(deployment.path("pki/policy.json"))?;
    let cohort = COHORT.to_string();
    let policy = [
        "pki",
        "policy",
        "pki",
        "--epsilon",
        "8",
        "--cohort",
        &cohort,
    ];
    let signed = deployment.tacit(&policy)?;
    ensure!(signed.status.success(), "no policy");
    let listen = "listen =";
    let policy = deployment.path("pki/policy.json");
    let told = format!("policy = \"{}\"\n{listen}", policy.display());
    deployment.configure(Role::Coordinator, listen, &told)
}

/// Accounts of an earlier task and of this one, spread over all names there are.
fn fill(deployment: &Deployment, accounts: u32) -> Result<()> {
    let (state, shared) = (deployment.path("coordinator"), deployment.path("enrolled"));
    drop(SqliteTask::open(&state)?);
    drop(SqliteAccounts::open(&shared)?);
    let own = "INSERT INTO spent VALUES (?1, ?2)";
    rows(&state.join("coordinator.sqlite"), own, accounts)?;
    let earlier = "INSERT INTO counted VALUES (?1, 'earlier', ?2)";
    let shared = shared.join("accounts.sqlite");
    rows(&shared, earlier, accounts)?;
    let spending = "INSERT INTO spending VALUES (?1, ?2)";
    Connection::open(&shared)?.execute(spending, params![SPENT.to_be_bytes(), accounts])?;
    Ok(())
}

fn rows(file: &Path, insert: &str, accounts: u32) -> Result<()> {
    let mut db = Connection::open(file)?;
    let transaction = db.transaction()?;
    let mut query = transaction.prepare(insert)?;
    let apart = u128::MAX / u128::from(accounts);
    for account in 0..accounts {
        let device = apart * u128::from(account);
        query.execute(params![device.to_be_bytes(), SPENT.to_be_bytes()])?;
    }
    drop(query);
    Ok(transaction.commit()?)
}

/// Seconds of a check-in, the median, and from the last acknowledgement to the published release.
async fn take_part(deployment: &Deployment, calls: usize) -> Result<(f64, f64)> {
    let deadline = Instant::now() + PATIENCE;
    let (address, root) = (
        deployment.coordinator_address(),
        deployment.pki("root.crt")?,
    );
    let devices = bare::enrolled(deployment, COHORT)?
        .iter()
        .map(|device| BareDevice::new(&address, &root, Some(device)))
        .collect::<Result<Vec<_>>>()?;
    let (ticket, hash) = devices[0].ticket(deadline).await?;

    let mut client = devices[0].connect().await?;
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let begun = Instant::now();
        client.check_in(CHECK_IN).await?;
        times.push(begun.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);

    for device in &devices {
        let values = vec![1; ticket.mechanism.length as usize];
        let contribution = Contribution::new(&ticket, hash, values)?;
        let outcome = device
            .send_until_answered(&contribution, deadline)
            .await?;
        ensure!(outcome == v2::ContributionOutcome::Accepted, "{outcome:?}");
    }
    let begun = Instant::now();
    loop {
        let answer = client.check_in(CHECK_IN).await?;
        if answer.into_inner().model_hash != ticket.model_in_hash.0[..] {
            return Ok((times[calls / 2], begun.elapsed().as_secs_f64()));
        }
        ensure!(Instant::now() < deadline, "{}", deployment.log_tails());
        sleep(PAUSE).await;
    }
}
