//! Frames and messages that no gRPC client sends, against the running coordinator.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::time::Duration;

use prost::Message;
use tacit_proto::v2;
use tacit_proto::v2::ContributionOutcome::Accepted;
use tacit_round::ticket::Ticket;
use tacit_tests::bare::{BareDevice, CHECK_IN, Contribution, Credentials, enrolled, ticket_of};
use tacit_tests::deployment::{Deployment, Role, Settings};
use tacit_tests::raw::frame::{
    PAYLOAD_BYTES_MAX, call_fields, data, fields, flag, frame, framed, headers, kind, message,
    message_head,
};
use tacit_tests::raw::{Answer, Connection, Door, End, path};
use tacit_types::Digest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tonic::Code;

const MEGABYTE: u64 = 1 << 20;
/// Whatever a test waits for happens within this time.
const SOON: Duration = Duration::from_secs(15);
/// Largest message the coordinator takes: a chunk and 4 KiB.
const MESSAGE_BYTES_MAX: usize = 65_536 + 4096;

/// A deployment with a round open, and four of its devices.
struct World {
    deployment: Deployment,
    credentials: Vec<Credentials>,
    ticket: Ticket,
    hash: Digest,
}

impl World {
    async fn new() -> Self {
        let deployment = Deployment::with_open_round(Settings::default()).unwrap();
        let credentials = enrolled(&deployment, 4).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let device = device(&deployment, &credentials[0]);
        let (ticket, hash) = device.ticket(deadline).await.unwrap();
        Self {
            deployment,
            credentials,
            ticket,
            hash,
        }
    }

    fn door(&self, who: usize) -> Door {
        let address = self.deployment.coordinator_address();
        let root = self.deployment.pki("root.crt").unwrap();
        Door::new(&address, &root, Some(&self.credentials[who])).unwrap()
    }

    async fn connect(&self, who: usize) -> Connection {
        self.door(who).connect().await.unwrap()
    }

    fn contribution(&self) -> Contribution {
        Contribution::new(&self.ticket, self.hash, vec![1; 64]).unwrap()
    }

    /// One call of a device on a connection of its own.
    async fn call(&self, call: &str, more: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut connection = self.connect(0).await;
        let answer = connection.call(&path(call), more, body, SOON).await;
        answer.unwrap()
    }

    /// As [`Self::call`], with the status it was refused by.
    async fn refusal(&self, call: &str, more: &[(&str, &str)], body: &[u8]) -> Code {
        let answer = self.call(call, more, body).await;
        answer.code().unwrap_or_else(|| panic!("{answer:?}"))
    }

    fn memory(&self) -> u64 {
        self.deployment.memory(Role::Coordinator).unwrap()
    }

    /// The coordinator goes on serving, and took no more memory than `grown` bytes since `before`.
    async fn assert_served(&self, before: u64, grown: u64) {
        let device = device(&self.deployment, &self.credentials[3]);
        let answer = device.check_in().await.unwrap();
        assert!(ticket_of(answer).is_some());
        let now = self.memory();
        assert!(now < before + grown, "{before} bytes have become {now}");
    }

    /// Contributions the coordinator has.
    async fn received(&self) -> u32 {
        let mut client = device(&self.deployment, &self.credentials[3])
            .connect()
            .await
            .unwrap();
        let answer = client.round_status(v2::RoundStatusRequest {}).await;
        answer.unwrap().into_inner().received
    }
}

fn device(deployment: &Deployment, own: &Credentials) -> BareDevice {
    let root = deployment.pki("root.crt").unwrap();
    BareDevice::new(&deployment.coordinator_address(), &root, Some(own)).unwrap()
}

fn check_in() -> Vec<u8> {
    message(&CHECK_IN)
}

/// The messages of an upload, each in its gRPC frame.
fn upload(contribution: &Contribution) -> Vec<Vec<u8>> {
    contribution.parts().iter().map(message).collect()
}

/// What an upload was answered; its answer was good.
fn outcome(answer: &Answer) -> v2::ContributionOutcome {
    assert_eq!(answer.code(), Some(Code::Ok), "{answer:?}");
    let body = &answer.body[message_head(0, 0).len()..];
    v2::ContributeResponse::decode(body).unwrap().outcome()
}

