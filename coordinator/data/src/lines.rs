//! Reads JSON lines, one object an interaction: the keys of the first one are the columns, and
//! every value becomes the text that a separated file would have.

use serde_json::{Map, Value};

use crate::columns::{Columns, Role};
use crate::error::{DataError, Fault, printable};
use crate::header::{Layout, Separator};
use crate::input::{Input, read_failure};
use crate::reading::columns;
use crate::rows::Records;

/// The objects of a file.
pub(crate) struct Lines<'a> {
    input: Input<'a>,
    layout: Layout,
    described: String,
    /// The key of each role.
    keys: [Option<String>; 5],
    /// The current object, as text.
    fields: [String; 5],
    /// The first object, until it is the current one.
    first: Option<Map<String, Value>>,
    bytes: Vec<u8>,
    line: u64,
}

impl<'a> Lines<'a> {
    /// Opens a file whose first object, or `asked`, says what its fields are.
    pub(crate) fn open(mut input: Input<'a>, asked: Option<&Columns>) -> Result<Self, DataError> {
        let (mut bytes, mut line) = (Vec::new(), 0);
        let first = next(&mut input, &mut bytes, &mut line)?;
        let Some(first) = first else {
            let fault = Fault::new("there is no object", "add one object a line");
            return Err(fault.at(&input.file, 1));
        };
        let names: Vec<String> = first.keys().cloned().collect();
        // Keys part nothing, so any separator serves to name them in a message.
        let layout = Layout::of(&names, Separator::Byte(b','), asked);
        let layout = layout.map_err(|fault| fault.at(&input.file, line))?;
        let key = |role| names.get(layout.place(role)?).cloned();
        Ok(Self {
            described: columns(&input.file, &layout.read, "JSON keys", &layout.unread),
            keys: Role::ALL.map(key),
            input,
            layout,
            fields: Default::default(),
            first: Some(first),
            bytes,
            line,
        })
    }
}

/// The next object; blank lines are passed over.
fn next(
    input: &mut Input<'_>,
    bytes: &mut Vec<u8>,
    line: &mut u64,
) -> Result<Option<Map<String, Value>>, DataError> {
    loop {
        let read = input.reader.read_line(bytes);
        let is_more = read.map_err(|error| read_failure(&input.file, *line + 1, bytes, error))?;
        if !is_more {
            return Ok(None);
        }
        *line += 1;
        let own = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if own.trim_ascii().is_empty() {
            continue;
        }
        let object = serde_json::from_slice(own);
        return object.map(Some).map_err(|error| {
            let reason = printable(&error.to_string(), 120);
            let problem = format!("the line is not one JSON object ({reason})");
            Fault::new(
                problem,
                "write one object a line, without commas between them",
            )
            .at(&input.file, *line)
        });
    }
}

/// A value as the text of a separated file; `None` for a list or an object.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::String(content) => Some(content.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

impl Records for Lines<'_> {
    fn advance(&mut self) -> Result<bool, DataError> {
        let object = match self.first.take() {
            Some(first) => first,
            None => match next(&mut self.input, &mut self.bytes, &mut self.line)? {
                Some(object) => object,
                None => return Ok(false),
            },
        };
        for (key, field) in self.keys.iter().zip(&mut self.fields) {
            let value = key.as_ref().and_then(|key| object.get(key));
            let Some(content) = text(value.unwrap_or(&Value::Null)) else {
                let key = printable(key.as_deref().unwrap_or_default(), 40);
                let fault = Fault::new(
                    format!("'{key}' is a list or an object"),
                    "give a text or a number",
                );
                return Err(fault.at(&self.input.file, self.line));
            };
            *field = content;
        }
        Ok(true)
    }

    fn field(&self, role: Role) -> &str {
        self.fields
            .get(role as usize)
            .map(String::as_str)
            .unwrap_or_default()
    }

    fn fault(&self, fault: Fault) -> DataError {
        fault.at(&self.input.file, self.line)
    }

    fn no_records(&self) -> DataError {
        Fault::new("there is no object", "add one object a line").at(&self.input.file, 1)
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn described(&self) -> String {
        self.described.clone()
    }

    fn latin1(&self) -> u64 {
        0
    }
}
