//! The one byte encoding that is hashed and signed: JSON with sorted ASCII keys, integers and
//! strings only, no spaces.
//!
//! Small enough to write again in any language; `null` and fractions do not exist, so there is one
//! way to write a value.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tacit_types::Digest;

/// A value that the canonical form cannot hold, or text that is not in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotCanonical {
    /// Says how it departs from the form.
    #[error("not canonical JSON: {0}")]
    Form(String),
    /// More than is ever read.
    #[error("longer than {max} bytes")]
    TooLong {
        /// What its kind may have.
        max: usize,
    },
}

/// Encodes `value` canonically.
///
/// # Errors
/// [`NotCanonical`] if it contains a fraction or a null.
pub fn encode(value: &impl Serialize) -> Result<Vec<u8>, NotCanonical> {
    let value =
        serde_json::to_value(value).map_err(|error| NotCanonical::Form(error.to_string()))?;
    let mut out = Vec::new();
    write(&value, &mut out)?;
    Ok(out)
}

/// Decodes `bytes` and checks that they are exactly what [`encode`] gives for the result.
///
/// # Errors
/// [`NotCanonical`] naming what is wrong; depth and size are bounded by the caller's message limit
/// and serde's recursion limit.
pub fn decode<T: Serialize + serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, NotCanonical> {
    let value: T =
        serde_json::from_slice(bytes).map_err(|error| NotCanonical::Form(error.to_string()))?;
    if encode(&value)? != bytes {
        return Err(NotCanonical::Form(
            "keys are unsorted, repeated or unknown, or there is extra white space".into(),
        ));
    }
    Ok(value)
}

/// SHA-256 of `bytes`.
pub fn digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), NotCanonical> {
    match value {
        Value::Bool(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
        Value::Number(number) if number.is_u64() || number.is_i64() => {
            out.extend_from_slice(number.to_string().as_bytes())
        }
        Value::Number(_) => return Err(NotCanonical::Form("a number is not an integer".into())),
        Value::Null => return Err(NotCanonical::Form("null is not allowed".into())),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(key, _)| key.as_bytes());
            out.push(b'{');
            for (i, (key, item)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                write(item, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(Value::from(text).to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn keys_are_sorted_and_nothing_is_padded() {
        let value = serde_json::json!({"b": [1, "x\n"], "a": {"z": true, "y": 0}});
        assert_eq!(
            encode(&value).unwrap(),
            br#"{"a":{"y":0,"z":true},"b":[1,"x\n"]}"#
        );
    }

    #[test]
    fn fractions_nulls_and_other_spellings_are_refused() {
        assert!(
            encode(&serde_json::json!(0.5)).is_err() && encode(&serde_json::json!(null)).is_err()
        );
        for bad in [
            r#"{"b":1,"a":2}"#,
            r#"{"a": 1}"#,
            r#"{"a":1}  "#,
            r#"{"a":1,"a":1}"#,
            "",
            "{",
        ] {
            assert!(
                decode::<BTreeMap<String, u64>>(bad.as_bytes()).is_err(),
                "{bad}"
            );
        }
        assert!(decode::<BTreeMap<String, u64>>(br#"{"a":1,"b":2}"#).is_ok());
    }
}