/// A message of one field: its number, its wire type and what follows.
fn raw_field(number: u8, wire_type: u8, value: &[u8]) -> Vec<u8> {
    framed(&[&[number << 3 | wire_type], value].concat())
}

/// HOSTILE 1, 3, 6, 7: messages that are empty, full of unknown fields, of another type, or say a
/// thing twice.
#[tokio::test]
async fn messages_that_are_no_message_are_refused() {
    let world = World::new().await;
    let before = world.memory();

    // 1: no message, a message without a part, no message where one is asked for.
    let nothing = message_head(0, 0);
    for body in [&nothing[..0], &nothing[..]] {
        let refused = world.refusal("Contribute", &[], body).await;
        assert_eq!(refused, Code::InvalidArgument);
    }
    let refused = world.refusal("CheckIn", &[], &[]).await;
    assert!(matches!(refused, Code::Internal | Code::InvalidArgument));

    // 3: unknown fields are passed over up to the limit of a message, and no further.
    let unknown = |length: [u8; 3], bytes| {
        let field = [&[0x7a], &length[..], &vec![0; bytes]].concat();
        framed(&field)
    };
    let (in_limit, megabyte) = ([0xe0, 0xd4, 0x03], [0x80, 0x80, 0x40]);
    let passed_over = world
        .call("CheckIn", &[], &unknown(in_limit, 60_000))
        .await;
    assert_eq!(passed_over.code(), Some(Code::Ok));
    let refused = world
        .refusal("CheckIn", &[], &unknown(megabyte, 1 << 20))
        .await;
    assert_eq!(refused, Code::OutOfRange);

    // 6: every field of every message as every other wire type.
    let fields: [(&str, &[(u8, u8)]); 5] = [
        ("Enrol", &[(1, 2), (2, 2)]),
        ("CheckIn", &[(1, 0)]),
        ("Consistency", &[(1, 0), (2, 0)]),
        ("Fetch", &[(1, 2)]),
        ("Contribute", &[(1, 2), (2, 2)]),
    ];
    let values: [(u8, &[u8]); 4] = [(0, &[7]), (1, &[7; 8]), (2, &[1, 7]), (5, &[7; 4])];
    for (call, numbers) in fields {
        for (number, right) in numbers {
            for (wire_type, value) in values.iter().filter(|(other, _)| other != right) {
                let body = raw_field(*number, *wire_type, value);
                let refused = world.refusal(call, &[], &body).await;
                let malformed = matches!(refused, Code::Internal | Code::InvalidArgument);
                assert!(malformed, "{call} {number} as {wire_type}: {refused:?}");
            }
        }
    }

    // 7: of a field that is there twice the last one counts.
    let known = device(&world.deployment, &world.credentials[0]);
    let known = known.check_in().await.unwrap().catalogue_hash;
    for (hashes, code) in [
        ([&[7; 32], &known[..]], Code::Ok),
        ([&known[..], &[7; 32]], Code::NotFound),
    ] {
        let one = |hash: &[u8]| {
            let hash = hash.to_vec().into();
            v2::FetchRequest { hash }.encode_to_vec()
        };
        let body = framed(&hashes.map(one).concat());
        assert_eq!(world.refusal("Fetch", &[], &body).await, code);
    }
    assert_eq!(world.received().await, 0);
    world.assert_served(before, 16 * MEGABYTE).await;
}

