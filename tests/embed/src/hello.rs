//! Reads of a TLS 1.3 handshake what stands in it in the clear: which key exchanges a client offers
//! and which one the server takes (RFC 8446, sections 4.1 to 4.2).

/// The extension that lists what a client can do.
const SUPPORTED_GROUPS: u16 = 10;
/// The extension in which the server names what it takes.
const KEY_SHARE: u16 = 51;

/// The groups a ClientHello offers, by number.
pub(crate) fn offered(record: &[u8]) -> Option<Vec<u16>> {
    let mut hello = Reader(record);
    hello.skip(HEADERS + VERSION_AND_RANDOM)?;
    let session = hello.byte()?;
    hello.skip(session.into())?;
    let suites = hello.number()?;
    hello.skip(suites.into())?;
    let compressions = hello.byte()?;
    hello.skip(compressions.into())?;

    let groups = hello.extension(SUPPORTED_GROUPS)?;
    let pairs = groups.get(2..)?.as_chunks().0;
    Some(
        pairs
            .iter()
            .map(|pair| u16::from_be_bytes(*pair))
            .collect(),
    )
}

/// The group a ServerHello takes, by number.
pub(crate) fn taken(record: &[u8]) -> Option<u16> {
    let mut hello = Reader(record);
    hello.skip(HEADERS + VERSION_AND_RANDOM)?;
    let session = hello.byte()?;
    hello.skip(session.into())?;
    hello.skip(SUITE_AND_COMPRESSION)?;
    Reader(hello.extension(KEY_SHARE)?).number()
}

/// Of the record, 5 bytes, and of the handshake message, 4.
const HEADERS: usize = 9;
const VERSION_AND_RANDOM: usize = 34;
const SUITE_AND_COMPRESSION: usize = 3;

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn skip(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (skipped, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(skipped)
    }

    fn byte(&mut self) -> Option<u8> {
        self.skip(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u16> {
        self.skip(2)?
            .first_chunk()
            .copied()
            .map(u16::from_be_bytes)
    }

    /// The content of one of the extensions, which come last.
    fn extension(&mut self, wanted: u16) -> Option<&'a [u8]> {
        let _all = self.number()?;
        loop {
            let (kind, length) = (self.number()?, self.number()?);
            let content = self.skip(length.into())?;
            if kind == wanted {
                return Some(content);
            }
        }
    }
}
