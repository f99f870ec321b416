//! Reads a file line by line, plain or compressed, and never holds more than one line of it.
//!
//! Invariant: whatever the file contains, memory stays below one line of [`LINE_MAX`] bytes and
//! reading ends after [`FILE_MAX`] bytes, so a few kilobytes that decompress to terabytes do no
//! harm.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::error::{DataError, Fault, printable, shown};

/// Longest accepted line in bytes.
pub(crate) const LINE_MAX: usize = 1 << 20;

/// Longest accepted file in bytes, after decompression.
const FILE_MAX: u64 = 4 << 30;

/// A file and the line of it that is looked at.
pub(crate) struct Lines {
    file: String,
    reader: Box<dyn BufRead>,
    line: Vec<u8>,
    /// Number of the current line, from 1.
    number: u64,
    bytes_left: u64,
}

impl Lines {
    /// Opens a file, decompressing it when its name ends in `.gz`.
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        let file = printable(
            &path
                .file_name()
                .unwrap_or(path.as_os_str())
                .to_string_lossy(),
            255,
        );
        let unreadable = |source| DataError::Unreadable {
            file: file.clone(),
            source,
        };
        // Asked before opening, because opening a named pipe waits for somebody to write into it.
        let metadata = path.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(unreadable(io::Error::other("it is not a regular file")));
        }
        let plain = BufReader::new(File::open(path).map_err(unreadable)?);
        let compressed = path.extension() == Some(OsStr::new("gz"));
        // No bytes at all are reported as an empty file, not as damaged compression.
        let reader: Box<dyn BufRead> = if compressed && metadata.len() > 0 {
            Box::new(BufReader::new(MultiGzDecoder::new(plain)))
        } else {
            Box::new(plain)
        };
        Ok(Self::from_reader(file, reader))
    }

    /// Reads the lines of `reader`, which messages call `file`.
    pub(crate) fn from_reader(file: String, reader: Box<dyn BufRead>) -> Self {
        Self {
            file,
            reader,
            line: Vec::new(),
            number: 0,
            bytes_left: FILE_MAX,
        }
    }

    /// Goes to the next line that is not blank; false at the end of the file.
    pub(crate) fn advance(&mut self) -> Result<bool, DataError> {
        loop {
            self.number += 1;
            if !self.read_line()? {
                return Ok(false);
            }
            if !self.line.is_empty() {
                return Ok(true);
            }
        }
    }

    /// The current line as UTF-8, without its line end.
    pub(crate) fn utf8(&self) -> Result<&str, DataError> {
        std::str::from_utf8(&self.line).map_err(|error| {
            let column = self
                .line
                .iter()
                .take(error.valid_up_to())
                .filter(|byte| **byte == b',')
                .count()
                + 1;
            self.fault(Fault::new(
                format!("column {column} is not UTF-8 text"),
                "save the file as UTF-8",
            ))
        })
    }

    /// The current line as Latin-1, in which every byte is a character.
    pub(crate) fn latin1(&self) -> String {
        self.line.iter().copied().map(char::from).collect()
    }

    /// Says that the current line is wrong.
    pub(crate) fn fault(&self, fault: Fault) -> DataError {
        DataError::Malformed {
            file: self.file.clone(),
            line: self.number,
            problem: fault.problem,
            fix: fault.fix,
        }
    }

    /// Reads one line into `self.line`, without line end and byte order mark; false at the end of
    /// the file.
    fn read_line(&mut self) -> Result<bool, DataError> {
        self.line.clear();
        let window = (LINE_MAX as u64 + 2).min(self.bytes_left.saturating_add(1));
        let read = self
            .reader
            .by_ref()
            .take(window)
            .read_until(b'\n', &mut self.line);
        let read = read.map_err(|error| self.read_failure(error))? as u64;
        if read > self.bytes_left {
            let problem = format!("the file is longer than {FILE_MAX} bytes once decompressed");
            return Err(self.fault(Fault::new(problem, "split it or keep fewer users")));
        }
        self.bytes_left -= read;
        for end in [b'\n', b'\r'] {
            if self.line.last() == Some(&end) {
                self.line.pop();
            }
        }
        if self.line.len() > LINE_MAX {
            let start =
                String::from_utf8_lossy(self.line.get(..64).unwrap_or_default()).into_owned();
            let problem = format!(
                "the line starting with {} is longer than {LINE_MAX} bytes",
                shown(&start)
            );
            return Err(self.fault(Fault::new(problem, "put one record on each line")));
        }
        if self.number == 1 && self.line.starts_with(b"\xEF\xBB\xBF") {
            self.line.drain(..3);
        }
        Ok(read > 0)
    }

    /// Tells damaged content from a failing disk.
    fn read_failure(&self, error: io::Error) -> DataError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.fault(Fault::new(
                "the compressed data is cut off here",
                "copy or download the file again",
            )),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => self.fault(Fault::new(
                format!("the compressed data is damaged here ({error})"),
                "copy or download the file again, or remove .gz from its name if it is not \
                 compressed",
            )),
            _ => DataError::Unreadable {
                file: self.file.clone(),
                source: error,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(content: &'static [u8], bytes_left: u64) -> Lines {
        Lines {
            file: "x.csv".into(),
            reader: Box::new(content),
            line: Vec::new(),
            number: 0,
            bytes_left,
        }
    }

    #[test]
    fn line_ends_byte_order_mark_and_blank_lines_disappear() {
        let mut lines = lines(b"\xEF\xBB\xBFa\r\n\n\r\nb\nc", 100);
        let mut seen = Vec::new();
        while lines.advance().unwrap() {
            seen.push((lines.number, lines.utf8().unwrap().to_owned()));
        }
        assert_eq!(seen, [(1, "a".into()), (4, "b".into()), (5, "c".into())]);
    }

    #[test]
    fn reading_stops_at_the_byte_limit_even_when_every_line_is_short() {
        let mut bomb = lines(b"a\nb\nc\nd\n", 5);
        assert!(bomb.advance().unwrap() && bomb.advance().unwrap());
        let message = bomb.advance().unwrap_err().to_string();
        assert!(
            message.starts_with("x.csv line 3: the file is longer than"),
            "{message}"
        );
        let mut exact = lines(b"a\nb\n", 4);
        assert!(exact.advance().unwrap() && exact.advance().unwrap() && !exact.advance().unwrap());
    }

    #[test]
    fn a_line_of_the_greatest_length_is_read_and_one_byte_more_is_refused() {
        let reader = |len: usize| -> Box<dyn BufRead> {
            Box::new(io::Cursor::new([vec![b'x'; len], vec![b'\n']].concat()))
        };
        let mut fits = Lines {
            reader: reader(LINE_MAX),
            ..lines(b"", u64::MAX)
        };
        assert!(fits.advance().unwrap());
        let mut long = Lines {
            reader: reader(LINE_MAX + 1),
            ..lines(b"", u64::MAX)
        };
        assert!(
            long.advance()
                .unwrap_err()
                .to_string()
                .contains("longer than 1048576 bytes")
        );
    }
}
