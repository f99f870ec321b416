//! Opens one file, decompresses it where its bytes say so, and bounds what is read of it.
//!
//! Invariant: whatever the file contains, memory stays below one record of [`RECORD_MAX`] bytes and
//! reading ends after [`FILE_MAX`] bytes, so a few kilobytes that decompress to terabytes do no
//! harm.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::error::{DataError, Fault, printable, shown};

/// Longest accepted record in bytes: a line, or several where a quoted field has line breaks.
pub(crate) const RECORD_MAX: usize = 1 << 20;

/// Longest accepted file in bytes, after decompression.
const FILE_MAX: u64 = 16 << 30;

/// Bytes asked of a disk at once.
const BUFFER: usize = 1 << 16;

/// Hears how many bytes of a file's size were read.
pub(crate) type Watch<'a> = &'a dyn Fn(u64, u64);

/// The name of a file, printable.
pub(crate) fn own_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    printable(&name.to_string_lossy(), 255)
}

/// A file that is being read, and what messages call it.
pub(crate) struct Input<'a> {
    pub(crate) file: String,
    pub(crate) reader: Bounded<'a>,
}

impl<'a> Input<'a> {
    /// Opens a file on disk.
    pub(crate) fn open(path: &Path, watch: Watch<'a>) -> Result<Self, DataError> {
        let file = own_name(path);
        let unreadable = |source| DataError::unreadable(&file, source);
        // Asked before opening, because opening a named pipe waits for somebody to write into it.
        let metadata = path.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(unreadable(io::Error::other("it is not a regular file")));
        }
        let opened = File::open(path).map_err(unreadable)?;
        Self::new(file, opened, metadata.len(), watch)
    }

    /// Reads `source`, of `size` bytes, which messages call `file`.
    pub(crate) fn new(
        file: String,
        source: impl Read + 'a,
        size: u64,
        watch: Watch<'a>,
    ) -> Result<Self, DataError> {
        let counted = Counted {
            source,
            read: 0,
            size,
            watch,
        };
        let mut plain = BufReader::with_capacity(BUFFER, counted);
        let start = plain
            .fill_buf()
            .map_err(|source| DataError::unreadable(&file, source))?;
        let inner: Box<dyn BufRead + 'a> = if start.starts_with(&[0x1f, 0x8b]) {
            Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(plain)))
        } else {
            Box::new(plain)
        };
        let reader = Bounded {
            inner,
            record_left: RECORD_MAX,
            file_left: FILE_MAX,
        };
        Ok(Self { file, reader })
    }
}

/// Tells how far the compressed bytes have been read.
struct Counted<'a, R> {
    source: R,
    read: u64,
    size: u64,
    watch: Watch<'a>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(into)?;
        self.read += count as u64;
        (self.watch)(self.read, self.size);
        Ok(count)
    }
}

/// Bytes of a file that end with an error where a record or the file is too long.
pub(crate) struct Bounded<'a> {
    inner: Box<dyn BufRead + 'a>,
    record_left: usize,
    file_left: u64,
}

impl Bounded<'_> {
    /// Says that a record starts, which may again be [`RECORD_MAX`] bytes long.
    pub(crate) fn start_record(&mut self) {
        self.record_left = RECORD_MAX;
    }

    /// Reads one line into `line`, without its end, be it LF, CR or both; false at the end of the
    /// file.
    pub(crate) fn read_line(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        line.clear();
        self.start_record();
        loop {
            let chunk = self.fill_buf()?;
            if chunk.is_empty() {
                return Ok(!line.is_empty());
            }
            let end = chunk
                .iter()
                .position(|byte| matches!(byte, b'\n' | b'\r'));
            let taken = end.unwrap_or(chunk.len());
            line.extend_from_slice(chunk.get(..taken).unwrap_or_default());
            match end {
                None => self.consume(taken),
                Some(_) => {
                    self.consume_line_end(taken)?;
                    return Ok(true);
                }
            }
        }
    }

    fn consume_line_end(&mut self, before: usize) -> io::Result<()> {
        let is_return = self.fill_buf()?.get(before) == Some(&b'\r');
        self.consume(before + 1);
        // The end of a line does not count as a part of the next record.
        self.start_record();
        if is_return && self.fill_buf()?.first() == Some(&b'\n') {
            self.consume(1);
        }
        Ok(())
    }
}

