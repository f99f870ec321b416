//! Devices that do nothing wrong: they check in, fetch the model and upload, each step on a
//! connection of its own, and what every call takes is measured.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tacit_privacy::canonical::digest;
use tacit_proto::v2;
use tacit_proto::v2::ContributionOutcome::Accepted;
use tacit_round::ticket::Ticket;
use tacit_types::Digest;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use crate::bare::{BareDevice, CHECK_IN, Contribution, Credentials};
use crate::deployment::Deployment;

/// A step that takes longer has failed.
const STEP_DEADLINE: Duration = Duration::from_secs(20);
/// Everything that is owed is acknowledged within this time once nobody attacks.
const SETTLE_DEADLINE: Duration = Duration::from_secs(40);
/// Devices that only look, and devices that upload, at the same time.
const WORKERS: usize = 2;
/// Uploads at the same time where nothing is measured.
const BULK: usize = 16;

/// All honest devices of a deployment.
pub struct Healthy {
    address: String,
    root: String,
    credentials: Vec<Credentials>,
    ticket: Ticket,
    hash: Digest,
    pace: Duration,
    next: AtomicUsize,
    acknowledged: AtomicUsize,
    last: Mutex<Option<Instant>>,
    measured: Mutex<Measured>,
    /// Uploads that were not answered yet.
    owed: Mutex<Vec<(usize, Contribution)>>,
}

/// Times of a while.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// To connect, check in and fetch the model.
    pub looks: Vec<Duration>,
    /// To connect and upload.
    pub uploads: Vec<Duration>,
    /// Steps that failed or took too long.
    pub failed: usize,
}

impl Healthy {
    /// Devices that answer this ticket, one contribution each.
    ///
    /// # Errors
    /// When the root certificate cannot be read.
    pub fn new(
        deployment: &Deployment,
        credentials: Vec<Credentials>,
        (ticket, hash): (Ticket, Digest),
        pace: Duration,
    ) -> Result<Self> {
        Ok(Self {
            address: deployment.coordinator_address(),
            root: deployment.pki("root.crt")?,
            credentials,
            ticket,
            hash,
            pace,
            next: AtomicUsize::new(0),
            acknowledged: AtomicUsize::new(0),
            last: Mutex::default(),
            measured: Mutex::default(),
            owed: Mutex::default(),
        })
    }

    /// Contributions acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// When the last one was.
    pub fn last_acknowledged(&self) -> Option<Instant> {
        *lock(&self.last)
    }

    fn acknowledge(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        *lock(&self.last) = Some(Instant::now());
    }

    /// One of the devices.
    ///
    /// # Errors
    /// When its certificate cannot be read.
    pub fn device(&self, who: usize) -> Result<BareDevice> {
        BareDevice::new(&self.address, &self.root, Some(&self.credentials[who]))
    }

    /// Works for a while, and gives what was measured.
    ///
    /// # Errors
    /// When a device cannot be made, or there are no more of them.
    pub async fn work(self: &Arc<Self>, limit: Duration) -> Result<Measured> {
        let over = Arc::new(AtomicBool::new(false));
        let mut working = JoinSet::new();
        for worker in 0..WORKERS {
            let (looking, uploading) = (self.clone(), self.clone());
            let (stop, end) = (over.clone(), over.clone());
            working.spawn(async move { looking.look_again(worker, &stop).await });
            working.spawn(async move { uploading.upload_again(&end).await });
        }
        sleep(limit).await;
        over.store(true, Ordering::Relaxed);
        while let Some(worked) = working.join_next().await {
            worked??;
        }
        Ok(std::mem::take(&mut *lock(&self.measured)))
    }

