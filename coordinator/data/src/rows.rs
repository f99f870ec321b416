//! Reads interactions, test pairs and negatives out of the records of any file.

use tacit_model::history::interaction::InteractionKind;
use tacit_types::Timestamp;

use crate::columns::{Columns, Role};
use crate::error::{DataError, Fault, shown};
use crate::field;
use crate::header::Layout;
use crate::input::Input;
use crate::reading::{Tally, columns};
use crate::table::Table;
use crate::time::Times;

/// Records of a file with a column for each role.
pub(crate) trait Records {
    /// Goes to the next record; false at the end of the file.
    fn advance(&mut self) -> Result<bool, DataError>;

    /// A field of the current record; empty when it is missing.
    fn field(&self, role: Role) -> &str;

    /// Says that the current record is wrong.
    fn fault(&self, fault: Fault) -> DataError;

    /// Says that the file ended without any record.
    fn no_records(&self) -> DataError;

    /// Which columns are read.
    fn layout(&self) -> &Layout;

    /// File, columns and separator, for people.
    fn described(&self) -> String;

    /// Fields so far that are not UTF-8 and were read as Latin-1.
    fn latin1(&self) -> u64;
}

/// The records of a separated file.
pub(crate) struct Separated<'a> {
    table: Table<'a>,
    layout: Layout,
    described: String,
}

impl<'a> Separated<'a> {
    /// Opens a file whose header, or `asked`, says what its columns are.
    pub(crate) fn open(input: Input<'a>, asked: Option<&Columns>) -> Result<Self, DataError> {
        let opened = Table::open(input, None, |fields, separator| {
            let layout = Layout::of(fields, separator, asked)?;
            let has_header = layout.has_header;
            Ok((layout, has_header))
        })?;
        let layout = opened.layout;
        let separator = opened.separator.name();
        let described = columns(&opened.table.file, &layout.read, separator, &layout.unread);
        Ok(Self {
            table: opened.table,
            layout,
            described,
        })
    }
}

impl Records for Separated<'_> {
    fn advance(&mut self) -> Result<bool, DataError> {
        self.table.advance()
    }

    fn field(&self, role: Role) -> &str {
        self.table.field(self.layout.place(role))
    }

    fn fault(&self, fault: Fault) -> DataError {
        self.table.fault(fault)
    }

    fn no_records(&self) -> DataError {
        self.table.no_records()
    }

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn described(&self) -> String {
        self.described.clone()
    }

    fn latin1(&self) -> u64 {
        self.table.latin1
    }
}

/// One interaction, checked.
pub(crate) struct Row<'a> {
    pub(crate) user: &'a str,
    pub(crate) item: &'a str,
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) value: f32,
    pub(crate) kind: InteractionKind,
}

/// What rows are read with: what one of them says about the next ones, and what is allowed.
#[derive(Debug, Default)]
pub(crate) struct RowReader {
    pub(crate) times: Times,
    pub(crate) tally: Tally,
    /// Least and largest rating, where the caller says so.
    scale: Option<[f64; 2]>,
    /// What every row is, where the file says it for all.
    pub(crate) kind: Option<InteractionKind>,
    /// Least and largest rating seen, and the largest other than 99.
    seen: Option<[f32; 3]>,
}

/// What Jester writes for "not rated".
const NOT_RATED: f32 = 99.0;

impl RowReader {
    /// Refuses ratings outside `scale`, where there is one.
    pub(crate) fn with_scale(scale: Option<[f64; 2]>) -> Self {
        Self {
            scale,
            ..Self::default()
        }
    }

    /// The scale of the ratings: the caller's, or from the least to the largest that were seen;
    /// `None` without ratings.
    pub(crate) fn scale(&self) -> Option<[f64; 2]> {
        let decimal = |stars: f32| (f64::from(stars) * 1000.0).round() / 1000.0;
        let seen = || {
            self.seen
                .map(|[low, high, _]| [decimal(low), decimal(high)])
        };
        self.scale.or_else(seen)
    }

