//! Reads the first line of a file: the separator, and which column is what.

use csv::{ByteRecord, ReaderBuilder};

use crate::columns::{Columns, Role, plain};
use crate::error::{Fault, printable, shown};

/// What parts two fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Separator {
    /// One byte.
    Byte(u8),
    /// The same byte twice: `::`, or two tabs.
    Twice(u8),
}

impl Separator {
    /// Those that are looked for, the least likely to be part of a field first.
    const KNOWN: [Self; 6] = [
        Self::Twice(b':'),
        Self::Twice(b'\t'),
        Self::Byte(b'\t'),
        Self::Byte(b';'),
        Self::Byte(b','),
        Self::Byte(b'|'),
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Byte(b'\t') => "tabs",
            Self::Byte(b';') => "semicolons",
            Self::Byte(b',') => "commas",
            Self::Twice(b':') => "'::'",
            Self::Twice(_) => "double tabs",
            Self::Byte(_) => "bars",
        }
    }

    /// Whether fields may be in quotes. Programs that part fields by tabs or bars write quotes as
    /// they are, and one that opens a field would swallow the lines after it.
    pub(crate) fn has_quotes(self) -> bool {
        matches!(self, Self::Byte(b',' | b';'))
    }

    /// The fields of one line.
    pub(crate) fn split(self, line: &[u8]) -> Vec<String> {
        let text = |field: &[u8]| String::from_utf8_lossy(field).trim().to_owned();
        match self {
            Self::Byte(byte) => {
                let mut reader = ReaderBuilder::new();
                let reader = reader
                    .has_headers(false)
                    .delimiter(byte)
                    .quoting(self.has_quotes());
                let mut record = ByteRecord::new();
                // Reading from memory cannot fail, and any bytes are some record.
                let _ = reader.from_reader(line).read_byte_record(&mut record);
                record.iter().map(text).collect()
            }
            Self::Twice(byte) => {
                let line = String::from_utf8_lossy(line);
                let pair = [byte, byte].map(char::from).iter().collect::<String>();
                line.split(&pair)
                    .map(|field| field.trim().to_owned())
                    .collect()
            }
        }
    }

    /// The separator with which most columns are known, and of those the one with most columns.
    pub(crate) fn detect(line: &[u8]) -> Self {
        let score = |separator: &Self| {
            let fields = separator.split(line);
            let known = fields
                .iter()
                .filter(|field| role_of(field).is_some())
                .count();
            // Empty fields say nothing: two tabs part as many fields as one.
            let filled = fields.iter().filter(|field| !field.is_empty()).count();
            (known, filled)
        };
        let mut best = (Self::Byte(b','), (0, 0));
        for separator in Self::KNOWN {
            let found = score(&separator);
            // A separator that parts nothing is no separator.
            if found > best.1 && found.1 > 1 {
                best = (separator, found);
            }
        }
        best.0
    }
}

fn role_of(field: &str) -> Option<Role> {
    let name = plain(field);
    Role::ALL
        .into_iter()
        .find(|role| role.names().contains(&name.as_str()))
}

/// Where each column of a file is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    places: [Option<usize>; 5],
    /// The columns that are read, by name or by place.
    pub(crate) read: String,
    /// Names of the columns that are not read.
    pub(crate) unread: Vec<String>,
    pub(crate) has_header: bool,
    /// Whether the values are counts of uses where no column says otherwise.
    pub(crate) counts: bool,
    /// Whether a value of 0 stands for a use without a rating, as Book-Crossing has it.
    pub(crate) zero_is_a_use: bool,
}

impl Layout {
    /// Place of a column.
    pub(crate) fn place(&self, role: Role) -> Option<usize> {
        self.places.get(role as usize).copied().flatten()
    }

    /// Reads a header, or finds out that there is none.
    ///
    /// # Errors
    /// [`Fault`], which tells all that is wrong with the header, and the `--columns` that would
    /// read it.
    pub(crate) fn of(
        fields: &[String],
        separator: Separator,
        asked: Option<&Columns>,
    ) -> Result<Self, Fault> {
        if let Some(asked) = asked {
            return Self::asked(fields, separator, asked);
        }
        if let Some(columns) = without_header(fields, separator) {
            return Self::asked(fields, separator, &columns);
        }
        let mut faults = Faults::default();
        let mut places = [None; 5];
        for (role, place) in Role::ALL.into_iter().zip(&mut places) {
            *place = faults.find(role, fields);
        }
        if faults.problems.is_empty() {
            return Ok(Self::new(fields, places, true));
        }
        Err(faults.told(fields, separator, &places))
    }

