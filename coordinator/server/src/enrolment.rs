//! Trades single-use tokens for device certificates. The same token with the same request gives the
//! same answer.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rand::TryRng;
use rusqlite::{Connection, OptionalExtension, params};
use tacit_privacy::canonical::digest;
use tacit_types::{DeviceId, Digest, Timestamp};
use tacit_wire::files;
use tacit_wire::pki::Authority;

use crate::config::Config;
use crate::error::ServerError;
use crate::shared;

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS enrolments
    (token BLOB PRIMARY KEY, request BLOB NOT NULL, device BLOB NOT NULL, chain TEXT NOT NULL) \
    WITHOUT ROWID;";

/// Largest certificate signing request in bytes.
pub const REQUEST_BYTES_MAX: usize = 4096;

/// Why an enrolment is refused. One sentence for every token problem: which one it was is not for
/// strangers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolError {
    /// Unknown token, or used with another request.
    #[error("the enrolment token is unknown or already used")]
    Token,
    /// Not an acceptable request.
    #[error("{0}")]
    Request(String),
    /// Storage failed.
    #[error("enrolment is unavailable")]
    Unavailable(#[from] rusqlite::Error),
    /// The operating system has no randomness to give.
    #[error("enrolment is unavailable")]
    Random,
}

/// The enrolment authority of a deployment.
#[derive(Clone)]
pub struct Enrolment {
    authority: Arc<Authority>,
    tokens: Arc<BTreeSet<Digest>>,
    db: Arc<Mutex<Connection>>,
}

impl Enrolment {
    /// Reads the issuing authority and the token digests, and opens the record of used tokens.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] naming the file, or storage errors.
    pub fn open(config: &Config, now: Timestamp) -> Result<Self, ServerError> {
        let settings = &config.enrolment;
        files::read_certificates(&settings.certificate, now)?;
        let certificate = files::read_text(&settings.certificate)?;
        let key = files::read_secret(&settings.key)?;
        let files = || {
            format!(
                "{} with {}",
                settings.certificate.display(),
                settings.key.display()
            )
        };
        let authority = Authority::from_pem(&certificate, &key)
            .map_err(|error| ServerError::OperatorConfig(format!("{}: {error}", files())))?;
        let tokens = read_tokens(config)?;
        let db = shared::open(config.deployment_state(), "enrolment.sqlite", SCHEMA)?;
        Ok(Self {
            authority: Arc::new(authority),
            tokens: Arc::new(tokens),
            db: Arc::new(Mutex::new(db)),
        })
    }

    /// Signs a request against a token; durable before it is answered.
    ///
    /// # Errors
    /// [`EnrolError`].
    pub fn enrol(
        &self,
        token: &[u8],
        request: &[u8],
        now: Timestamp,
    ) -> Result<String, EnrolError> {
        let token = digest(token);
        if !self.tokens.contains(&token) {
            return Err(EnrolError::Token);
        }
        let request_hash = digest(request);
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        let used: Option<(Vec<u8>, String)> = db
            .query_row(
                "SELECT request, chain FROM enrolments WHERE token = ?1",
                [token.0],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        match used {
            Some((known, chain)) if known == request_hash.0 => return Ok(chain),
            Some(_) => return Err(EnrolError::Token),
            None => {}
        }
        let mut id = [0; DeviceId::LEN];
        rand::rngs::SysRng
            .try_fill_bytes(&mut id)
            .map_err(|_| EnrolError::Random)?;
        let chain = self
            .authority
            .issue_device(request, DeviceId(id), now)
            .map_err(|error| EnrolError::Request(error.to_string()))?;
        db.execute(
            "INSERT INTO enrolments VALUES (?1, ?2, ?3, ?4)",
            params![token.0, request_hash.0, id, chain],
        )?;
        Ok(chain)
    }
}

fn read_tokens(config: &Config) -> Result<BTreeSet<Digest>, ServerError> {
    let path = &config.enrolment.tokens;
    let bad =
        |problem: String| ServerError::OperatorConfig(format!("{}: {problem}", path.display()));
    let text =
        std::fs::read_to_string(path).map_err(|error| bad(format!("cannot be read: {error}")))?;
    let numbered = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    numbered
        .map(|(i, line)| {
            line.trim()
                .parse()
                .map_err(|error| bad(format!("line {}: {error}", i + 1)))
        })
        .collect()
}
