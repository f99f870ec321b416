//! Exports made with real keys, sound and spoilt, through the verifier, the report and the verifier
//! in Python.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "tests"
)]
#![allow(clippy::print_stdout, reason = "tests say what they measured")]

mod empty;
mod export;
mod reporting;
mod restored;
mod support;
