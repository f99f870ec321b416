//! One whole round with the real driver and the real helper, on a machine where each call of the
//! stores in turn is refused, forgotten, or durable and unheard of.
//!
//! Whatever happens, the task ends with one release: everybody who was acknowledged is in its sum,
//! once, and was counted for it once. HOSTILE k2 to k7, k10 to k12 and k15.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod devices;
mod site;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tacit_privacy::canonical::digest;
use tacit_privacy::record::Release;
use tacit_server::ServerError;
use tacit_server::board::Board;
use tacit_server::census::Census;
use tacit_server::config::{Config, Fleet};
use tacit_server::driver::{Driver, Inputs, Links};
use tacit_server::enrolment::{Enrolment, Issuing};
use tacit_server::helper::HelperClient;
use tacit_tests::lossy::{Fault, Lossy};
use tacit_wire::current::Current;
use tacit_wire::{Shutdown, clock};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;

use devices::{DEVICES, Device, Door};
use site::{Running, Site};

/// A task is over by then, with all its starts.
const DEADLINE: Duration = Duration::from_secs(30);
/// One fault costs one start.
const STARTS_MAX: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_round_ends_right_wherever_the_power_fails() {
    let site = Arc::new(Site::new());
    let calm = ends_right(&site, &Lossy::default()).await;
    assert_eq!(calm.starts, 1);
    assert!(calm.calls > 20, "{} calls are no whole round", calm.calls);

    let mut met = 0;
    for at in 1..=calm.calls {
        let tries = Fault::ALL.map(|fault| {
            let site = site.clone();
            let ended = async move {
                let machine = Lossy::failing(at, fault);
                timeout(DEADLINE, ends_right(&site, &machine)).await
            };
            (fault, tokio::spawn(ended))
        });
        for (fault, ended) in tries {
            let ended = ended
                .await
                .unwrap_or_else(|error| panic!("{at} {fault:?}: {error}"));
            let ended = ended.unwrap_or_else(|_| panic!("{at} {fault:?}: not over in time"));
            met += usize::from(ended.starts == STARTS_MAX);
        }
    }
    // Contributions that share a checkpoint once more than before make a round of fewer calls.
    let tries = Fault::ALL.len() * calm.calls;
    assert!(
        met + tries / 10 >= tries,
        "{met} of {tries} faults were met"
    );
}

/// What a task took.
struct Ended {
    starts: usize,
    calls: usize,
}

/// Runs the task to its end, starting the coordinator again whenever it stops, and checks what it
/// ended with.
async fn ends_right(site: &Site, machine: &Lossy) -> Ended {
    let running = site.start().await;
    let mut devices: Vec<Device> = (0..DEVICES).map(Device::new).collect();
    let mut starts = 1;
    while let Err(error) = start(&running, machine, &mut devices).await {
        starts += 1;
        assert!(starts <= STARTS_MAX, "{error}");
        machine.restart();
    }

    let calls = machine.calls();
    let release = running.only_release();
    check_sum(&release, &devices);
    check_counted(&release, machine, &devices).await;
    running.stop().await;
    Ended { starts, calls }
}

/// One life of the coordinator, as long as it lasts.
async fn start(
    running: &Running,
    machine: &Lossy,
    devices: &mut [Device],
) -> Result<(), ServerError> {
    let board = Arc::new(Board::new(DEVICES.into(), Fleet::default()));
    let (queue, arrivals) = mpsc::channel(64);
    let helper = HelperClient::new(&running.config)?;
    let census = Arc::new(Mutex::new(Census::new(0)));
    let links = Links {
        helper: helper.clone(),
        board: board.clone(),
        census: census.clone(),
        enrolment: enrolment(&running.config)?,
        revoked: Current::default(),
        policy: Current::default(),
        arrivals,
    };

    let (config, stores) = (running.config.clone(), machine.stores());
    let store = stores.task.clone();
    let shutdown = Shutdown::default();
    let (stop, runtime) = (shutdown.clone(), Handle::current());
    let mut driving = tokio::task::spawn_blocking(move || {
        let inputs = Inputs::read(&config)?;
        let driver = Driver::open(&config, inputs, stores, links, clock::now, stop)?;
        driver.run(&runtime)
    });
    let door = Door {
        board: &board,
        census: &census,
        store: &*store,
        helper: &helper,
        queue: &queue,
    };
    let taking_part = devices::take_part(devices, &door);
    let taken = tokio::select! {
        ended = &mut driving => return ended.unwrap(),
        taken = taking_part => taken,
    };
    shutdown.drain.cancel();
    driving.await.unwrap().and(taken)
}

fn enrolment(config: &Config) -> Result<Enrolment, ServerError> {
    let issuing = Issuing::read(config, clock::now())?;
    Enrolment::open(
        issuing.into(),
        Current::default(),
        config.deployment_state(),
    )
}

/// Nothing that was acknowledged is missing, and nothing is in the sum twice.
fn check_sum(release: &Release, devices: &[Device]) {
    let ticket = release.charge.ticket_hash;
    assert_eq!(release.contributors, u32::from(DEVICES));
    // Who is in the sum may not have heard of it; who heard is in this sum and in no other.
    let mut heard = devices.iter().filter_map(|device| device.acknowledged);
    assert!(heard.all(|told| told == ticket));
    let each = devices.iter().map(|device| device.value).sum::<u32>();
    let length = release.charge.mechanism.length as usize;
    let sum = each.to_le_bytes().repeat(length);
    assert_eq!(release.sum_digest, digest(&sum));
}

/// Everybody was counted for this release, once.
async fn check_counted(release: &Release, machine: &Lossy, devices: &[Device]) {
    let accounts = machine.stores().accounts;
    for device in devices {
        let counted = accounts.spent(device.id).await.unwrap();
        assert_eq!(counted, release.charge.rho);
    }
}
