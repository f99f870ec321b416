//! Messages of the protocol, decoded as every message there is and taken through the services' own
//! conversions.

use std::fmt::Debug;

use bytes::Bytes;
use prost::Message;
use tacit_proto::v2;
use tacit_round::root::SignedRoot;
use tacit_round::seal::SEALED_LEN;

use crate::bare::ticket_of;

/// Bytes offered as a message. HOSTILE 2, 4-7.
///
/// # Panics
/// When a message does not survive its own encoding, or a header or seed of the wrong length is
/// taken.
pub fn wire(bytes: &[u8]) {
    let bytes = &Bytes::copy_from_slice(bytes);
    if let Some(header) = decode::<v2::ContributionHeader>(bytes) {
        check_header(&header);
    }
    if let Some(v2::contribute_request::Part::Header(header)) =
        decode::<v2::ContributeRequest>(bytes).and_then(|message| message.part)
    {
        check_header(&header);
    }
    let admit = decode::<v2::AdmitRequest>(bytes).map(|message| message.seeds);
    let release = decode::<v2::ReleaseRequest>(bytes).map(|message| message.seeds);
    for seed in admit.into_iter().chain(release).flatten() {
        let sound = seed.contribution_id.len() == 16
            && seed.sealed_seed.len() == SEALED_LEN
            && seed.commitment.len() == 32;
        assert_eq!(tacit_helper::parse_seed(seed).is_some(), sound);
    }
    let check_in = decode::<v2::CheckInResponse>(bytes).and_then(ticket_of);
    for ticket in check_in
        .into_iter()
        .chain(decode::<v2::SignedTicket>(bytes))
    {
        let (bytes, length) = (ticket.ticket.clone(), ticket.helper_signature.len());
        let read = tacit_sdk::transport::read_ticket(ticket);
        assert!(read.bytes == bytes && (length == 64 || read.helper_signature.0 == [0; 64]));
    }
    decode::<v2::EnrolRequest>(bytes);
    decode::<v2::EnrolResponse>(bytes);
    decode::<v2::RenewRequest>(bytes);
    decode::<v2::RenewResponse>(bytes);
    decode::<v2::LeaveRequest>(bytes);
    decode::<v2::LeaveResponse>(bytes);
    if let Some(root) = decode::<v2::SignedRoot>(bytes) {
        let sound = root.certificate.len() <= 4096 && root.signature.len() == 64;
        let read = SignedRoot::new(root.certificate.to_vec(), &root.signature);
        assert_eq!(read.is_some(), sound);
    }
    decode::<v2::CheckInRequest>(bytes);
    decode::<v2::FetchRequest>(bytes);
    decode::<v2::FetchResponse>(bytes);
    decode::<v2::ContributeResponse>(bytes).map(|message| message.outcome());
    decode::<v2::RoundStatusRequest>(bytes);
    decode::<v2::RoundStatusResponse>(bytes);
    decode::<v2::CountersignRequest>(bytes);
    decode::<v2::CountersignResponse>(bytes);
    decode::<v2::CountersignHeadRequest>(bytes);
    decode::<v2::CountersignHeadResponse>(bytes);
    decode::<v2::RestoreRequest>(bytes);
    decode::<v2::GiveBackRequest>(bytes);
    decode::<v2::LinesRequest>(bytes);
    decode::<v2::LinesResponse>(bytes);
    decode::<v2::AdmitResponse>(bytes);
    decode::<v2::ReleaseResponse>(bytes);
    decode::<v2::AbandonRequest>(bytes);
    decode::<v2::AbandonResponse>(bytes);
}

fn decode<M: Message + Default + PartialEq + Debug>(bytes: &Bytes) -> Option<M> {
    let message = M::decode(bytes.clone()).ok()?;
    let again = M::decode(Bytes::from(message.encode_to_vec()));
    assert_eq!(again.as_ref(), Ok(&message), "lost in its own encoding");
    Some(message)
}

fn check_header(header: &v2::ContributionHeader) {
    let lengths = [
        &header.ticket_hash,
        &header.contribution_id,
        &header.sealed_seed,
        &header.commitment,
        &header.commitment_key,
    ]
    .map(Bytes::len);
    let sound = header.scheme_id == 2 && lengths == [32, 16, SEALED_LEN, 32, 32];
    assert_eq!(tacit_server::service::read_header(header).is_ok(), sound);
}
