//! How many connections are kept, and for how long one that asks for nothing.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::balancer::Front;
use super::frames::FrameLimits;

/// Connections with a certificate, at most, when the operator names no number and the process has
/// descriptors for more: memory is the limit then. One that keeps a call open costs some 45 KB,
/// buffers of TLS and HTTP/2 for the most part.
pub const CONNECTIONS: usize = 320;
/// Those without, which ask for one thing and go.
const STRANGERS: usize = CONNECTIONS / 5;

/// Limits of one listener. At a cap the longest idle connection of the same kind is closed for the
/// new one; where none is idle, one whose stranger's call takes too long, or one of the peer or
/// address that has most of them, if that has two more than the new one's. Otherwise the new one is
/// refused.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections with a certificate.
    pub known: usize,
    /// Of them, those of one identity.
    pub per_peer: usize,
    /// Connections without a certificate, handshakes under way included.
    pub anonymous: usize,
    /// Of them, those of one source address (of one /64 for IPv6).
    pub per_address: usize,
    /// How long a connection with a certificate stays without a call.
    pub idle: Duration,
    /// How long one without a certificate does.
    pub idle_anonymous: Duration,
    /// How long calls without a certificate may be open without a pause.
    pub calls_anonymous: Duration,
    /// How long those of a device may be: longer than its longest call.
    pub calls_device: Duration,
    /// Frames that carry no data, on a connection of a device; servers are not held to it.
    pub frames: FrameLimits,
    /// And on one without a certificate, which asks for one thing.
    pub frames_anonymous: FrameLimits,
    /// A connection older than this is closed between two calls.
    pub age: Duration,
    /// What was idle for less is not closed for another: a handshake takes a moment.
    pub idle_least: Duration,
    /// A call without a certificate that takes longer is as good as none.
    pub call_anonymous: Duration,
    /// How long a connection without a call outlives the begin of a drain.
    pub idle_draining: Duration,
    /// How long one health watch lasts, and how many there are at once.
    pub watch: Duration,
    /// See [`Self::watch`].
    pub watches: usize,
}

impl Limits {
    /// For a process that may have this number of descriptors open, and is to keep at most so many
    /// connections with a certificate: all connections take at most five eighths of the
    /// descriptors, the rest is for files and for calls of its own.
    pub fn of(descriptors: usize, connections: usize) -> Self {
        let known = (descriptors / 2).clamp(1, connections);
        let anonymous = (descriptors / 8).clamp(1, STRANGERS);
        Self {
            known,
            per_peer: known.min(32),
            anonymous,
            per_address: (anonymous / 2).max(1),
            idle: Duration::from_secs(60),
            idle_anonymous: Duration::from_secs(15),
            calls_anonymous: Duration::from_secs(30),
            calls_device: Duration::from_secs(180),
            frames: FrameLimits {
                burst: 2000,
                rate: 200,
            },
            frames_anonymous: FrameLimits {
                burst: 200,
                rate: 20,
            },
            age: Duration::from_secs(3600),
            idle_least: Duration::from_secs(1),
            call_anonymous: Duration::from_secs(5),
            idle_draining: Duration::from_secs(1),
            watch: Duration::from_secs(25),
            watches: 64,
        }
    }

    /// Raises this process's limit of descriptors as far as the system lets it, says so in one log
    /// line, and gives the limits that follow for a daemon with this `[listener]`.
    pub fn of_this_process(front: &Front) -> Self {
        let before = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: before.maximum,
            maximum: before.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(event = "descriptors_not_raised", %error);
        }
        let now = getrlimit(Resource::Nofile).current;
        let descriptors = now.map_or(usize::MAX, |now| usize::try_from(now).unwrap_or(usize::MAX));
        let wanted = front.connections.map(|wanted| wanted.get().into());
        let limits = Self::of(descriptors, wanted.unwrap_or(CONNECTIONS));
        tracing::info!(
            event = "descriptors",
            before = before.current,
            now,
            connections = limits.known,
            without_certificate = limits.anonymous
        );
        limits
    }
}

impl Default for Limits {
    /// Of a process with 1,024 descriptors, the usual soft limit.
    fn default() -> Self {
        Self::of(1024, CONNECTIONS)
    }
}
