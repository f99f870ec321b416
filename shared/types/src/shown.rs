//! Texts of others, made fit for a terminal, a log or a page: no character in them moves a cursor,
//! changes a colour, begins a line or turns the order in which a reader sees the rest.

use std::fmt::{self, Write};

/// A text that prints with every control character, bidirectional ones included, as `\u{..}`.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match is_control(c) {
            true => write!(f, "{}", c.escape_unicode()),
            false => f.write_char(c),
        })
    }
}

/// JSON that is valid already, with what serialisers leave raw inside strings escaped too.
pub fn shown_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        // Line feeds between fields are the serialiser's; those in strings are escaped already.
        if c > '\u{7e}' && is_control(c) {
            // All of them are below 2^16, so one unit of UTF-16 is enough.
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// C0, DEL and C1; marks, embeddings, overrides and isolates of direction; separators of lines.
pub fn is_control(c: char) -> bool {
    let turns = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "\0\u{1b}[2J\u{7f}\u{9b}\u{61c}\u{200e}\u{200f}\u{202a}\u{202e}\
                           \u{2066}\u{2069}\u{2028}\r\n";

    #[test]
    fn nothing_that_moves_a_cursor_or_turns_a_text_is_left() {
        let shown = Shown(HOSTILE).to_string();
        assert!(shown.starts_with("\\u{0}\\u{1b}[2J\\u{7f}\\u{9b}\\u{61c}"));
        assert!(!shown.contains(is_control), "{shown:?}");
        let plain = "Amélie \u{2013} 映画 \\ 'quoted' \u{200d}";
        assert_eq!(Shown(plain).to_string(), plain);
    }

    #[test]
    fn json_means_the_same_and_holds_no_control_character() {
        let json = "{\n  \"a\": \"\\u001b \u{7f}\u{9b}\u{202e}é\"\n}";
        let shown = "{\n  \"a\": \"\\u001b \\u007f\\u009b\\u202eé\"\n}";
        assert_eq!(shown_json(json), shown);
    }
}
