//! What is searched for, as an address carries it.

/// `from=PLACE&words=WORDS`, the words percent-encoded.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Query {
    /// The first place of those found.
    pub(super) from: usize,
    /// What titles have to have.
    pub(super) words: String,
}

impl Query {
    /// `None` for anything else.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut query = Self::default();
        for field in text.split('&') {
            let (name, value) = field.split_once('=')?;
            match name {
                "from" => query.from = value.parse().ok()?,
                "words" => query.words = decoded(value)?,
                _ => return None,
            }
        }
        Some(query)
    }
}

/// The text that percent-encoding stands for; `None` where it stands for none.
fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = digit(rest.next()?)?;
        let low = digit(rest.next()?)?;
        bytes.push(high << 4 | low);
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_searched_for_is_read_or_refused() {
        let found = Query::read("from=24&words=the%20caf%C3%A9");
        let expected = Query {
            from: 24,
            words: "the café".into(),
        };
        assert_eq!(found, Some(expected));
        for bad in ["", "from", "from=-1", "from=x", "to=3"] {
            assert_eq!(Query::read(bad), None, "{bad}");
        }
        for bad in ["%", "%2", "%zz", "%FF", "%+1"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
    }
}