impl BufRead for Bounded<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.record_left == 0 || self.file_left == 0 {
            let too_long = if self.file_left == 0 {
                format!("the file is longer than {FILE_MAX} bytes once decompressed")
            } else {
                format!("a record is longer than {RECORD_MAX} bytes")
            };
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, too_long));
        }
        let bound = self
            .record_left
            .min(usize::try_from(self.file_left).unwrap_or(usize::MAX));
        let chunk = self.inner.fill_buf()?;
        Ok(chunk.get(..bound).unwrap_or(chunk))
    }

    fn consume(&mut self, count: usize) {
        self.record_left = self.record_left.saturating_sub(count);
        self.file_left = self.file_left.saturating_sub(count as u64);
        self.inner.consume(count);
    }
}

impl Read for Bounded<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let chunk = self.fill_buf()?;
        let count = chunk.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..count), chunk.get(..count)) {
            to.copy_from_slice(from);
        }
        self.consume(count);
        Ok(count)
    }
}

/// Tells damaged content and endless records from a failing disk.
pub(crate) fn read_failure(file: &str, line: u64, start: &[u8], error: io::Error) -> DataError {
    let fault = match error.kind() {
        io::ErrorKind::UnexpectedEof => Fault::new(
            "the compressed data is cut off here",
            "copy or download the file again",
        ),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Fault::new(
            format!("the compressed data is damaged here ({error})"),
            "copy or download the file again",
        ),
        io::ErrorKind::FileTooLarge => {
            let start = start.get(..40).unwrap_or(start);
            let start = String::from_utf8_lossy(start).into_owned();
            let start = match start.as_str() {
                "" => String::new(),
                start => format!(" and starts with {}", shown(start)),
            };
            Fault::new(
                format!("{error}{start}"),
                "put one record on each line, close every quote, or split the file",
            )
        }
        _ => return DataError::unreadable(file, error),
    };
    fault.at(file, line)
}

/// The text of some bytes: UTF-8 where they are, otherwise Latin-1, in which every byte is a
/// character; `guessed` counts the latter.
pub(crate) fn text<'a>(bytes: &'a [u8], guessed: &mut u64) -> std::borrow::Cow<'a, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => {
            *guessed += 1;
            let latin1: String = bytes.iter().copied().map(char::from).collect();
            latin1.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(content: &'static [u8]) -> Input<'static> {
        Input::new("x.csv".into(), content, content.len() as u64, &|_, _| ()).unwrap()
    }

    #[test]
    fn lines_end_with_either_or_both_characters() {
        let mut input = input(b"a\r\n\rb\nc");
        let (mut line, mut seen) = (Vec::new(), Vec::new());
        while input.reader.read_line(&mut line).unwrap() {
            seen.push(String::from_utf8(line.clone()).unwrap());
        }
        assert_eq!(seen, ["a", "", "b", "c"]);
    }

    #[test]
    fn reading_stops_at_the_byte_limit_even_when_every_line_is_short() {
        let mut bomb = input(b"a\nb\nc\nd\n");
        bomb.reader.file_left = 5;
        let mut line = Vec::new();
        assert!(bomb.reader.read_line(&mut line).unwrap());
        assert!(bomb.reader.read_line(&mut line).unwrap());
        let error = bomb.reader.read_line(&mut line).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("the file is longer than"),
            "{error}"
        );
    }

    #[test]
    fn a_line_of_nearly_the_greatest_length_is_read_and_a_longer_one_is_refused() {
        let reader = |len: usize| {
            let content = [vec![b'x'; len], vec![b'\n']].concat();
            let size = content.len() as u64;
            Input::new("x".into(), io::Cursor::new(content), size, &|_, _| ()).unwrap()
        };
        let mut line = Vec::new();
        let mut fits = reader(RECORD_MAX - 1);
        assert!(fits.reader.read_line(&mut line).unwrap());
        let error = reader(RECORD_MAX)
            .reader
            .read_line(&mut line)
            .unwrap_err();
        assert!(error.to_string().contains("1048576"), "{error}");
    }
}
