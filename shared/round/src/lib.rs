#![forbid(unsafe_code)]
pub mod head;
pub mod keys;
