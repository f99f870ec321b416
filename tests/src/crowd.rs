//! Devices that check in and do nothing else. No round opens before enough were seen, so a test
//! that wants one for itself brings them.

use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use tokio::runtime;
use tokio::time::{Instant, sleep};

use crate::bare::{BareDevice, enrolled, repeat};
use crate::deployment::{Deployment, Role, Settings};

/// The coordinator has started and opened its round within this time.
const SOON: Duration = Duration::from_secs(30);
/// Time between two looks at the log.
const LOOK: Duration = Duration::from_millis(20);

impl Deployment {
    /// As [`Self::running`], with devices checked in until the first round is open.
    ///
    /// # Errors
    /// As [`Self::running`], or when it does not open.
    pub fn with_open_round(settings: Settings) -> Result<Self> {
        let deployment = Self::running(settings)?;
        deployment.open_round()?;
        Ok(deployment)
    }

    /// Checks in as many devices as the coordinator waits for, until one more round is open. None
    /// of them gets a lease.
    ///
    /// # Errors
    /// When none opens in time.
    pub fn open_round(&self) -> Result<()> {
        // A runtime of its own, since a test may have one.
        let checking_in = || {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(self.check_in_until_open())
        };
        thread::scope(|scope| {
            let joined = scope.spawn(checking_in).join();
            joined.map_err(|_| anyhow!("a defect in the crowd"))?
        })
    }

    /// Checks in as many devices as a round waits for, each once it is answered.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn check_in_crowd(&self) -> Result<()> {
        let deadline = Instant::now() + SOON;
        for device in self.crowd()? {
            repeat(deadline, || device.check_in()).await?;
        }
        Ok(())
    }

    fn crowd(&self) -> Result<Vec<BareDevice>> {
        let (address, root) = (self.coordinator_address(), self.pki("root.crt")?);
        let device = |own: &_| BareDevice::new(&address, &root, Some(own));
        let crowd = enrolled(self, self.cohort())?;
        crowd.iter().map(device).collect()
    }

    async fn check_in_until_open(&self) -> Result<()> {
        let deadline = Instant::now() + SOON;
        let said = |event| self.log(Role::Coordinator).matches(event).count();
        let before = said("round_opened");
        let crowd = self.crowd()?;
        let needed = loop {
            if let Some(needed) = needed(&self.log(Role::Coordinator)) {
                break needed;
            }
            ensure!(Instant::now() < deadline, "it does not wait for devices");
            sleep(LOOK).await;
        };
        for device in crowd.iter().take(needed) {
            if said("round_opened") > before {
                break;
            }
            repeat(deadline, || device.check_in()).await?;
        }
        while said("round_opened") == before {
            ensure!(Instant::now() < deadline, "no round opened");
            sleep(LOOK).await;
        }
        Ok(())
    }
}

/// How many devices a coordinator says it waits for.
fn needed(log: &str) -> Option<usize> {
    let line = log
        .lines()
        .rev()
        .find(|line| line.contains("waiting_for_devices"))?;
    let (_, number) = line.split_once("needed=")?;
    number.split_whitespace().next()?.parse().ok()
}