    async fn look_again(&self, worker: usize, over: &AtomicBool) -> Result<()> {
        let device = self.device(worker)?;
        while !over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            let looked = timeout(STEP_DEADLINE, look(&device)).await;
            match looked {
                Ok(Ok(())) => lock(&self.measured).looks.push(begun.elapsed()),
                _ => lock(&self.measured).failed += 1,
            }
            sleep(self.pace).await;
        }
        Ok(())
    }

    async fn upload_again(&self, over: &AtomicBool) -> Result<()> {
        while !over.load(Ordering::Relaxed) {
            let (who, contribution) = self.contribution()?;
            let device = self.device(who)?;
            let begun = Instant::now();
            let sent = timeout(STEP_DEADLINE, device.send(&contribution)).await;
            if let Ok(Ok(Accepted)) = sent {
                lock(&self.measured).uploads.push(begun.elapsed());
                self.acknowledge();
            } else {
                lock(&self.measured).failed += 1;
                lock(&self.owed).push((who, contribution));
            }
            sleep(self.pace).await;
        }
        Ok(())
    }

    /// What the next device sends: 1 in its own cell.
    fn contribution(&self) -> Result<(usize, Contribution)> {
        let who = self.next.fetch_add(1, Ordering::Relaxed);
        ensure!(who < self.credentials.len(), "the round takes no more");
        let mut values = vec![0; self.ticket.mechanism.length as usize];
        values[who] = 1;
        let contribution = Contribution::new(&self.ticket, self.hash, values)?;
        Ok((who, contribution))
    }

    /// Sends again what was not acknowledged: each device must hear that it counts.
    ///
    /// # Errors
    /// When one does not, or not in time.
    pub async fn settle(&self) -> Result<()> {
        let owed = std::mem::take(&mut *lock(&self.owed));
        let deadline = Instant::now() + SETTLE_DEADLINE;
        for (who, contribution) in owed {
            let device = self.device(who)?;
            let outcome = device
                .send_until_answered(&contribution, deadline)
                .await?;
            ensure!(outcome == Accepted, "device {who} was answered {outcome:?}");
            self.acknowledge();
        }
        Ok(())
    }

    /// Lets every device that has not yet done so upload.
    ///
    /// # Errors
    /// When one is not acknowledged.
    pub async fn complete(self: &Arc<Self>) -> Result<()> {
        let mut sending = JoinSet::new();
        let mut left = self.credentials.len() - self.next.load(Ordering::Relaxed);
        while left > 0 || !sending.is_empty() {
            if left > 0 && sending.len() < BULK {
                left -= 1;
                let this = self.clone();
                sending.spawn(async move { this.send_one().await });
            } else if let Some(sent) = sending.join_next().await {
                sent??;
            }
        }
        Ok(())
    }

    async fn send_one(&self) -> Result<()> {
        let (who, contribution) = self.contribution()?;
        let deadline = Instant::now() + SETTLE_DEADLINE;
        let device = self.device(who)?;
        let outcome = device
            .send_until_answered(&contribution, deadline)
            .await?;
        ensure!(outcome == Accepted, "device {who} was answered {outcome:?}");
        self.acknowledge();
        Ok(())
    }

    /// How many contributions the coordinator says it has.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub async fn received(&self) -> Result<usize> {
        let device = self.device(0)?;
        let deadline = Instant::now() + SETTLE_DEADLINE;
        let answer = crate::bare::repeat(deadline, || async {
            let mut client = device.connect().await?;
            client.round_status(v2::RoundStatusRequest {}).await
        });
        let received = answer.await.context("asking how far the round is")?;
        Ok(received.into_inner().received as usize)
    }

    /// Digest of the sum when every device is in it once, as a ledger line states it.
    pub fn digest_of_sum(&self) -> Digest {
        let mut sum = vec![0u32; self.ticket.mechanism.length as usize];
        sum[..self.credentials.len()].fill(1);
        let bytes: Vec<u8> = sum
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        digest(&bytes)
    }
}

/// Connects, checks in, and fetches the model in force.
async fn look(device: &BareDevice) -> Result<(), Status> {
    let mut client = device.connect().await?;
    let asked = client.check_in(CHECK_IN).await?;
    let hash: Bytes = asked.into_inner().model_hash;
    let mut chunks = client
        .fetch(v2::FetchRequest { hash })
        .await?
        .into_inner();
    while chunks.message().await?.is_some() {}
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
