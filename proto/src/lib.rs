//! The generated wire protocol and nothing else. Read `tacit/v1/tacit.proto`.

#![forbid(unsafe_code)]
#![allow(
    clippy::all,
    clippy::cast_possible_truncation,
    unreachable_pub,
    reason = "generated code"
)]

/// Version 1 of the protocol.
pub mod v1 {
    tonic::include_proto!("tacit.v1");
}

/// Largest object, a model or a catalogue, that a device fetches.
pub const OBJECT_BYTES_MAX: usize = 64 << 20;
