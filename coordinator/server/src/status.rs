//! The one place where domain errors become gRPC codes.

use tonic::Status;

use crate::enrolment::EnrolError;

/// Maps an enrolment error.
pub fn enrol(error: &EnrolError) -> Status {
    match error {
        EnrolError::Token => Status::permission_denied(error.to_string()),
        EnrolError::Request(_) => Status::invalid_argument(error.to_string()),
        EnrolError::Unavailable(_) | EnrolError::Random => Status::unavailable(error.to_string()),
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
