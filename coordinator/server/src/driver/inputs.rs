//! What the driver needs from the operator, read before anything is written, and kept for later starts.

use tacit_model::features::Features;
use tacit_model::model::Family;
use tacit_round::keys::SigningKey;
use tacit_types::Digest;
use tacit_wire::files;

use crate::catalogue;
use crate::config::Config;
use crate::error::ServerError;
use crate::job::Job;
use crate::store::Store;

/// What the driver needs from the operator's files, read before anything is written.
pub struct Inputs {
    pub(super) signing: SigningKey,
    pub(super) catalogue: Vec<u8>,
    pub(super) features: Features,
    pub(super) planned: Job,
    pub(super) build: Digest,
}

impl Inputs {
    /// Reads signing key and catalogue and plans the task.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] naming the file or key.
    pub fn read(config: &Config) -> Result<Self, ServerError> {
        let signing = SigningKey::from_seed(&files::read_seed(&config.signing.key)?);
        let path = config.task.catalogue.display();
        let catalogue = std::fs::read(&config.task.catalogue)
            .map_err(|error| ServerError::OperatorConfig(format!("task.catalogue '{path}': {error}")))?;
        let read = catalogue::parse(&catalogue)
            .map_err(|problem| ServerError::OperatorConfig(format!("task.catalogue '{path}': {problem}")))?;
        if config.task.model == Family::Neural && read.features.count() == 0 {
            let problem = "no line has categories, from which a network learns; write title<TAB>category|category";
            return Err(ServerError::OperatorConfig(format!("task.catalogue '{path}': {problem}")));
        }
        let planned = Job::plan(&config.task, read.items)?;
        Ok(Self { signing, catalogue, features: read.features, planned, build: build_hash()? })
    }
}

/// SHA-256 of the running program.
fn build_hash() -> Result<Digest, ServerError> {
    let unreadable = |error: std::io::Error| ServerError::Internal(format!("the running program: {error}"));
    let program = std::env::current_exe().and_then(std::fs::read).map_err(unreadable)?;
    Ok(tacit_privacy::canonical::digest(&program))
}

/// Keeps the plan of the first start; a configuration that asks for another task is refused.
pub(super) fn keep_job(store: &Store, planned: Job) -> Result<Job, ServerError> {
    match store.meta::<Job>("job")? {
        Some(kept) if kept.same_terms(&planned) => Ok(kept),
        Some(_) => Err(ServerError::OperatorConfig(
            "task: privacy parameters, cohort or catalogue differ from those this state was started with; \
             restore them or use a new state folder"
                .into(),
        )),
        None => {
            store.set_meta("job", &planned)?;
            Ok(planned)
        }
    }
}
