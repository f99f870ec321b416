//! Reads times: numbers since 1970, whose unit follows from their range, and ISO 8601.
//!
//! | a number from 0 to | is | which ends in the year |
//! |---|---|---|
//! | 4,102,444,800 | seconds | 2100 |
//! | a thousand times that | milliseconds | 2100 |
//! | a million times that | microseconds | 2100 |
//! | a thousand million times that | nanoseconds | 2100 |
//!
//! One file has one unit: a second one is refused, because half of the order would be wrong.

use tacit_types::Timestamp;

use crate::error::{Fault, shown};

/// 1 January 2100, in seconds since 1970.
const YEAR_2100: u64 = 4_102_444_800;
const DAY_MS: u64 = 24 * 3600 * 1000;

/// How times are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
    Iso,
}

impl Unit {
    /// In the order of their size, each a thousandth of the one before.
    const NUMBERS: [Self; 4] = [
        Self::Seconds,
        Self::Milliseconds,
        Self::Microseconds,
        Self::Nanoseconds,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "seconds since 1970",
            Self::Milliseconds => "milliseconds since 1970",
            Self::Microseconds => "microseconds since 1970",
            Self::Nanoseconds => "nanoseconds since 1970",
            Self::Iso => "ISO 8601",
        }
    }
}

/// Reads the times of one file and remembers what they were.
#[derive(Debug, Default)]
pub(crate) struct Times {
    unit: Option<Unit>,
    /// Earliest and latest, in milliseconds since 1970.
    range: Option<(u64, u64)>,
}

impl Times {
    /// Reads one time.
    pub(crate) fn read(&mut self, text: &str) -> Result<Timestamp, Fault> {
        if let Some((seconds, (first, last))) = self.usual(text) {
            let ms = seconds * 1000;
            self.range = Some((first.min(ms), last.max(ms)));
            return Ok(Timestamp(ms));
        }
        let (unit, ms) = match number(text) {
            Some(number) => in_unit(text, number)?,
            None => (Unit::Iso, iso(text).ok_or_else(|| no_time(text))?),
        };
        match self.unit {
            // Zero is the same moment in every unit.
            Some(known) if known != unit && ms > 0 => return Err(mixed(text, unit, known)),
            None if ms > 0 => self.unit = Some(unit),
            _ => {}
        }
        let (first, last) = self.range.unwrap_or((ms, ms));
        self.range = Some((first.min(ms), last.max(ms)));
        Ok(Timestamp(ms))
    }

    /// Whole seconds in a file of seconds, which most times are; and the range so far.
    fn usual(&self, text: &str) -> Option<(u64, (u64, u64))> {
        let (range, Unit::Seconds) = (self.range?, self.unit?) else {
            return None;
        };
        // `parse` would take a plus sign.
        let seconds: u64 = text.parse().ok().filter(|_| !text.starts_with('+'))?;
        (seconds < YEAR_2100).then_some((seconds, range))
    }

    /// How times are written, and from which day to which; `None` where there are none.
    pub(crate) fn summary(&self) -> Option<String> {
        let (first, last) = self.range?;
        let unit = self.unit.unwrap_or(Unit::Seconds).as_str();
        Some(format!("{unit}, {} to {}", day(first), day(last)))
    }
}

/// A number that is not negative, exact where it is whole.
fn number(text: &str) -> Option<Number> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        // Digits alone that overflow are later than the year 2100 in any unit.
        return Some(Number::Whole(text.parse().unwrap_or(u64::MAX)));
    }
    // `parse` also takes words: inf, nan.
    let numeric = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    let value: f64 = text
        .bytes()
        .all(numeric)
        .then(|| text.parse().ok())??;
    Some(Number::Real(value))
}

#[derive(Clone, Copy)]
enum Number {
    Whole(u64),
    Real(f64),
}

/// The unit in which this number is before 2100, and the number in milliseconds.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "between 0 and the year 2100"
)]
fn in_unit(text: &str, number: Number) -> Result<(Unit, u64), Fault> {
    let value = match number {
        Number::Whole(value) => value as f64,
        Number::Real(value) if value >= 0.0 => value,
        Number::Real(_) => {
            let problem = format!("timestamp {} is before 1970", shown(text));
            return Err(Fault::new(problem, "remove the line, or leave it empty"));
        }
    };
    let mut end = YEAR_2100 as f64;
    let mut per_ms = 0.001;
    for unit in Unit::NUMBERS {
        if value < end {
            let ms = match (unit, number) {
                (Unit::Seconds, Number::Whole(seconds)) => seconds * 1000,
                (Unit::Milliseconds, Number::Whole(ms)) => ms,
                _ => (value / per_ms).round() as u64,
            };
            return Ok((unit, ms));
        }
        end *= 1000.0;
        per_ms *= 1000.0;
    }
    let problem = format!("timestamp {} is after the year 2100", shown(text));
    Err(Fault::new(
        problem,
        "give seconds, milliseconds, microseconds or nanoseconds since 1970, or leave it empty",
    ))
}

fn mixed(text: &str, unit: Unit, known: Unit) -> Fault {
    Fault::new(
        format!(
            "timestamp {} is read as {}, the ones above it as {}",
            shown(text),
            unit.as_str(),
            known.as_str()
        ),
        "give all times of a file in one unit",
    )
}

