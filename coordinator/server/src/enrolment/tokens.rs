//! Which tokens may enrol a device: single ones, known by their digests, and those that the app's
//! backend signs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use tacit_privacy::canonical::digest;
use tacit_round::keys::PublicKey;
use tacit_round::token::Token;
use tacit_types::{Digest, Timestamp};
use tacit_wire::files::{self, FileError};

use super::DAY_MS;

/// Longest time to the end of a signed token: until then the id of one that was used is kept.
pub const SIGNED_LIFE_MS: u64 = 400 * DAY_MS;

/// Single tokens by their SHA-256, each with its end if it has one. The file has one a line: the
/// digest in hexadecimal and, after a space, the end in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenList(pub BTreeMap<Digest, Option<Timestamp>>);

impl TokenList {
    /// Reads a list.
    ///
    /// # Errors
    /// [`FileError`] naming the line.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let bad = |problem: String| FileError::new(path, problem);
        let text = files::read_large_text(path)
            .map_err(|error| bad(format!("cannot be read: {error}")))?;
        let lines = text.lines().zip(1_u32..);
        let numbered = lines.filter(|(line, _)| !line.trim().is_empty());
        let entries = numbered.map(|(line, number)| {
            entry(line).ok_or_else(|| {
                let expected = "64 hexadecimal digits, and seconds since 1970 after a space";
                bad(format!("line {number}: expected {expected}"))
            })
        });
        entries.collect::<Result<_, _>>().map(Self)
    }

    /// The list as a file.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (token, ends) in &self.0 {
            let _ = match ends {
                Some(ends) => writeln!(text, "{token} {}", ends.0 / 1000),
                None => writeln!(text, "{token}"),
            };
        }
        text
    }
}

fn entry(line: &str) -> Option<(Digest, Option<Timestamp>)> {
    let (token, ends) = match line.trim().split_once(' ') {
        None => (line.trim(), None),
        Some((token, ends)) => {
            let seconds: u64 = ends.trim().parse().ok()?;
            (token, Some(Timestamp(seconds.checked_mul(1000)?)))
        }
    };
    Some((token.parse().ok()?, ends))
}

/// What enrols.
pub(crate) struct Tokens {
    pub(super) single: TokenList,
    pub(super) backend: Option<PublicKey>,
}

/// A token that is good now.
pub(super) struct Good {
    /// What it is used up under.
    pub(super) name: Digest,
    /// From when on nobody needs to know that it was used.
    pub(super) ends: Option<Timestamp>,
}

impl Tokens {
    /// Whether a token may enrol, if it was not used.
    pub(super) fn good(&self, token: &[u8], now: Timestamp) -> Option<Good> {
        let good = match token.len() {
            Token::LEN => self.signed(token, now),
            _ => self.listed(token),
        };
        good.filter(|good| good.ends.is_none_or(|ends| now < ends))
    }

    fn listed(&self, token: &[u8]) -> Option<Good> {
        let name = digest(token);
        let ends = *self.single.0.get(&name)?;
        Some(Good { name, ends })
    }

    fn signed(&self, token: &[u8], now: Timestamp) -> Option<Good> {
        let token = Token::open(token, self.backend.as_ref()?)?;
        // By its id: signed twice, it is still one token. No single one has such a name.
        let name = digest(&[b"signed token", &token.id[..]].concat());
        let ends = Some(token.ends);
        (token.ends.millis_since(now) <= SIGNED_LIFE_MS).then_some(Good { name, ends })
    }
}

#[cfg(test)]
mod tests {
    use tacit_round::keys::SigningKey;
    use zeroize::Zeroizing;

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn read(text: &str) -> Result<TokenList, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.sha256");
        std::fs::write(&path, text).unwrap();
        TokenList::read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_list_reads_back_and_a_bad_line_is_named() {
        let (one, two) = (digest(b"1"), digest(b"2"));
        let list = read(&format!("\n{one}\n{two} 1800000000\n")).unwrap();
        assert_eq!((list.0[&one], list.0[&two]), (None, Some(NOW)));
        assert_eq!(read(&list.to_text()), Ok(list));
        for line in ["12", &format!("{one} soon"), &format!("{one} -1")] {
            let said = read(&format!("{two}\n{line}\n")).unwrap_err();
            assert!(said.contains("tokens.sha256: line 2: expected"), "{said}");
        }
    }

    /// HOSTILE 76.
    #[test]
    fn tokens_that_ended_or_that_nobody_knows_enrol_nobody() {
        let backend = SigningKey::from_seed(&Zeroizing::new([1; 32]));
        let later = NOW.plus_millis(1000);
        let single = [
            (digest(&[1; 32]), None),
            (digest(&[2; 32]), Some(later)),
            (digest(&[3; 32]), Some(NOW)),
        ];
        let tokens = Tokens {
            single: TokenList(single.into()),
            backend: Some(backend.public()),
        };
        let signed = |id: u8, ends| {
            let token = Token { id: [id; 32], ends };
            token.sign(&backend)
        };
        let good = |token: &[u8]| tokens.good(token, NOW).is_some();
        assert!(good(&[1; 32]) && good(&[2; 32]) && good(&signed(1, later)));
        assert!(!good(&[3; 32]) && !good(&[4; 32]) && !good(&signed(1, NOW)));
        assert!(!good(&[]), "no token");
        let long = NOW.plus_millis(SIGNED_LIFE_MS + 1000);
        assert!(!good(&signed(1, long)), "its id would be kept for years");

        let name = |token: &[u8]| tokens.good(token, NOW).unwrap().name;
        let again = signed(1, NOW.plus_millis(5000));
        assert_eq!(name(&signed(1, later)), name(&again), "one id, one token");
        assert_ne!(name(&again), name(&[1; 32]));

        let nobody = Tokens {
            single: TokenList::default(),
            backend: None,
        };
        assert!(nobody.good(&signed(1, later), NOW).is_none());
    }
}
