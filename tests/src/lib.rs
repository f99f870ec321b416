//! Tests of the whole system: real processes, real certificates, real disks.
//!
//! [`deployment`] makes a throw-away deployment and runs, kills and restarts its processes;
//! [`bare`] speaks the device protocol without the SDK, so that a test knows every number it sends;
//! [`stand_in`] is a coordinator that records what the SDK sends; [`proxy`] stands before it and
//! goes silent; [`installation`] runs the SDK in a process to be killed; [`fuzz`] says what must
//! hold for any bytes at all. What they cannot find: anything that needs two machines, a slow
//! network or a power loss; SIGKILL leaves the page cache intact.

#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "test support: says what it skips and why a test failed"
)]

pub mod bare;
pub mod deployment;
pub mod faults;
pub mod fuzz;
pub mod installation;
pub mod proxy;
pub mod stand_in;