/// HOSTILE 11, 12: what a message says of its length or its compression is not believed.
#[tokio::test]
async fn sizes_and_codecs_are_not_believed() {
    let world = World::new().await;
    let before = world.memory();

    // 11: the largest message is read, and refused for what it says; one byte more is not read.
    let chunk = |bytes: usize| {
        let part = v2::contribute_request::Part::Chunk(vec![0; bytes].into());
        message(&v2::ContributeRequest { part: Some(part) })
    };
    let field = chunk(65_536).len() - 65_536;
    let largest = chunk(MESSAGE_BYTES_MAX + message_head(0, 0).len() - field);
    assert_eq!(largest.len(), MESSAGE_BYTES_MAX + message_head(0, 0).len());
    let refused = world.refusal("Contribute", &[], &largest).await;
    assert_eq!(refused, Code::InvalidArgument);
    let more = u32::try_from(MESSAGE_BYTES_MAX + 1).unwrap();
    for length in [more, 64 << 20, 2 << 30, u32::MAX] {
        let head = message_head(0, length);
        assert_eq!(
            world.refusal("Contribute", &[], &head).await,
            Code::OutOfRange
        );
    }

    // 12: a compressed message without a codec, with one the server has not, and with no such flag.
    let bomb = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0];
    let flagged = |flag| [&message_head(flag, 8)[..], &bomb].concat();
    let refused = world.refusal("CheckIn", &[], &flagged(1)).await;
    assert_eq!(refused, Code::Internal);
    let gzip = [("grpc-encoding", "gzip")];
    let refused = world.refusal("CheckIn", &gzip, &flagged(1)).await;
    assert_eq!(refused, Code::Unimplemented);
    assert_eq!(
        world.refusal("CheckIn", &[], &flagged(7)).await,
        Code::Internal
    );
    world.assert_served(before, 16 * MEGABYTE).await;
}

/// HOSTILE 13: an upload cut into frames of one byte counts like any other.
#[tokio::test]
async fn an_upload_in_frames_of_one_byte_counts() {
    let world = World::new().await;
    let mut connection = world.connect(0).await;
    let stream = connection
        .begin(&path("Contribute"), &[])
        .await
        .unwrap();
    let body = upload(&world.contribution()).concat();
    connection
        .send(&data(stream, 1, true, &body))
        .await
        .unwrap();
    let answer = connection.answer(stream, SOON).await;
    assert_eq!(outcome(&answer), Accepted);
    assert_eq!(world.received().await, 1);
}

/// HOSTILE 14, 25: other words than those of this service are refused.
#[tokio::test]
async fn other_protocols_and_methods_are_refused() {
    let world = World::new().await;

    // 14: another kind of content, or of none, and another version of HTTP.
    for content in ["text/html", "application/json", ""] {
        let other = [("content-type", content)];
        let answer = world.call("CheckIn", &other, &check_in()).await;
        assert_eq!(answer.end, End::NoStatus, "{content}: {answer:?}");
        assert!(
            !answer.ok && answer.body.is_empty(),
            "{content}: {answer:?}"
        );
    }
    let mut stream = world.door(0).knock().await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut said = Vec::new();
    // It may end with an error of TLS: what counts is that it ends.
    let _ = timeout(SOON, stream.read_to_end(&mut said))
        .await
        .unwrap();
    assert!(!said.starts_with(b"HTTP"), "{said:?}");

    // 25: neither methods nor services that are not there.
    for path in [
        path("Nothing"),
        "/tacit.Nothing/CheckIn".to_owned(),
        "/".to_owned(),
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo".to_owned(),
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo".to_owned(),
    ] {
        let mut connection = world.connect(0).await;
        let answer = connection.call(&path, &[], &check_in(), SOON).await;
        assert_eq!(answer.unwrap().code(), Some(Code::Unimplemented), "{path}");
    }
}

/// HOSTILE 24: a client may wait for less than the server allows, never for longer; what cannot be
/// read as a time is none.
#[tokio::test]
async fn a_clients_deadline_is_only_its_own() {
    let world = World::new().await;
    for timeout in ["-1S", "1000000000S", "99999999H", "1", "S", "0x1S", ""] {
        let wanted = [("grpc-timeout", timeout)];
        let answer = world.call("CheckIn", &wanted, &check_in()).await;
        assert_eq!(answer.code(), Some(Code::Ok), "{timeout}: {answer:?}");
    }
    let none = [("grpc-timeout", "0n")];
    let answer = world.call("CheckIn", &none, &check_in()).await;
    let given_up = [Code::Ok, Code::Cancelled, Code::DeadlineExceeded];
    assert!(
        answer
            .code()
            .is_some_and(|code| given_up.contains(&code))
    );

    // An upload that says nothing is over when the server says so.
    let mut connection = world.connect(0).await;
    let longest = [("grpc-timeout", "99999999H")];
    let stream = connection.begin(&path("Contribute"), &longest).await;
    let answer = connection.answer(stream.unwrap(), SOON).await;
    assert_eq!(answer.code(), Some(Code::DeadlineExceeded), "{answer:?}");
    assert_eq!(world.received().await, 0);
}

