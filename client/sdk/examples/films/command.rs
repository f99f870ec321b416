//! What a person may type.

use std::path::PathBuf;

use tacit_sdk::Consent;
use tacit_sdk::model::InteractionKind;

use crate::Problem;

/// What `help` prints.
pub(crate) const HELP: &str = "  \
  list                      what is recommended, and why
  find WORDS                films by title
  similar N                 films like film N of what was shown last
  see N, like N, rate N 4   what you did; the list moves at once
  dislike N, hide N         not this one again; after dislike, less like it
  why N                     all that speaks for film N, and against it
  topics, topics 2 5        what there is; what you like, before you have done anything
  mine                      what you did
  consent WORD              off, receive models, or contribute, too
  privacy                   what was spent of your privacy, offline
  enrol TOKEN               get an identity, once
  step, refresh             what the app does at night; only fetch what is published
  export FILE               all that is held of you, as JSON
  forget N, forget all      for good
  quit
";

/// One command. A number is a film's place in what was shown last, from 1.
pub(crate) enum Command {
    /// Shows the list.
    List,
    Find(String),
    Similar(usize),
    Did(InteractionKind, usize, f32),
    Why(usize),
    /// Chooses by number; `None` only shows.
    Topics(Option<Vec<u32>>),
    Mine,
    Consent(Consent),
    Privacy,
    Enrol(Vec<u8>),
    Step,
    Refresh,
    Export(PathBuf),
    Forget(usize),
    ForgetAll,
    Help,
    Nothing,
    Quit,
}

impl Command {
    pub(crate) fn parse(line: &str) -> Result<Self, Problem> {
        let line = line.trim();
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        Ok(match verb {
            "" => Self::Nothing,
            "list" => Self::List,
            "find" => Self::Find(rest.to_lowercase()),
            "similar" => Self::Similar(number(rest)?),
            "see" => Self::Did(InteractionKind::View, number(rest)?, 1.0),
            "like" => Self::Did(InteractionKind::Like, number(rest)?, 1.0),
            "dislike" => Self::Did(InteractionKind::Dislike, number(rest)?, 1.0),
            "hide" => Self::Did(InteractionKind::Hide, number(rest)?, 1.0),
            "rate" => rated(rest)?,
            "why" => Self::Why(number(rest)?),
            "topics" => topics(rest)?,
            "mine" => Self::Mine,
            "consent" => Self::Consent(consent(rest)?),
            "privacy" => Self::Privacy,
            "enrol" => Self::Enrol(token(rest)?),
            "step" => Self::Step,
            "refresh" => Self::Refresh,
            "export" if !rest.is_empty() => Self::Export(rest.into()),
            "forget" if rest == "all" => Self::ForgetAll,
            "forget" => Self::Forget(number(rest)?),
            "help" => Self::Help,
            "quit" => Self::Quit,
            _ => return Err("no such command; type: help".into()),
        })
    }
}

fn number(word: &str) -> Result<usize, Problem> {
    let number: Option<usize> = word.parse().ok();
    let number = number.filter(|&number| number > 0);
    number.ok_or_else(|| "write the number in front of a film".into())
}

/// `N STARS`.
fn rated(rest: &str) -> Result<Command, Problem> {
    let (film, stars) = rest.split_once(' ').unwrap_or((rest, ""));
    let stars: Option<f32> = stars.trim().parse().ok();
    let stars = stars.filter(|stars| (1.0..=5.0).contains(stars));
    let stars = stars.ok_or("write the number of a film and 1 to 5 stars: rate 3 4")?;
    Ok(Command::Did(InteractionKind::Rating, number(film)?, stars))
}

fn topics(rest: &str) -> Result<Command, Problem> {
    if rest.is_empty() {
        return Ok(Command::Topics(None));
    }
    if rest == "none" {
        return Ok(Command::Topics(Some(Vec::new())));
    }
    let chosen: Result<Vec<u32>, _> = rest.split_whitespace().map(str::parse).collect();
    let chosen = chosen.map_err(|_| "write numbers of topics, or: topics none")?;
    Ok(Command::Topics(Some(chosen)))
}

fn consent(word: &str) -> Result<Consent, Problem> {
    match word {
        "off" => Ok(Consent::Off),
        "receive" => Ok(Consent::Receive),
        "contribute" => Ok(Consent::Contribute),
        _ => Err("write one of: off, receive, contribute".into()),
    }
}

/// Bytes from the hexadecimal digits of a line of `tokens.txt`.
fn token(digits: &str) -> Result<Vec<u8>, Problem> {
    let bad = || Problem::from("a token is a line of tokens.txt");
    let pairs = digits.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    let bytes = bytes.filter(|bytes| bytes.len() >= 32);
    bytes.ok_or_else(bad)
}
