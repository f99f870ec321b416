//! Reads the records of one separated file: the `csv` crate splits, this finds the header.

use std::io::{self, Chain, Cursor, Read};

use csv::{ByteRecord, Reader, ReaderBuilder, StringRecord};

use crate::error::{DataError, Fault};
use crate::header::Separator;
use crate::input::{Bounded, Input, read_failure, text};

/// The one byte that stands for a separator of two; no text has it.
const UNIT_SEPARATOR: u8 = 0x1f;

/// A separated file whose first record has been looked at.
pub(crate) struct Table<'a> {
    pub(crate) file: String,
    reader: Reader<Source<'a>>,
    /// The current record as text, checked once for all of its fields.
    record: StringRecord,
    /// The memory of the record before, for the next one.
    spare: Option<ByteRecord>,
    /// Fields that are not UTF-8 and were read as Latin-1.
    pub(crate) latin1: u64,
    /// Lines before those that `reader` sees.
    before: u64,
    columns: usize,
    /// Whether the file cannot be read any further.
    failed: bool,
}

/// What the caller made of the first record.
pub(crate) struct Opened<'a, L> {
    pub(crate) table: Table<'a>,
    pub(crate) layout: L,
    pub(crate) separator: Separator,
}

impl<'a> Table<'a> {
    /// Opens a file and hands its first record to `layout`, which says what its columns are and
    /// whether it is a header. `separator` is detected unless it is given.
    pub(crate) fn open<L>(
        mut input: Input<'a>,
        separator: Option<Separator>,
        layout: impl FnOnce(&[String], Separator) -> Result<(L, bool), Fault>,
    ) -> Result<Opened<'a, L>, DataError> {
        let start = Start::read(&mut input)?;
        let separator = separator
            .or(start.separator)
            .unwrap_or_else(|| Separator::detect(&start.line));
        let fields = separator.split(&start.line);
        let (layout, has_header) =
            layout(&fields, separator).map_err(|fault| fault.at(&input.file, start.lines))?;
        let (line, before) = if has_header {
            (Vec::new(), start.lines)
        } else {
            (with_end(start.line), start.lines - 1)
        };
        let source = Source::new(line, input.reader, separator);
        let comment = start.has_comments.then_some(b'#');
        let table = Self {
            file: input.file,
            reader: reader(separator, comment).from_reader(source),
            record: StringRecord::new(),
            spare: Some(ByteRecord::new()),
            latin1: 0,
            before,
            columns: fields.len(),
            failed: false,
        };
        Ok(Opened {
            table,
            layout,
            separator,
        })
    }

    /// Goes to the next record; false at the end of the file.
    pub(crate) fn advance(&mut self) -> Result<bool, DataError> {
        self.reader.get_mut().start_record();
        let mut bytes = self.spare.take().unwrap_or_default();
        let read = self.reader.read_byte_record(&mut bytes);
        let text = self.decoded(bytes);
        let before = std::mem::replace(&mut self.record, text);
        self.spare = Some(before.into_byte_record());
        match read {
            Ok(false) => Ok(false),
            Ok(true) if self.record.len() == self.columns => Ok(true),
            Ok(true) => Err(self.fault(self.ragged())),
            Err(error) => {
                self.failed = true;
                Err(self.failure(error))
            }
        }
    }

    /// The record as text: UTF-8, or field by field Latin-1 where a field is not.
    fn decoded(&mut self, bytes: ByteRecord) -> StringRecord {
        let bytes = match StringRecord::from_byte_record(bytes) {
            Ok(record) => return record,
            Err(error) => error.into_byte_record(),
        };
        let fields = bytes.iter().map(|field| text(field, &mut self.latin1));
        let mut record: StringRecord = fields.collect::<Vec<_>>().into();
        record.set_position(bytes.position().cloned());
        record
    }

    /// A field of the current record; empty where there is none.
    pub(crate) fn field(&self, place: Option<usize>) -> &str {
        place
            .and_then(|place| self.record.get(place))
            .unwrap_or_default()
    }

    /// Whether nothing can be read after the last error.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Says that the current record is wrong.
    pub(crate) fn fault(&self, fault: Fault) -> DataError {
        fault.at(&self.file, self.line())
    }

    /// Says that the file ended without any record.
    pub(crate) fn no_records(&self) -> DataError {
        let fault = Fault::new(
            "there is a header and nothing after it",
            "add one record per line",
        );
        fault.at(&self.file, self.before + 1)
    }

    /// Number of the current record's first line, from 1.
    fn line(&self) -> u64 {
        // Lines that end with CR alone are not counted as lines by the library.
        let position = self.record.position();
        self.before + position.map_or(1, |at| at.line().max(at.record() + 1))
    }

    fn ragged(&self) -> Fault {
        let (have, columns) = (self.record.len(), self.columns);
        Fault::new(
            format!("the line has {have} columns, the first line has {columns}"),
            "correct the line, and put quotes around a field that contains the separator",
        )
    }

    fn failure(&self, error: csv::Error) -> DataError {
        let line = self.before + self.reader.position().line();
        let start = self.record.get(0).unwrap_or_default().as_bytes();
        match error.into_kind() {
            csv::ErrorKind::Io(error) => read_failure(&self.file, line, start, error),
            other => {
                let problem = format!("the line cannot be read ({})", csv_problem(&other));
                Fault::new(problem, "correct the line").at(&self.file, line)
            }
        }
    }
}