/// HOSTILE 15: headers in number, in length and without end are refused before they are kept.
#[tokio::test]
async fn headers_without_measure_are_refused() {
    let world = World::new().await;
    let before = world.memory();
    let many: Vec<(String, String)> = (0..10_000)
        .map(|number| (format!("x-{number}"), "x".to_owned()))
        .collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(a, b)| (&a[..], &b[..])).collect();
    let long = "x".repeat(1 << 20);
    let blocks = [
        call_fields(&path("CheckIn"), &many),
        call_fields(&path("CheckIn"), &[("x", &long)]),
    ];
    for block in blocks {
        let mut connection = world.connect(0).await;
        let stream = connection.stream();
        // The server may have closed the connection before it is all sent.
        let _ = connection
            .send(&headers(stream, flag::END_STREAM, &block))
            .await;
        let answer = connection.answer(stream, SOON).await;
        assert_ne!(answer.code(), Some(Code::Ok), "{answer:?}");
        assert_ne!(answer.end, End::Silent);
    }

    let mut connection = world.connect(0).await;
    let stream = connection.stream();
    let begin = frame(
        kind::HEADERS,
        0,
        stream,
        &call_fields(&path("CheckIn"), &[]),
    );
    let part = fields(&[("x", "y")]);
    let flood = frame(kind::CONTINUATION, 0, stream, &part).repeat(10_000);
    connection.send(&begin).await.unwrap();
    let _ = connection.send(&flood).await;
    assert!(connection.closed_within(SOON).await);
    world.assert_served(before, 16 * MEGABYTE).await;
}

/// HOSTILE 22: an upload that is reset at any point where the server waits is counted once at most,
/// and the device is served afterwards.
#[tokio::test]
async fn an_upload_reset_at_any_point_counts_once_at_most() {
    let world = World::new().await;
    let contribution = world.contribution();
    let sent = upload(&contribution);
    let cancel = |stream| frame(kind::RST_STREAM, 0, stream, &8u32.to_be_bytes());
    for messages in 0..=sent.len() {
        for end in [false, true] {
            let mut connection = world.connect(0).await;
            let stream = connection
                .begin(&path("Contribute"), &[])
                .await
                .unwrap();
            let body = sent[..messages].concat();
            let body = data(stream, PAYLOAD_BYTES_MAX, end, &body);
            connection.send(&body).await.unwrap();
            connection.send(&cancel(stream)).await.unwrap();
            // The connection serves other calls all the same.
            let answer = connection
                .call(&path("CheckIn"), &[], &check_in(), SOON)
                .await;
            assert_eq!(answer.unwrap().code(), Some(Code::Ok));
        }
    }
    assert!(world.received().await <= 1);
    let answer = world.call("Contribute", &[], &sent.concat()).await;
    assert_eq!(outcome(&answer), Accepted);
    assert_eq!(world.received().await, 1);
}

/// HOSTILE 19: bytes that trickle in make no chunk, so the upload ends when that was due.
#[tokio::test]
async fn an_upload_of_one_byte_a_second_ends() {
    let world = World::new().await;
    let mut connection = world.connect(0).await;
    let stream = connection
        .begin(&path("Contribute"), &[])
        .await
        .unwrap();
    let body = upload(&world.contribution()).concat();
    let mut bytes = body.iter();
    let answer = loop {
        let byte = *bytes.next().unwrap();
        connection
            .send(&data(stream, 1, false, &[byte]))
            .await
            .unwrap();
        let answer = connection.answer(stream, Duration::from_secs(1)).await;
        if answer.end != End::Silent {
            break answer;
        }
    };
    assert_eq!(answer.code(), Some(Code::DeadlineExceeded), "{answer:?}");
    assert!(
        bytes.len() > body.len() - 15,
        "it took {} bytes",
        bytes.len()
    );
}
