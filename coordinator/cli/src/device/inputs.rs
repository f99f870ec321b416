//! Reads what is given for each device, by line: tokens and memberships.

use std::collections::BTreeMap;
use std::path::Path;

use tacit_model::history::interaction::Interaction;
use tacit_round::member::Member;
use tacit_round::token::Token;
use tacit_wire::files;

use crate::failure::Failure;

pub(super) fn read_tokens(path: &Path, devices: u32) -> Result<Vec<Vec<u8>>, Failure> {
    let bad = |problem: String| Failure::input(format!("{}: {problem}", path.display()));
    let text =
        files::read_large_text(path).map_err(|error| bad(format!("cannot be read: {error}")))?;
    let tokens: Vec<Vec<u8>> = text
        .lines()
        .zip(1_u32..)
        .map(|(line, number)| {
            let token = hex::decode(line.trim()).ok();
            let token = token.filter(|token| [32, Token::LEN].contains(&token.len()));
            let expected = "64 hexadecimal digits, or 208 where a backend signed it";
            token.ok_or_else(|| bad(format!("line {number}: expected {expected}")))
        })
        .collect::<Result<_, _>>()?;
    if tokens.len() < devices as usize {
        return Err(bad(format!(
            "{} tokens for {devices} devices; make more with: tacit pki tokens",
            tokens.len()
        )));
    }
    Ok(tokens.into_iter().take(devices as usize).collect())
}

pub(super) fn read_members(path: &Path, devices: u32) -> Result<Vec<String>, Failure> {
    let bad = |problem: String| Failure::input(format!("{}: {problem}", path.display()));
    let text =
        files::read_large_text(path).map_err(|error| bad(format!("cannot be read: {error}")))?;
    let members: Vec<String> = text
        .lines()
        .take(devices as usize)
        .map(str::to_owned)
        .collect();
    if let Some(line) = members
        .iter()
        .position(|line| Member::from_hex(line).is_none())
    {
        return Err(bad(format!(
            "line {}: expected 192 hexadecimal digits",
            line + 1
        )));
    }
    if members.len() < devices as usize {
        let have = members.len();
        return Err(bad(format!(
            "{have} memberships for {devices} devices; issue more with: tacit pki members"
        )));
    }
    Ok(members)
}

/// Interactions by device number.
pub(super) type Recorded = BTreeMap<u32, Vec<Interaction>>;
