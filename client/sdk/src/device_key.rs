//! The key of an installation: Ed25519, made here, and known to nobody else.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rand::TryRng;
use rand::rngs::SysRng;
use rustls::SignatureScheme;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, alg_id};
use rustls::sign::Signer;
use yasna::{DERWriterSeq, Tag};
use zeroize::Zeroizing;

use crate::error::SdkError;
use crate::tls;

/// What stands before the 32 bytes of an Ed25519 seed (RFC 8410, version 1).
const PKCS8_V1_ED25519: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// Bits of an Ed25519 signature.
const SIGNATURE_BITS: usize = 512;

/// A key, as it is kept and as it signs.
pub(crate) struct DeviceKey {
    pem: Zeroizing<Vec<u8>>,
    /// Subject public-key information, DER.
    public: Vec<u8>,
    signer: Box<dyn Signer>,
}

impl DeviceKey {
    /// A new key, in the first version of PKCS#8: OpenSSL 3 refuses the second.
    ///
    /// # Errors
    /// [`SdkError::Bug`] when the system has no randomness.
    pub(crate) fn generate() -> Result<Self, SdkError> {
        let mut der = Zeroizing::new([0; 48]);
        let (prefix, seed) = der.split_at_mut(PKCS8_V1_ED25519.len());
        prefix.copy_from_slice(&PKCS8_V1_ED25519);
        SysRng
            .try_fill_bytes(seed)
            .map_err(|error| SdkError::Bug(format!("the system has no randomness: {error}")))?;
        Self::from_pem(&pem(&der[..])).ok_or_else(|| bug(&"it was not made"))
    }

    /// Reads a key that was kept; `None` for anything but an Ed25519 key.
    pub(crate) fn from_pem(pem: &[u8]) -> Option<Self> {
        let der = PrivateKeyDer::from_pem_slice(pem).ok()?;
        let key = tls::provider()
            .key_provider
            .load_private_key(der)
            .ok()?;
        Some(Self {
            pem: Zeroizing::new(pem.to_vec()),
            public: key.public_key()?.to_vec(),
            signer: key.choose_scheme(&[SignatureScheme::ED25519])?,
        })
    }

    /// PKCS#8, to be kept.
    pub(crate) fn pem(&self) -> &[u8] {
        &self.pem
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SdkError> {
        self.signer.sign(message).map_err(|error| bug(&error))
    }

    /// A request for a certificate (PKCS#10, RFC 2986), DER. It names nobody: who the key is of
    /// follows from the token it comes with.
    pub(crate) fn request(&self) -> Result<Vec<u8>, SdkError> {
        let wishes = yasna::construct_der(|writer| {
            writer.write_sequence(|fields| self.write_wishes(fields));
        });
        let signature = self.sign(&wishes)?;
        Ok(yasna::construct_der(|writer| {
            writer.write_sequence(|fields| {
                fields.next().write_der(&wishes);
                fields.next().write_sequence(|algorithm| {
                    algorithm.next().write_der(alg_id::ED25519.as_ref())
                });
                fields
                    .next()
                    .write_bitvec_bytes(&signature, SIGNATURE_BITS);
            });
        }))
    }

    /// Version 1, no name, the key, no attributes.
    fn write_wishes(&self, fields: &mut DERWriterSeq<'_>) {
        fields.next().write_u8(0);
        fields.next().write_sequence(|_| {});
        fields.next().write_der(&self.public);
        fields
            .next()
            .write_tagged_implicit(Tag::context(0), |attributes| {
                attributes.write_set_of(|_| {})
            });
    }
}

/// What RFC 7468 calls a PRIVATE KEY. 48 bytes fill one line.
fn pem(der: &[u8]) -> Zeroizing<Vec<u8>> {
    let text = Zeroizing::new(BASE64_STANDARD.encode(der));
    let framed = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        *text
    );
    Zeroizing::new(framed.into_bytes())
}

fn bug(error: &dyn std::fmt::Display) -> SdkError {
    SdkError::Bug(format!("device key: {error}"))
}
