//! Connections to a server of the deployment, TLS made here: tonic's own would take its
//! cryptography from a feature.

use std::error::Error;
use std::fmt::Display;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::Service;
use tonic::transport::{Endpoint, Uri};

use crate::provider::provider;

/// TLS settings of a client that trusts `root` and shows its `own` certificate chain, with the key
/// of its leaf, if it has one; all PEM.
///
/// # Errors
/// What cannot be read or does not fit together, in words.
pub fn client_config(root: &str, own: Option<(&str, &str)>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for root in chain(root)? {
        roots.add(root).map_err(words)?;
    }

    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(words)?
        .with_root_certificates(roots);
    let mut config = match own {
        None => config.with_no_client_auth(),
        Some((own, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(words)?;
            let own = chain(own)?;
            config.with_client_auth_cert(own, key).map_err(words)?
        }
    };

    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(words)
}

fn words(error: impl Display) -> String {
    error.to_string()
}

/// Where a server is: `address` is `https://host:port`.
///
/// # Errors
/// What is wrong with the address, in words.
pub fn endpoint(address: &str) -> Result<Endpoint, String> {
    let origin: Uri = address.parse().map_err(words)?;
    if origin.scheme_str() != Some("https") {
        return Err("must start with https://".into());
    }

    // Under https the client would look for TLS of its own; the dialer makes it.
    let plain = address.replacen("https", "http", 1);
    let endpoint = Endpoint::from_shared(plain).map_err(words)?;
    Ok(endpoint.origin(origin))
}

/// Makes the connections of one [`endpoint`].
#[derive(Clone)]
pub struct Dialer {
    tls: TlsConnector,
    name: ServerName<'static>,
    tcp: HttpConnector,
}

impl Dialer {
    /// Connects with these settings to whoever has a certificate for `name`.
    ///
    /// # Errors
    /// When `name` is not one of a server.
    pub fn new(config: ClientConfig, name: &str) -> Result<Self, String> {
        let name = ServerName::try_from(name.to_owned()).map_err(words)?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let tls = TlsConnector::from(Arc::new(config));
        Ok(Self { tls, name, tcp })
    }
}

type Failure = Box<dyn Error + Send + Sync>;

impl Service<Uri> for Dialer {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let (tls, name) = (self.tls.clone(), self.name.clone());
        let connecting = self.tcp.call(address);
        Box::pin(async move {
            let socket = connecting.await?.into_inner();
            let stream = tls.connect(name, socket).await?;
            Ok(TokioIo::new(stream))
        })
    }
}
