//! Everything a start needs from the operator, read and held against each other before anything is
//! bound or written. `--check-config` is this and nothing else.

use tacit_round::keys::SigningKey;
use tacit_types::Timestamp;
use tacit_wire::files;

use crate::config::Config;
use crate::error::HelperError;
use crate::live::Live;

/// A helper that can be started.
pub struct Prepared {
    pub(crate) config: Config,
    pub(crate) live: Live,
    pub(crate) signing: SigningKey,
}

impl Prepared {
    /// Reads every file the configuration names.
    ///
    /// # Errors
    /// [`HelperError::OperatorConfig`] naming the file or key to mend.
    pub fn new(config: Config, now: Timestamp) -> Result<Self, HelperError> {
        config.check().map_err(HelperError::OperatorConfig)?;
        let live = Live::read(&config, now)?;
        let signing = SigningKey::from_seed(&files::read_seed(&config.signing.key)?);
        files::check_folder(&config.state)?;
        Ok(Self {
            config,
            live,
            signing,
        })
    }
}