    fn new(fields: &[String], places: [Option<usize>; 5], has_header: bool) -> Self {
        let name = |place: Option<usize>| {
            Some(match (has_header, place?) {
                (true, place) => fields.get(place)?.clone(),
                (false, place) => (place + 1).to_string(),
            })
        };
        let unread = |(place, field): (usize, &String)| {
            let named = has_header && !field.is_empty() && !places.contains(&Some(place));
            named.then(|| field.clone())
        };
        let value = places.get(Role::Value as usize).copied().flatten();
        let value = value
            .and_then(|place| fields.get(place))
            .map(|name| plain(name));
        let counts = [
            "weight",
            "count",
            "plays",
            "playcount",
            "listens",
            "quantity",
        ];
        Self {
            places,
            read: Columns::from_names(places.map(name)).to_string(),
            unread: fields.iter().enumerate().filter_map(unread).collect(),
            has_header,
            counts: has_header
                && value
                    .as_deref()
                    .is_some_and(|name| counts.contains(&name)),
            zero_is_a_use: has_header && value.as_deref() == Some("bookrating"),
        }
    }

    /// The caller's columns: each by its place where that is a number, or else by its name.
    fn asked(fields: &[String], separator: Separator, asked: &Columns) -> Result<Self, Fault> {
        let by_place = |name: &str| {
            let place: usize = name.parse().ok()?;
            (1..=fields.len()).contains(&place).then(|| place - 1)
        };
        let by_name = |name: &str| {
            let named = |field: &String| field.eq_ignore_ascii_case(name);
            fields.iter().position(named)
        };
        let mut places = [None; 5];
        let mut has_header = fields.iter().any(|field| role_of(field).is_some());
        for (role, place) in Role::ALL.into_iter().zip(&mut places) {
            let Some(name) = asked.of(role) else { continue };
            *place = by_place(name);
            if place.is_none() {
                *place = by_name(name);
                has_header = true;
            }
            if place.is_none() {
                let problem = format!("there is no column {} for {}", shown(name), role.word());
                let (separator, fields) = (separator.name(), list(fields));
                let fix = format!("the columns, parted by {separator}, are {fields}");
                return Err(Fault::new(problem, fix));
            }
        }
        Ok(Self::new(fields, places, has_header))
    }
}

/// The columns of the two files that are published without a header: MovieLens, whose lines are
/// four numbers parted by tabs or `::`, and Jester, three parted by two tabs.
fn without_header(fields: &[String], separator: Separator) -> Option<Columns> {
    let number = |field: &String| field.parse::<f64>().is_ok();
    let columns = match (separator, fields.len()) {
        (Separator::Byte(b'\t') | Separator::Twice(b':'), 4) => "user=1,item=2,value=3,time=4",
        (Separator::Twice(b'\t'), 3) => "user=1,item=2,value=3",
        _ => return None,
    };
    fields
        .iter()
        .all(number)
        .then(|| columns.parse().ok())?
}

/// All that is wrong with a header.
#[derive(Default)]
struct Faults {
    problems: Vec<String>,
}

impl Faults {
    /// The place of a role's column, noting what is wrong with it.
    fn find(&mut self, role: Role, fields: &[String]) -> Option<usize> {
        let plain: Vec<String> = fields.iter().map(|field| plain(field)).collect();
        let place = |name: &&str| plain.iter().position(|field| field == name);
        let found = role
            .names()
            .iter()
            .find_map(|name| Some((*name, place(name)?)));
        let Some((name, place)) = found else {
            self.missing(role, fields, &plain);
            return None;
        };
        if plain.iter().filter(|field| *field == name).count() > 1 {
            self.problems
                .push(format!("column '{name}' occurs twice"));
        }
        Some(place)
    }

    fn missing(&mut self, role: Role, fields: &[String], plain: &[String]) {
        let near = nearest(role, plain).and_then(|place| fields.get(place));
        let needed = matches!(role, Role::User | Role::Item);
        match near {
            Some(near) => {
                let word = role.word();
                self.problems
                    .push(format!("column {} is near '{word}'", shown(near)));
            }
            None if needed => self
                .problems
                .push(format!("no column is known as {}", role.word())),
            None => {}
        }
    }

    /// One sentence on all of it, and the `--columns` that would read the file.
    fn told(self, fields: &[String], separator: Separator, places: &[Option<usize>; 5]) -> Fault {
        // Words such as `rating` stand in rows, too; names of users' and items' columns do not.
        let needed = |field: &String| matches!(role_of(field), Some(Role::User | Role::Item));
        let number = |field: &String| field.parse::<f64>().is_ok();
        let no_header = !fields.iter().any(needed) && fields.iter().any(number);
        let problem = if no_header {
            format!("there is no header, the file starts with {}", list(fields))
        } else {
            let columns = list(fields);
            format!(
                "{} (columns, parted by {}: {columns})",
                self.problems.join(", "),
                separator.name()
            )
        };
        let columns = suggestion(fields, places, !no_header);
        let fix = if no_header {
            "add a header, or name the columns"
        } else {
            "name the columns"
        };
        let columns = printable(&columns.to_string(), 160);
        Fault::new(problem, format!("{fix} as in --columns {columns}"))
    }
}

