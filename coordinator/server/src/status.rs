//! The one place where domain errors become gRPC codes.

use std::time::Duration;

use tonic::Status;

use crate::enrolment::EnrolError;
use crate::error::ServerError;
use crate::storage::ObjectError;

/// Maps an enrolment error.
pub fn enrol(error: &EnrolError) -> Status {
    match error {
        EnrolError::Token
        | EnrolError::Revoked
        | EnrolError::Left
        | EnrolError::Replaced
        | EnrolError::Old(_) => Status::permission_denied(error.to_string()),
        EnrolError::Request(_) => Status::invalid_argument(error.to_string()),
        EnrolError::Unavailable(_) | EnrolError::Random => Status::unavailable(error.to_string()),
    }
}

/// An object that cannot be had. Only "not found" is about the request; the rest is this server's,
/// and the operator's log says which.
pub fn object(error: &ObjectError) -> Status {
    if let ObjectError::NotFound(_) = error {
        return Status::not_found("no such object");
    }
    tracing::error!(event = "object_unavailable", %error);
    match error {
        ObjectError::Unreadable { .. } => Status::unavailable("the object cannot be read now"),
        _ => Status::data_loss("the object is damaged"),
    }
}

/// A store that does not answer now; the operator's log says why.
pub fn storage(error: &ServerError) -> Status {
    tracing::error!(event = "storage_unavailable", %error);
    Status::unavailable("the coordinator's records cannot be read now; come back later")
}

/// A message that is not what the protocol says; names the field.
pub fn malformed(field: &str, expected: &str) -> Status {
    Status::invalid_argument(format!("{field} must be {expected}"))
}

/// The daemon is recovering or draining.
pub fn not_now() -> Status {
    Status::unavailable("the coordinator is starting or stopping; come back later")
}

/// Too many calls at once, of one device or of all.
pub fn too_many(what: &str) -> Status {
    Status::resource_exhausted(format!(
        "too many {what} are under way; retry later, one at a time"
    ))
}

/// A peer that sends or takes too little.
pub fn late(what: &str, limit: Duration) -> Status {
    let seconds = limit.as_secs();
    Status::deadline_exceeded(format!("{what} took longer than {seconds} seconds"))
}

/// A slot that was given to somebody else.
pub fn gave_way() -> Status {
    Status::unavailable("stood still while others waited; begin again later")
}

/// Nothing can be admitted at the moment.
pub fn helper_away() -> Status {
    Status::unavailable("the helper is away; send the same bytes again later")
}

/// The service of an action ended before it answered.
pub fn internal(what: &str) -> Status {
    Status::internal(what.to_owned())
}