fn csv_problem(kind: &csv::ErrorKind) -> String {
    format!("{kind:?}").chars().take(80).collect()
}

fn reader(separator: Separator, comment: Option<u8>) -> ReaderBuilder {
    let delimiter = match separator {
        Separator::Byte(byte) => byte,
        Separator::Twice(_) => UNIT_SEPARATOR,
    };
    let mut builder = ReaderBuilder::new();
    builder
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .quoting(separator.has_quotes())
        // A backslash before a quote, as Book-Crossing writes it.
        .escape(matches!(separator, Separator::Byte(b';')).then_some(b'\\'))
        .comment(comment)
        .buffer_capacity(1 << 16);
    builder
}

fn with_end(mut line: Vec<u8>) -> Vec<u8> {
    line.push(b'\n');
    line
}

/// The beginning of a file, up to its first record.
struct Start {
    line: Vec<u8>,
    /// Lines read, with this one.
    lines: u64,
    /// What a line `sep=;` of a spreadsheet says.
    separator: Option<Separator>,
    has_comments: bool,
}

impl Start {
    /// Skips a byte order mark, blank lines, comments, and the line in which spreadsheets name the
    /// separator.
    fn read(input: &mut Input<'_>) -> Result<Self, DataError> {
        let mut start = Self {
            line: Vec::new(),
            lines: 0,
            separator: None,
            has_comments: false,
        };
        loop {
            start.lines += 1;
            let read = input.reader.read_line(&mut start.line);
            let read =
                read.map_err(|error| read_failure(&input.file, start.lines, &start.line, error))?;
            if !read {
                let fault = Fault::new("the file is empty", "copy or download it again");
                return Err(fault.at(&input.file, 1));
            }
            if start.lines == 1 {
                start
                    .check_encoding()
                    .map_err(|fault| fault.at(&input.file, 1))?;
            }
            if !start.skips_line() {
                return Ok(start);
            }
        }
    }

    fn check_encoding(&mut self) -> Result<(), Fault> {
        if self.line.starts_with(b"\xFF\xFE") || self.line.starts_with(b"\xFE\xFF") {
            return Err(Fault::new("the text is UTF-16", "save the file as UTF-8"));
        }
        if self.line.starts_with(b"\xEF\xBB\xBF") {
            self.line.drain(..3);
        }
        Ok(())
    }

    /// Whether the line comes before the first record, remembering what it says.
    fn skips_line(&mut self) -> bool {
        if self.line.starts_with(b"#") {
            self.has_comments = true;
            return true;
        }
        if let [b's', b'e', b'p', b'=', separator] = self.line[..] {
            self.separator = Some(Separator::Byte(separator));
            return true;
        }
        self.line.is_empty()
    }
}

/// The bytes of a file, with a separator of two bytes written as one.
struct Source<'a> {
    bytes: Chain<Cursor<Vec<u8>>, Bounded<'a>>,
    twice: Option<u8>,
    /// Whether the last byte read may be the first half of a separator.
    half: bool,
}

impl<'a> Source<'a> {
    fn new(first_line: Vec<u8>, rest: Bounded<'a>, separator: Separator) -> Self {
        let twice = match separator {
            Separator::Byte(_) => None,
            Separator::Twice(byte) => Some(byte),
        };
        Self {
            bytes: Cursor::new(first_line).chain(rest),
            twice,
            half: false,
        }
    }

    fn start_record(&mut self) {
        self.bytes.get_mut().1.start_record();
    }

    /// Writes the `count` bytes after the first of `buffer` anew from its start, and says how many
    /// they are now.
    fn join(&mut self, buffer: &mut [u8], count: usize, twice: u8) -> usize {
        let mut to = 0;
        for from in 1..=count {
            let byte = buffer[from];
            if byte == twice && !self.half {
                self.half = true;
                continue;
            }
            if byte == twice {
                self.half = false;
                buffer[to] = UNIT_SEPARATOR;
                to += 1;
                continue;
            }
            if std::mem::take(&mut self.half) {
                buffer[to] = twice;
                to += 1;
            }
            buffer[to] = byte;
            to += 1;
        }
        to
    }
}

impl Read for Source<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(twice) = self.twice else {
            return self.bytes.read(into);
        };
        loop {
            // The first place is kept for a half, of the read before, that turns out to be none.
            let count = self
                .bytes
                .read(into.get_mut(1..).unwrap_or_default())?;
            let joined = self.join(into, count, twice);
            if joined > 0 || count == 0 {
                return Ok(joined);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_separator_of_two_bytes_may_lie_across_two_reads() {
        let content = b"1::a:b::::3\n";
        for size in 2..8 {
            let rest = Input::new("x".into(), io::empty(), 0, &|_, _| ()).unwrap();
            let separator = Separator::Twice(b':');
            let mut source = Source::new(content.to_vec(), rest.reader, separator);
            let (mut buffer, mut seen) = (vec![0; size], Vec::new());
            loop {
                match source.read(&mut buffer).unwrap() {
                    0 => break,
                    count => seen.extend_from_slice(&buffer[..count]),
                }
            }
            assert_eq!(seen, b"1\x1fa:b\x1f\x1f3\n", "{size}");
        }
    }
}