/// A column that was probably meant to be this one: `usr`, `users` or `timestmp`.
fn nearest(role: Role, plain: &[String]) -> Option<usize> {
    let near = |field: &String| {
        let free = !Role::ALL
            .iter()
            .any(|role| role.names().contains(&field.as_str()));
        let close = |name: &&str| name.len() >= 4 && strsim::levenshtein(name, field) == 1;
        free && role.names().iter().any(close)
    };
    plain.iter().position(near)
}

/// A guess at `--columns` for the caller to correct: what is known, what is near, and then the
/// columns in their order.
fn suggestion(fields: &[String], places: &[Option<usize>; 5], has_header: bool) -> Columns {
    let plain: Vec<String> = fields.iter().map(|field| plain(field)).collect();
    let mut chosen = [None; 5];
    // Words of a row that look like a name of a column say nothing about it.
    if has_header {
        chosen = *places;
        for (role, place) in Role::ALL.into_iter().zip(&mut chosen) {
            *place = place.or_else(|| nearest(role, &plain));
        }
    }
    // Type is not guessed: a column of other words would be refused next.
    for at in [Role::User, Role::Item, Role::Value, Role::Time].map(|role| role as usize) {
        let free = (0..fields.len()).find(|place| {
            let named = fields
                .get(*place)
                .is_some_and(|field| !field.is_empty());
            named && !chosen.contains(&Some(*place))
        });
        let needed = at <= Role::Item as usize || !has_header;
        if let Some(place) = chosen
            .get_mut(at)
            .filter(|place| place.is_none() && needed)
        {
            *place = free;
        }
    }
    let name = |(at, place): (usize, Option<usize>)| {
        let word = Role::ALL.get(at).map_or("NAME", |role| role.word());
        match place {
            Some(place) if has_header => fields.get(place).cloned(),
            Some(place) => Some((place + 1).to_string()),
            None => (at <= Role::Item as usize).then(|| word.to_uppercase()),
        }
    };
    let mut names: [Option<String>; 5] = Default::default();
    for (at, slot) in names.iter_mut().enumerate() {
        *slot = name((at, chosen.get(at).copied().flatten()));
    }
    Columns::from_names(names)
}

/// The fields as people read them, shortened where there are many.
fn list(fields: &[String]) -> String {
    let first = fields.iter().take(8);
    let shown_fields: Vec<String> = first.map(|field| shown(field)).collect();
    let more = if fields.len() > 8 { ", ..." } else { "" };
    shown_fields.join(", ") + more
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(line: &str) -> Result<Layout, Fault> {
        let separator = Separator::detect(line.as_bytes());
        Layout::of(&separator.split(line.as_bytes()), separator, None)
    }

    #[test]
    fn separators_are_detected() {
        for (line, separator) in [
            ("user;item;timestamp", Separator::Byte(b';')),
            ("user,item name;x,time", Separator::Byte(b',')),
            ("user_id:token\titem_id:token", Separator::Byte(b'\t')),
            ("1::1193::5::978300760", Separator::Twice(b':')),
            ("1\t\t5\t\t0.219", Separator::Twice(b'\t')),
            ("user|item", Separator::Byte(b'|')),
            ("user", Separator::Byte(b',')),
        ] {
            assert_eq!(Separator::detect(line.as_bytes()), separator, "{line}");
        }
    }

    #[test]
    fn what_is_read_and_what_is_not_is_told() {
        let layout = layout(",userId,movieId,rating,mood").unwrap();
        assert_eq!(layout.read, "user=userId,item=movieId,value=rating");
        assert_eq!(layout.unread, ["mood"]);
        assert!(layout.has_header && !layout.counts);
    }

    #[test]
    fn one_fault_tells_all_that_is_wrong_and_what_would_read_the_file() {
        let fault = layout("client;usr;stars;timestmp").unwrap_err();
        for part in [
            "near 'user'",
            "no column is known as item",
            "'timestmp' is near",
            "semicolons",
        ] {
            assert!(fault.problem.contains(part), "{}", fault.problem);
        }
        assert!(
            fault
                .fix
                .ends_with("--columns user=usr,item=client,value=stars,time=timestmp"),
            "{}",
            fault.fix
        );
        let fault = layout("A1,B2,5.0,1341100800").unwrap_err();
        assert!(
            fault.problem.starts_with("there is no header"),
            "{}",
            fault.problem
        );
        assert!(
            fault
                .fix
                .ends_with("--columns user=1,item=2,value=3,time=4"),
            "{}",
            fault.fix
        );
    }
}
