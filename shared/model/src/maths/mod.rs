//! Numbers without meaning of their own: vectors, small solves, and factors in single bytes.
//!
//! Uses no other room. Reading order: `linalg`, `solve`, `bytes`.

pub(crate) mod bytes;
pub(crate) mod linalg;
pub(crate) mod solve;
