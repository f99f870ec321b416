//! One installation of the real SDK against a deployment's processes.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tacit_sdk::{Agent, SdkError, TableCache, identity};
use tacit_types::DeviceId;
use tacit_wire::Peer;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::bare::Credentials;
use crate::deployment::Deployment;
use crate::opt_in;

/// A coordinator that has just started answers within this time.
const DEADLINE: Duration = Duration::from_secs(20);

/// What an app ships with that trusts these roots.
///
/// # Errors
/// When a file of the deployment cannot be read or its policy is not signed.
pub fn shipped(deployment: &Deployment, roots: &str) -> Result<Arc<tacit_sdk::Deployment>> {
    let policy = serde_json::from_str(&deployment.pki("policy.json")?)?;
    let publisher = deployment.pki("publisher.pub")?;
    let publisher = serde_json::from_value(publisher.trim().into())?;
    let address = deployment.coordinator_address();
    let shipped = tacit_sdk::Deployment::new(&address, "localhost", roots, &policy, &publisher)?;
    Ok(Arc::new(shipped))
}

/// An installation that has enrolled.
pub struct Installation {
    folder: TempDir,
    /// What its app shipped with.
    pub shipped: Arc<tacit_sdk::Deployment>,
    /// What takes part in rounds.
    pub agent: Agent,
}

impl Installation {
    /// Enrols with a token, repeating while the coordinator is away.
    ///
    /// # Errors
    /// When it is refused, or the deadline passes.
    pub async fn enrol(deployment: &Deployment, token: &[u8]) -> Result<Self> {
        Self::trusting(deployment, &deployment.pki("root.crt")?, token).await
    }

    /// As [`Self::enrol`], with an app that trusts these roots.
    ///
    /// # Errors
    /// As [`Self::enrol`].
    pub async fn trusting(deployment: &Deployment, roots: &str, token: &[u8]) -> Result<Self> {
        let (folder, shipped) = (tempfile::tempdir()?, shipped(deployment, roots)?);
        let until = Instant::now() + DEADLINE;
        loop {
            match identity::enrol(folder.path(), &shipped, token).await {
                Ok(()) => break,
                Err(SdkError::RetryLater { .. }) if Instant::now() < until => {
                    sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        opt_in(folder.path())?;
        let agent = Agent::new(folder.path(), shipped.clone(), TableCache::default());
        Ok(Self {
            folder,
            shipped,
            agent,
        })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Certificate and key, as its files have them.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn credentials(&self) -> Result<Credentials> {
        Ok(Credentials {
            chain: fs::read_to_string(self.folder().join("device.crt"))?,
            key: fs::read_to_string(self.folder().join("device.key"))?,
        })
    }
}

/// The leaf of a chain.
///
/// # Errors
/// When it is not PEM.
pub fn leaf(credentials: &Credentials) -> Result<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(credentials.chain.as_bytes()).context("a chain")
}

/// The device that a chain names.
///
/// # Errors
/// When it names none.
pub fn device_of(credentials: &Credentials) -> Result<DeviceId> {
    match Peer::from_certificate(&leaf(credentials)?) {
        Some(Peer::Device(id)) => Ok(id),
        other => anyhow::bail!("not a device: {other:?}"),
    }
}
