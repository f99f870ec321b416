//! Opaque identifiers: who, what and which round.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::unit::UnitError;

/// Dense index of an item in the catalogue. Assigned once by the operator and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ItemId(pub u32);

/// Number of one train-aggregate-publish cycle within a task, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RoundId(pub u32);

impl fmt::Display for RoundId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Name of a training task: 1 to 64 characters of `a-z`, `0-9`, `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskId(String);

impl TaskId {
    /// Longest accepted name in bytes.
    pub const LEN_MAX: usize = 64;

    /// Checks and wraps a name.
    ///
    /// # Errors
    /// [`UnitError`] when the name is empty, too long, or has another character.
    pub fn new(name: impl Into<String>) -> Result<Self, UnitError> {
        let name = name.into();
        let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > Self::LEN_MAX || !name.chars().all(ok) {
            return Err(UnitError::new(
                "task",
                "1 to 64 characters of a-z, 0-9 and '-'",
            ));
        }
        Ok(Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TaskId {
    type Error = UnitError;
    fn try_from(name: String) -> Result<Self, UnitError> {
        Self::new(name)
    }
}

impl From<TaskId> for String {
    fn from(id: TaskId) -> Self {
        id.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Wraps exactly [`Self::LEN`] bytes.
            ///
            /// # Errors
            /// [`UnitError`] for any other length.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, UnitError> {
                bytes
                    .try_into()
                    .map(Self)
                    .map_err(|_| UnitError::new(stringify!($name), concat!($len, " bytes")))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = UnitError;
            fn from_str(text: &str) -> Result<Self, UnitError> {
                let expected = concat!($len, " bytes in lower-case hexadecimal");
                let bad = || UnitError::new(stringify!($name), expected);
                let digit = |c: u8| match c {
                    b'0'..=b'9' => Some(c - b'0'),
                    b'a'..=b'f' => Some(c - b'a' + 10),
                    _ => None,
                };
                let text = text.as_bytes();
                if text.len() != 2 * $len {
                    return Err(bad());
                }
                let mut bytes = [0u8; $len];
                for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
                    *byte = digit(pair[0]).ok_or_else(bad)? << 4 | digit(pair[1]).ok_or_else(bad)?;
                }
                Ok(Self(bytes))
            }
        }

        impl TryFrom<String> for $name {
            type Error = UnitError;
            fn try_from(text: String) -> Result<Self, UnitError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}

fixed_bytes!(
    /// Random pseudonym of one enrolled installation, taken from its certificate and known to the
    /// coordinator only.
    DeviceId,
    16
);
fixed_bytes!(
    /// Random name of one device's contribution to one round; the helper knows contributions by
    /// nothing else.
    ContributionId,
    16
);
fixed_bytes!(
    /// Commitment to the masked bytes of one contribution, under a key that only device and
    /// coordinator know.
    Commitment,
    32
);
fixed_bytes!(
    /// SHA-256 digest: of a ticket, a model, a ledger line or a set of contributions.
    Digest,
    32
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_names_are_checked() {
        assert!(TaskId::new("films-2026").is_ok());
        for bad in ["", "Films", "a b", "ä", &"x".repeat(65)] {
            assert!(TaskId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn identifiers_round_trip_through_text_and_refuse_other_forms() {
        let id = DeviceId(*b"0123456789abcdef");
        assert_eq!(id.to_string().parse::<DeviceId>(), Ok(id));
        for bad in ["", "00", &"g".repeat(32), &"A".repeat(32)] {
            assert!(bad.parse::<DeviceId>().is_err(), "{bad:?}");
        }
    }
}
