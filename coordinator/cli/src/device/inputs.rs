//! Reads what is given for each device, by line: tokens, memberships and interactions.

use std::collections::BTreeMap;
use std::path::Path;

use tacit_model::history::interaction::{Interaction, InteractionKind};
use tacit_round::member::Member;
use tacit_types::{ItemId, Timestamp};

use crate::failure::Failure;

pub(super) fn read_tokens(path: &Path, devices: u32) -> Result<Vec<[u8; 32]>, Failure> {
    let bad = |problem: String| Failure::input(format!("{}: {problem}", path.display()));
    let text =
        std::fs::read_to_string(path).map_err(|error| bad(format!("cannot be read: {error}")))?;
    let tokens: Vec<[u8; 32]> = text
        .lines()
        .enumerate()
        .map(|(i, line)| {
            let mut token = [0; 32];
            hex::decode_to_slice(line.trim(), &mut token)
                .map(|()| token)
                .map_err(|_| bad(format!("line {}: expected 64 hexadecimal digits", i + 1)))
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
        std::fs::read_to_string(path).map_err(|error| bad(format!("cannot be read: {error}")))?;
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

pub(super) fn read_interactions(path: &Path) -> Result<Recorded, Failure> {
    let bad = |problem: String| Failure::input(format!("{}: {problem}", path.display()));
    let text =
        std::fs::read_to_string(path).map_err(|error| bad(format!("cannot be read: {error}")))?;
    let mut recorded = Recorded::new();
    for (i, line) in text.lines().enumerate().skip(1) {
        let (device, interaction) =
            read_row(line).map_err(|problem| bad(format!("line {}: {problem}", i + 1)))?;
        recorded.entry(device).or_default().push(interaction);
    }
    Ok(recorded)
}

fn read_row(line: &str) -> Result<(u32, Interaction), String> {
    let fields: Vec<&str> = line.split(',').collect();
    let [device, item, at, value, kind] = fields[..] else {
        return Err(format!(
            "{} columns, expected device,item,timestamp,value,type",
            fields.len()
        ));
    };
    let timestamp = if at.is_empty() {
        None
    } else {
        Some(Timestamp(
            at.parse().map_err(|_| format!("timestamp '{at}'"))?,
        ))
    };
    let interaction = Interaction {
        item: ItemId(
            item.parse()
                .map_err(|_| format!("item '{item}' is not an index"))?,
        ),
        timestamp,
        value: value
            .parse()
            .ok()
            .filter(|v: &f32| v.is_finite())
            .ok_or_else(|| format!("value '{value}'"))?,
        kind: InteractionKind::parse(kind).ok_or_else(|| format!("type '{kind}'"))?,
        surface: 0,
    };
    Ok((
        device
            .parse()
            .map_err(|_| format!("device '{device}' is not an index"))?,
        interaction,
    ))
}
