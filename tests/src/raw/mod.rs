//! A client that writes its HTTP/2 frames itself, over TLS 1.3 with or without a device's
//! certificate: what ordinary gRPC clients will not send can be sent with it.
//!
//! [`frame`] makes the bytes; a [`Door`] says who knocks and from where; a [`Connection`] sends and
//! reads the answers.

mod connection;
pub mod frame;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Error, Result};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tacit_proto::v2::coordinator_server::SERVICE_NAME;
use tacit_wire::dial::client_config;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub use self::connection::{Answer, Connection, End};

use self::frame::{PREFACE, setting, settings};
use crate::bare::Credentials;

/// A call of the coordinator, as HTTP names it.
pub fn path(call: &str) -> String {
    format!("/{SERVICE_NAME}/{call}")
}

/// Where to knock, and who does.
#[derive(Clone)]
pub struct Door {
    address: SocketAddr,
    from: Ipv4Addr,
    config: Arc<ClientConfig>,
}

impl Door {
    /// A device with these credentials, or a stranger.
    ///
    /// # Errors
    /// When the address, a certificate or the key cannot be read.
    pub fn new(address: &str, root: &str, credentials: Option<&Credentials>) -> Result<Self> {
        let own = credentials.map(|own| (&own.chain[..], &own.key[..]));
        let config = client_config(root, own).map_err(Error::msg)?;
        Ok(Self {
            address: address.trim_start_matches("https://").parse()?,
            from: Ipv4Addr::LOCALHOST,
            config: Arc::new(config),
        })
    }

    /// The same client at another address of this machine, which is all of 127.0.0.0/8.
    #[must_use]
    pub fn from(self, from: Ipv4Addr) -> Self {
        Self { from, ..self }
    }

    /// A TCP connection that says nothing.
    ///
    /// # Errors
    /// When nobody listens, or this process has no descriptors left.
    pub async fn reach(&self) -> Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((self.from, 0)))?;
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// A TLS connection on which no preface was sent.
    ///
    /// # Errors
    /// As [`Self::reach`], and when the server cuts off the handshake.
    pub async fn knock(&self) -> Result<TlsStream<TcpStream>> {
        let stream = self.reach().await?;
        let connector = TlsConnector::from(self.config.clone());
        let name = ServerName::try_from("localhost")?;
        connector
            .connect(name, stream)
            .await
            .context("handshake")
    }

    /// An HTTP/2 connection.
    ///
    /// # Errors
    /// As [`Self::knock`].
    pub async fn connect(&self) -> Result<Connection> {
        self.connect_with(&[]).await
    }

    /// As [`Self::connect`], with these settings. The server's answers use no header table, so that
    /// their fields can be found without one.
    ///
    /// # Errors
    /// As [`Self::knock`].
    pub async fn connect_with(&self, values: &[(u16, u32)]) -> Result<Connection> {
        let mut stream = self.knock().await?;
        let own = [&[(setting::HEADER_TABLE_SIZE, 0)], values].concat();
        let hello = [PREFACE, &settings(&own)].concat();
        stream.write_all(&hello).await?;
        stream.flush().await?;
        Ok(Connection::new(stream).greet().await?)
    }
}
