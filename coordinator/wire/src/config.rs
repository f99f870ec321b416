//! Reads a TOML configuration file. An error is one line that names the file, the line and the key.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::files::{FileError, read_text};

/// Reads `path` into a configuration; unknown keys are refused with the nearest known one.
///
/// # Errors
/// [`FileError`] naming line and key.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, FileError> {
    let text = read_text(path)?;
    // The file may put line ends and terminal codes into what is quoted from it.
    let one_line = |error| describe(&text, &error).replace(char::is_control, " ");
    toml::from_str(&text).map_err(|error| FileError::new(path, one_line(error)))
}

fn describe(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or(1, |span| {
        text[..span.start.min(text.len())]
            .matches('\n')
            .count()
            + 1
    });
    let message = error.message();
    match nearest_key(message) {
        Some((unknown, known)) => {
            format!("line {line}: unknown key '{unknown}'; did you mean '{known}'?")
        }
        None => match key_of(text.lines().nth(line - 1).unwrap_or_default()) {
            Some(key) if !message.contains(key) => format!("line {line}: {key}: {message}"),
            _ => format!("line {line}: {message}"),
        },
    }
}

/// The key of a line `key = value`.
fn key_of(line: &str) -> Option<&str> {
    line.split_once('=').map(|(key, _)| key.trim())
}

/// Reads "unknown field `a`, expected one of `b`, `c`" and gives `a` with the most similar of the
/// rest.
fn nearest_key(message: &str) -> Option<(&str, &str)> {
    let rest = message.strip_prefix("unknown field `")?;
    let mut names = rest.split('`').step_by(2);
    let unknown = names.next()?;
    let similarity = |name: &str| strsim::jaro_winkler(unknown, name);
    let nearest = names
        .filter(|name| !name.is_empty())
        .max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    nearest.map(|known| (unknown, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only its shape matters")]
    struct Example {
        listen: String,
        cohort: u32,
    }

    #[test]
    fn errors_name_file_line_and_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("coordinator.toml");
        // HOSTILE 84, 89.
        for (text, expected) in [
            (
                "listen = 'x'\ncohrt = 5",
                "coordinator.toml: line 2: unknown key 'cohrt'; did you mean 'cohort'?",
            ),
            (
                "listen = 'x'\ncohort = 'many'",
                "line 2: cohort: invalid type",
            ),
            ("listen = 'x'", "missing field `cohort`"),
            ("listen = 'x'\nlisten = 'y'", "duplicate key"),
            ("", "missing field"),
            ("[[[", "line 1"),
            ("'a\tb' = 5", "unknown key 'a b'"),
            ("\"a\\rb\" = 5", "unknown key 'a b'"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = read::<Example>(&path).unwrap_err().to_string();
            assert!(
                error.contains(expected) && !error.contains(char::is_control),
                "{text:?} gave {error:?}"
            );
        }
        std::fs::write(&path, [0xff, 0xfe, 0]).unwrap();
        assert!(
            read::<Example>(&path)
                .unwrap_err()
                .to_string()
                .contains("cannot be read")
        );
    }
}
