//! What an operator may change while the coordinator serves: certificates and keys of TLS, the
//! issuing authority, tokens, revocations, balancers, the policy that devices are offered.
//! Everything else waits for a start.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustls::ServerConfig;
use tacit_round::signed_policy::SignedPolicy;
use tacit_types::Timestamp;
use tacit_wire::Peer;
use tacit_wire::current::Current;
use tacit_wire::endpoint::Endpoint;
use tacit_wire::files;
use tacit_wire::listener::{ClientCertificate, Front};
use tacit_wire::reload::Reloads;
use tacit_wire::revoked::{self, Revoked};

use crate::config::{Config, Enrolment};
use crate::enrolment::Issuing;
use crate::error::ServerError;
use crate::helper::HelperClient;

/// Largest policy with its signature.
const POLICY_BYTES_MAX: usize = 16 * 1024;

/// What is in force now; clones share it.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) tls: Current<ServerConfig>,
    pub(crate) issuing: Current<Issuing>,
    pub(crate) helper: HelperClient,
    pub(crate) front: Current<Front>,
    pub(crate) revoked: Current<Revoked>,
    /// The publisher's newest policy, for devices that go by an earlier one.
    pub(crate) policy: Current<Option<Offered>>,
    /// The file of that list.
    pub(crate) list: Current<Option<PathBuf>>,
    /// Certificates whose end is spoken of.
    pub(crate) certificates: Current<Vec<PathBuf>>,
}

/// What the files say, read and held against each other.
struct Files {
    tls: ServerConfig,
    issuing: Issuing,
    helper: HelperClient,
    revoked: Revoked,
    policy: Option<Offered>,
}

/// A policy as it is offered to devices.
pub struct Offered {
    pub(crate) serial: u32,
    /// JSON, with its signature.
    pub(crate) signed: Bytes,
    /// Rounds of a task that may have cost nothing.
    pub(crate) free_rounds_max: u32,
}

impl Offered {
    /// Reads the policy the app ships. Who signed it is for devices to check.
    fn read(path: &Path) -> Result<Self, ServerError> {
        let text = files::read_text(path)?;
        let bad = |error: &dyn Display| {
            let path = path.display();
            ServerError::OperatorConfig(format!("policy '{path}': {error}"))
        };
        let signed: SignedPolicy = serde_json::from_str(&text).map_err(|error| bad(&error))?;
        let policy = signed.read().map_err(|error| bad(&error))?;
        let bytes = serde_json::to_vec(&signed).map_err(|error| bad(&error))?;
        if bytes.len() > POLICY_BYTES_MAX {
            return Err(bad(&"is larger than a policy may be"));
        }
        Ok(Self {
            serial: policy.serial,
            signed: bytes.into(),
            free_rounds_max: policy.free_rounds_max,
        })
    }
}

impl Files {
    fn read(config: &Config, list: &Current<Revoked>, now: Timestamp) -> Result<Self, ServerError> {
        let tls = &config.tls;
        let endpoint = Endpoint {
            certificate: &tls.certificate,
            key: &tls.key,
            root: &tls.root,
        };
        let revoked = revoked::read_if_any(tls.revoked.as_ref())?;
        let optional = ClientCertificate::Optional;
        Ok(Self {
            tls: endpoint.server(Peer::Coordinator, optional, list, now)?,
            issuing: Issuing::read(config, now)?,
            helper: HelperClient::new(config)?,
            revoked,
            policy: config
                .policy
                .as_deref()
                .map(Offered::read)
                .transpose()?,
        })
    }
}

impl Live {
    /// Reads every file of the configuration that may change.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] naming the file.
    pub(crate) fn read(config: &Config, now: Timestamp) -> Result<Self, ServerError> {
        let list = Current::default();
        let files = Files::read(config, &list, now)?;
        list.set(files.revoked);
        Ok(Self {
            tls: files.tls.into(),
            issuing: files.issuing.into(),
            helper: files.helper,
            front: config.listener.clone().into(),
            policy: files.policy.into(),
            revoked: list,
            list: config.tls.revoked.clone().into(),
            certificates: certificates(config).into(),
        })
    }

    fn put(&self, config: &Config, files: Files) {
        self.tls.set(files.tls);
        self.issuing.set(files.issuing);
        self.helper.replace(&files.helper);
        self.front.set(config.listener.clone());
        self.policy.set(files.policy);
        // A list that stays where it is may have been read again since these files were.
        if *self.list.get() != config.tls.revoked {
            self.revoked.set(files.revoked);
            self.list.set(config.tls.revoked.clone());
        }
        self.certificates.set(certificates(config));
    }
}

fn certificates(config: &Config) -> Vec<PathBuf> {
    let (tls, enrolment) = (&config.tls, &config.enrolment);
    [&tls.certificate, &tls.root, &enrolment.certificate]
        .map(PathBuf::clone)
        .to_vec()
}

/// [`Live`], and the clock its certificates are read by.
pub(crate) struct Reloading {
    pub(crate) live: Live,
    pub(crate) now: fn() -> Timestamp,
}

impl Reloads for Reloading {
    type Config = Config;

    fn files(&self, config: &Config) -> Vec<PathBuf> {
        let (tls, enrolment) = (&config.tls, &config.enrolment);
        let mut files = certificates(config);
        files.extend([&tls.key, &enrolment.key].map(PathBuf::clone));
        files.extend(config.policy.clone());
        files.extend(enrolment.tokens.clone());
        files.extend(enrolment.roots.clone());
        files
    }

    fn take(&self, running: &Config, next: Config) -> Result<Config, String> {
        // Also what is not taken over: the next start would refuse it.
        next.check().map_err(|error| error.to_string())?;
        let enrolment = Enrolment {
            state: running.enrolment.state.clone(),
            retention_days: running.enrolment.retention_days,
            ..next.enrolment
        };
        let next = Config {
            log: next.log,
            policy: next.policy,
            tls: next.tls,
            listener: running.listener.taking(next.listener),
            enrolment,
            ..running.clone()
        };
        let read = Files::read(&next, &self.live.revoked, (self.now)());
        let files = read.map_err(|error| error.to_string())?;
        self.live.put(&next, files);
        Ok(next)
    }

    fn needs_restart(&self, running: &Config, next: &Config) -> bool {
        fixed(running) != fixed(next)
    }
}

/// Everything that is not taken over.
fn fixed(config: &Config) -> String {
    let Config {
        listen,
        state,
        helper,
        signing,
        task,
        enrolment,
        listener,
        fleet,
        ..
    } = config;
    let kept = (
        &enrolment.state,
        enrolment.retention_days,
        listener.connections,
    );
    format!("{listen:?} {state:?} {helper:?} {signing:?} {task:?} {fleet:?} {kept:?}")
}
