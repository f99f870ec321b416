//! Numbers without meaning of their own: vectors, small solves, and the layout of bytes.

pub(crate) mod bytes;
pub(crate) mod linalg;
pub(crate) mod solve;
pub(crate) mod words;
