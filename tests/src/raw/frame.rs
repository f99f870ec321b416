//! Bytes of HTTP/2 (RFC 9113), its header compression (RFC 7541) and gRPC, well formed or not.
//!
//! Header fields are written as literals without Huffman code: what a test sends is what it reads.

use prost::Message;

/// What a client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of every frame before its payload.
pub const HEAD_BYTES: usize = 9;
/// Largest payload a server takes unless it says otherwise.
pub const PAYLOAD_BYTES_MAX: usize = 16_384;

/// Types of frames.
pub mod kind {
    #![allow(missing_docs, reason = "the names of RFC 9113, section 6")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    #![allow(missing_docs, reason = "the names of RFC 9113, section 6")]
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
}

/// Settings of a connection.
pub mod setting {
    #![allow(missing_docs, reason = "the names of RFC 9113, section 6.5.2")]
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
}

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a payload is shorter than 16 MiB");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A SETTINGS frame.
pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let pair = |&(name, value): &(u16, u32)| {
        let mut bytes = name.to_be_bytes().to_vec();
        bytes.extend(value.to_be_bytes());
        bytes
    };
    let payload: Vec<u8> = values.iter().flat_map(pair).collect();
    frame(kind::SETTINGS, 0, 0, &payload)
}

/// The header block of a gRPC call: what RFC 9113 asks for, and these fields more.
pub fn call_fields(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let usual = [
        (":method", "POST"),
        (":scheme", "https"),
        (":path", path),
        (":authority", "localhost"),
        ("te", "trailers"),
    ];
    let typed = more.iter().any(|(name, _)| *name == "content-type");
    let content = [("content-type", "application/grpc")];
    let content = if typed { &content[..0] } else { &content[..] };
    fields(usual.iter().chain(content).chain(more))
}

/// A header block of these fields, each a literal that is not indexed.
pub fn fields<'a>(fields: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.extend(length(text.len()));
            block.extend(text.as_bytes());
        }
    }
    block
}

/// A length in the 7 bits that follow the Huffman flag (RFC 7541, section 5.1).
fn length(value: usize) -> Vec<u8> {
    const FULL: usize = 127;
    let low = |value: usize| u8::try_from(value).expect("at most seven bits");
    if value < FULL {
        return vec![low(value)];
    }
    let (mut bytes, mut rest) = (vec![low(FULL)], value - FULL);
    while rest > FULL {
        bytes.push(low(rest & FULL) | 0x80);
        rest >>= 7;
    }
    bytes.push(low(rest));
    bytes
}

/// A header block as HEADERS and as many CONTINUATION frames as it takes.
pub fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let last = block.len().div_ceil(PAYLOAD_BYTES_MAX) - 1;
    for (number, part) in block.chunks(PAYLOAD_BYTES_MAX).enumerate() {
        let (kind, flags) = match number {
            0 => (kind::HEADERS, flags),
            _ => (kind::CONTINUATION, 0),
        };
        let end = if number == last { flag::END_HEADERS } else { 0 };
        bytes.extend(frame(kind, flags | end, stream, part));
    }
    bytes
}

/// DATA frames of at most `size` bytes; the last one ends the stream when `end` says so.
pub fn data(stream: u32, size: usize, end: bool, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in body.chunks(size) {
        bytes.extend(frame(kind::DATA, 0, stream, part));
    }
    if end {
        bytes.extend(frame(kind::DATA, flag::END_STREAM, stream, &[]));
    }
    bytes
}

/// A gRPC message: flag and length before the body.
pub fn message(body: &impl Message) -> Vec<u8> {
    framed(&body.encode_to_vec())
}

/// As [`message`], of any bytes.
pub fn framed(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a message is shorter than 4 GiB");
    [&message_head(0, length), body].concat()
}

/// What stands before the body of a gRPC message, true or not.
pub fn message_head(compressed: u8, length: u32) -> [u8; 5] {
    let [a, b, c, d] = length.to_be_bytes();
    [compressed, a, b, c, d]
}
