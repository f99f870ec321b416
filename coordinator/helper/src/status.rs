//! Turns the outcome of a request into gRPC: the one place that knows the codes.
//!
//! `UNAVAILABLE` means ask again; every other code set here is final for the bytes that were sent.

use tacit_round::helper::HelperRefusal;
use tonic::{Code, Response, Status};

use crate::error::Failure;

/// The response, or the refusal as a status.
#[allow(clippy::result_large_err, reason = "tonic's own error type")]
pub(crate) fn reply<T>(outcome: Result<T, Failure>) -> Result<Response<T>, Status> {
    outcome.map(Response::new).map_err(|failure| {
        tracing::info!(event = "refused", reason = %failure);
        Status::new(code(&failure), message(&failure))
    })
}

fn code(failure: &Failure) -> Code {
    match failure {
        Failure::Malformed(_) | Failure::Refused(HelperRefusal::Draft(_)) => Code::InvalidArgument,
        Failure::Refused(HelperRefusal::UnknownRound) => Code::NotFound,
        Failure::Refused(HelperRefusal::SecondTicket | HelperRefusal::SecondAnswer) => {
            Code::AlreadyExists
        }
        Failure::Refused(_)
        | Failure::SeedUsed(_)
        | Failure::AnswerGone
        | Failure::Head(_)
        | Failure::Restore(_) => Code::FailedPrecondition,
        Failure::Late | Failure::Stopping | Failure::OldCopy(_) | Failure::Storage(_) => {
            Code::Unavailable
        }
    }
}

/// What a peer reads. Storage problems name files, which stay in the helper's own log.
fn message(failure: &Failure) -> String {
    match failure {
        Failure::OldCopy(_) => "the helper's state is an older copy and it is stopping".into(),
        Failure::Storage(_) => "the helper's storage failed and it is stopping".into(),
        other => other.to_string(),
    }
}
