//! Trades single-use tokens for device certificates. The same token with the same request gives the
//! same answer.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rand::TryRng;
use rusqlite::{Connection, OptionalExtension, params};
use tacit_privacy::canonical::digest;
use tacit_types::{DeviceId, Digest, Timestamp};
use tacit_wire::files;
use tacit_wire::pki::{Authority, PkiError};

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

/// Who signs devices, and for which tokens; nothing of it is written.
pub struct Issuing {
    authority: Authority,
    tokens: BTreeSet<Digest>,
}

impl Issuing {
    /// Reads the issuing authority and the token digests.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] naming the file, also for an authority of another
    /// deployment.
    pub fn read(config: &Config, now: Timestamp) -> Result<Self, ServerError> {
        let (certificate, key) = (&config.enrolment.certificate, &config.enrolment.key);
        files::read_certificates(certificate, now)?;
        let (chain, secret) = (files::read_text(certificate)?, files::read_secret(key)?);
        let named = |error: PkiError| {
            let files = format!("{} with {}", certificate.display(), key.display());
            ServerError::OperatorConfig(format!("{files}: {error}"))
        };
        let authority = Authority::from_pem(&chain, &secret).map_err(named)?;
        let roots = files::read_certificates(&config.tls.root, now)?;
        authority.check_below(&roots, now).map_err(named)?;
        Ok(Self {
            authority,
            tokens: read_tokens(config)?,
        })
    }
}

/// The enrolment authority of a deployment.
#[derive(Clone)]
pub struct Enrolment {
    issuing: Arc<Issuing>,
    db: Arc<Mutex<Connection>>,
}

impl Enrolment {
    /// Opens the record of used tokens in `folder`.
    ///
    /// # Errors
    /// As [`Accounts::open`](crate::accounts::Accounts::open).
    pub fn open(issuing: Issuing, folder: &Path) -> Result<Self, ServerError> {
        let db = shared::open(folder, "enrolment.sqlite", SCHEMA)?;
        Ok(Self {
            issuing: Arc::new(issuing),
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
        if !self.issuing.tokens.contains(&token) {
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
            .issuing
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
        files::read_large_text(path).map_err(|error| bad(format!("cannot be read: {error}")))?;
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
