//! What a store says to a call, and the two ways to wait for it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use crate::error::ServerError;

/// The answer to one call of a store.
///
/// The work begins with the call. It is done whether or not anybody waits for the answer: who stops
/// waiting does not know whether it was.
#[must_use = "a write that is not waited for may fail unseen"]
#[derive(Debug)]
pub struct Answer<T, E = ServerError>(oneshot::Receiver<Result<T, E>>);

/// The store ended before it answered.
#[derive(Debug)]
pub struct Gone;

impl<T, E: From<Gone>> Answer<T, E> {
    /// An answer to come, and where to give it.
    pub fn pending() -> (oneshot::Sender<Result<T, E>>, Self) {
        let (reply, answer) = oneshot::channel();
        (reply, Self(answer))
    }

    /// An answer that is known.
    pub fn ready(result: Result<T, E>) -> Self {
        let (reply, answer) = Self::pending();
        // The other end is in hand.
        let _ = reply.send(result);
        answer
    }

    /// Blocks until the answer is there.
    ///
    /// # Errors
    /// What the store says.
    ///
    /// # Panics
    /// On a thread that drives futures, which must await the answer instead.
    pub fn wait(self) -> Result<T, E> {
        self.0
            .blocking_recv()
            .unwrap_or_else(|_| Err(Gone.into()))
    }
}

impl<T, E: From<Gone>> Future for Answer<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answered = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(answered.unwrap_or_else(|_| Err(Gone.into())))
    }
}

impl From<Gone> for ServerError {
    fn from(_: Gone) -> Self {
        Self::StorageUnavailable("the store ended before it answered".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_comes_by_both_ways_and_a_store_that_ended_is_an_error() {
        let (reply, answer) = Answer::<u32>::pending();
        let waiting = tokio::task::spawn_blocking(|| answer.wait());
        reply.send(Ok(7)).unwrap();
        assert!(matches!(waiting.await.unwrap(), Ok(7)));
        assert!(matches!(Answer::<u32>::ready(Ok(8)).await, Ok(8)));

        let (reply, answer) = Answer::<u32>::pending();
        drop(reply);
        let ended = answer.await.unwrap_err();
        assert!(matches!(ended, ServerError::StorageUnavailable(_)));
    }
}
