//! Balancers in front of a daemon, and whom they speak for: PROXY protocol, version 2, its binary
//! form.
//!
//! A balancer that carries TCP hides who connects: every peer seems to come from it. A listed one
//! must say before the TLS handshake whom it speaks for; what it says counts for the number of
//! connections of one address, and for nothing else. From anybody else the same bytes are a broken
//! handshake.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::str::FromStr;

use ppp::v2::{Addresses, Command, Header, Protocol};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What stands before the addresses: signature, command, family and the length of the rest.
const FIXED: usize = 16;
/// Longest rest: addresses, and what balancers add of their own, which nobody here reads.
const REST_MAX: usize = 2048;
/// Byte that holds version and command.
const COMMAND: usize = 12;
/// Version 2, and a connection of the balancer's own: a health check.
const LOCAL: u8 = 0x20;

/// What stands in front of a daemon, and how much it takes in: `[listener]` of its configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Front {
    /// Connections with a certificate, at most, instead of
    /// [`CONNECTIONS`](super::limits::CONNECTIONS). Each costs some 45 KB while a call is open.
    pub connections: Option<NonZeroU16>,
    /// Addresses of balancers that speak PROXY protocol version 2. Whoever connects from one must
    /// speak it; whoever does not, must not.
    #[serde(default)]
    pub balancers: Vec<Network>,
}

impl Front {
    /// What a daemon that runs with this takes over of `next`: its number of connections stays
    /// until a restart.
    #[must_use]
    pub fn taking(&self, next: Self) -> Self {
        Self {
            connections: self.connections,
            ..next
        }
    }

    /// Whether a balancer is at this address.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        let among = |network: &Network| network.contains(address);
        self.balancers.iter().any(among)
    }
}

/// An address, or the block of those that share its first bits: `192.0.2.7`, `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    first: IpAddr,
    bits: u32,
}

impl Network {
    /// Whether `address` is of this block; IPv4 inside IPv6 is IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        // A block has at least one bit, so that the shift is shorter than the number.
        let of_block = |first: u128, address: u128, width| {
            let rest: u32 = width - self.bits;
            (first ^ address) >> rest == 0
        };
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                of_block(first.to_bits().into(), address.to_bits().into(), 32)
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                of_block(first.to_bits(), address.to_bits(), 128)
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (address, bits) = text.split_once('/').unzip();
        let first: IpAddr = address
            .unwrap_or(text)
            .parse()
            .map_err(|_| "give an address or a block, as 192.0.2.7 or 10.0.0.0/8")?;
        let first = first.to_canonical();
        let width = if first.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), str::parse).unwrap_or(u32::MAX);
        match bits {
            0 => Err("a block of every address is no balancer"),
            bits if bits <= width => Ok(Self { first, bits }),
            _ => Err("a block has at most 32 bits, or 128 for IPv6"),
        }
    }
}

impl TryFrom<String> for Network {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        text.parse()
    }
}

/// Reads a header and not a byte more, and gives the address it speaks for; `None` when the
/// balancer speaks for itself, or for a peer without an address.
///
/// # Errors
/// For anything that is no header of version 2, and what the connection says.
pub(super) async fn read_source(
    from: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<SocketAddr>> {
    let mut header = vec![0; FIXED];
    from.read_exact(&mut header).await?;
    let rest = u16::from_be_bytes([header[FIXED - 2], header[FIXED - 1]]);
    let rest = usize::from(rest);
    if rest > REST_MAX || !header.starts_with(ppp::v2::PROTOCOL_PREFIX) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    header.resize(FIXED + rest, 0);
    from.read_exact(&mut header[FIXED..]).await?;
    if header[COMMAND] == LOCAL {
        return Ok(None);
    }
    let header = Header::try_from(&header[..]).map_err(invalid)?;
    match (header.command, header.protocol, header.addresses) {
        (Command::Proxy, Protocol::Stream, Addresses::IPv4(told)) => {
            let address = (told.source_address, told.source_port);
            Ok(Some(address.into()))
        }
        (Command::Proxy, Protocol::Stream, Addresses::IPv6(told)) => {
            let address = (told.source_address, told.source_port);
            Ok(Some(address.into()))
        }
        (_, Protocol::Datagram, _) => Err(invalid("no stream")),
        _ => Ok(None),
    }
}

fn invalid(problem: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.to_string())
}

#[cfg(test)]
mod tests {
    use ppp::v2::{Builder, Version};

    use super::*;

    fn header(command: Command, protocol: Protocol, addresses: impl Into<Addresses>) -> Vec<u8> {
        let builder = Builder::with_addresses(Version::Two | command, protocol, addresses);
        builder.build().unwrap()
    }

