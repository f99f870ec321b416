//! A way to a party that counts what passes on it, as whoever owns the network could.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Bytes before the content of a TLS record: its kind, version and length.
const HEADER: usize = 5;
/// What TLS 1.3 adds to the content of a protected record: header, kind and tag.
const ADDED: u64 = 5 + 1 + 16;

/// What passed on one connection in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// From who connected.
    pub up: Way,
    /// To who connected.
    pub down: Way,
}

/// What passed in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// TLS and all.
    pub bytes: u64,
    /// TLS records.
    pub records: u64,
}

impl Way {
    /// Bytes without what TLS adds to each record. Into how many records a sender cuts the same
    /// content depends on when it comes to write, from try to try.
    pub fn content(self) -> u64 {
        self.bytes.saturating_sub(self.records * ADDED)
    }
}

/// Finds where records begin.
#[derive(Default)]
struct Records {
    /// Bytes of the record under way that have not come.
    left: usize,
    header: Vec<u8>,
}

impl Records {
    /// How many begin in these bytes.
    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut begun = 0;
        while !bytes.is_empty() {
            if self.left > 0 {
                let content = self.left.min(bytes.len());
                self.left -= content;
                bytes = &bytes[content..];
                continue;
            }
            let part = bytes.len().min(HEADER - self.header.len());
            self.header.extend_from_slice(&bytes[..part]);
            bytes = &bytes[part..];
            if let [_, _, _, high, low] = self.header[..] {
                self.left = u16::from_be_bytes([high, low]).into();
                self.header.clear();
                begun += 1;
            }
        }
        begun
    }
}

/// A port that leads to another one.
pub struct Ear {
    address: SocketAddr,
    ended: UnboundedReceiver<Passed>,
}

impl Ear {
    /// Listens on the way to this address, `https://host:port`, until the runtime ends.
    ///
    /// # Errors
    /// When no port is free or the address is none.
    pub async fn before(address: &str) -> Result<Self> {
        let target = address
            .strip_prefix("https://")
            .context("an address")?
            .to_owned();
        let door = TcpListener::bind("127.0.0.1:0").await?;
        let address = door.local_addr()?;
        let (ends, ended) = unbounded_channel();
        tokio::spawn(serve(door, target, ends));
        Ok(Self { address, ended })
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("https://{}", self.address)
    }

    /// What passed on the next connection that ends.
    ///
    /// # Errors
    /// When it listens no more.
    pub async fn ended(&mut self) -> Result<Passed> {
        self.ended.recv().await.context("nobody listens")
    }
}

async fn serve(door: TcpListener, target: String, ends: UnboundedSender<Passed>) {
    while let Ok((client, _)) = door.accept().await {
        let Ok(server) = TcpStream::connect(&target).await else {
            continue;
        };
        tokio::spawn(listen(client, server, ends.clone()));
    }
}

async fn listen(client: TcpStream, server: TcpStream, ends: UnboundedSender<Passed>) {
    for socket in [&client, &server] {
        let _ = socket.set_nodelay(true);
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (up, down) = tokio::join!(carry(from_client, to_server), carry(from_server, to_client));
    // Nobody has to hear of it.
    let _ = ends.send(Passed { up, down });
}

/// Carries one direction to its end; counts also what cannot be delivered any more.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> Way {
    let mut buffer = vec![0; 1 << 16];
    let mut records = Records::default();
    let mut way = Way::default();
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        way.bytes += read as u64;
        way.records += records.count(&buffer[..read]);
        let _ = to.write_all(&buffer[..read]).await;
    }
    let _ = to.shutdown().await;
    way
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_however_they_are_cut() {
        let one = |length: u8| [vec![23, 3, 3, 0, length], vec![7; length.into()]].concat();
        let all = [one(3), one(0), one(200), one(1)].concat();
        for cut in 1..=all.len() {
            let mut records = Records::default();
            let counts = all.chunks(cut).map(|part| records.count(part));
            assert_eq!(counts.sum::<u64>(), 4, "in parts of {cut}");
        }
    }
}
