//! The generated wire protocol, and the two sizes it fixes. Read `tacit/v2/tacit.proto`.

#![forbid(unsafe_code)]
#![allow(
    clippy::all,
    clippy::cast_possible_truncation,
    unreachable_pub,
    reason = "generated code"
)]

use bytes::Bytes;

/// Version 2 of the protocol.
pub mod v2 {
    tonic::include_proto!("tacit.v2");
}

/// Largest object, a model or a catalogue, that a device fetches.
pub const OBJECT_BYTES_MAX: usize = 64 << 20;

/// Size of every chunk of a stream but the last, which may be shorter.
pub const CHUNK_BYTES: usize = 65_536;

/// Cuts `whole` into the chunks it is streamed in; they share its memory.
pub fn chunks(whole: Bytes) -> impl Iterator<Item = Bytes> {
    let starts = (0..whole.len()).step_by(CHUNK_BYTES);
    starts.map(move |start| whole.slice(start..whole.len().min(start + CHUNK_BYTES)))
}
