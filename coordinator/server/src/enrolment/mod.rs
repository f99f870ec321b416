//! Trades single-use tokens for device certificates, and certificates for the next. The same token
//! with the same request gives the same answer.
//!
//! `tokens` says which tokens are good, `book` keeps what was given for them.

mod book;
#[cfg(test)]
mod tests;
mod tokens;

use std::path::Path;
use std::sync::Arc;

use rand::TryRng;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tacit_privacy::canonical::digest;
use tacit_round::keys::{Context, PublicKey, SignatureBytes};
use tacit_round::root::{ROOTS_MAX, SignedRoot};
use tacit_types::{DeviceId, Timestamp};
use tacit_wire::Peer;
use tacit_wire::current::Current;
use tacit_wire::files::{self, FileError};
use tacit_wire::identity::{LeafKey, key_of, validity};
use tacit_wire::pki::{Authority, PkiError};
use tacit_wire::revoked::{Fault, Revoked};

use crate::config::Config;
use crate::error::ServerError;

use book::{Book, Given, Keys, Use, Used};
use tokens::Tokens;
pub use tokens::{SIGNED_LIFE_MS, TokenList};

/// How long after its end a certificate can still be renewed, by proof of its key.
pub const GRACE_MS: u64 = 60 * DAY_MS;
pub(crate) const DAY_MS: u64 = 24 * 3_600_000;

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
    /// A device that is revoked.
    #[error("{}", Fault::Revoked)]
    Revoked,
    /// A device whose account has ended.
    #[error("this device has left; enrol with a new token")]
    Left,
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
    tokens: Tokens,
    roots: Vec<SignedRoot>,
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
            roots: read_roots(config.enrolment.roots.as_deref())?,
        })
    }
}

/// The enrolment authority of a deployment.
#[derive(Clone)]
pub struct Enrolment {
    issuing: Current<Issuing>,
    revoked: Current<Revoked>,
    book: Arc<Book>,
}

impl Enrolment {
    /// Opens the record of used tokens in `folder`.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] for a folder that cannot be made,
    /// [`ServerError::StorageUnavailable`] for a file that is no database.
    pub fn open(
        issuing: Current<Issuing>,
        revoked: Current<Revoked>,
        folder: &Path,
    ) -> Result<Self, ServerError> {
        let book = Book::open(folder)?;
        Ok(Self {
            issuing,
            revoked,
            book: Arc::new(book),
        })
    }

    /// Roots that devices are told of.
    pub fn roots(&self) -> Vec<SignedRoot> {
        self.issuing.get().roots.clone()
    }

    /// Uses up every single token that nobody has used, for nobody: in a record that was put back
    /// from an older copy, one that was used since looks unused. Gives how many.
    ///
    /// # Errors
    /// [`EnrolError::Unavailable`].
    pub fn void_tokens(&self, now: Timestamp) -> Result<usize, EnrolError> {
        let issuing = self.issuing.get();
        Ok(self.book.rows().void(&issuing.tokens.single.0, now)?)
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
        let issuing = self.issuing.get();
        let good = issuing
            .tokens
            .good(token, now)
            .ok_or(EnrolError::Token)?;
        let request_hash = digest(request);
        let rows = self.book.rows();
        match rows.used(good.name)? {
            Some(Used::For { request, chain }) if request == request_hash => {
                return issued(chain, now);
            }
            Some(_) => return Err(EnrolError::Token),
            None => {}
        }

        let device = new_device()?;
        let chain = issuing
            .authority
            .issue_device(request, device, now)
            .map_err(|error| EnrolError::Request(error.to_string()))?;
        let token = Use {
            token: good.name,
            ends: good.ends,
            request: request_hash,
            chain: &chain,
        };
        rows.enrol(&token, device, &given(&chain)?, now)?;
        issued(chain, now)
    }

