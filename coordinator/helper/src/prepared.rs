//! Everything a start needs from the operator, read and held against each other before anything is
//! bound or written. `--check-config` is this and nothing else.

use rustls::ServerConfig;
use tacit_round::keys::SigningKey;
use tacit_types::Timestamp;
use tacit_wire::Peer;
use tacit_wire::endpoint::Endpoint;
use tacit_wire::files;
use tacit_wire::listener::ClientCertificate;

use crate::config::Config;
use crate::error::HelperError;

/// A helper that can be started.
pub struct Prepared {
    pub(crate) config: Config,
    pub(crate) tls: ServerConfig,
    pub(crate) signing: SigningKey,
}

impl Prepared {
    /// Reads every file the configuration names.
    ///
    /// # Errors
    /// [`HelperError::OperatorConfig`] naming the file or key to mend.
    pub fn new(config: Config, now: Timestamp) -> Result<Self, HelperError> {
        config.check().map_err(HelperError::OperatorConfig)?;
        let endpoint = Endpoint {
            certificate: &config.tls.certificate,
            key: &config.tls.key,
            root: &config.tls.root,
        };
        let tls = endpoint.server(Peer::Helper, ClientCertificate::Required, now)?;
        let signing = SigningKey::from_seed(&files::read_seed(&config.signing.key)?);
        files::check_folder(&config.state)?;
        Ok(Self {
            config,
            tls,
            signing,
        })
    }
}
