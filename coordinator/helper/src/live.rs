//! What an operator may change while the helper serves: certificates and keys of TLS, revocations,
//! balancers. Everything else waits for a start.

use std::path::PathBuf;

use rustls::ServerConfig;
use tacit_types::Timestamp;
use tacit_wire::Peer;
use tacit_wire::current::Current;
use tacit_wire::endpoint::Endpoint;
use tacit_wire::files::FileError;
use tacit_wire::listener::{ClientCertificate, Front};
use tacit_wire::reload::Reloads;
use tacit_wire::revoked::{self, Revoked};

use crate::config::Config;
use crate::error::HelperError;

/// What is in force now; clones share it.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) tls: Current<ServerConfig>,
    pub(crate) front: Current<Front>,
    pub(crate) revoked: Current<Revoked>,
    /// The file of that list.
    pub(crate) list: Current<Option<PathBuf>>,
    /// Certificates whose end is spoken of.
    pub(crate) certificates: Current<Vec<PathBuf>>,
}

/// What the files say, read and held against each other.
struct Files {
    tls: ServerConfig,
    revoked: Revoked,
}

impl Files {
    fn read(config: &Config, list: &Current<Revoked>, now: Timestamp) -> Result<Self, FileError> {
        let tls = &config.tls;
        let endpoint = Endpoint {
            certificate: &tls.certificate,
            key: &tls.key,
            root: &tls.root,
        };
        let required = ClientCertificate::Required;
        Ok(Self {
            revoked: revoked::read_if_any(tls.revoked.as_ref())?,
            tls: endpoint.server(Peer::Helper, required, list, now)?,
        })
    }
}

impl Live {
    /// Reads every file of the configuration that may change.
    ///
    /// # Errors
    /// [`HelperError::OperatorConfig`] naming the file.
    pub(crate) fn read(config: &Config, now: Timestamp) -> Result<Self, HelperError> {
        let list = Current::default();
        let files = Files::read(config, &list, now)?;
        list.set(files.revoked);
        Ok(Self {
            tls: files.tls.into(),
            front: config.listener.clone().into(),
            revoked: list,
            list: config.tls.revoked.clone().into(),
            certificates: certificates(config).into(),
        })
    }

    fn put(&self, config: &Config, files: Files) {
        self.tls.set(files.tls);
        self.front.set(config.listener.clone());
        // A list that stays where it is may have been read again since these files were.
        if *self.list.get() != config.tls.revoked {
            self.revoked.set(files.revoked);
            self.list.set(config.tls.revoked.clone());
        }
        self.certificates.set(certificates(config));
    }
}

fn certificates(config: &Config) -> Vec<PathBuf> {
    vec![config.tls.certificate.clone(), config.tls.root.clone()]
}

/// [`Live`], and the clock its certificates are read by.
pub(crate) struct Reloading {
    pub(crate) live: Live,
    pub(crate) now: fn() -> Timestamp,
}

impl Reloads for Reloading {
    type Config = Config;

    fn files(&self, config: &Config) -> Vec<PathBuf> {
        let mut files = certificates(config);
        files.push(config.tls.key.clone());
        files
    }

    fn take(&self, running: &Config, next: Config) -> Result<Config, String> {
        // Also what is not taken over: the next start would refuse it.
        next.check()?;
        let next = Config {
            log: next.log,
            tls: next.tls,
            listener: running.listener.taking(next.listener),
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
        signing,
        coordinator_key,
        honest_min,
        membership,
        listener,
        ..
    } = config;
    let connections = listener.connections;
    format!(
        "{listen:?} {state:?} {signing:?} {coordinator_key:?} {honest_min:?} {membership:?} \
         {connections:?}"
    )
}
