//! Reads one field: identifiers, numbers, times and words, each with the sentence that explains a
//! refusal.

use tacit_model::history::interaction::InteractionKind;
use tacit_types::Timestamp;

use crate::error::{Fault, shown};

/// Longest accepted identifier or category in bytes.
const KEY_MAX: usize = 128;

/// Longest accepted title in bytes.
const TITLE_MAX: usize = 1024;

/// 1 January 2100, in seconds since 1970.
const YEAR_2100: i64 = 4_102_444_800;

/// Greatest accepted size of a value.
const VALUE_MAX: f64 = 1e6;

const FIX: &str = "remove the line or correct it";

/// An identifier of a user or an item: 1 to 128 bytes of text.
pub(crate) fn key<'a>(name: &str, text: &'a str) -> Result<&'a str, Fault> {
    let negative = text
        .strip_prefix('-')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
    if negative {
        return Err(Fault::new(
            format!("{name} {} is a negative number", shown(text)),
            FIX,
        ));
    }
    bounded(name, text, KEY_MAX)
}

/// A title.
pub(crate) fn title(text: &str) -> Result<&str, Fault> {
    bounded("title", text, TITLE_MAX)
}

/// A category.
pub(crate) fn category(text: &str) -> Result<&str, Fault> {
    bounded("category", text, KEY_MAX)
}

fn bounded<'a>(name: &str, text: &'a str, len_max: usize) -> Result<&'a str, Fault> {
    if text.is_empty() {
        return Err(Fault::new(format!("{name} is empty"), FIX));
    }
    if text.len() > len_max {
        let problem = format!(
            "{name} {} has {} bytes, at most {len_max} are allowed",
            shown(text),
            text.len()
        );
        return Err(Fault::new(problem, "shorten it"));
    }
    if text.chars().any(char::is_control) {
        return Err(Fault::new(
            format!("{name} {} contains a control character", shown(text)),
            FIX,
        ));
    }
    Ok(text)
}

/// A MovieLens identifier: a whole number below 2^32.
pub(crate) fn number_key(name: &str, text: &str) -> Result<u32, Fault> {
    let fault = || {
        Fault::new(
            format!(
                "{name} {} is not a whole number from 0 to {}",
                shown(text),
                u32::MAX
            ),
            FIX,
        )
    };
    digits(text).ok_or_else(fault)?.parse().map_err(|_| fault())
}

/// A finite number of bounded size.
#[allow(
    clippy::cast_possible_truncation,
    reason = "bounded above; learning works in f32"
)]
pub(crate) fn value(name: &str, text: &str) -> Result<f32, Fault> {
    let value: f64 = text
        .parse()
        .map_err(|_| Fault::new(format!("{name} {} is not a number", shown(text)), FIX))?;
    if !value.is_finite() {
        return Err(Fault::new(
            format!("{name} {} is not a finite number", shown(text)),
            FIX,
        ));
    }
    if value.abs() > VALUE_MAX {
        return Err(Fault::new(
            format!("{name} {} is outside -1000000 to 1000000", shown(text)),
            FIX,
        ));
    }
    Ok(value as f32)
}

/// A time in whole seconds since 1970, up to the year 2100.
pub(crate) fn timestamp(name: &str, text: &str) -> Result<Timestamp, Fault> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    if digits(unsigned).is_none() {
        return Err(Fault::new(
            format!(
                "{name} {} is not a whole number of seconds since 1970",
                shown(text)
            ),
            FIX,
        ));
    }
    // Digits alone that overflow an i64 are later than the year 2100 by far.
    match text
        .parse()
        .unwrap_or(if unsigned == text { i64::MAX } else { i64::MIN })
    {
        ..0 => Err(Fault::new(
            format!("{name} {} is before 1970", shown(text)),
            FIX,
        )),
        seconds @ 0..YEAR_2100 => Ok(Timestamp(seconds.unsigned_abs() * 1000)),
        YEAR_2100.. => {
            let problem = format!("{name} {} is after the year 2100", shown(text));
            Err(Fault::new(
                problem,
                "give seconds since 1970, not milliseconds, or remove the line",
            ))
        }
    }
}

/// The word for what was done. Refusing a suggestion is no use of the item, so it is no row of a
/// training file.
pub(crate) fn kind(name: &str, text: &str) -> Result<InteractionKind, Fault> {
    InteractionKind::parse(text)
        .filter(|kind| kind.is_use())
        .ok_or_else(|| {
            let uses = InteractionKind::ALL
                .into_iter()
                .filter(|kind| kind.is_use())
                .map(InteractionKind::as_str);
            let words = uses.collect::<Vec<_>>().join(", ");
            Fault::new(
                format!("{name} {} is unknown", shown(text)),
                format!("use one of {words}, or leave it empty"),
            )
        })
}

/// The text if it is one or more decimal digits, which `parse` alone does not ensure (it takes a
/// plus sign).
fn digits(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_or_refused() {
        assert_eq!(number_key("item", "007").unwrap(), 7);
        for bad in [
            "",
            "-1",
            "+1",
            "1.0",
            " 1",
            "4294967296",
            "9223372036854775808",
        ] {
            assert!(number_key("item", bad).is_err(), "{bad:?}");
        }
        assert_eq!(value("value", "-2.5").unwrap(), -2.5);
        for bad in [
            "",
            "five",
            "NaN",
            "inf",
            "-infinity",
            "1e400",
            "1000001",
            "0x5",
            "5 ",
        ] {
            assert!(value("value", bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            timestamp("timestamp", "978824268").unwrap(),
            Timestamp(978_824_268_000)
        );
        for bad in [
            "",
            "-",
            "-1",
            "4102444800",
            "978824268000",
            "9223372036854775808",
            "1.5",
            "+1",
            "now",
        ] {
            assert!(timestamp("timestamp", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn identifiers_are_text_of_bounded_length() {
        for good in [
            "7",
            "-a",
            "-",
            "film, the",
            "ä",
            "9223372036854775808",
            &"x".repeat(128),
        ] {
            assert_eq!(key("user", good).unwrap(), good);
        }
        for bad in ["", "-3", "a\tb", "a\u{0}", &"x".repeat(129)] {
            assert!(key("user", bad).is_err(), "{bad:?}");
        }
    }
}
