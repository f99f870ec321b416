//! What the SDK tells, in words for the person who owns the device.

use tacit_sdk::model::InteractionKind;
use tacit_sdk::round::device::Status;
use tacit_sdk::types::Timestamp;
use tacit_sdk::{Missing, Outcome, Stepped};

/// What was done, as in "you liked it".
pub(crate) fn did(kind: InteractionKind) -> &'static str {
    match kind {
        InteractionKind::View => "saw",
        InteractionKind::Click | InteractionKind::Search => "opened",
        InteractionKind::Dwell => "stayed with",
        InteractionKind::Cart => "put aside",
        InteractionKind::Purchase => "bought",
        InteractionKind::Rating => "rated",
        InteractionKind::Like => "liked",
        InteractionKind::Dislike => "disliked",
        InteractionKind::Hide => "hid",
    }
}

/// What became of a release.
pub(crate) fn became(status: Status) -> &'static str {
    match status {
        Status::Reserved => "being made",
        Status::Spooled => "waits to be sent",
        Status::Acknowledged => "sent and counted",
        Status::Forfeited => "counted in no sum",
    }
}

/// What a step did.
pub(crate) fn stepped(stepped: &Stepped) -> String {
    let seconds = stepped.call_again.as_secs();
    let said = match &stepped.outcome {
        Outcome::Contributed => "took part in a round".into(),
        Outcome::Prepared => "a contribution is ready; it is sent at its time".into(),
        Outcome::Missed => "a round ended without what was spent on it".into(),
        Outcome::NewModel => "there is a new model".into(),
        Outcome::NotSelected => "a round is open, without this device".into(),
        Outcome::NothingOpen => "nothing to do".into(),
        Outcome::Retired => "the task is over; its last model stays".into(),
        Outcome::NotNow(missing) => format!("not now: {}", lacks(*missing)),
        Outcome::TryLater(reason) => format!("{reason}; again in {seconds} s"),
        Outcome::ClockWrong { .. } => "this device's clock is wrong".into(),
        Outcome::BudgetUsed { .. } => "what may be spent is spent".into(),
        Outcome::Declined(why) => format!("declined, nothing was spent: {why}"),
        Outcome::NeedsEnrolment(why) => format!("{why}; type: enrol TOKEN"),
        Outcome::Cancelled => "stopped".into(),
        other => format!("{other:?}"),
    };
    let (up, down) = (stepped.bytes_up, stepped.bytes_down);
    format!("  {said}\n  {up} bytes of a contribution sent, {down} bytes fetched\n")
}

fn lacks(missing: Missing) -> &'static str {
    match missing {
        Missing::Consent => "you have not allowed it; type: consent receive",
        Missing::Network => "the network costs money",
        Missing::Charger => "not charging",
        Missing::Idleness => "somebody uses the device",
        Missing::Turn => "another step runs",
    }
}

/// A moment to the hour, UTC.
pub(crate) fn date(at: Timestamp) -> String {
    let hours = at.0 / 3_600_000;
    let (year, month, day) = civil(hours / 24);
    let hour = hours % 24;
    format!("{year}-{month:02}-{day:02} {hour:02}:00")
}

/// Year, month and day of a count of days since 1970 (Howard Hinnant, "chrono-compatible low-level
/// date algorithms", `civil_from_days`).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let leaps = day_of_era / 1460 + day_of_era / 146_096;
    let year_of_era = (day_of_era + day_of_era / 36_524 - leaps) / 365;
    let before = 365 * year_of_era + year_of_era / 4 - year_of_era / 100;
    let day_of_year = day_of_era - before;
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}
