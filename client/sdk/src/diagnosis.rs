//! Which [`Reason`] a failed connection or call has.

use std::error::Error;
use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};
use tonic::{Code, Status};

use crate::reason::Reason;

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
        rustls::Error::AlertReceived(AlertDescription::CertificateRevoked) => Reason::Revoked,
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
        assert!(
            reason
                .to_string()
                .ends_with("behind by 10 min or more")
        );

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
