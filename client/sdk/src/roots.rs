//! Roots of a deployment that took the place of the one its app shipped with.
//!
//! A coordinator tells of them when it gives a certificate. One that is signed by a root this
//! installation trusts is kept with its signature, and trusted from the next connection on: when
//! the old root is gone, the installation goes on. What is kept is held against the app's own root
//! each time it is read, so a file that was changed adds nothing.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tacit_round::keys::PublicKey;
use tacit_round::root::{ROOTS_MAX, SignedRoot};

use crate::deployment::Deployment;
use crate::error::SdkError;
use crate::files::{self, Found};

/// What stands before the key in the public-key information of an Ed25519 certificate (RFC 8410).
const ED25519: [u8; 10] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

fn path(folder: &Path) -> PathBuf {
    folder.join("roots.txt")
}

/// The deployment as this installation trusts it: by the roots it was shipped with and those it has
/// learned of.
///
/// # Errors
/// What the operating system says of a file that is there and cannot be read.
pub(crate) fn trusted(folder: &Path, deployment: &Deployment) -> Result<Deployment, SdkError> {
    let mut deployment = deployment.clone();
    let kept = kept(folder)?;
    let mut shipped = deployment.roots()?;
    shipped.extend(
        follow(&shipped, &kept)
            .iter()
            .filter_map(|root| anchor(root)),
    );
    deployment.trust(shipped);
    Ok(deployment)
}

/// Keeps those of the roots a coordinator tells of that follow from the ones trusted, durably.
/// `deployment` is as its app shipped it.
///
/// # Errors
/// [`SdkError::Stop`] when storage fails.
pub(crate) fn learn(
    folder: &Path,
    deployment: &Deployment,
    told: &[SignedRoot],
) -> Result<(), SdkError> {
    let kept = kept(folder)?;
    let told = told.iter().take(ROOTS_MAX).cloned();
    let all: Vec<_> = kept.iter().cloned().chain(told).collect();
    let followed = follow(&deployment.roots()?, &all);
    if followed.len() <= kept.len() {
        return Ok(());
    }

    let text: String = followed
        .iter()
        .map(|root| format!("{root}\n"))
        .collect();
    files::write(&path(folder), text.as_bytes())?;
    tracing::info!(event = "root_learned", roots = followed.len());
    Ok(())
}

/// What was learned so far; nothing has been checked.
fn kept(folder: &Path) -> Result<Vec<SignedRoot>, SdkError> {
    let Found::File(bytes) = files::look(&path(folder))? else {
        return Ok(Vec::new());
    };
    let text = String::from_utf8(bytes).unwrap_or_default();
    Ok(text.lines().flat_map(str::parse).collect())
}

/// Those of `roots` that lead on from the trusted ones, in order and each once.
fn follow(trusted: &[CertificateDer<'static>], roots: &[SignedRoot]) -> Vec<SignedRoot> {
    let mut keys: Vec<_> = trusted.iter().filter_map(key).collect();
    let mut followed: Vec<SignedRoot> = Vec::new();
    for root in roots {
        let next = anchor(root).and_then(|root| key(&root));
        let Some(next) = next.filter(|next| !keys.contains(next)) else {
            continue;
        };
        if keys.iter().any(|key| root.is_signed_by(key)) {
            keys.push(next);
            followed.push(root.clone());
        }
    }
    followed
}

/// A certificate that TLS can trust; `None` for anything else.
fn anchor(root: &SignedRoot) -> Option<CertificateDer<'static>> {
    let certificate = CertificateDer::from(root.certificate().to_vec());
    key(&certificate).map(|_| certificate)
}

/// The Ed25519 key of a root; `None` for what is no such certificate.
fn key(root: &CertificateDer<'static>) -> Option<PublicKey> {
    let mut store = RootCertStore::empty();
    store.add(root.clone()).ok()?;
    let information = store.roots.first()?.subject_public_key_info.as_ref();
    let key = information.strip_prefix(&ED25519[..])?;
    key.try_into().ok().map(PublicKey)
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, PKCS_ED25519, SigningKey};
    use tacit_round::keys::Context;

    use super::*;

    struct Root {
        key: KeyPair,
        certificate: CertificateDer<'static>,
    }

    fn root() -> Root {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Root { key, certificate }
    }

    impl Root {
        fn vouches_for(&self, next: &Root) -> SignedRoot {
            let message = Context::Root.signed(&next.certificate);
            let signature = self.key.sign(&message).unwrap();
            SignedRoot::new(next.certificate.to_vec(), &signature).unwrap()
        }
    }

    /// HOSTILE 134.
    #[test]
    fn only_a_root_that_a_trusted_one_signed_is_followed() {
        let [first, second, third, strange] = [root(), root(), root(), root()];
        let shipped = [first.certificate.clone()];
        let (two, three) = (first.vouches_for(&second), second.vouches_for(&third));
        let follow = |roots: &[SignedRoot]| follow(&shipped, roots);
        assert_eq!(
            follow(&[two.clone(), three.clone()]),
            [two.clone(), three.clone()]
        );
        let twice = [two.clone(), two.clone()];
        assert_eq!(follow(&twice).len(), 1);
        assert_eq!(follow(&[three]), [], "nobody knows who signed it");

        let forged = strange.vouches_for(&strange);
        let swapped = SignedRoot::new(strange.certificate.to_vec(), &two.signature().0).unwrap();
        let nothing = SignedRoot::new(b"no certificate".to_vec(), &[0; 64]).unwrap();
        let told = [
            forged,
            swapped,
            nothing,
            first.vouches_for(&first),
            two.clone(),
        ];
        assert_eq!(follow(&told), [two]);
    }

    /// HOSTILE 134: a file that is damaged adds nothing, and the next renewal mends it.
    #[test]
    fn what_is_kept_is_checked_again_when_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second, strange] = [root(), root(), root()];
        let two = first.vouches_for(&second);
        let shipped = [first.certificate.clone()];
        for text in [
            String::new(),
            "nothing".to_owned(),
            two.to_string()[..500].to_owned(),
            format!("{}\n", strange.vouches_for(&second)),
        ] {
            std::fs::write(path(folder.path()), text).unwrap();
            let kept = kept(folder.path()).unwrap();
            assert_eq!(follow(&shipped, &kept), []);
        }
        std::fs::write(path(folder.path()), format!("{two}\n")).unwrap();
        let kept = kept(folder.path()).unwrap();
        assert_eq!(follow(&shipped, &kept), [two]);
    }
}
