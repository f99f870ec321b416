//! One HTTP/2 connection: sends any bytes, and reads the answers of its calls.

use std::time::Duration;
use std::{fmt, io};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;
use tonic::Code;

use super::frame::{HEAD_BYTES, call_fields, data, flag, frame, headers, kind};

/// `grpc-status` in the code of RFC 7541, appendix B, as a literal of eight bytes.
const STATUS_NAME: [u8; 9] = [0x88, 0x9a, 0xca, 0xc8, 0xb2, 0x12, 0x34, 0xda, 0x8f];
/// The first header field of an answer when its status is 200.
const OK: u8 = 0x88;
/// Payload of one DATA frame.
const DATA_BYTES: usize = 16_384;
/// What the coordinator lets a stream send ahead of being read.
const WINDOW_BYTES: usize = 139_264;

/// One connection.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    next: u32,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a gRPC status.
    Status(Code),
    /// With headers that hold no gRPC status, though the HTTP status may be 200.
    NoStatus,
    /// The server reset the stream, with this error of RFC 9113, section 7.
    Reset(u32),
    /// The server said it would go, with this error, and closed the connection.
    GoAway(u32),
    /// The connection was closed without a word.
    Closed,
    /// Nothing came.
    Silent,
}

/// What the server said on one stream.
pub struct Answer {
    /// Whether the HTTP status was 200.
    pub ok: bool,
    /// Everything in its DATA frames.
    pub body: Vec<u8>,
    /// How it ended.
    pub end: End,
}

/// One frame that came.
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Connection {
    pub(super) fn new(stream: TlsStream<TcpStream>) -> Self {
        Self { stream, next: 1 }
    }

    /// The number of the next stream.
    pub fn stream(&mut self) -> u32 {
        let stream = self.next;
        self.next += 2;
        stream
    }

    /// Sends these bytes as they are.
    ///
    /// # Errors
    /// When the server has closed the connection.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Begins a call: its headers, with these fields more.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn begin(&mut self, path: &str, more: &[(&str, &str)]) -> io::Result<u32> {
        let stream = self.stream();
        let block = call_fields(path, more);
        self.send(&headers(stream, 0, &block)).await?;
        Ok(stream)
    }

    /// Waits until the server has said how much it takes, for streams and for the connection.
    ///
    /// # Errors
    /// When it closes the connection first.
    pub(super) async fn greet(mut self) -> io::Result<Self> {
        for said in [kind::SETTINGS, kind::WINDOW_UPDATE] {
            while self.next_frame().await?.kind != said {}
        }
        Ok(self)
    }

    /// A whole call with this body. Of a body that is larger than the server's window only that
    /// part is sent: one that refuses it reads no more.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn call(
        &mut self,
        path: &str,
        more: &[(&str, &str)],
        body: &[u8],
        limit: Duration,
    ) -> Result<Answer> {
        let stream = self.begin(path, more).await?;
        let fits = body.len() <= WINDOW_BYTES;
        let body = if fits { body } else { &body[..WINDOW_BYTES] };
        // One that refuses early may have closed the connection; its answer says why.
        let _ = self.send(&data(stream, DATA_BYTES, fits, body)).await;
        Ok(self.answer(stream, limit).await)
    }

    /// Reads until the answer on this stream has ended, and at most for `limit`.
    pub async fn answer(&mut self, stream: u32, limit: Duration) -> Answer {
        let mut answer = Answer {
            ok: false,
            body: Vec::new(),
            end: End::Closed,
        };
        let deadline = Instant::now() + limit;
        loop {
            match timeout_at(deadline, self.next_frame()).await {
                Err(_) => {
                    answer.end = End::Silent;
                    return answer;
                }
                Ok(Err(_)) => return answer,
                Ok(Ok(frame)) => {
                    if answer.take(&frame, stream) {
                        return answer;
                    }
                }
            }
        }
    }

    /// Whether the server closes the connection within this time, whatever it says before.
    pub async fn closed_within(&mut self, limit: Duration) -> bool {
        let closed = async { while self.next_frame().await.is_ok() {} };
        timeout(limit, closed).await.is_ok()
    }

    /// Reading and writing at once.
    pub fn split(
        self,
    ) -> (
        ReadHalf<TlsStream<TcpStream>>,
        WriteHalf<TlsStream<TcpStream>>,
    ) {
        split(self.stream)
    }

    /// The next frame; what RFC 9113 wants answered is answered.
    async fn next_frame(&mut self) -> io::Result<Frame> {
        let mut head = [0; HEAD_BYTES];
        self.stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, d, e, f, g] = head;
        let length = u32::from_be_bytes([0, a, b, c]);
        let mut payload = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.stream.read_exact(&mut payload).await?;
        let reply = match kind {
            kind::SETTINGS | kind::PING if flags & flag::ACK != 0 => Vec::new(),
            kind::SETTINGS => frame(kind::SETTINGS, flag::ACK, 0, &[]),
            kind::PING => frame(kind::PING, flag::ACK, 0, &payload),
            _ => Vec::new(),
        };
        // A server that is about to close may not read it.
        let _ = self.send(&reply).await;
        Ok(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes([d, e, f, g]),
            payload,
        })
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ok, body, end } = self;
        let bytes = body.len();
        write!(f, "{end:?} after {bytes} bytes, HTTP status 200: {ok}")
    }
}

