//! Roots of a deployment that take over from earlier ones: each is signed by the key of the one
//! before it, so that who trusts that one can follow.

use std::fmt;
use std::str::FromStr;

use crate::keys::{Context, PublicKey, SignatureBytes};

/// Largest root certificate in bytes.
const CERTIFICATE_BYTES_MAX: usize = 4096;
/// Most roots that follow each other.
pub const ROOTS_MAX: usize = 8;

/// A root certificate, signed by the key of the root before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRoot {
    certificate: Vec<u8>,
    signature: SignatureBytes,
}

impl SignedRoot {
    /// What was signed by a key that is not a [`SigningKey`](crate::keys::SigningKey), over
    /// [`Context::Root`]'s bytes. `None` for a certificate that is too long or a signature that is
    /// not 64 bytes.
    pub fn new(certificate: Vec<u8>, signature: &[u8]) -> Option<Self> {
        let signature = SignatureBytes(signature.try_into().ok()?);
        let short = certificate.len() <= CERTIFICATE_BYTES_MAX;
        short.then_some(Self {
            certificate,
            signature,
        })
    }

    /// DER of the certificate. Not to be trusted before [`Self::is_signed_by`].
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The signature.
    pub fn signature(&self) -> &SignatureBytes {
        &self.signature
    }

    /// Whether the key of an earlier root signed it.
    pub fn is_signed_by(&self, root: &PublicKey) -> bool {
        root.verifies(Context::Root, &self.certificate, &self.signature)
    }
}

/// As a line of a file: the certificate and the signature in hexadecimal.
impl fmt::Display for SignedRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", hex::encode(&self.certificate), self.signature)
    }
}

impl FromStr for SignedRoot {
    type Err = NotASignedRoot;

    fn from_str(line: &str) -> Result<Self, NotASignedRoot> {
        let read = || {
            let (certificate, signature) = line.split_once(' ')?;
            Self::new(
                hex::decode(certificate).ok()?,
                &hex::decode(signature).ok()?,
            )
        };
        read().ok_or(NotASignedRoot)
    }
}

/// A line that is no [`SignedRoot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a root certificate and 128 hexadecimal digits of its signature after a space")]
pub struct NotASignedRoot;

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::keys::SigningKey;

    #[test]
    fn a_root_is_followed_from_the_one_that_signed_it_only() {
        let key = |byte| SigningKey::from_seed(&Zeroizing::new([byte; 32]));
        let signature = key(1).sign(Context::Root, b"certificate");
        let root = SignedRoot::new(b"certificate".to_vec(), &signature.0).unwrap();
        assert!(root.is_signed_by(&key(1).public()));
        assert!(!root.is_signed_by(&key(2).public()));
        assert_eq!(root.to_string().parse(), Ok(root.clone()));
        let other = SignedRoot::new(b"certificatf".to_vec(), &signature.0).unwrap();
        assert!(!other.is_signed_by(&key(1).public()));
        for line in ["", "00", "00 00", "zz zz", &root.to_string()[1..]] {
            assert_eq!(line.parse::<SignedRoot>(), Err(NotASignedRoot), "{line}");
        }
        assert_eq!(SignedRoot::new(vec![0; 4097], &signature.0), None);
    }
}
