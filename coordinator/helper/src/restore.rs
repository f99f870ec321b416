//! The first head of a new generation: a coordinator whose state was put back from an older copy
//! shows its whole ledger, and what it lost is charged before anything is signed.

use tacit_privacy::merkle;
use tacit_privacy::record::TreeHead;
use tacit_proto::v2::RestoreRequest;
use tacit_round::keys::{Context, SignatureBytes};
use tacit_round::restore::{self, Kept};
use tacit_types::Digest;
use tonic::Streaming;

use crate::countersign::check_own;
use crate::error::{Failure, StorageError};
use crate::helper::Helper;
use crate::store::Store;

/// Most bytes of a ledger that is shown: some twenty thousand rounds.
const LEDGER_BYTES_MAX: usize = 64 << 20;

/// A ledger as it is shown.
pub(crate) struct Shown {
    pub(crate) head: Vec<u8>,
    pub(crate) signature: SignatureBytes,
    pub(crate) lines: Vec<Vec<u8>>,
}

impl Shown {
    /// Reads the stream, refusing it as soon as it is too long.
    pub(crate) async fn read(mut stream: Streaming<RestoreRequest>) -> Result<Self, Failure> {
        let broken = |_| Failure::Malformed("the stream broke off or cannot be read");
        let first = stream.message().await.map_err(broken)?;
        let first = first.ok_or(Failure::Malformed("the stream is empty"))?;
        let by = first.coordinator_signature[..]
            .try_into()
            .map(SignatureBytes);
        let mut shown = Self {
            head: first.head.to_vec(),
            signature: by
                .map_err(|_| Failure::Malformed("coordinator_signature is not 64 bytes"))?,
            lines: Vec::new(),
        };
        let (mut part, mut bytes) = (Some(first), 0);
        while let Some(RestoreRequest { lines, .. }) = part {
            bytes += lines.iter().map(|line| line.len() + 32).sum::<usize>();
            if bytes > LEDGER_BYTES_MAX {
                return Err(Failure::Malformed("the ledger has more than 64 MiB"));
            }
            let lines = lines.into_iter().map(|line| line.to_vec());
            shown.lines.extend(lines);
            part = stream.message().await.map_err(broken)?;
        }
        Ok(shown)
    }
}

impl Helper {
    /// Signs the head of a restored ledger, and ends every round of its task that is still open.
    /// Repeating it is signing a head like any other.
    pub(crate) fn restore(&self, shown: &Shown) -> Result<SignatureBytes, Failure> {
        let head = self.read_head(&shown.head, &shown.signature)?;
        let mut store = self.store();
        check_own(&store, &head)?;
        let heads = store.heads(head.ledger_id)?;
        match heads.last() {
            Some(newest) if newest.generation == head.generation => {
                continues(newest, &head, &shown.lines)?;
            }
            _ => {
                let tickets = store.tickets_beside(head.ledger_id)?;
                let kept = Kept {
                    heads: &heads,
                    tickets: &tickets,
                    helper: self.signing.public(),
                };
                restore::check(&head, &shown.lines, kept)?;
                self.end_all(&mut store, head.ledger_id)?;
                tracing::warn!(
                    event = "coordinator_restored",
                    generation = head.generation,
                    lines = head.size
                );
            }
        }
        store.add_head(&head)?;
        Ok(self.signing.sign(Context::Head, &shown.head))
    }

    /// Ends every open round of a ledger's task and erases its key.
    fn end_all(&self, store: &mut Store, ledger: Digest) -> Result<(), StorageError> {
        for row in store.open_rounds()? {
            if row.ticket()?.logged.head.head.ledger_id == ledger {
                store.abandon(row.ticket_hash, "the coordinator was restored")?;
                self.erase(row.ticket_hash)?;
            }
        }
        Ok(())
    }
}

/// Whether these lines are those of a head, and begin with those of the newest signed.
fn continues(newest: &TreeHead, head: &TreeHead, lines: &[Vec<u8>]) -> Result<(), Failure> {
    let leaves: Vec<Digest> = lines.iter().map(|line| merkle::leaf(line)).collect();
    let roots = merkle::prefix_roots(&leaves);
    let root = |size: u64| {
        usize::try_from(size)
            .ok()
            .and_then(|size| roots.get(size))
    };
    let whole = head.size == leaves.len() as u64;
    if whole && root(head.size) == Some(&head.root) && root(newest.size) == Some(&newest.root) {
        Ok(())
    } else {
        Err(Failure::Head(
            "it does not continue the one signed before, so the ledger has forked",
        ))
    }
}
