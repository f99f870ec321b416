//! The TLS files of a daemon, read and held against each other before anything is bound.

use std::path::Path;

use rustls::ServerConfig;
use tacit_types::Timestamp;

use crate::current::Current;
use crate::files::{FileError, read_certificates, read_key};
use crate::identity::Peer;
use crate::listener::{ClientCertificate, leads_to, server_config};
use crate::revoked::Revoked;

/// The PEM files of one daemon.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint<'a> {
    /// Certificate chain, leaf first.
    pub certificate: &'a Path,
    /// Private key of the leaf.
    pub key: &'a Path,
    /// Root certificate of the deployment.
    pub root: &'a Path,
}

impl Endpoint<'_> {
    /// TLS settings of a server that is `role`, and lets in nobody on this list.
    ///
    /// # Errors
    /// [`FileError`] for a file that cannot be used, a certificate of another role or of another
    /// deployment, and a key that is not the certificate's.
    pub fn server(
        &self,
        role: Peer,
        client: ClientCertificate,
        revoked: &Current<Revoked>,
        now: Timestamp,
    ) -> Result<ServerConfig, FileError> {
        let chain = read_certificates(self.certificate, now)?;
        let roots = read_certificates(self.root, now)?;
        let foreign = |problem: String| {
            let root = self.root.display();
            FileError::new(
                self.certificate,
                format!("does not lead to {root}: {problem}"),
            )
        };
        leads_to(&chain, &roots, now).map_err(foreign)?;
        if chain
            .first()
            .and_then(|leaf| Peer::from_certificate(leaf))
            != Some(role)
        {
            let problem = format!("is not the certificate of {role}");
            return Err(FileError::new(self.certificate, problem));
        }
        let key = read_key(self.key)?;
        server_config(chain, key, &roots, client, revoked)
            .map_err(|problem| FileError::new(self.key, format!("tls: {problem}")))
    }
}
