//! Numbers and hours as people read them. What bounds a loss is rounded up.

use tacit_types::Kind;
use tacit_types::shown::Shown;

/// Rounds a positive number up to `digits` significant digits.
pub(crate) fn round_up(value: f64, digits: i32) -> String {
    if !value.is_finite() {
        return "no finite bound".into();
    }
    if value <= 0.0 {
        return "0".into();
    }
    let decimals = (digits - 1 - exponent(value)).max(0);
    let scale = 10f64.powi(decimals);
    let places = usize::try_from(decimals).unwrap_or(0);
    format!(
        "{:.places$}",
        (value * scale * (1.0 - 1e-14)).ceil() / scale
    )
}

/// Rounds a positive number down to `digits` significant digits, for what bounds from below.
pub(crate) fn round_down(value: f64, digits: i32) -> String {
    if !value.is_finite() || value <= 0.0 {
        return "0".into();
    }
    let decimals = (digits - 1 - exponent(value)).max(0);
    let scale = 10f64.powi(decimals);
    let places = usize::try_from(decimals).unwrap_or(0);
    format!("{:.places$}", (value * scale).floor() / scale)
}

/// Rounds to the nearest number of `digits` significant digits, for what bounds nothing.
pub(crate) fn nearest(value: f64, digits: i32) -> String {
    if !value.is_finite() || value == 0.0 {
        return value.to_string();
    }
    let places = usize::try_from(digits - 1 - exponent(value)).unwrap_or(0);
    format!("{value:.places$}")
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the exponent of a finite double is between -324 and 308"
)]
fn exponent(value: f64) -> i32 {
    value.abs().log10().floor() as i32
}

/// A small number rounded up to two digits: `3.2e-20`.
pub(crate) fn scientific_up(value: f64) -> String {
    // Half of the last digit turns rounding to the nearest into rounding up.
    if value <= 0.0 {
        "0".into()
    } else {
        format!("{:.1e}", value + 0.05 * 10f64.powi(exponent(value)))
    }
}

/// Groups the digits of a whole number by thin spaces.
pub(crate) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{2009}');
        }
        out.push(digit);
    }
    out
}

/// An hour since the Unix epoch as a date and hour in UTC (days to civil date: Howard Hinnant's
/// algorithm).
pub(crate) fn hour(bucket: u64) -> String {
    if bucket > 80_000_000 {
        return format!("hour {bucket} since 1970");
    }
    let days = bucket / 24 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:00 UTC", bucket % 24)
}

/// The first `count` characters of a text that somebody else wrote, fit for a page or a terminal.
pub(crate) fn shortened(text: &str, count: usize) -> String {
    match text.char_indices().nth(count) {
        Some((end, _)) => format!("{}…", Shown(&text[..end])),
        None => Shown(text).to_string(),
    }
}

/// The title of the release kind a ledger calls `word`.
pub(crate) fn kind(word: &str) -> String {
    Kind::parse(word).map_or_else(
        || format!("Unknown kind: {}", shortened(word, 40)),
        |kind| kind.title().to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_round_up_and_never_down() {
        assert_eq!(round_up(1.23401, 4), "1.235");
        assert_eq!(round_up(7.8, 4), "7.800");
        assert_eq!(round_up(0.000_123_41, 4), "0.0001235");
        assert_eq!(round_up(123_456.7, 4), "123457");
        assert_eq!(round_up(0.0, 4), "0");
        assert_eq!(round_up(f64::INFINITY, 4), "no finite bound");
        assert_eq!(
            [
                scientific_up(3.11e-20),
                scientific_up(9.99e-3),
                scientific_up(0.0)
            ],
            ["3.2e-20", "1.0e-2", "0"]
        );
    }

    #[test]
    fn hours_are_dates() {
        assert_eq!(hour(0), "1970-01-01 00:00 UTC");
        assert_eq!(hour(498_815), "2026-11-26 23:00 UTC");
        assert_eq!(hour(24 * 11_016 + 5), "2000-02-29 05:00 UTC");
        assert_eq!(hour(u64::MAX), "hour 18446744073709551615 since 1970");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shortened("grün", 3), "grü…");
        assert_eq!(shortened("grün", 4), "grün");
        assert_eq!(grouped(4_194_304), "4\u{2009}194\u{2009}304");
    }
}
