//! The calls that use the network, for an app without an async runtime.

use crate::error::SdkError;

/// Runs one call to its end on this thread, and leaves no thread behind.
///
/// ```no_run
/// # use tacit_sdk::{Agent, SdkError, Step, blocking, types::Timestamp};
/// # fn now() -> Timestamp { Timestamp(0) }
/// fn train(agent: &Agent) -> Result<Step, SdkError> {
///     blocking(agent.step(now()))
/// }
/// ```
///
/// # Errors
/// Those of the call. [`SdkError::Bug`] inside an async runtime, where the call is awaited instead;
/// [`SdkError::Stop`] when the operating system does not give what a connection needs.
pub fn blocking<T>(call: impl Future<Output = Result<T, SdkError>>) -> Result<T, SdkError> {
    if tokio::runtime::Handle::try_current().is_ok() {
        let problem = "called inside an async runtime: await the call instead";
        return Err(SdkError::Bug(problem.into()));
    }

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| SdkError::Stop(format!("no connection can be made: {error}")))?;
    // Dropped afterwards, it waits for storage work that has begun.
    runtime.block_on(call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn inside_a_runtime_it_says_what_to_do_instead() {
        let called = blocking(async { Ok(()) });
        let said = called.unwrap_err().to_string();
        assert!(said.contains("await the call"), "{said}");
    }
}
