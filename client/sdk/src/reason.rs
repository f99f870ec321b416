//! Why a step has to wait, as far as a device can tell: what an app may show or act on.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};
use tonic::{Code, Status};

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
}

impl Reason {
    /// Whether both are the same reason, whatever their differences of time.
    pub(crate) fn same(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }

    /// What kept a connection from standing.
    pub(crate) fn of_connection(error: &(dyn Error + 'static)) -> Self {
        causes(error)
            .find_map(of_cause)
            .unwrap_or(Self::Unreachable)
    }

    /// What TLS says, if this error or a cause of it comes from there.
    pub(crate) fn of_tls_in(error: &(dyn Error + 'static)) -> Option<Self> {
        let tls = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>());
        tls.map(of_tls)
    }

    /// What a call that may be repeated failed with.
    pub(crate) fn of_status(status: &Status) -> Self {
        let known = causes(status).find_map(of_cause);
        known.unwrap_or(match status.code() {
            Code::Cancelled | Code::DeadlineExceeded => Self::Silent,
            // The connection's own errors have a source, an answer of the coordinator has none.
            _ if status.source().is_some() => Self::Unreachable,
            _ => Self::NotNow,
        })
    }
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

/// An error and its causes, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

/// The next cause; an error of the operating system hides the one it carries from `source`.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let carried = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    match carried {
        Some(carried) => Some(carried),
        None => error.source(),
    }
}

fn of_cause(error: &(dyn Error + 'static)) -> Option<Reason> {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(of_tls(error));
    }
    let error = error.downcast_ref::<io::Error>()?;
    (error.kind() == io::ErrorKind::TimedOut).then_some(Reason::Silent)
}

fn of_tls(error: &rustls::Error) -> Reason {
    match error {
        rustls::Error::InvalidCertificate(problem) => of_certificate(problem),
        rustls::Error::AlertReceived(alert) if refuses_certificate(*alert) => {
            Reason::OwnCertificate
        }
        _ => Reason::Unreachable,
    }
}

/// Whether this is what a server says of a client's certificate, the key it was used with included.
fn refuses_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    matches!(
        alert,
        Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::CertificateRequired
            | Alert::DecryptError
    )
}

fn of_certificate(problem: &CertificateError) -> Reason {
    use CertificateError as Problem;
    match problem {
        Problem::NotValidForName | Problem::NotValidForNameContext { .. } => Reason::ServerName,
        Problem::Expired => Reason::CertificateExpired { by_ms: 0 },
        Problem::ExpiredContext { time, not_after } => Reason::CertificateExpired {
            by_ms: millis_between(*not_after, *time),
        },
        Problem::NotValidYet => Reason::ClockBehind { by_ms: 0 },
        Problem::NotValidYetContext { time, not_before } => Reason::ClockBehind {
            by_ms: millis_between(*time, *not_before),
        },
        _ => Reason::Untrusted,
    }
}

fn millis_between(earlier: UnixTime, later: UnixTime) -> u64 {
    let seconds = later.as_secs().saturating_sub(earlier.as_secs());
    seconds.saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// HOSTILE 109: the clock's difference is read from the certificate and said in words.
    #[test]
    fn a_certificate_outside_its_time_tells_how_far_the_clock_is_off() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let problem = CertificateError::NotValidYetContext {
            time: at(1000),
            not_before: at(1600),
        };
        let carried = io::Error::other(rustls::Error::InvalidCertificate(problem));
        let reason = Reason::of_connection(&carried);
        assert_eq!(reason, Reason::ClockBehind { by_ms: 600_000 });
        assert!(reason.to_string().ends_with("behind by 10 min or more"));

        let ended = of_certificate(&CertificateError::ExpiredContext {
            time: at(200_000),
            not_after: at(20_000),
        });
        let expired = Reason::CertificateExpired { by_ms: 180_000_000 };
        assert_eq!(ended, expired);
        assert!(ended.to_string().contains("ended 2 days ago"), "{ended}");
    }

    #[test]
    fn what_is_no_certificate_is_the_way_or_the_answer() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(Reason::of_connection(&refused), Reason::Unreachable);
        let silent = io::Error::from(io::ErrorKind::TimedOut);
        assert_eq!(Reason::of_connection(&silent), Reason::Silent);
        let busy = Status::unavailable("away");
        assert_eq!(Reason::of_status(&busy), Reason::NotNow);
        let late = Status::cancelled("Timeout expired");
        assert_eq!(Reason::of_status(&late), Reason::Silent);
    }
}