    /// Refuses ratings of 99 among small ones, which are no ratings in the files that have them.
    pub(crate) fn check_not_rated(&self) -> Result<(), Fault> {
        let Some([low, high, other]) = self.seen.filter(|_| self.scale.is_none()) else {
            return Ok(());
        };
        if high != NOT_RATED || low == NOT_RATED || other > 20.0 {
            return Ok(());
        }
        Err(Fault::new(
            format!("the ratings are from {low} to {other}, but some are 99, as if not rated"),
            "remove the lines with 99, or give the scale of the ratings with --scale",
        ))
    }

    fn note_rating(&mut self, stars: f32) {
        let other = if stars == NOT_RATED { f32::MIN } else { stars };
        let [low, high, before] = self.seen.unwrap_or([stars, stars, other]);
        self.seen = Some([low.min(stars), high.max(stars), before.max(other)]);
    }

    /// Reads user and item of the current record.
    pub(crate) fn pair<'a>(
        &mut self,
        records: &'a dyn Records,
    ) -> Result<(&'a str, &'a str), Fault> {
        let user = key("user", records.field(Role::User), &mut self.tally)?;
        let item = key("item", records.field(Role::Item), &mut self.tally)?;
        Ok((user, item))
    }

    /// Reads the current record.
    pub(crate) fn row<'a>(&mut self, records: &'a dyn Records) -> Result<Row<'a>, Fault> {
        let (user, item) = self.pair(records)?;
        let optional =
            |role| Some(records.field(role).trim_ascii()).filter(|text| !text.is_empty());
        let timestamp = optional(Role::Time).map(|text| self.times.read(text));
        let timestamp = timestamp.transpose()?;
        let value = optional(Role::Value).map(field::value).transpose()?;
        let kind = match self.kind {
            Some(kind) => Some(kind),
            None => optional(Role::Type).map(field::kind).transpose()?,
        };
        let layout = records.layout();
        let (kind, value) = self.meaning(kind, value, layout)?;
        Ok(Row {
            user,
            item,
            timestamp,
            value,
            kind,
        })
    }

    /// What kind and value say together.
    fn meaning(
        &mut self,
        kind: Option<InteractionKind>,
        value: Option<f32>,
        layout: &Layout,
    ) -> Result<(InteractionKind, f32), Fault> {
        let otherwise = if layout.counts {
            InteractionKind::View
        } else {
            InteractionKind::Rating
        };
        let value = match value {
            Some(0.0) if layout.zero_is_a_use => {
                self.tally.zeros += 1;
                None
            }
            value => value,
        };
        match (kind.unwrap_or(otherwise), value) {
            // A rating whose stars are unknown tells that the item was used, and no more.
            (InteractionKind::Rating, None) => Ok((InteractionKind::View, 1.0)),
            (InteractionKind::Rating, Some(stars)) => {
                self.check_scale(stars)?;
                self.note_rating(stars);
                Ok((InteractionKind::Rating, stars))
            }
            (kind, None) => Ok((kind, 1.0)),
            (kind, Some(count)) if count > 0.0 => Ok((kind, count)),
            (kind, Some(count)) => Err(Fault::new(
                format!("value '{count}' of a {} is not above 0", kind.as_str()),
                "a count or a duration is above 0: remove the line, or leave the value empty",
            )),
        }
    }

    #[allow(clippy::cast_possible_truncation, reason = "values are stored so, too")]
    fn check_scale(&self, stars: f32) -> Result<(), Fault> {
        let Some([low, high]) = self.scale else {
            return Ok(());
        };
        if (low as f32..=high as f32).contains(&stars) {
            return Ok(());
        }
        Err(Fault::new(
            format!("rating '{stars}' is outside the scale from {low} to {high}"),
            "remove the line, or give the scale of the ratings with --scale",
        ))
    }
}

/// Reads an identifier; `12.0` is `12`.
pub(crate) fn key<'a>(name: &str, text: &'a str, tally: &mut Tally) -> Result<&'a str, Fault> {
    let key = field::key(name, text)?;
    let Some(whole) = field::without_point_zero(key) else {
        return Ok(key);
    };
    tally.floats += 1;
    Ok(whole)
}

/// Says that a number of a MovieLens or device file is none.
pub(crate) fn number(name: &str, text: &str) -> Result<u32, Fault> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .ok_or_else(|| {
            let problem = format!(
                "{name} {} is not a whole number from 0 to {}",
                shown(text),
                u32::MAX
            );
            Fault::new(problem, "remove the line or correct it")
        })
}
