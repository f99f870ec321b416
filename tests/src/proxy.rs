//! A proxy between a device and its coordinator that goes silent: it keeps both connections open
//! and carries nothing more in one direction.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Bytes every connection may carry in each direction before it goes silent; it may be changed at
/// any time and holds for connections made afterwards.
#[derive(Debug)]
pub struct Limits {
    /// From the device to the coordinator.
    pub up: AtomicU64,
    /// From the coordinator to the device.
    pub down: AtomicU64,
}

/// The running proxy; it ends when dropped.
pub struct Proxy {
    /// Where devices reach it.
    pub address: String,
    /// When it goes silent; never, to begin with.
    pub limits: Arc<Limits>,
    /// Connections made through it.
    pub connections: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Proxy {
    /// Carries connections to `target`, an `https://` address on this machine.
    ///
    /// # Errors
    /// When the address cannot be read or no port bound.
    pub async fn start(target: &str) -> Result<Self> {
        let target: SocketAddr = target.trim_start_matches("https://").parse()?;
        let socket = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("https://{}", socket.local_addr()?);
        let limits = Arc::new(Limits {
            up: AtomicU64::new(u64::MAX),
            down: AtomicU64::new(u64::MAX),
        });
        let connections = Arc::new(AtomicUsize::new(0));
        let (shared, count) = (limits.clone(), connections.clone());
        let serving = tokio::spawn(async move {
            while let Ok((device, _)) = socket.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let up = shared.up.load(Ordering::Relaxed);
                let down = shared.down.load(Ordering::Relaxed);
                if let Ok(server) = TcpStream::connect(target).await {
                    let (from_device, to_device) = device.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::spawn(carry(from_device, to_server, up));
                    tokio::spawn(carry(from_server, to_device, down));
                }
            }
        });
        Ok(Self {
            address,
            limits,
            connections,
            serving,
        })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Carries at most `left` bytes; then goes on reading, so that neither side notices.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut left: u64) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let carried = left.min(read as u64);
        left -= carried;
        let part = usize::try_from(carried).unwrap_or(read);
        if to.write_all(&buffer[..part]).await.is_err() {
            return;
        }
    }
}
