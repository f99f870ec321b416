//! Trades single-use tokens for device certificates. The same token with the same request gives the
//! same answer.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rand::TryRng;
use rusqlite::{Connection, OptionalExtension, params};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tacit_privacy::canonical::digest;
use tacit_round::keys::{Context, PublicKey, SignatureBytes};
use tacit_types::{DeviceId, Digest, Timestamp};
use tacit_wire::Peer;
use tacit_wire::files;
use tacit_wire::identity::{LeafKey, key_of};
use tacit_wire::leaf::validity;
use tacit_wire::pki::{Authority, PkiError};

use crate::config::Config;
use crate::error::ServerError;
use crate::shared;

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS enrolments
    (token BLOB PRIMARY KEY, request BLOB NOT NULL, device BLOB NOT NULL, chain TEXT NOT NULL) \
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leaves
    (device BLOB PRIMARY KEY, current BLOB NOT NULL, next BLOB) WITHOUT ROWID;";

/// How long after its end a certificate can still be renewed, by proof of its key.
pub const GRACE_MS: u64 = 60 * DAY_MS;
const DAY_MS: u64 = 24 * 3_600_000;

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
    /// A certificate that a newer one has taken the place of.
    #[error("this certificate has been replaced by a newer one of the same device")]
    Replaced,
    /// An old certificate that cannot be renewed any more, or whose key was not proved.
    #[error("the old certificate cannot be renewed: {0}")]
    Old(&'static str),
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
        let chain = files::read_text(certificate)?;
        let secret = files::read_secret(key)?;
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
    ) -> Result<Issued, EnrolError> {
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
            Some((known, chain)) if known == request_hash.0 => return issued(chain, now),
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
        let key = leaf_key(&chain)?;
        let transaction = db.unchecked_transaction()?;
        transaction.execute(
            "INSERT INTO enrolments VALUES (?1, ?2, ?3, ?4)",
            params![token.0, request_hash.0, id, chain],
        )?;

        transaction.execute("INSERT INTO leaves VALUES (?1, ?2, NULL)", params![id, key])?;
        transaction.commit()?;
        issued(chain, now)
    }

    /// Takes note that a device came with this key. The first time it comes with the key of its
    /// next certificate, the one before has ended.
    ///
    /// # Errors
    /// [`EnrolError::Replaced`] for the key of a certificate that has ended so.
    pub fn admit(&self, device: DeviceId, key: &LeafKey) -> Result<(), EnrolError> {
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        let known: Option<(Vec<u8>, Option<Vec<u8>>)> = db
            .prepare_cached("SELECT current, next FROM leaves WHERE device = ?1")?
            .query_row([device.0], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        match known {
            // Enrolled in a record that is lost: the authority signed its certificate all the same.
            None => Ok(()),
            Some((current, _)) if current == key => Ok(()),
            Some((_, Some(next))) if next == key => {
                let moved = "UPDATE leaves SET current = next, next = NULL WHERE device = ?1";
                db.execute(moved, [device.0])?;
                Ok(())
            }
            Some(_) => Err(EnrolError::Replaced),
        }
    }

    /// Signs the next certificate of a device whose connection shows a valid one.
    ///
    /// # Errors
    /// [`EnrolError`].
    pub fn renew(
        &self,
        device: DeviceId,
        key: &LeafKey,
        request: &[u8],
        now: Timestamp,
    ) -> Result<Issued, EnrolError> {
        self.admit(device, key)?;
        let chain = self
            .issuing
            .authority
            .issue_device(request, device, now)
            .map_err(|error| EnrolError::Request(error.to_string()))?;
        let next = leaf_key(&chain)?;
        if next != *key {
            let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
            let note = "INSERT INTO leaves VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET next = ?3";
            db.execute(note, params![device.0, key, next])?;
        }

        issued(chain, now)
    }

    /// Signs the next certificate of a device whose certificate has ended at most [`GRACE_MS`] ago,
    /// by proof of its key.
    ///
    /// # Errors
    /// [`EnrolError`].
    pub fn renew_ended(
        &self,
        old: &[u8],
        proof: &[u8],
        request: &[u8],
        now: Timestamp,
    ) -> Result<Issued, EnrolError> {
        let leaf = self
            .issuing
            .authority
            .read_own(old)
            .map_err(|error| EnrolError::Request(error.to_string()))?;
        let Peer::Device(device) = leaf.peer else {
            return Err(EnrolError::Old("it is not a device's"));
        };

        if now.millis_since(leaf.ended) > GRACE_MS {
            return Err(EnrolError::Old(
                "it ended too long ago; enrol with a new token",
            ));
        }

        let signed = [digest(old).0, digest(request).0].concat();
        let proved = proof
            .try_into()
            .map(SignatureBytes)
            .is_ok_and(|proof| PublicKey(leaf.key).verifies(Context::Renew, &signed, &proof));
        if !proved {
            return Err(EnrolError::Old("its key was not proved"));
        }

        self.renew(device, &leaf.key, request, now)
    }
}

/// A certificate chain, and when its device should come back for the next.
pub struct Issued {
    /// PEM, leaf first.
    pub chain: String,
    /// From two thirds of its life on, spread over a tenth of it so that a fleet that enrolled at
    /// once does not renew at once.
    pub renew_after: Timestamp,
    /// Its end.
    pub valid_until: Timestamp,
}

/// The chain with its times, which follow from the leaf and from chance.
fn issued(chain: String, now: Timestamp) -> Result<Issued, EnrolError> {
    let leaf = leaf_of(&chain)?;
    let unreadable = || EnrolError::Request("the certificate made cannot be read".into());
    let (begins, ends) = validity(&leaf).ok_or_else(unreadable)?;
    let life = ends.millis_since(begins);
    let mut word = [0; 4];
    rand::rngs::SysRng
        .try_fill_bytes(&mut word)
        .map_err(|_| EnrolError::Random)?;
    let drawn = u64::from(u32::from_le_bytes(word));
    let spread = (life / 10).saturating_mul(drawn) >> 32;
    let renew_after = begins.plus_millis(2 * life / 3 + spread).max(now);
    Ok(Issued {
        chain,
        renew_after,
        valid_until: ends,
    })
}

fn leaf_of(chain: &str) -> Result<CertificateDer<'static>, EnrolError> {
    CertificateDer::from_pem_slice(chain.as_bytes())
        .map_err(|error| EnrolError::Request(error.to_string()))
}

fn leaf_key(chain: &str) -> Result<LeafKey, EnrolError> {
    let unreadable = || EnrolError::Request("the certificate made has no Ed25519 key".into());
    key_of(&leaf_of(chain)?).ok_or_else(unreadable)
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
