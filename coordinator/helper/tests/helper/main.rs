//! The helper over loopback mutual TLS: what it answers, what it refuses, and what it remembers
//! over a restart.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "tests say what they measured")]

mod cheating;
mod empty;
mod life;
mod lines;
mod members;
mod noise;
mod refusals;
mod restore;
mod rounds;
mod support;
