//! Behind balancers, listed and not.

use std::net::SocketAddr;
use std::time::Duration;

use ppp::v2::{Addresses, Builder, Command, Protocol, Version};
use tacit_wire::listener::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::support::{SOON, World, limits};

/// What a balancer says of a peer at `source`.
fn header(source: &str) -> Vec<u8> {
    let source: SocketAddr = source.parse().unwrap();
    let to: SocketAddr = "192.0.2.1:7420".parse().unwrap();
    let addresses = Addresses::from((source, to));
    let builder =
        Builder::with_addresses(Version::Two | Command::Proxy, Protocol::Stream, addresses);
    builder.build().unwrap()
}

/// Sends bytes instead of a handshake; whether the server closes in time.
async fn is_closed(world: &World, bytes: &[u8]) -> bool {
    let mut socket = TcpStream::connect(world.address).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    timeout(SOON, socket.read_to_end(&mut answer))
        .await
        .is_ok()
}

/// HOSTILE 20: strangers behind a balancer are counted by their own address, so that one of them
/// does not take the place of the others.
#[tokio::test]
async fn strangers_behind_a_balancer_have_their_own_address() {
    let caps = Limits {
        anonymous: 8,
        per_address: 2,
        idle_anonymous: Duration::from_secs(60),
        idle_least: Duration::from_millis(1),
        ..limits()
    };
    let world = World::behind(&["127.0.0.0/8"], caps, None).await;
    let mut other = world
        .introduced(&header("192.0.2.9:1"), None, true)
        .await
        .unwrap();
    assert!(other.is_served().await);
    let mut many = Vec::new();
    for port in 1..20 {
        let source = format!("192.0.2.7:{port}");
        many.extend(world.introduced(&header(&source), None, true).await);
    }
    let mut open = 0;
    for one in &mut many {
        open += usize::from(!one.closed_within(Duration::from_millis(100)).await);
    }
    assert!(open <= 2, "{open} of one address");
    assert!(!other.closed_within(Duration::from_millis(100)).await);
}

/// A health check of the balancer's own, and a device that is carried, are served.
#[tokio::test]
async fn a_balancer_may_speak_for_itself() {
    let world = World::behind(&["::1", "127.0.0.1"], limits(), None).await;
    let mut local = header("192.0.2.7:1");
    local[12] = 0x20;
    for (who, header) in [
        (None, local),
        (Some(tacit_wire::Peer::Helper), header("192.0.2.7:1")),
    ] {
        let mut carried = world.introduced(&header, who, true).await.unwrap();
        assert!(carried.is_served().await);
    }
}

/// HOSTILE 20: who is listed must speak the protocol, who is not must not; both are closed before
/// the handshake's deadline, and others are served meanwhile.
#[tokio::test]
async fn only_a_listed_balancer_speaks_for_others_and_it_must() {
    let behind = World::behind(&["127.0.0.1"], limits(), None).await;
    let good = header("192.0.2.7:50000");
    assert!(behind.silent(None, true).await.is_none(), "no header");
    let silent = is_closed(&behind, b"");
    let (closed, ()) = tokio::join!(silent, async {
        // A header cut off at every byte, with the end of the connection behind it.
        for length in 0..good.len() {
            let mut socket = TcpStream::connect(behind.address).await.unwrap();
            socket.write_all(&good[..length]).await.unwrap();
        }
        for broken in [&b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n"[..], &[0xff; 64]] {
            assert!(is_closed(&behind, broken).await);
        }
        let mut carried = behind.introduced(&good, None, true).await.unwrap();
        assert!(carried.is_served().await);
    });
    assert!(closed, "a balancer that says nothing");

    let open = World::new(limits(), None).await;
    assert!(open.introduced(&good, None, true).await.is_none());
    let mut direct = open.silent(None, true).await.unwrap();
    assert!(direct.is_served().await);
}