    /// Takes note that a device came with this key. The first time it comes with the key of its
    /// next certificate, the one before has ended.
    ///
    /// # Errors
    /// [`EnrolError::Replaced`] for the key of a certificate that has ended so,
    /// [`EnrolError::Revoked`] for a device or a key on the list, [`EnrolError::Left`] for one that
    /// has left.
    pub fn admit(&self, device: DeviceId, key: &LeafKey) -> Result<(), EnrolError> {
        let revoked = self.revoked.get();
        if revoked.has_device(device) || revoked.has_key(key) {
            return Err(EnrolError::Revoked);
        }

        match self.book.keys(device)? {
            // Enrolled in a record that is lost: the authority signed its certificate all the same.
            None => Ok(()),
            Some(Keys { current, .. }) if current.is_empty() => Err(EnrolError::Left),
            Some(Keys { current, .. }) if current == key => Ok(()),
            Some(Keys { next, .. }) if next.as_deref() == Some(key) => {
                let advanced = self.book.rows().advance(device, key)?;
                advanced.then_some(()).ok_or(EnrolError::Replaced)
            }
            Some(_) => Err(EnrolError::Replaced),
        }
    }

    /// Ends a device's account for good; one that has left may say so again. What it was counted
    /// for stays counted, under its id.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub fn leave(&self, device: DeviceId, key: &LeafKey) -> Result<(), EnrolError> {
        match self.admit(device, key) {
            Err(EnrolError::Left) => Ok(()),
            Err(error) => Err(error),
            Ok(()) => Ok(self.book.rows().bury(device)?),
        }
    }

    /// Forgets what is needed no more: for what a token was used, after `retention_days`; tokens
    /// that have ended; and keys of devices that can come back no more, [`GRACE_MS`] after their
    /// last certificate. Gives the number of rows. Whoever enrols or renews meanwhile waits for a
    /// part of it at most.
    ///
    /// # Errors
    /// [`EnrolError::Unavailable`].
    pub fn sweep(&self, retention_days: u32, now: Timestamp) -> Result<usize, EnrolError> {
        let before = |millis: u64| Timestamp(now.0.saturating_sub(millis));
        let used = before(u64::from(retention_days) * DAY_MS);
        let mut all = 0;
        loop {
            let touched = self.book.rows().sweep(used, before(GRACE_MS), now)?;
            if touched == 0 {
                return Ok(all);
            }
            all += touched;
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
        let issuing = self.issuing.get();
        let chain = issuing
            .authority
            .issue_device(request, device, now)
            .map_err(|error| EnrolError::Request(error.to_string()))?;
        let next = given(&chain)?;
        let rows = self.book.rows();
        if next.key == *key {
            rows.prolong(device, &next)?;
        } else if !rows.expect(device, key, &next)? {
            return Err(EnrolError::Replaced);
        }
        drop(rows);

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
        let issuing = self.issuing.get();
        let leaf = issuing
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

/// The key that a chain is for, and its end.
fn given(chain: &str) -> Result<Given, EnrolError> {
    let unreadable = || EnrolError::Request("the certificate made has no Ed25519 key".into());
    let leaf = leaf_of(chain)?;
    let key = key_of(&leaf).ok_or_else(unreadable)?;
    let (_, ends) = validity(&leaf).ok_or_else(unreadable)?;
    Ok(Given { key, ends })
}

fn new_device() -> Result<DeviceId, EnrolError> {
    let mut id = [0; DeviceId::LEN];
    let drawn = rand::rngs::SysRng.try_fill_bytes(&mut id);
    drawn.map_err(|_| EnrolError::Random)?;
    Ok(DeviceId(id))
}

fn read_tokens(config: &Config) -> Result<Tokens, ServerError> {
    let list = config.enrolment.tokens.as_deref().map(TokenList::read);
    Ok(Tokens {
        single: list.transpose()?.unwrap_or_default(),
        backend: config.enrolment.token_key,
    })
}

/// Reads what `tacit pki rotate` wrote.
///
/// # Errors
/// [`FileError`] naming the line.
pub fn read_roots(path: Option<&Path>) -> Result<Vec<SignedRoot>, FileError> {
    let Some(path) = path else {
        return Ok(Vec::new());
    };

    let text = files::read_text(path)?;
    let bad = |number: u32, error: &dyn std::fmt::Display| {
        FileError::new(path, format!("line {number}: {error}"))
    };
    let lines = text.lines().zip(1_u32..);
    let roots = lines.map(|(line, number)| line.parse().map_err(|error| bad(number, &error)));
    let roots: Vec<_> = roots.collect::<Result<_, _>>()?;
    if roots.len() > ROOTS_MAX {
        let problem = format!("has more than {ROOTS_MAX} roots; drop the oldest");
        return Err(FileError::new(path, problem));
    }
    Ok(roots)
}
