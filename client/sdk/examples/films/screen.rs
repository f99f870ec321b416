//! How a list looks in a terminal: columns that line up, and colour only where somebody sees it.

use tacit_sdk::types::shown::Shown;

/// Columns of a title and of its topics.
const TITLE: usize = 36;
const TOPICS: usize = 22;

/// One line of a list.
pub(crate) struct Line {
    /// How it moved since the list was shown before.
    pub(crate) moved: Moved,
    pub(crate) title: String,
    pub(crate) topics: String,
    /// Why it is here, or what was done with it.
    pub(crate) note: String,
}

/// Where a line was before.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Moved {
    /// There, or nothing is known.
    Stayed,
    Up(usize),
    Down(usize),
    New,
}

/// Knows whether what is written may have colour.
#[derive(Clone, Copy)]
pub(crate) struct Screen {
    has_colour: bool,
}

impl Screen {
    pub(crate) fn new(has_colour: bool) -> Self {
        Self { has_colour }
    }

    /// A heading, and what belongs to it in a lighter tone.
    pub(crate) fn heading(self, text: &str, aside: &str) -> String {
        let (text, aside) = (self.tone("1", text), self.tone("2", aside));
        format!("\n  {text}  {aside}\n\n")
    }

    /// Numbered lines; the numbers are what commands take.
    pub(crate) fn lines(self, lines: &[Line]) -> String {
        let numbered = lines.iter().zip(1..);
        numbered
            .map(|(line, number)| self.line(line, number))
            .collect()
    }

    fn line(self, line: &Line, number: usize) -> String {
        let moved = match line.moved {
            Moved::Stayed => format!("{:<4}", ""),
            Moved::Up(by) => self.tone("32", &fit(&format!("▲{by}"), 4)),
            Moved::Down(by) => self.tone("31", &fit(&format!("▼{by}"), 4)),
            Moved::New => self.tone("36", &fit("new", 4)),
        };
        let title = self.tone("1", &fit(&line.title, TITLE));
        let topics = self.tone("2", &fit(&line.topics, TOPICS));
        let note = Shown(&line.note).to_string();
        let text = format!("  {number:>3}  {moved} {title}  {topics}  {note}");
        text.trim_end().to_owned() + "\n"
    }

    /// A bar of 30 places that is full by this share, 0 to 1.
    pub(crate) fn bar(self, share: f64) -> String {
        let places = 30_u8;
        let full = (1..=places)
            .filter(|&place| share * f64::from(places) > f64::from(place) - 0.5)
            .count();
        let rest = usize::from(places) - full;
        let full = self.tone("33", &"━".repeat(full));
        format!("{full}{}", self.tone("2", &"─".repeat(rest)))
    }

    fn tone(self, code: &str, text: &str) -> String {
        match self.has_colour {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

/// Exactly `width` characters, none of which moves the cursor.
fn fit(text: &str, width: usize) -> String {
    let text = Shown(text).to_string();
    if text.chars().count() <= width {
        return format!("{text:<width$}");
    }
    let start: String = text.chars().take(width - 1).collect();
    start + "…"
}
