//! Objects in memory: each once, however many fetch it.
//!
//! What is published stays from its first fetch until something else is published. Of the rest one
//! at a time is read, and dropped after its last reader: nobody needs it, so nobody waits for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tacit_types::Digest;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use crate::status;
use crate::storage::Objects;

/// The shelf of one coordinator.
pub(crate) struct Shelf {
    objects: Arc<dyn Objects>,
    held: Arc<Mutex<Held>>,
    /// One published object is read at a time, and one of the others is in memory.
    reading: Arc<Semaphore>,
    other: Arc<Semaphore>,
}

#[derive(Default)]
struct Held {
    /// Whatever somebody still reads.
    read: HashMap<Digest, Weak<Object>>,
    /// What stays without a reader.
    published: HashMap<Digest, Arc<Object>>,
}

/// Bytes that were checked against their hash when they were read.
struct Object {
    bytes: Vec<u8>,
    /// Given back with the memory.
    _other: Option<OwnedSemaphorePermit>,
}

/// A share in an object, as the owner of [`Bytes`].
struct Share(Arc<Object>);

impl AsRef<[u8]> for Share {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl Shelf {
    /// An empty shelf over these objects.
    pub(crate) fn new(objects: Arc<dyn Objects>) -> Self {
        Self {
            objects,
            held: Arc::default(),
            reading: Arc::new(Semaphore::new(1)),
            other: Arc::new(Semaphore::new(1)),
        }
    }

    /// The object, shared. A call that is gone before it is its turn reads nothing; one that is
    /// gone later leaves what was read to the next.
    ///
    /// # Errors
    /// What [`status::object`] makes of the disk's answer; `UNAVAILABLE` while another object that
    /// is not published is being fetched.
    pub(crate) async fn get(&self, hash: Digest, published: &[Digest]) -> Result<Bytes, Status> {
        lock(&self.held).keep(published);
        if let Some(found) = self.find(hash) {
            return Ok(found);
        }
        let stays = published.contains(&hash);
        let permit = if stays {
            let reading = self.reading.clone();
            reading
                .acquire_owned()
                .await
                .map_err(|_| status::not_now())
        } else {
            let busy = |_| Status::unavailable("not published any more; check in again");
            self.other.clone().try_acquire_owned().map_err(busy)
        };
        let permit = permit?;
        // Another call may have read it while this one waited.
        if let Some(found) = self.find(hash) {
            return Ok(found);
        }
        let (objects, held) = (self.objects.clone(), self.held.clone());
        let read = tokio::spawn(read(objects, held, hash, stays, permit)).await;
        read.map_err(|_| status::internal("reading an object stopped"))?
    }

    fn find(&self, hash: Digest) -> Option<Bytes> {
        let object = lock(&self.held).read.get(&hash)?.upgrade()?;
        Some(Bytes::from_owner(Share(object)))
    }
}

/// Reads an object from its store, and puts it up for everybody.
async fn read(
    objects: Arc<dyn Objects>,
    held: Arc<Mutex<Held>>,
    hash: Digest,
    stays: bool,
    permit: OwnedSemaphorePermit,
) -> Result<Bytes, Status> {
    let bytes = objects.get(hash).await;
    let bytes = bytes.map_err(|error| status::object(&error))?;
    let (other, _reading) = if stays {
        (None, Some(permit))
    } else {
        (Some(permit), None)
    };
    let object = Arc::new(Object {
        bytes,
        _other: other,
    });
    let mut held = lock(&held);
    held.read.insert(hash, Arc::downgrade(&object));
    if stays {
        held.published.insert(hash, object.clone());
    }
    Ok(Bytes::from_owner(Share(object)))
}

impl Held {
    /// Lets go of what is no longer published and of what nobody reads.
    fn keep(&mut self, published: &[Digest]) {
        self.published
            .retain(|hash, _| published.contains(hash));
        self.read.retain(|_, object| object.strong_count() > 0);
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Folder;

    async fn shelf() -> (tempfile::TempDir, Shelf, Digest, Digest) {
        let folder = tempfile::tempdir().unwrap();
        let objects = Folder::open(folder.path()).unwrap();
        let first = objects.put(vec![1; 200_000]).await.unwrap();
        let second = objects.put(vec![2; 200_000]).await.unwrap();
        (folder, Shelf::new(Arc::new(objects)), first, second)
    }

    #[tokio::test]
    async fn what_is_published_is_read_once_and_shared_until_it_is_not_published() {
        let (folder, shelf, first, second) = shelf().await;
        let one = shelf.get(first, &[first]).await.unwrap();
        std::fs::remove_file(folder.path().join(format!("{first}.bin"))).unwrap();
        let again = shelf.get(first, &[first]).await.unwrap();
        assert_eq!(one.as_ptr(), again.as_ptr());
        drop((one, again));
        assert_eq!(shelf.get(first, &[first]).await.unwrap()[0], 1, "it stays");
        shelf.get(second, &[second]).await.unwrap();
        let gone = shelf.get(first, &[first]).await.unwrap_err();
        assert_eq!(gone.code(), tonic::Code::NotFound);
    }

    #[tokio::test]
    async fn of_what_is_not_published_one_object_at_a_time_is_in_memory() {
        let (_folder, shelf, first, second) = shelf().await;
        let one = shelf.get(first, &[]).await.unwrap();
        let again = shelf.get(first, &[]).await.unwrap();
        assert_eq!(one.as_ptr(), again.as_ptr());
        let busy = shelf.get(second, &[]).await.unwrap_err();
        assert_eq!(busy.code(), tonic::Code::Unavailable);
        let slice = one.slice(100..200);
        drop((one, again));
        assert!(shelf.get(second, &[]).await.is_err(), "a chunk holds it");
        drop(slice);
        assert_eq!(shelf.get(second, &[]).await.unwrap()[0], 2);
        assert!(lock(&shelf.held).published.is_empty());
    }

    /// HOSTILE 22: calls that are given up before it is their turn read nothing.
    #[tokio::test]
    async fn a_call_given_up_while_it_waits_reads_nothing() {
        let (_folder, shelf, first, _) = shelf().await;
        let reading = shelf.reading.clone().acquire_owned().await.unwrap();
        let patience = std::time::Duration::from_millis(10);
        let published = [first];
        let given_up = tokio::time::timeout(patience, shelf.get(first, &published)).await;
        assert!(given_up.is_err());
        drop(reading);
        tokio::task::yield_now().await;
        assert!(lock(&shelf.held).read.is_empty());
        assert_eq!(shelf.reading.available_permits(), 1);
    }
}
