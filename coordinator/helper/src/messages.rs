//! The helper's own lines as messages have them.

use bytes::Bytes;
use tacit_privacy::canonical;
use tacit_proto::v2::{GiveBackRequest, HelperLine, LinesResponse};
use tacit_round::keys::SignatureBytes;
use tacit_round::ticket::Countersignature;

use crate::error::Failure;
use crate::give_back::GivenBack;
use crate::lines::{Shown, Standing};
use crate::store::lines::SignedLine;
use crate::store::lost::Lost;

pub(crate) fn parse_signature(bytes: &[u8]) -> Result<SignatureBytes, Failure> {
    let by = bytes.try_into().map(SignatureBytes);
    by.map_err(|_| Failure::Malformed("a signature is not 64 bytes"))
}

pub(crate) fn parse_line(line: &HelperLine) -> Result<SignedLine, Failure> {
    Ok(SignedLine {
        bytes: line.line.to_vec(),
        signature: parse_signature(&line.signature)?,
    })
}

pub(crate) fn parse_given(given: &GiveBackRequest) -> Result<GivenBack, Failure> {
    let lost = |line: &HelperLine| {
        let ticket = match line.ticket.is_empty() {
            true => None,
            false => Some(Countersignature {
                bytes: line.ticket.to_vec(),
                helper_signature: parse_signature(&line.ticket_signature)?,
                draft_signature: parse_signature(&line.draft_signature)?,
            }),
        };
        let line = parse_line(line)?;
        Ok(Lost { line, ticket })
    };
    let lines = given.lines.iter().map(lost);
    let head = match given.head.is_empty() {
        true => None,
        false => Some(canonical::decode(&given.head)?),
    };
    Ok(GivenBack {
        head,
        lines: lines.collect::<Result<_, Failure>>()?,
    })
}

pub(crate) fn said(standing: Standing) -> Result<LinesResponse, Failure> {
    let newest = standing.newest.as_ref();
    let newest = newest.map(canonical::encode).transpose()?;
    let lines = standing.lines.into_iter();
    Ok(LinesResponse {
        newest_head: newest.unwrap_or_default().into(),
        size: standing.size,
        lines: lines.map(shown).collect(),
    })
}

fn shown(Shown { line, ticket }: Shown) -> HelperLine {
    let said = HelperLine {
        line: line.bytes.into(),
        signature: signature(line.signature),
        ..HelperLine::default()
    };
    match ticket {
        None => said,
        Some(row) => HelperLine {
            ticket: row.ticket.into(),
            ticket_signature: signature(row.signature),
            draft_signature: signature(row.draft_signature),
            ..said
        },
    }
}

pub(crate) fn signature(by: SignatureBytes) -> Bytes {
    Bytes::copy_from_slice(&by.0)
}