impl Answer {
    /// Takes a frame in; whether it was the last of `stream`.
    fn take(&mut self, frame: &Frame, stream: u32) -> bool {
        if frame.kind == kind::GOAWAY {
            self.end = End::GoAway(number(&frame.payload[4..]));
            return false;
        }
        if frame.stream != stream {
            return false;
        }
        match frame.kind {
            kind::DATA => self.body.extend(&frame.payload),
            kind::HEADERS => {
                // A change of the table's size may stand before the first field.
                let first = frame.payload.iter().find(|byte| **byte >> 5 != 1);
                self.ok |= first == Some(&OK);
                self.end = status(&frame.payload).map_or(End::NoStatus, End::Status);
            }
            kind::RST_STREAM => {
                let error = number(&frame.payload);
                // A server that has answered may reset what it does not want to read.
                if !matches!(self.end, End::Status(_)) {
                    self.end = End::Reset(error);
                }
                return true;
            }
            _ => return false,
        }
        frame.flags & flag::END_STREAM != 0
    }

    /// The gRPC status, where it ended with one.
    pub fn code(&self) -> Option<Code> {
        match self.end {
            End::Status(code) => Some(code),
            _ => None,
        }
    }
}

/// The first four bytes as a number.
fn number(bytes: &[u8]) -> u32 {
    let first = bytes.first_chunk().copied();
    u32::from_be_bytes(first.unwrap_or_default())
}

/// The gRPC status in a header block. Its digits take five bits (0 to 2) or six (3 to 9), and the
/// rest of the last byte is ones.
fn status(block: &[u8]) -> Option<Code> {
    let mut windows = block.windows(STATUS_NAME.len());
    let place = windows.position(|bytes| bytes == STATUS_NAME)?;
    let value = &block[place + STATUS_NAME.len()..];
    let bits: String = value[1..]
        .iter()
        .take(usize::from(value[0] & 0x7f))
        .map(|byte| format!("{byte:08b}"))
        .collect();
    let (mut code, mut rest) = (0, bits.as_str());
    while rest.contains('0') {
        let short = rest.get(..5).map(|bits| u8::from_str_radix(bits, 2));
        let long = rest.get(..6).map(|bits| u8::from_str_radix(bits, 2));
        let (digit, used) = match (short, long) {
            (Some(Ok(digit @ 0..=2)), _) => (digit, 5),
            (_, Some(Ok(digit @ 25..=31))) => (digit - 22, 6),
            _ => return None,
        };
        code = code * 10 + i32::from(digit);
        rest = &rest[used..];
    }
    Some(Code::from_i32(code))
}
