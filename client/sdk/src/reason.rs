//! Why a step has to wait, as far as a device can tell: what an app may show or act on.

use std::fmt;

/// Why to call again later. What no waiting mends is [`crate::SdkError::Stop`].
///
/// Differences are in milliseconds of this device's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// No connection to the coordinator, or it broke.
    Unreachable,
    /// The coordinator, or something on the way to it, has gone silent.
    Silent,
    /// The coordinator answered that it cannot serve now, or with something unreadable.
    NotNow,
    /// Another process is writing the local store.
    StoreBusy,
    /// This device has no file descriptor or memory to give just now.
    SystemShort,
    /// Whoever answers has a certificate for another name.
    ServerName,
    /// Whoever answers has a certificate this app does not trust: a captive portal, say.
    Untrusted,
    /// The coordinator's certificate has ended, or this device's clock is ahead.
    CertificateExpired {
        /// How long ago it ended.
        by_ms: u64,
    },
    /// The coordinator's certificate is not valid yet: this device's clock is behind.
    ClockBehind {
        /// By at least this much.
        by_ms: u64,
    },
    /// A ticket is still offered after its deadline: this device's clock is ahead.
    ClockAhead {
        /// By at least this much.
        by_ms: u64,
    },
    /// The coordinator does not take this installation's certificate.
    OwnCertificate,
    /// The coordinator has revoked this installation's certificate. No waiting mends that, so a
    /// step gives it as [`crate::SdkError::NotEnrolled`].
    Revoked,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unreachable => f.write_str("the coordinator cannot be reached"),
            Self::Silent => f.write_str("the coordinator, or the way to it, is silent"),
            Self::NotNow => f.write_str("the coordinator cannot serve now"),
            Self::StoreBusy => f.write_str("another process is writing the local store"),
            Self::SystemShort => f.write_str("this device is out of file descriptors or memory"),
            Self::ServerName => {
                f.write_str("whoever answers has a certificate for another name than server_name")
            }
            Self::Untrusted => f.write_str("whoever answers has a certificate of a foreign root"),
            Self::CertificateExpired { by_ms } => {
                let ago = Span(by_ms);
                write!(
                    f,
                    "the coordinator's certificate ended {ago} ago by this device's clock"
                )
            }
            Self::ClockBehind { by_ms } => {
                write!(
                    f,
                    "this device's clock is behind by {} or more",
                    Span(by_ms)
                )
            }
            Self::ClockAhead { by_ms } => {
                write!(f, "this device's clock is ahead by {} or more", Span(by_ms))
            }
            Self::OwnCertificate => {
                f.write_str("the coordinator does not take this installation's certificate")
            }
            Self::Revoked => f.write_str(
                "this installation's certificate has been revoked: enrol with a new token",
            ),
        }
    }
}

/// Why an installation has to enrol with a new token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unenrolled {
    /// It never has.
    Never,
    /// Its certificate was revoked.
    Revoked,
    /// Its certificate has ended, and the coordinator renews it no more.
    Ended,
    /// The coordinator does not take its certificate.
    NotTaken,
}

impl fmt::Display for Unenrolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("this installation has not enrolled"),
            Self::Revoked => Reason::Revoked.fmt(f),
            Self::Ended => f.write_str(
                "this installation's certificate has ended and is renewed no more: enrol with a \
                 new token",
            ),
            Self::NotTaken => Reason::OwnCertificate.fmt(f),
        }
    }
}

/// A length of time in the largest unit that fits, rounded down.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        let (amount, unit) = match seconds {
            0..120 => (seconds, "s"),
            120..7200 => (seconds / 60, "min"),
            7200..172_800 => (seconds / 3600, "h"),
            _ => (seconds / 86_400, "days"),
        };
        write!(f, "{amount} {unit}")
    }
}
