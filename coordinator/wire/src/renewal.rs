//! Certificates of servers and of the issuing authority made anew before they end, and the warning
//! that they will.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tacit_types::Timestamp;
use tokio::time::sleep;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::current::Current;
use crate::identity::{Peer, validity};
use crate::listener::Shutdown;
use crate::pki::{Authority, Credentials, PkiError, authority_params, issuing_life, server_params};

const DAY_MS: u64 = 24 * 3_600_000;
/// From so long before its end on, a certificate is spoken of.
const WARNED_MS: u64 = 10 * DAY_MS;
const WATCHED_EVERY: Duration = Duration::from_secs(12 * 3600);

impl Authority {
    /// The chain of a server's next certificate: the same role, names and key, from `now` on.
    ///
    /// # Errors
    /// [`PkiError`] when `chain` is not a server's certificate or `key` is not a key.
    pub fn renew_server(&self, chain: &str, key: &str, now: Timestamp) -> Result<String, PkiError> {
        let (peer, names) = server(chain)?;
        let key = KeyPair::from_pem(key)?;
        let made = server_params(peer, &names, now)?;
        Ok(self.chain(&self.sign(&made, &key)?))
    }

    /// A server's next certificate for a new key, with the same role and names.
    ///
    /// # Errors
    /// [`PkiError`] when `chain` is not a server's certificate.
    pub fn replace_server(&self, chain: &str, now: Timestamp) -> Result<Credentials, PkiError> {
        let (peer, names) = server(chain)?;
        self.issue_server(peer, &names, now)
    }
}

/// Role and names of a server's certificate.
fn server(chain: &str) -> Result<(Peer, Vec<String>), PkiError> {
    let leaf = CertificateDer::from_pem_slice(chain.as_bytes())
        .map_err(|_| PkiError::Request("the old certificate is not a PEM certificate"))?;
    match Peer::from_certificate(&leaf) {
        Some(peer @ (Peer::Coordinator | Peer::Helper)) => Ok((peer, names(&leaf))),
        _ => Err(PkiError::Request("the old certificate is not a server's")),
    }
}

/// The issuing authority's next certificate: the same key, below the same root.
///
/// # Errors
/// [`PkiError`] when a text is not what it should be.
pub fn renew_issuing(
    issuing_key: &str,
    root: &str,
    root_key: &str,
    now: Timestamp,
) -> Result<String, PkiError> {
    let issuing_key = KeyPair::from_pem(issuing_key)?;
    let root = Issuer::from_ca_cert_pem(root, KeyPair::from_pem(root_key)?)?;
    let made = authority_params("Tacit issuing", 0, now, issuing_life());
    Ok(made.signed_by(&issuing_key, &root)?.pem())
}

/// Whether the last third of a certificate's life has begun; of one that cannot be read, always.
pub fn is_due(chain: &str, now: Timestamp) -> bool {
    let leaf = CertificateDer::from_pem_slice(chain.as_bytes()).ok();
    let life = leaf.and_then(|leaf| validity(&leaf));
    life.is_none_or(|(begin, end)| 3 * end.millis_since(now) < end.millis_since(begin))
}

/// DNS names and addresses of a certificate.
fn names(leaf: &[u8]) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(leaf) else {
        return Vec::new();
    };

    let Ok(Some(alternative)) = parsed.subject_alternative_name() else {
        return Vec::new();
    };

    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    };

    alternative
        .value
        .general_names
        .iter()
        .filter_map(name)
        .collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
    let six = <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from);
    four.or(six).ok().map(|address| address.to_string())
}

/// Warns, at once and then twice a day, of every certificate in these files that ends within ten
/// days. Reads them again each time: what was renewed is not spoken of.
pub async fn warn_of_ends(
    files: Current<Vec<PathBuf>>,
    now: fn() -> Timestamp,
    shutdown: Shutdown,
) {
    loop {
        for (path, left_ms) in files.get().iter().flat_map(|path| ending(path, now())) {
            let (path, days) = (path.display(), left_ms / DAY_MS);
            tracing::warn!(event = "certificate_ends_soon", %path, days, "run tacit pki renew");
        }
        tokio::select! {
            () = sleep(WATCHED_EVERY) => {}
            () = shutdown.drain.cancelled() => return,
        }
    }
}

/// What is left of each certificate in a file that ends soon.
fn ending(path: &Path, now: Timestamp) -> Vec<(PathBuf, u64)> {
    let text = std::fs::read(path).unwrap_or_default();
    let left = |der: CertificateDer<'_>| validity(&der).map(|(_, end)| end.millis_since(now));
    CertificateDer::pem_slice_iter(&text)
        .flatten()
        .filter_map(left)
        .filter(|left| *left < WARNED_MS)
        .map(|left| (path.to_owned(), left))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::key_of;
    use crate::listener::leads_to;
    use crate::pki::create_authorities;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn chain_of(pem: &str) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(pem.as_bytes())
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn servers_and_their_authority_are_renewed_with_their_names_and_keys() {
        let made = create_authorities(NOW).unwrap();
        let authority = Authority::from_pem(&made.issuing.chain, &made.issuing.key).unwrap();
        let server = ["rec.example.org", "192.0.2.7", "2001:db8::7"].map(str::to_owned);
        let old = authority
            .issue_server(Peer::Coordinator, &server, NOW)
            .unwrap();

        let later = NOW.plus_millis(350 * DAY_MS);
        let roots = chain_of(&made.root.chain);
        let issuing = renew_issuing(&made.issuing.key, &made.root.chain, &made.root.key, later);
        let authority = Authority::from_pem(&issuing.unwrap(), &made.issuing.key).unwrap();
        let renewed = authority
            .renew_server(&old.chain, &old.key, later)
            .unwrap();
        let chain = chain_of(&renewed);
        assert_eq!(names(&chain[0]), server);
        assert_eq!(Peer::from_certificate(&chain[0]), Some(Peer::Coordinator));
        let end = validity(&chain[0]).unwrap().1;
        assert!(end > later.plus_millis(29 * DAY_MS));
        leads_to(&chain, &roots, later.plus_millis(20 * DAY_MS)).unwrap();

        let replaced = authority.replace_server(&renewed, later).unwrap();
        let leaf = &chain_of(&replaced.chain)[0];
        assert_eq!(names(leaf), server);
        assert_ne!(key_of(leaf), key_of(&chain[0]));

        let helper = authority.renew_server(&made.root.chain, &old.key, later);
        assert!(helper.is_err(), "a root is no server");
    }

    #[test]
    fn what_ends_within_ten_days_is_spoken_of() {
        let made = create_authorities(NOW).unwrap();
        let authority = Authority::from_pem(&made.issuing.chain, &made.issuing.key).unwrap();
        let server = authority
            .issue_server(Peer::Helper, &["h.example".into()], NOW)
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("helper.crt");
        std::fs::write(&path, server.chain).unwrap();
        let days = |after: u64| {
            let found = ending(&path, NOW.plus_millis(after * DAY_MS));
            found
                .into_iter()
                .map(|(_, left)| left / DAY_MS)
                .collect::<Vec<_>>()
        };

        assert_eq!(days(19), [0; 0]);
        assert_eq!(days(21), [9]);
        assert_eq!(days(40), [0], "one that has ended too");
        assert_eq!(ending(&folder.path().join("none"), NOW), []);
    }
}
