//! Where the helper stands: the newest head it signed, and the lines of its own ledger.

use tacit_privacy::canonical::{self, digest};
use tacit_privacy::record::{Event, Keeper, Line, TreeHead};
use tacit_proto::v2;
use tacit_round::keys::{Context, SigningKey};
use tacit_round::ticket::{Countersignature, SignedTicket};
use tacit_types::Digest;

use crate::error::ServerError;
use crate::helper::{HelperClient, from_status, refused, signature};
use crate::storage::SignedLine;

/// What the helper says of itself beside one ledger of the coordinator's.
pub struct Standing {
    /// Newest head it signed of that ledger.
    pub newest: Option<TreeHead>,
    /// Number of its own lines.
    pub size: u64,
    /// Those that were asked for, to the last.
    pub lines: Vec<HelperLine>,
}

/// A line of the helper's ledger.
pub struct HelperLine {
    /// What it says.
    pub line: Line,
    /// As it is kept.
    pub signed: SignedLine,
    /// The ticket, beside the line that says it was countersigned.
    pub ticket: Option<Countersignature>,
}

impl HelperLine {
    /// The ticket that this line says was countersigned, with the signature of `key` too; `None`
    /// beside any other line.
    ///
    /// # Errors
    /// [`ServerError::HelperRefused`] when no draft of it was ever signed with `key`.
    pub fn signed_ticket(&self, key: &SigningKey) -> Result<Option<SignedTicket>, ServerError> {
        let Event::Countersigned(line) = &self.line.event else {
            return Ok(None);
        };
        let shown = self.ticket.clone();
        match shown.and_then(|shown| SignedTicket::of_own_draft(line, shown, key)) {
            Some(ticket) => Ok(Some(ticket)),
            None => Err(refused(&format!(
                "line {} of its ledger is of a ticket that this coordinator never asked for",
                self.line.seq
            ))),
        }
    }
}

impl HelperClient {
    /// Asks where the helper stands beside this ledger, and for its own lines from `from` on; shows
    /// it the newest that is known.
    ///
    /// # Errors
    /// As [`Self::countersign`]; a signature that does not hold counts as a refusal.
    pub async fn standing(
        &self,
        ledger: Digest,
        from: u64,
        newest: Option<&SignedLine>,
    ) -> Result<Standing, ServerError> {
        let mut lines = Vec::new();
        let mut next = from;
        loop {
            let request = v2::LinesRequest {
                ledger_id: ledger.0.to_vec().into(),
                from: next,
                newest: newest.map(|line| to_proto(line, None)),
            };
            let answer = self
                .grpc()
                .lines(request)
                .await
                .map_err(from_status)?
                .into_inner();
            for line in answer.lines {
                lines.push(self.read_line(line, next)?);
                next += 1;
            }
            if next >= answer.size {
                return Ok(Standing {
                    newest: read_head(&answer.newest_head)?,
                    size: answer.size,
                    lines,
                });
            }
            if next == from {
                return Err(refused("it says it has lines and shows none"));
            }
        }
    }

    fn read_line(&self, said: v2::HelperLine, seq: u64) -> Result<HelperLine, ServerError> {
        let by_helper = self.checked(Context::Line, &said.line, &said.signature)?;
        let line = Line::from_bytes(&said.line).map_err(|error| refused(&error.to_string()))?;
        if line.keeper != Keeper::Helper || line.seq != seq {
            return Err(refused("a line of its ledger is not the one asked for"));
        }
        let ticket = match said.ticket.is_empty() {
            true => None,
            false => {
                let by = self.checked(Context::Ticket, &said.ticket, &said.ticket_signature)?;
                Some(Countersignature {
                    bytes: said.ticket.to_vec(),
                    helper_signature: by,
                    draft_signature: signature(&said.draft_signature)?,
                })
            }
        };
        let signed = SignedLine {
            seq,
            bytes: said.line.to_vec(),
            signature: by_helper,
        };
        Ok(HelperLine {
            line,
            signed,
            ticket,
        })
    }
}

/// A line as it is given back, with its ticket if it is one's.
pub fn to_proto(line: &SignedLine, ticket: Option<&Countersignature>) -> v2::HelperLine {
    let said = v2::HelperLine {
        line: line.bytes.clone().into(),
        signature: line.signature.0.to_vec().into(),
        ..v2::HelperLine::default()
    };
    match ticket {
        None => said,
        Some(ticket) => v2::HelperLine {
            ticket: ticket.bytes.clone().into(),
            ticket_signature: ticket.helper_signature.0.to_vec().into(),
            draft_signature: ticket.draft_signature.0.to_vec().into(),
            ..said
        },
    }
}

fn read_head(bytes: &[u8]) -> Result<Option<TreeHead>, ServerError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let head = canonical::decode(bytes).map_err(|error| refused(&error.to_string()))?;
    Ok(Some(head))
}

/// Where the helper's ledger ends, as far as the coordinator has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelperEnd {
    /// Number of its lines, from the first to where one is missing.
    pub size: u64,
    /// SHA-256 of the last of them; zeros before the first.
    pub last_hash: Digest,
}

impl HelperEnd {
    /// Before its first line.
    pub const EMPTY: Self = Self {
        size: 0,
        last_hash: Digest([0; 32]),
    };

    /// The end of these lines, in their order: an answer is kept before the lines between it and
    /// those that were kept last.
    pub fn of(lines: &[SignedLine]) -> Self {
        let whole = lines.iter().zip(0..);
        let whole = whole.take_while(|(line, seq)| line.seq == *seq);
        whole.last().map_or(Self::EMPTY, |(line, seq)| Self {
            size: seq + 1,
            last_hash: digest(&line.bytes),
        })
    }

    /// The end after one more line.
    ///
    /// # Errors
    /// [`ServerError::HelperRefused`] when it does not follow.
    pub fn after(self, next: &HelperLine) -> Result<Self, ServerError> {
        let HelperLine { line, signed, .. } = next;
        if line.seq != self.size || line.prev_hash != self.last_hash {
            return Err(refused(
                "a line of its ledger does not follow the one before",
            ));
        }
        Ok(Self {
            size: self.size + 1,
            last_hash: digest(&signed.bytes),
        })
    }
}