fn no_time(text: &str) -> Fault {
    Fault::new(
        format!("timestamp {} is no time", shown(text)),
        "give a number of seconds since 1970, or ISO 8601 as in 2024-05-17T09:30:00Z, or leave it \
         empty",
    )
}

/// Milliseconds since 1970 of `2024-05-17`, or of a date with `T` or a blank and a time of day,
/// which may have a fraction and a zone; UTC without one. `None` for anything else.
fn iso(text: &str) -> Option<u64> {
    let (date, clock) = text.split_at_checked(10)?;
    let mut parts = date.split('-');
    let mut next = |digits: usize| fixed(parts.next()?, digits);
    let (year, month, day) = (next(4)?, next(2)?, next(2)?);
    let days = days_since_1970(year, month, day)?;
    let day_start = i64::try_from(days * DAY_MS).ok()?;
    let Some(clock) = clock.strip_prefix(['T', 't', ' ']) else {
        return clock.is_empty().then_some(days * DAY_MS);
    };
    let zone_at = clock.find(['Z', 'z', '+', '-']).unwrap_or(clock.len());
    let (clock, zone) = clock.split_at_checked(zone_at)?;
    let in_day = i64::try_from(time_of_day(clock.trim_end())?).ok()?;
    u64::try_from(day_start + in_day - zone_ms(zone)?).ok()
}

/// Milliseconds since midnight of `09:30`, `09:30:00` or `09:30:00.125`.
fn time_of_day(clock: &str) -> Option<u64> {
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.split(':');
    let hours = fixed(parts.next()?, 2).filter(|hours| *hours < 24)?;
    let minutes = fixed(parts.next()?, 2).filter(|minutes| *minutes < 60)?;
    // 60 is a leap second.
    let seconds = fixed(parts.next().unwrap_or("00"), 2).filter(|seconds| *seconds <= 60)?;
    if parts.next().is_some() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let ms = format!("{fraction:0<3}")
        .get(..3)?
        .parse::<u64>()
        .ok()?;
    Some(((hours * 60 + minutes) * 60 + seconds) * 1000 + ms)
}

/// Milliseconds that a zone is ahead of UTC: `Z`, `+02:00`, `-0530`, `+02`, or nothing.
fn zone_ms(zone: &str) -> Option<i64> {
    let (sign, digits) = match zone.split_at_checked(1) {
        None | Some(("Z" | "z", "")) => return Some(0),
        Some(("+", digits)) => (1, digits),
        Some(("-", digits)) => (-1, digits),
        Some(_) => return None,
    };
    let digits = digits.replace(':', "");
    let hours = fixed(digits.get(..2)?, 2).filter(|hours| *hours < 24)?;
    let minutes = match digits.get(2..)? {
        "" => 0,
        minutes => fixed(minutes, 2).filter(|minutes| *minutes < 60)?,
    };
    Some(sign * i64::try_from((hours * 60 + minutes) * 60_000).ok()?)
}

/// A number of exactly this many digits.
fn fixed(text: &str, digits: usize) -> Option<u64> {
    let numeric = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    numeric.then(|| text.parse().ok())?
}

/// Days from 1 January 1970 to a date of the Gregorian calendar from then to 2100.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let in_range = (1970..2100).contains(&year) && (1..=12).contains(&month);
    if !in_range || day == 0 || day > days_in(year, month) {
        return None;
    }
    let years: u64 = (1970..year)
        .map(|year| 365 + u64::from(is_leap(year)))
        .sum();
    let months: u64 = (1..month).map(|month| days_in(year, month)).sum();
    Some(years + months + day - 1)
}

/// The day of a moment, as `2024-05-17`.
fn day(ms: u64) -> String {
    let (mut days, mut year, mut month) = (ms / DAY_MS, 1970, 1);
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    while days >= days_in(year, month) {
        days -= days_in(year, month);
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<u64, String> {
        let read = Times::default().read(text);
        read.map(|at| at.0).map_err(|fault| fault.problem)
    }

    #[test]
    fn one_moment_is_read_from_every_unit() {
        for text in [
            "978824268",
            "978824268.0",
            "9.78824268e8",
            "978824268000",
            "978824268000000",
            "978824268000000000",
            "2001-01-06T23:37:48Z",
            "2001-01-06 23:37:48",
            "2001-01-07T01:37:48.000+02:00",
            "2001-01-06T18:07:48-0530",
        ] {
            assert_eq!(read(text), Ok(978_824_268_000), "{text}");
        }
        assert_eq!(read("1.25"), Ok(1250));
        assert_eq!(read("2001-01-06"), Ok(978_739_200_000));
        assert_eq!(read("2000-02-29T09:30"), Ok(951_816_600_000));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in [
            "",
            "-",
            "-1",
            "now",
            "nan",
            "inf",
            "2001-02-29",
            "2001-13-01",
            "2001-01-01T24:00",
            "2001-01-01T09",
            "2001-01-01x",
            "1969-12-31",
            "01/02/2001",
            "9223372036854775808",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn two_units_in_one_file_are_refused() {
        let mut times = Times::default();
        times.read("0").unwrap();
        times.read("978824268000").unwrap();
        let fault = times.read("978824268").unwrap_err();
        assert!(
            fault.problem.contains("seconds") && fault.problem.contains("milliseconds"),
            "{}",
            fault.problem
        );
        times.read("0").unwrap();
        assert_eq!(
            times.summary().as_deref(),
            Some("milliseconds since 1970, 1970-01-01 to 2001-01-06")
        );
    }
}
