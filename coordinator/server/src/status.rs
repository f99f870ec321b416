//! The one place where domain errors become gRPC codes.

use tonic::Status;

use crate::enrolment::EnrolError;
use crate::objects::ObjectError;

/// Maps an enrolment error.
pub fn enrol(error: &EnrolError) -> Status {
    match error {
        EnrolError::Token => Status::permission_denied(error.to_string()),
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

/// A message that is not what the protocol says; names the field.
pub fn malformed(field: &str, expected: &str) -> Status {
    Status::invalid_argument(format!("{field} must be {expected}"))
}

/// The daemon is recovering or draining.
pub fn not_now() -> Status {
    Status::unavailable("the coordinator is starting or stopping; come back later")
}

/// Too many calls of one device at once.
pub fn too_many_uploads() -> Status {
    Status::resource_exhausted(
        "this device has too many uploads under way; retry later, one at a time",
    )
}

/// The service of an action ended before it answered.
pub fn internal(what: &str) -> Status {
    Status::internal(what.to_owned())
}
