//! Reads one field: identifiers, numbers and words, each with the sentence that explains a refusal,
//! and text that is only shown, which is made fit and never refused.

use std::borrow::Cow;

use tacit_model::history::interaction::InteractionKind;
use tacit_types::shown::is_control;

use crate::error::{Fault, shown};

/// Longest accepted identifier in bytes.
pub(crate) const KEY_MAX: usize = 512;

/// Bytes after which a title is cut.
pub(crate) const TITLE_MAX: usize = 1024;

/// Bytes after which a category is cut: the longest a catalogue may have.
pub(crate) const CATEGORY_MAX: usize = 128;

/// Greatest accepted size of a value.
const VALUE_MAX: f64 = 1e6;

const FIX: &str = "remove the line or correct it";

/// What programs write where an identifier is missing.
const MISSING: [&str; 7] = ["nan", "NaN", "null", "NULL", "None", "<NA>", "\\N"];

/// An identifier of a user or an item: 1 to 512 bytes of text, without blanks around it.
pub(crate) fn key<'a>(name: &str, text: &'a str) -> Result<&'a str, Fault> {
    let text = text.trim();
    let bytes = text.as_bytes();
    let refuse = |problem: String, fix: &str| Err(Fault::new(problem, fix));
    if bytes.is_empty() {
        return refuse(format!("{name} is empty"), FIX);
    }
    if bytes.len() > KEY_MAX {
        let len = bytes.len();
        let problem = format!(
            "{name} {} has {len} bytes, at most {KEY_MAX} are allowed",
            shown(text)
        );
        return refuse(problem, "shorten it");
    }
    if bytes.iter().any(u8::is_ascii_control) {
        return refuse(
            format!("{name} {} contains a control character", shown(text)),
            FIX,
        );
    }
    let first = bytes.first().copied().unwrap_or_default();
    if first.is_ascii_digit() {
        return Ok(text);
    }
    if first == b'-' && bytes.len() > 1 && bytes.iter().skip(1).all(u8::is_ascii_digit) {
        return refuse(
            format!("{name} {} is a negative number", shown(text)),
            "remove the line: a number for all that are not known is not one of them",
        );
    }
    if MISSING.contains(&text) {
        return refuse(
            format!("{name} {} stands for a missing value", shown(text)),
            FIX,
        );
    }
    Ok(text)
}

/// The whole number that a program wrote as `12.0` because its column had a gap; `None` for any
/// other text.
pub(crate) fn without_point_zero(text: &str) -> Option<&str> {
    let whole = text.strip_suffix(".0")?;
    (!whole.is_empty() && whole.bytes().all(|byte| byte.is_ascii_digit())).then_some(whole)
}

/// Text that is only shown: control characters become blanks, which `replaced` counts, and what is
/// beyond `len_max` bytes is cut.
pub(crate) fn display<'a>(text: &'a str, len_max: usize, replaced: &mut u64) -> Cow<'a, str> {
    let text = text.trim();
    let mut end = text.len().min(len_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or(text);
    if !text.chars().any(is_control) {
        return text.into();
    }
    *replaced += 1;
    text.replace(is_control, " ").into()
}

/// A finite number of bounded size.
#[allow(
    clippy::cast_possible_truncation,
    reason = "bounded above; learning works in f32"
)]
pub(crate) fn value(text: &str) -> Result<f32, Fault> {
    let value: f64 = text.parse().map_err(|_| {
        let fix = if text.contains(',') {
            "write it with a point, as in 4.5"
        } else {
            FIX
        };
        Fault::new(format!("value {} is not a number", shown(text)), fix)
    })?;
    let fault = |problem: &str| Err(Fault::new(format!("value {} {problem}", shown(text)), FIX));
    if !value.is_finite() {
        return fault("is not a finite number");
    }
    if value.abs() > VALUE_MAX {
        return fault("is outside -1000000 to 1000000");
    }
    Ok(value as f32)
}

/// The word for what was done, whatever its case, in Tacit's words or a shop's.
pub(crate) fn kind(text: &str) -> Result<InteractionKind, Fault> {
    if let Some(kind) = InteractionKind::parse(text) {
        return Ok(kind);
    }
    let word = text.to_lowercase();
    let known = match word.as_str() {
        "addtocart" | "add_to_cart" | "add-to-cart" | "addcart" | "basket" => {
            Some(InteractionKind::Cart)
        }
        "transaction" | "buy" | "order" | "bought" => Some(InteractionKind::Purchase),
        "pageview" | "page_view" | "pv" | "impression" => Some(InteractionKind::View),
        word => InteractionKind::parse(word),
    };
    known.ok_or_else(|| {
        let uses = InteractionKind::ALL
            .into_iter()
            .filter(|kind| kind.is_use())
            .map(InteractionKind::as_str);
        let words = uses.collect::<Vec<_>>().join(", ");
        Fault::new(
            format!("type {} is unknown", shown(text)),
            format!(
                "use one of {words}, or leave it empty, or leave the column out with --columns"
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_or_refused() {
        assert_eq!(value("-2.5").unwrap(), -2.5);
        for bad in ["five", "NaN", "inf", "1e400", "1000001", "0x5", "5 ", "4,5"] {
            assert!(value(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn identifiers_are_trimmed_text_of_bounded_length() {
        let long = "夜".repeat(170);
        for good in ["7", "-a", "-", "a b", "ä", "9223372036854775808", &long] {
            assert_eq!(key("user", good).unwrap(), good);
        }
        assert_eq!(key("user", " 17\u{a0} ").unwrap(), "17");
        let longer = "x".repeat(513);
        for bad in ["", " ", "-3", "a\tb", "a\u{0}", "nan", "NULL", &longer] {
            assert!(key("user", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_number_that_only_looks_broken_is_told_from_a_version() {
        assert_eq!(without_point_zero("12.0"), Some("12"));
        for other in ["12", "12.5", ".0", "1.2.0", "a.0"] {
            assert_eq!(without_point_zero(other), None, "{other}");
        }
    }

    #[test]
    fn text_for_people_is_made_fit_and_counted() {
        let mut replaced = 0;
        assert_eq!(display(" Heat (1995) ", 1024, &mut replaced), "Heat (1995)");
        assert_eq!(display("a\u{1b}[2J", 1024, &mut replaced), "a [2J");
        assert_eq!(display("夜夜", 4, &mut replaced), "夜");
        assert_eq!(replaced, 1);
    }

    #[test]
    fn words_of_shops_are_known_in_any_case() {
        for (word, expected) in [
            ("VIEW", InteractionKind::View),
            ("addtocart", InteractionKind::Cart),
            ("transaction", InteractionKind::Purchase),
        ] {
            assert_eq!(kind(word).unwrap(), expected);
        }
        assert!(kind("lend").is_err());
    }
}
