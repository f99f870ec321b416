//! Bounds the frames of a connection that carry no data: each costs its sender nothing and the
//! server some work, and HTTP/2 itself bounds only some of them.
//!
//! A connection may send a number of them at once, then so many a second; whoever reads an answer
//! gives room for the next part of it, so bytes sent to the peer allow more. Frames of data are
//! bounded by what a call reads, and by the HTTP/2 library where they are nearly empty.

use tokio::time::Instant;

/// The preface of a client (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24;
/// Every frame begins with its length, its type, its flags and its stream (section 4.1).
const HEAD_BYTES: usize = 9;
const DATA: u8 = 0;
/// A peer that reads allows the next part at least once in so many bytes.
const BYTES_A_WINDOW: f64 = 4096.0;

/// How many frames without data a connection may send.
#[derive(Clone, Copy, Debug)]
pub struct FrameLimits {
    /// At once.
    pub burst: u32,
    /// A second, in the long run.
    pub rate: u32,
}

/// Follows the frames of one connection.
pub(super) struct Frames {
    limits: FrameLimits,
    /// Frames that may come now.
    allowed: f64,
    since: Instant,
    /// Bytes until the next frame's head.
    skip: usize,
    head: [u8; HEAD_BYTES],
    filled: usize,
}

impl Frames {
    pub(super) fn new(limits: FrameLimits, now: Instant) -> Self {
        Self {
            limits,
            allowed: limits.burst.into(),
            since: now,
            skip: PREFACE_BYTES,
            head: [0; HEAD_BYTES],
            filled: 0,
        }
    }

    /// Takes note of bytes that came; `false` when there are too many frames in them.
    pub(super) fn came(&mut self, bytes: &[u8], now: Instant) -> bool {
        let dataless = self.count(bytes);
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        let earned = passed * f64::from(self.limits.rate);
        self.since = now;
        self.allowed = (self.allowed + earned).min(self.limits.burst.into());
        self.allowed -= f64::from(dataless);
        self.allowed >= 0.0
    }

    /// Takes note of bytes that went to the peer.
    pub(super) fn went(&mut self, bytes: usize) {
        #[allow(clippy::cast_precision_loss, reason = "a buffer is short")]
        let windows = bytes as f64 / BYTES_A_WINDOW;
        self.allowed += windows;
    }

    /// Frames without data whose heads end in these bytes.
    fn count(&mut self, mut bytes: &[u8]) -> u32 {
        let mut dataless = 0;
        while !bytes.is_empty() {
            let passed_over = self.skip.min(bytes.len());
            self.skip -= passed_over;
            bytes = &bytes[passed_over..];
            let taken = (HEAD_BYTES - self.filled).min(bytes.len());
            self.head[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == HEAD_BYTES {
                let [a, b, c, kind, ..] = self.head;
                self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.filled = 0;
                dataless += u32::from(kind != DATA);
            }
        }
        dataless
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LIMITS: FrameLimits = FrameLimits { burst: 10, rate: 2 };

    fn frame(kind: u8, payload: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, payload, kind, 0, 0, 0, 0, 0];
        bytes.extend(vec![0; payload.into()]);
        bytes
    }

    fn after_preface(now: Instant) -> Frames {
        let mut frames = Frames::new(LIMITS, now);
        assert!(frames.came(&[6; PREFACE_BYTES], now));
        frames
    }

    #[tokio::test]
    async fn frames_are_told_apart_wherever_the_bytes_are_cut() {
        let now = Instant::now();
        let sent = [frame(6, 8), frame(0, 200), frame(4, 0), frame(0, 0)].concat();
        for size in 1..sent.len() {
            let mut frames = after_preface(now);
            let counted = sent.chunks(size).map(|part| frames.count(part));
            assert_eq!(counted.sum::<u32>(), 2, "cut every {size} bytes");
        }
    }

    /// HOSTILE 16, 17.
    #[tokio::test]
    async fn a_flood_is_noticed_and_a_steady_peer_is_not() {
        let now = Instant::now();
        let mut flooded = after_preface(now);
        assert!(flooded.came(&frame(6, 8).repeat(10), now));
        assert!(!flooded.came(&frame(6, 8), now));

        let mut steady = after_preface(now);
        let mut reading = after_preface(now);
        for second in 1..100 {
            let then = now + Duration::from_secs(second);
            assert!(steady.came(&frame(8, 4).repeat(2), then));
            reading.went(8 * 4096);
            assert!(reading.came(&frame(8, 4).repeat(10), then));
        }
        assert!(steady.came(&frame(0, 100).repeat(1000), now));
    }
}
