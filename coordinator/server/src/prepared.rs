//! Everything a start needs from the operator, read and held against each other before anything is
//! bound or written. `--check-config` is this and nothing else.

use tacit_types::Timestamp;
use tacit_wire::files;

use crate::config::Config;
use crate::driver::Inputs;
use crate::error::ServerError;
use crate::fleet;
use crate::live::Live;

/// A coordinator that can be started.
pub struct Prepared {
    pub(crate) config: Config,
    pub(crate) live: Live,
    pub(crate) inputs: Inputs,
}

impl Prepared {
    /// Reads every file the configuration names and plans the task. Called on a runtime.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] naming the file or key to mend.
    pub fn new(config: Config, now: Timestamp) -> Result<Self, ServerError> {
        config.check()?;
        let live = Live::read(&config, now)?;
        let inputs = Inputs::read(&config)?;
        files::check_folder(&config.state)?;
        files::check_folder(config.deployment_state())?;
        if let Some(policy) = &config.policy {
            fleet::check(policy, &config, inputs.planned())?;
        }
        Ok(Self {
            config,
            live,
            inputs,
        })
    }
}
