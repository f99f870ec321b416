//! Who a peer is: read from its certificate's single URI name and from nothing else.

use std::fmt;

use tacit_types::{DeviceId, Timestamp};
use tonic::{Request, Status};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// An authenticated peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// An enrolled device.
    Device(DeviceId),
    /// The coordinator.
    Coordinator,
    /// The helper.
    Helper,
}

const PREFIX: &str = "urn:tacit:";

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(id) => write!(f, "{PREFIX}device:{id}"),
            Self::Coordinator => write!(f, "{PREFIX}coordinator"),
            Self::Helper => write!(f, "{PREFIX}helper"),
        }
    }
}

impl Peer {
    /// Reads the identity of a leaf certificate; `None` unless it has exactly one URI name and that
    /// is one of ours.
    pub fn from_certificate(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let names = certificate.subject_alternative_name().ok()??;
        let mut uris = names
            .value
            .general_names
            .iter()
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            });
        match (uris.next(), uris.next()) {
            (Some(uri), None) => Self::parse(uri),
            _ => None,
        }
    }

    pub(crate) fn parse(uri: &str) -> Option<Self> {
        match uri.strip_prefix(PREFIX)? {
            "coordinator" => Some(Self::Coordinator),
            "helper" => Some(Self::Helper),
            other => other
                .strip_prefix("device:")?
                .parse()
                .ok()
                .map(Self::Device),
        }
    }
}

/// An Ed25519 public key, as a certificate has it.
pub type LeafKey = [u8; 32];

/// What the listener knows about a connection, found in every request's extensions.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// The peer, unless it showed no certificate.
    pub peer: Option<Peer>,
    /// The Ed25519 public key in its certificate.
    pub key: Option<LeafKey>,
}

/// The Ed25519 public key in a certificate; `None` for any other key, and for no certificate.
pub fn key_of(der: &[u8]) -> Option<LeafKey> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let key = &certificate.public_key().subject_public_key.data;
    key.as_ref().try_into().ok()
}

/// What a peer's certificate says, once TLS has verified it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Who it names.
    pub peer: Peer,
    /// Its Ed25519 public key; `None` for any other kind of key.
    pub key: Option<LeafKey>,
    /// When it ends.
    pub ends: Timestamp,
}

impl Leaf {
    /// Reads a certificate; `None` for one that names no role of ours.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, ends) = validity(der)?;
        Some(Self {
            peer: Peer::from_certificate(der)?,
            key: key_of(der),
            ends,
        })
    }
}

/// When a certificate begins and ends; `None` for what is none.
pub fn validity(der: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let at = |seconds: i64| Some(Timestamp(u64::try_from(seconds).ok()?.saturating_mul(1000)));
    let validity = parsed.validity();
    Some((
        at(validity.not_before.timestamp())?,
        at(validity.not_after.timestamp())?,
    ))
}

/// Whether this request came over a connection that shows a certificate.
pub fn is_known<T>(request: &Request<T>) -> bool {
    peer(request).is_ok()
}

/// The device that makes this request, and the key it does so with.
///
/// # Errors
/// As [`device`].
#[allow(clippy::result_large_err, reason = "tonic's own error type")]
pub fn device_with_key<T>(request: &Request<T>) -> Result<(DeviceId, LeafKey), Status> {
    let id = device(request)?;
    let key = request.extensions().get::<PeerInfo>();
    let key = key.and_then(|info| info.key);
    let unreadable = || Status::unauthenticated("the client certificate has no Ed25519 key");
    Ok((id, key.ok_or_else(unreadable)?))
}

/// The device that makes this request.
///
/// # Errors
/// `UNAUTHENTICATED` without a certificate, `PERMISSION_DENIED` for any other peer.
#[allow(clippy::result_large_err, reason = "tonic's own error type")]
pub fn device<T>(request: &Request<T>) -> Result<DeviceId, Status> {
    match peer(request)? {
        Peer::Device(id) => Ok(id),
        _ => Err(Status::permission_denied("only devices may call this")),
    }
}

/// Checks that the coordinator makes this request.
///
/// # Errors
/// As [`device`].
#[allow(clippy::result_large_err, reason = "tonic's own error type")]
pub fn coordinator<T>(request: &Request<T>) -> Result<(), Status> {
    match peer(request)? {
        Peer::Coordinator => Ok(()),
        _ => Err(Status::permission_denied(
            "only the coordinator may call this",
        )),
    }
}

#[allow(clippy::result_large_err, reason = "tonic's own error type")]
fn peer<T>(request: &Request<T>) -> Result<Peer, Status> {
    let info = request
        .extensions()
        .get::<PeerInfo>()
        .and_then(|info| info.peer);
    info.ok_or_else(|| {
        Status::unauthenticated("a client certificate of this deployment is needed; enrol first")
    })
}