    fn proxied(source: &str) -> Vec<u8> {
        let (source, to): (SocketAddr, SocketAddr) = (source.parse().unwrap(), {
            let to = if source.starts_with('[') {
                "[::1]:7420"
            } else {
                "127.0.0.1:7420"
            };
            to.parse().unwrap()
        });
        header(Command::Proxy, Protocol::Stream, (source, to))
    }

    /// What a header tells, and how many of the bytes behind it were read.
    async fn told(bytes: &[u8]) -> (io::Result<Option<SocketAddr>>, usize) {
        let mut all = bytes;
        let told = read_source(&mut all).await;
        (told, bytes.len() - all.len())
    }

    /// HOSTILE 20: every header is read to its last byte and no further.
    #[tokio::test]
    async fn a_header_tells_the_source_and_leaves_the_rest() {
        for source in ["192.0.2.7:50000", "[2001:db8::7]:50000"] {
            let header = proxied(source);
            let more = [&header[..], b"\x16\x03\x01"].concat();
            let (told, read) = told(&more).await;
            assert_eq!(told.unwrap(), Some(source.parse().unwrap()));
            assert_eq!(read, header.len());
        }
        let with_more = Builder::with_addresses(
            Version::Two | Command::Proxy,
            Protocol::Stream,
            (
                "192.0.2.7:1".parse::<SocketAddr>().unwrap(),
                "192.0.2.8:2".parse::<SocketAddr>().unwrap(),
            ),
        );
        let with_more = with_more.write_tlv(0x02_u8, b"example.org").unwrap();
        let (told, _) = told(&with_more.build().unwrap()).await;
        assert_eq!(told.unwrap(), Some("192.0.2.7:1".parse().unwrap()));
    }

    #[tokio::test]
    async fn who_has_no_address_counts_as_the_balancer() {
        let unknown = header(
            Command::Proxy,
            Protocol::Unspecified,
            Addresses::Unspecified,
        );
        let unix = ppp::v2::Unix::new([1; 108], [2; 108]);
        let unix = header(Command::Proxy, Protocol::Stream, unix);
        let mut local = proxied("192.0.2.7:1");
        local[COMMAND] = LOCAL;
        // The protocol says that a family is ignored there, whatever it is.
        let mut strange = local.clone();
        strange[13] = 0xff;
        for header in [unknown, unix, local, strange] {
            let (told, read) = told(&header).await;
            assert_eq!(told.unwrap(), None, "{header:x?}");
            assert_eq!(read, header.len());
        }
    }

    /// HOSTILE 20: cut off at every byte, changed in every byte, too long, or something else.
    #[tokio::test]
    async fn a_broken_header_is_refused() {
        let good = proxied("[2001:db8::7]:50000");
        for length in 0..good.len() {
            assert!(told(&good[..length]).await.0.is_err(), "{length} bytes");
        }
        for place in 0..FIXED - 2 {
            for byte in 0..=u8::MAX {
                let mut changed = good.clone();
                changed[place] = byte;
                let (told, _) = told(&changed).await;
                let same = byte == good[place];
                assert!(told.is_err() || same || place >= COMMAND, "{place}: {byte}");
            }
        }
        let mut datagram = good.clone();
        datagram[13] = 0x22;
        let mut family = good.clone();
        family[13] = 0x41;
        let mut version = good.clone();
        version[COMMAND] = 0x11;
        let mut short = good.clone();
        short[FIXED - 1] -= 1;
        let mut long = good.clone();
        long[FIXED - 2..FIXED].copy_from_slice(&[0x08, 0x01]);
        let long = [&long[..], &[0; 1 << 16]].concat();
        let first = b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n".to_vec();
        for broken in [datagram, family, version, short, long, first] {
            assert!(told(&broken).await.0.is_err(), "{broken:x?}");
        }
    }

    #[test]
    fn a_block_holds_its_addresses() {
        let holds = |network: &str, address: &str| {
            let network: Network = network.parse().unwrap();
            network.contains(address.parse().unwrap())
        };
        assert!(holds("192.0.2.7", "192.0.2.7") && !holds("192.0.2.7", "192.0.2.6"));
        assert!(holds("192.0.2.7", "::ffff:192.0.2.7") && holds("::ffff:192.0.2.7", "192.0.2.7"));
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("2001:db8::/32", "2001:db8:1::1") && !holds("2001:db8::/32", "2001:db9::"));
        assert!(!holds("10.0.0.0/8", "::a00:1") && !holds("::1", "127.0.0.1"));
        for bad in [
            "",
            "x",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "::/129",
            "0.0.0.0/0",
            "::/0",
            "a.b",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
