//! A way between two parties that is not what it should be: a proxy that goes silent, closes or
//! resets, is slow, comes late, waits for more, or stands still.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use rand::rngs::SysRng;
use rand::{Rng, TryRng};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// What is carried at once: about what fits into a packet.
const PIECE: usize = 1400;
/// How long a proxy that gathers waits for more.
const MORE: Duration = Duration::from_millis(50);
/// When TCP first sends again what was lost, and how often it doubles that here.
const AGAIN: Duration = Duration::from_millis(200);
const DOUBLINGS: u32 = 3;
/// How often a way that stands still is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Bytes every connection may carry in each direction, and whether any go through now.
#[derive(Debug, Default)]
pub struct Limits {
    /// From the device to the coordinator; holds for connections made afterwards.
    pub up: AtomicU64,
    /// From the coordinator to the device; holds for connections made afterwards.
    pub down: AtomicU64,
    /// Nothing goes up while this stands; nothing is lost either, as TCP sends it again.
    pub held_up: AtomicBool,
    /// The same for what goes down.
    pub held_down: AtomicBool,
    way: Mutex<Way>,
}

/// How bytes are carried, on connections made afterwards; at once and for ever, to begin with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Way {
    /// What happens at the limit.
    pub then: Then,
    /// Bytes a second, in each direction.
    pub rate: Option<u32>,
    /// Share of packets that are lost. TCP sends them again, so that they come late; and once more
    /// where that is lost, too.
    pub lost: f64,
    /// Bytes it waits for before it passes any on, unless no more come.
    pub gather: usize,
}

/// What happens to a connection whose limit is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Then {
    /// It stays open, and carries nothing more in this direction.
    #[default]
    Silence,
    /// It is closed in order.
    Close,
    /// It is reset, as when a router forgets it.
    Reset,
}

impl Limits {
    /// Sets how bytes are carried.
    pub fn set(&self, way: Way) {
        *self.way.lock().unwrap_or_else(PoisonError::into_inner) = way;
    }

    fn way(&self) -> Way {
        *self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running proxy; it ends when dropped.
pub struct Proxy {
    /// Where devices reach it.
    pub address: String,
    /// What it does; nothing, to begin with.
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
            ..Limits::default()
        });
        let connections = Arc::new(AtomicUsize::new(0));
        let (shared, count) = (limits.clone(), connections.clone());
        let serving = tokio::spawn(async move {
            while let Ok((device, _)) = socket.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                if let Ok(server) = TcpStream::connect(target).await {
                    carry_both(device, server, &shared);
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

fn carry_both(device: TcpStream, server: TcpStream, limits: &Arc<Limits>) {
    let _ = (device.set_nodelay(true), server.set_nodelay(true));
    let (from_device, to_device) = device.into_split();
    let (from_server, to_server) = server.into_split();
    let over = CancellationToken::new();
    let (up, down) = (
        limits.up.load(Ordering::Relaxed),
        limits.down.load(Ordering::Relaxed),
    );
    for (from, to, left, going_up) in [
        (from_device, to_server, up, true),
        (from_server, to_device, down, false),
    ] {
        let direction = Direction {
            left,
            going_up,
            way: limits.way(),
            limits: limits.clone(),
            over: over.clone(),
        };
        let over = over.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = over.cancelled() => {}
                () = direction.carry(from, to) => {}
            }
        });
    }
}

/// One direction of one connection.
struct Direction {
    left: u64,
    going_up: bool,
    way: Way,
    limits: Arc<Limits>,
    /// Ends both directions.
    over: CancellationToken,
}

impl Direction {
    /// Carries until either end closes or the limit is reached; where silence follows, goes on
    /// reading, so that neither side notices.
    async fn carry(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut random = ChaCha20Rng::from_seed(seed());
        let mut gathered = Vec::new();
        while let Ok(piece) = read(&mut from, &mut gathered, self.way.gather).await {
            for packet in piece.chunks(PIECE) {
                let carried = self.left.min(packet.len() as u64);
                self.left -= carried;
                let part = usize::try_from(carried).unwrap_or(packet.len());
                self.wait(part, &mut random).await;
                if to.write_all(&packet[..part]).await.is_err() {
                    return;
                }
            }
            if self.left == 0 && self.way.then != Then::Silence {
                if self.way.then == Then::Reset {
                    let _ = to.as_ref().set_zero_linger();
                    let _ = from.as_ref().set_zero_linger();
                }
                self.over.cancel();
                return;
            }
        }
    }

    /// The time until a packet of this size has come through.
    async fn wait(&self, bytes: usize, random: &mut impl Rng) {
        if let Some(rate) = self.way.rate {
            let seconds = bytes as f64 / f64::from(rate);
            sleep(Duration::from_secs_f64(seconds)).await;
        }
        for doubled in 0..=DOUBLINGS {
            if f64::from(random.next_u32()) >= self.way.lost * 2f64.powi(32) {
                break;
            }
            sleep(AGAIN * 2u32.pow(doubled)).await;
        }
        let held = match self.going_up {
            true => &self.limits.held_up,
            false => &self.limits.held_down,
        };
        while held.load(Ordering::Relaxed) {
            sleep(LOOK).await;
        }
    }
}

fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    // Which packets are lost may be anything.
    let _ = SysRng.try_fill_bytes(&mut seed);
    seed
}

/// The next bytes, at least `gather` of them unless no more come for a moment.
async fn read(
    from: &mut OwnedReadHalf,
    gathered: &mut Vec<u8>,
    gather: usize,
) -> std::io::Result<Vec<u8>> {
    if from.read_buf(gathered).await? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    while gathered.len() < gather {
        match timeout(MORE, from.read_buf(gathered)).await {
            Ok(Ok(1..)) => {}
            _ => break,
        }
    }
    Ok(std::mem::take(gathered))
}
