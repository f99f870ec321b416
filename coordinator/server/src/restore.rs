//! Shows the helper a whole ledger, of which it then signs the first head of a new generation; and
//! gives a helper back what it lost itself.

use tacit_privacy::canonical;
use tacit_privacy::record::TreeHead;
use tacit_proto::v2;
use tacit_round::keys::{Context, SignatureBytes};

use crate::error::ServerError;
use crate::helper::{HelperClient, from_status};

/// Bytes of lines in one message, about.
const PART_BYTES: usize = 1 << 18;

impl HelperClient {
    /// Asks for the countersignature of the first head of a new generation.
    ///
    /// # Errors
    /// As [`Self::countersign`].
    pub async fn restore(
        &self,
        head: &TreeHead,
        coordinator: &SignatureBytes,
        lines: &[Vec<u8>],
    ) -> Result<SignatureBytes, ServerError> {
        let bytes = canonical::encode(head)?;
        let mut parts = vec![v2::RestoreRequest {
            head: bytes.clone().into(),
            coordinator_signature: coordinator.0.to_vec().into(),
            lines: Vec::new(),
        }];
        parts.extend(in_parts(lines));
        let answer = self
            .grpc()
            .restore(tokio_stream::iter(parts))
            .await
            .map_err(from_status)?
            .into_inner();
        self.checked(Context::Head, &bytes, &answer.signature)
    }
}

impl HelperClient {
    /// Gives a restored helper lines that it lost, in order, or the newest head in canonical JSON.
    ///
    /// # Errors
    /// As [`Self::countersign`].
    pub async fn give_back(
        &self,
        lines: Vec<v2::HelperLine>,
        head: Vec<u8>,
    ) -> Result<(), ServerError> {
        let request = v2::GiveBackRequest {
            head: head.into(),
            lines,
        };
        self.grpc()
            .give_back(request)
            .await
            .map_err(from_status)?;
        Ok(())
    }
}

fn in_parts(lines: &[Vec<u8>]) -> Vec<v2::RestoreRequest> {
    let mut parts: Vec<v2::RestoreRequest> = Vec::new();
    let mut room = 0;
    for line in lines {
        if line.len() > room || parts.is_empty() {
            parts.push(v2::RestoreRequest::default());
            room = PART_BYTES;
        }
        room = room.saturating_sub(line.len());
        if let Some(part) = parts.last_mut() {
            part.lines.push(line.clone().into());
        }
    }
    parts
}
