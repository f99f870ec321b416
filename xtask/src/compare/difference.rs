//! What a program put out, and the first place where two differ.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

/// Numbers in JSON that tell of the machine and not of the result.
const MEASURED: [&str; 4] = [
    "active_seconds",
    "commit_seconds",
    // Devices ask for news as often as the pace lets them.
    "bytes_down",
    "wall_seconds",
];
/// Bytes shown before and after the first that differs.
const SHOWN: usize = 60;

/// Outputs by name, in bytes.
#[derive(Default)]
pub(super) struct Outputs(BTreeMap<String, Vec<u8>>);

impl Outputs {
    pub(super) fn add(&mut self, name: impl Into<String>, bytes: &[u8]) {
        self.0.insert(name.into(), without_measured(bytes));
    }

    /// Adds every file below a folder, except pages.
    pub(super) fn add_files(&mut self, folder: &Path) -> anyhow::Result<()> {
        let mut open = vec![folder.to_owned()];
        while let Some(next) = open.pop() {
            for entry in fs::read_dir(next)? {
                let path = entry?.path();
                if path.is_dir() {
                    open.push(path);
                } else if path
                    .extension()
                    .is_none_or(|extension| extension != "html")
                {
                    let name = path.strip_prefix(folder)?.display().to_string();
                    self.add(name, &fs::read(&path)?);
                }
            }
        }
        Ok(())
    }

    /// Leaves out every JSON object called `name`: a change that was meant.
    pub(super) fn leave_out(&mut self, name: &str) {
        for bytes in self.0.values_mut() {
            *bytes = without_object(bytes, name);
        }
    }

    /// The first difference, in words.
    pub(super) fn difference(&self, new: &Self) -> Option<String> {
        let only = |there: &Self, other: &Self| {
            let mut names = there.0.keys();
            names
                .find(|name| !other.0.contains_key(*name))
                .cloned()
        };
        let differing = self.0.iter().find_map(|(name, old)| {
            let new = new.0.get(name)?;
            (old != new).then(|| format!("{name}{}", place(old, new)))
        });
        differing
            .or_else(|| only(self, new).map(|name| format!("{name} only from the old program")))
            .or_else(|| only(new, self).map(|name| format!("{name} only from the new program")))
    }
}

impl fmt::Display for Outputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: usize = self.0.values().map(Vec::len).sum();
        write!(f, "{} outputs, {bytes} bytes", self.0.len())
    }
}

fn place(old: &[u8], new: &[u8]) -> String {
    let equal = old
        .iter()
        .zip(new)
        .take_while(|(old, new)| old == new)
        .count();
    let line = 1 + old[..equal]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count();
    let excerpt = |bytes: &[u8]| {
        let shown = equal.saturating_sub(SHOWN)..bytes.len().min(equal + SHOWN);
        String::from_utf8_lossy(&bytes[shown])
            .escape_debug()
            .to_string()
    };
    format!(
        ", line {line}, byte {equal}\n  old: {}\n  new: {}",
        excerpt(old),
        excerpt(new)
    )
}

/// Leaves out what follows each of [`MEASURED`], up to the end of the number.
fn without_measured(bytes: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return bytes.to_vec();
    };
    let mut text = text.to_owned();
    for name in MEASURED {
        let key = format!("\"{name}\":");
        let mut parts = text.split(&key);
        let mut kept = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            kept.push_str(&key);
            kept.push_str(part.find([',', '}']).map_or("", |end| &part[end..]));
        }
        text = kept;
    }
    text.into_bytes()
}

/// Leaves out `,"name":{...}`, up to the brace that closes it.
fn without_object(bytes: &[u8], name: &str) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return bytes.to_vec();
    };
    let key = format!(",\"{name}\":{{");
    let Some((before, object)) = text.split_once(&key) else {
        return bytes.to_vec();
    };
    let mut open = 1;
    let closed = object.bytes().position(|byte| {
        open += i32::from(byte == b'{') - i32::from(byte == b'}');
        open == 0
    });
    let after = closed.map_or("", |end| &object[end + 1..]);
    format!("{before}{after}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(outputs: &[(&str, &str)]) -> Outputs {
        let mut all = Outputs::default();
        for (name, text) in outputs {
            all.add(*name, text.as_bytes());
        }
        all
    }

    #[test]
    fn one_byte_is_a_difference_and_its_place_is_named() {
        let old = outputs(&[("a", "x"), ("b", "one\ntwo")]);
        assert_eq!(old.difference(&old), None);
        let new = outputs(&[("a", "x"), ("b", "one\ntoo")]);
        let said = old.difference(&new).unwrap();
        assert!(said.starts_with("b, line 2, byte 5"), "{said}");
        let longer = outputs(&[("a", "x"), ("b", "one\ntwo\n")]);
        assert!(old.difference(&longer).is_some());
    }

    #[test]
    fn a_missing_output_is_a_difference() {
        let (one, two) = (outputs(&[("a", "x")]), outputs(&[("a", "x"), ("b", "")]));
        assert_eq!(one.difference(&two).unwrap(), "b only from the new program");
        assert_eq!(two.difference(&one).unwrap(), "b only from the old program");
    }

    #[test]
    fn a_named_object_is_left_out_whole() {
        let mut new = outputs(&[("a", r#"{"x":1,"opinion":{"by":{"y":2}},"z":3}"#)]);
        let old = outputs(&[("a", r#"{"x":1,"z":3}"#)]);
        assert!(old.difference(&new).is_some());
        new.leave_out("opinion");
        assert_eq!(old.difference(&new), None);
    }

    #[test]
    fn only_named_numbers_are_left_out() {
        let of = |seconds: &str, sent: &str| {
            let text = format!("{{\"active_seconds\":{seconds},\"bytes_up\":{sent}}}");
            outputs(&[("summary", &text)])
        };
        assert_eq!(of("1.5", "7").difference(&of("2", "7")), None);
        assert!(of("1.5", "7").difference(&of("1.5", "8")).is_some());
    }
}
