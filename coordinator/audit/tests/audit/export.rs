//! Exports that are right verify; exports that are wrong in any way do not, and the first wrong
//! thing is named.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::reporting::python;
use crate::support::{Round, World, head_file, small, write_lines};
use tacit_audit::{Keys, VerifyError, verify, verify_with_keys};
use tacit_privacy::record::{Event, Keeper};
use tacit_privacy::{Rho, canonical};
use tacit_round::keys::Context;
use tacit_types::{Digest, RoundId, TaskId};
use tempfile::TempDir;

pub(crate) fn export(world: &World) -> TempDir {
    let dir = TempDir::new().unwrap();
    world.write(dir.path());
    dir
}

pub(crate) fn refusal(dir: &Path) -> String {
    verify(dir)
        .expect_err("a spoilt export must not verify")
        .to_string()
}

/// Asserts that this world, properly signed, is refused with a text that contains `expected`.
fn refuse(world: &World, expected: &str) {
    let text = refusal(export(world).path());
    assert!(
        text.contains(expected),
        "expected '{expected}', got '{text}'"
    );
}

#[test]
fn a_sound_export_verifies_and_adds_up() {
    let world = small();
    let verified = verify(export(&world).path()).unwrap();
    let prices = world
        .lines
        .iter()
        .filter_map(|line| line.charge())
        .map(|charge| charge.rho);
    assert_eq!(verified.rho_total, prices.fold(Rho::ZERO, Rho::compose));
    assert_eq!(
        (verified.lines, verified.helper_lines, verified.heads),
        (5, 5, 5)
    );
    assert_eq!(
        (
            verified.releases().count(),
            verified.abandoned().count(),
            verified.restarts.clone()
        ),
        (2, 1, vec![3])
    );
    assert_eq!(verified.participations_max(), 3);
    assert!(verified.warnings.is_empty(), "{:?}", verified.warnings);
}

/// HOSTILE 93.
#[test]
fn any_flipped_byte_of_the_ledger_is_noticed() {
    let dir = export(&small());
    let path = dir.path().join("ledger.jsonl");
    let sound = fs::read(&path).unwrap();
    let step = (sound.len() / 700).max(1);
    let positions: Vec<usize> = (0..sound.len()).step_by(step).collect();
    assert!(positions.len() >= 300);
    for position in positions {
        for mask in [1, 0x20, 0x80] {
            let mut spoilt = sound.clone();
            spoilt[position] ^= mask;
            fs::write(&path, spoilt).unwrap();
            assert!(verify(dir.path()).is_err(), "byte {position}, mask {mask}");
        }
    }
}

#[test]
fn any_flipped_byte_elsewhere_is_noticed() {
    for name in [
        "helper.jsonl",
        "helper.sig",
        "keys.json",
        "heads/00000005.json",
        "heads/00000002.json",
    ] {
        let dir = export(&small());
        let path = dir.path().join(name);
        let sound = fs::read(&path).unwrap();
        for position in (0..sound.len()).step_by((sound.len() / 60).max(1)) {
            let mut spoilt = sound.clone();
            spoilt[position] ^= 1;
            fs::write(&path, spoilt).unwrap();
            assert!(verify(dir.path()).is_err(), "{name} byte {position}");
        }
    }
}

#[test]
fn lines_cannot_be_deleted_repeated_swapped_or_cut() {
    let world = small();
    let (dir, lines) = (export(&world), world.bytes());
    let try_lines = |lines: &[Vec<u8>], what: &str| {
        write_lines(dir.path(), "ledger.jsonl", lines);
        assert!(verify(dir.path()).is_err(), "{what}");
    };
    for i in 0..lines.len() {
        let mut changed = lines.clone();
        changed.remove(i);
        try_lines(&changed, "deleted");
        let mut changed = lines.clone();
        changed.insert(i, lines[i].clone());
        try_lines(&changed, "repeated");
        for j in 0..i {
            let mut changed = lines.clone();
            changed.swap(i, j);
            try_lines(&changed, "swapped");
        }
    }
    let whole: Vec<u8> = lines
        .iter()
        .flat_map(|line| [&line[..], b"\n"].concat())
        .collect();
    for cut in (0..whole.len()).step_by(17) {
        fs::write(dir.path().join("ledger.jsonl"), &whole[..cut]).unwrap();
        assert!(verify(dir.path()).is_err(), "cut at {cut}");
    }
    fs::write(dir.path().join("ledger.jsonl"), &whole[..whole.len() - 1]).unwrap();
    assert_eq!(
        refusal(dir.path()),
        "ledger.jsonl line 4: does not end within 1 MiB with a line feed"
    );
}

#[test]
fn the_head_of_another_ledger_or_of_a_fork_is_refused() {
    let (world, dir) = (small(), export(&small()));
    let mut fork = small();
    fork.change_line(4, |line| line.time_bucket += 1);
    fork.write_head(dir.path(), 5);
    assert_eq!(
        refusal(dir.path()),
        "heads/00000005.json: its root is not the root of these lines: it is of a fork"
    );

    let mut other = small();
    other
        .lines
        .iter_mut()
        .for_each(|line| line.ledger_id = Digest([5; 32]));
    other.rechain();
    other.write_head(dir.path(), 5);
    assert_eq!(
        refusal(dir.path()),
        "heads/00000005.json: is the head of another ledger"
    );

    world.write_head(dir.path(), 5);
    fs::rename(head_file(dir.path(), 3), head_file(dir.path(), 2)).unwrap();
    assert!(refusal(dir.path()).contains("speaks of 3 lines, which is not its name"));
}

#[test]
fn a_rollback_shows_as_long_as_one_later_head_is_left() {
    let dir = export(&small());
    let mut earlier = small();
    earlier.lines.truncate(4);
    earlier.helper_lines.truncate(3);
    earlier.write(dir.path());
    assert_eq!(
        refusal(dir.path()),
        "heads/00000005.json: covers 5 lines and ledger.jsonl has 4: it was rolled back"
    );
    // With every later head gone too, the shorter export is sound in itself: only somebody who saw
    // more can tell.
    fs::remove_file(head_file(dir.path(), 5)).unwrap();
    assert_eq!(verify(dir.path()).unwrap().lines, 4);
}

#[test]
fn a_line_after_the_last_head_is_refused() {
    let dir = export(&small());
    fs::remove_file(head_file(dir.path(), 5)).unwrap();
    assert_eq!(
        verify(dir.path()).unwrap_err(),
        VerifyError::Uncovered { line: 4 }
    );
    fs::remove_dir_all(dir.path().join("heads")).unwrap();
    assert!(refusal(dir.path()).starts_with("heads/: "));
}

#[test]
fn a_price_lowered_consistently_still_needs_the_keys() {
    let dir = export(&small());
    let mut cheaper = small();
    cheaper.change(1, |charge| {
        charge.mechanism.sigma2 *= 2;
        charge.rho = charge.mechanism.rho();
        charge.total_variation =
            tacit_privacy::noise::table::release_total_variation(&charge.mechanism);
        charge.table_hash = tacit_privacy::noise::NoiseTable::new(&charge.mechanism).digest();
    });
    cheaper.rechain();
    write_lines(dir.path(), "ledger.jsonl", &cheaper.bytes());
    assert!(refusal(dir.path()).ends_with("it is of a fork"));
    // Signing again with other keys does not help, because the real ones are named elsewhere.
    let mut forged = World::new(&[], [3, 4]);
    forged.lines = cheaper.lines;
    forged.helper_lines = cheaper.helper_lines;
    forged.models = cheaper.models;
    forged.tickets = cheaper.tickets;
    (1..=5).for_each(|size| forged.write_head(dir.path(), size));
    assert!(refusal(dir.path()).ends_with("is not signed by both parties"));
    forged.reticket();
    fs::remove_dir_all(dir.path()).unwrap();
    forged.write(dir.path());
    let real = Keys {
        coordinator: small().coordinator.public(),
        helper: small().helper.public(),
    };
    assert!(verify(dir.path()).is_ok());
    assert_eq!(
        verify_with_keys(dir.path(), real)
            .unwrap_err()
            .to_string(),
        "keys.json: names other keys than expected"
    );
}

#[test]
fn wrong_arithmetic_is_refused_even_when_properly_signed() {
    type Change = fn(&mut tacit_privacy::record::Charge);
    let cases: [(Change, &str); 19] = [
        (
            |c| c.rho = Rho::saturating_from_units(12),
            "ledger.jsonl line 2: rho is 12 but its numbers give ",
        ),
        (
            |c| c.squared_sensitivity -= 1,
            "line 2: squared_sensitivity is ",
        ),
        (
            |c| c.total_variation = 0,
            "line 2: total_variation is 0 but its numbers give ",
        ),
        (|c| c.rho_total = c.rho, "but the lines so far add up to "),
        (
            |c| c.round = RoundId(1),
            "round 1 does not come after the one before it",
        ),
        (
            |c| c.model_in_hash = Digest([1; 32]),
            "model_in_hash is not the latest model before it",
        ),
        (|c| c.mechanism.steps = 1, "mechanism: steps is too small"),
        (
            |c| c.mechanism.sigma2 = u64::MAX,
            "mechanism: sigma2 is out of range",
        ),
        (
            |c| c.mechanism.n_min = 0,
            "mechanism: n_min is out of range",
        ),
        (
            |c| c.dishonest_milli = 1000,
            "dishonest_milli and dropout_milli must be below 1000",
        ),
        (
            |c| c.sampler = "fast".into(),
            "sampler is fast and must be table128",
        ),
        (
            |c| c.rng = "mt19937".into(),
            "rng is mt19937 and must be chacha20",
        ),
        (
            |c| c.table_hash = Digest([1; 32]),
            "line 2: table_hash is 0101",
        ),
        (
            |c| c.participation_index = 7,
            "participation_index is 7 but its numbers give 2",
        ),
        (
            |c| c.separation = 0,
            "separation is 0 but its numbers give 1",
        ),
        (|c| c.mechanism.helper_noise = true, "total_variation is "),
        (
            |c| c.unit = "event".into(),
            "unit is event and must be device",
        ),
        (
            |c| c.adjacency = "replace".into(),
            "adjacency is replace and must be zero-out",
        ),
        (|c| c.task = TaskId::new("books").unwrap(), "task is books"),
    ];
    for (change, expected) in cases {
        let mut world = small();
        world.change(2, change);
        refuse(&world, expected);
    }
}

#[test]
fn a_line_must_say_what_its_ticket_said() {
    // Less price for the same tickets: the noise devices added was what their tickets said, not
    // what the line says.
    let mut cheaper = small();
    for seq in [1, 4] {
        cheaper.change(seq, |charge| {
            charge.mechanism.sigma2 *= 4;
            charge.rho = charge.mechanism.rho();
            charge.total_variation =
                tacit_privacy::noise::table::release_total_variation(&charge.mechanism);
            charge.table_hash = tacit_privacy::noise::NoiseTable::new(&charge.mechanism).digest();
        });
    }
    cheaper.rechain();
    refuse(
        &cheaper,
        "ledger.jsonl line 1: mechanism is not what its ticket says",
    );
    type Change = fn(&mut tacit_privacy::record::Charge);
    let cases: [(Change, &str); 3] = [
        (
            |c| c.dishonest_milli = 10,
            "line 4: dishonest_milli is not what its ticket says",
        ),
        (
            |c| c.dropout_milli = 10,
            "line 4: dropout_milli is not what its ticket says",
        ),
        (
            |c| c.kind = "counts".into(),
            "line 4: kind is not what its ticket says",
        ),
    ];
    for (change, expected) in cases {
        let mut world = small();
        world.change(4, change);
        world.rechain();
        refuse(&world, expected);
    }
}

#[test]
fn a_ticket_that_is_missing_foreign_or_spoilt_is_refused() {
    let (world, dir) = (small(), export(&small()));
    let path = dir
        .path()
        .join(format!("tickets/{}.json", world.tickets[1].hash()));
    let sound = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(
        refusal(dir.path()).starts_with("ledger.jsonl line 2: its ticket is missing: tickets/")
    );
    let other = small().tickets.remove(0);
    let mut foreign = tacit_round::ticket::TicketFile::from(&world.tickets[1]);
    foreign.helper_signature = foreign.coordinator_signature;
    for (text, expected) in [
        (
            String::from_utf8(
                canonical::encode(&tacit_round::ticket::TicketFile::from(&other)).unwrap(),
            )
            .unwrap(),
            "is not its name",
        ),
        (
            String::from_utf8(canonical::encode(&foreign).unwrap()).unwrap(),
            "is not signed by both parties",
        ),
        (sound.replacen(':', ": ", 1), "not canonical JSON"),
        (String::new(), "not canonical JSON"),
    ] {
        fs::write(&path, text).unwrap();
        let refused = refusal(dir.path());
        assert!(
            refused.starts_with("tickets/") && refused.contains(expected),
            "{refused}"
        );
    }
    fs::write(&path, sound).unwrap();
    fs::write(dir.path().join("tickets/other.json"), "{}").unwrap();
    assert_eq!(
        verify(dir.path()).unwrap().warnings,
        ["tickets/other.json is named by no line"]
    );
}

#[test]
fn wrong_lines_are_refused_even_when_properly_signed() {
    let mut world = small();
    world.change_release(1, |release| release.contributors = 947);
    refuse(
        &world,
        "line 1: contributors is 947 and must be at least 948",
    );
    let mut world = small();
    world.change_release(1, |release| release.contributors = 1001);
    refuse(&world, "contributors is 1001 and cohort_max 1000");
    let mut world = small();
    if let Event::Genesis(genesis) = &mut world.lines[0].event {
        genesis.rho_budget = Rho::saturating_from_units(1 << 58);
    }
    world.rechain();
    refuse(&world, "and passes the budget of 288230376151711744");
    let genesis = world.lines[0].event.clone();
    world = small();
    world.change_line(3, |line| line.event = genesis);
    refuse(&world, "line 3: is a second genesis line");
    world = small();
    let answered = world.helper_lines[0].event.clone();
    world.change_line(3, |line| line.event = answered);
    refuse(&world, "line 3: is a helper's line");
    world = small();
    world.change_line(0, |line| line.event = Event::Restarted {});
    refuse(&world, "line 0: is not the genesis line");
}

#[test]
fn frames_that_do_not_fit_are_refused_even_when_properly_signed() {
    type Change = fn(&mut tacit_privacy::record::Line);
    let cases: [(Change, &str); 6] = [
        (
            |l| l.schema = 1,
            "line 3: schema is 1 and this verifier knows 2",
        ),
        (
            |l| l.keeper = Keeper::Helper,
            "line 3: is kept by helper, not by coordinator",
        ),
        (|l| l.seq = 7, "line 3: seq is 7"),
        (
            |l| l.ledger_id = Digest([3; 32]),
            "line 3: ledger_id changes",
        ),
        (|l| l.generation = 0, "line 3: generation falls from 1 to 0"),
        (|l| l.time_bucket = 4, "line 3: time_bucket falls from "),
    ];
    for (change, expected) in cases {
        let mut world = small();
        world.change_line(3, change);
        refuse(&world, expected);
    }
    let mut world = small();
    world.lines[3].prev_hash = Digest([6; 32]);
    refuse(
        &world,
        "line 3: prev_hash is not the hash of the line before",
    );
    let mut world = small();
    (3..5).for_each(|seq| world.lines[seq].generation = 2);
    world.rechain();
    refuse(&world, "line 3: generation rises without a restore");
}

#[test]
fn both_ledgers_must_tell_the_same_story() {
    let mut world = small();
    world.helper_lines.remove(1);
    for (line, seq) in world.helper_lines.iter_mut().zip(0..) {
        line.seq = seq;
    }
    world.rechain();
    refuse(
        &world,
        "ledger.jsonl line 1: helper.jsonl has no answer for this round",
    );

    let mut world = small();
    let charge = world.lines[2].charge().unwrap().clone();
    world.answer(&charge);
    world.rechain();
    assert!(
        verify(export(&world).path()).is_ok(),
        "an abandoned round may have been answered"
    );
    let another = world.tickets[0].hash();
    world.change_answer(2, |answered| answered.ticket_hash = another);
    refuse(
        &world,
        "line 2: ticket_hash differs from helper.jsonl line 5",
    );
    world.change_answer(2, |answered| answered.round = RoundId(40));
    refuse(
        &world,
        "helper.jsonl line 5: round 40 was answered, but ledger.jsonl has neither",
    );
    world.change_answer(2, |answered| answered.round = RoundId(1));
    refuse(
        &world,
        "helper.jsonl line 5: round 1 was answered on an earlier line",
    );

    let mut world = small();
    world.change_release(1, |release| release.helper_line_hash = Digest([2; 32]));
    refuse(
        &world,
        "line 1: helper_line_hash is not the hash of helper.jsonl line 1",
    );
    let mut world = small();
    world.change_release(1, |release| release.set_digest = Digest([2; 32]));
    refuse(
        &world,
        "line 1: set_digest differs from helper.jsonl line 1",
    );
    let mut world = small();
    world.change_release(1, |release| release.contributors += 1);
    refuse(
        &world,
        "line 1: contributors is 952 and 951 on helper.jsonl line 1",
    );
}

#[test]
fn the_helpers_signatures_are_its_own_and_made_for_lines() {
    let world = small();
    let dir = export(&world);
    let sign = |context| {
        let lines = world
            .helper_lines
            .iter()
            .map(|line| line.to_bytes().unwrap());
        lines
            .map(|line| {
                world
                    .helper
                    .sign(context, &line)
                    .to_string()
                    .into_bytes()
            })
            .collect::<Vec<_>>()
    };
    write_lines(dir.path(), "helper.sig", &sign(Context::Head));
    assert!(refusal(dir.path()).starts_with("helper.sig line 0: is not the helper's signature"));
    write_lines(dir.path(), "helper.sig", &sign(Context::Line)[..1]);
    assert_eq!(refusal(dir.path()), "helper.sig line 1: is missing");
    let longer = [sign(Context::Line), sign(Context::Line)[..1].to_vec()].concat();
    write_lines(dir.path(), "helper.sig", &longer);
    assert_eq!(
        refusal(dir.path()),
        "helper.sig line 5: signs no line of helper.jsonl"
    );
}

#[test]
fn every_model_is_there_byte_for_byte() {
    let world = small();
    let dir = export(&world);
    let file = format!("models/{}.bin", canonical::digest(b"model 1"));
    fs::write(dir.path().join(&file), b"model x").unwrap();
    assert_eq!(
        refusal(dir.path()),
        format!("{file}: its SHA-256 is not its name")
    );
    fs::remove_file(dir.path().join(&file)).unwrap();
    assert_eq!(
        refusal(dir.path()),
        format!("ledger.jsonl line 1: its model is missing: {file}")
    );
    world.write(dir.path());
    fs::write(dir.path().join("models/notes.txt"), b"").unwrap();
    assert_eq!(
        verify(dir.path()).unwrap().warnings,
        ["models/notes.txt is named by no line"]
    );
}

#[test]
fn nothing_in_a_folder_makes_verification_panic() {
    assert!(verify(Path::new("/nowhere")).is_err());
    let names = [
        "keys.json",
        "ledger.jsonl",
        "helper.jsonl",
        "helper.sig",
        "heads/00000001.json",
    ];
    let long = vec![b'{'; (1 << 20) + 1];
    let nested = vec![b'['; 100_000];
    for name in names {
        for bytes in [
            &b""[..],
            b"\n",
            b"null\n",
            b"{}\n",
            b"\xff\xfe\n",
            b"{\"schema\":1}\n",
            &long,
            &nested,
        ] {
            let dir = export(&small());
            fs::write(dir.path().join(name), bytes).unwrap();
            assert!(verify(dir.path()).is_err(), "{name}");
        }
        let dir = export(&small());
        fs::remove_file(dir.path().join(name)).unwrap();
        fs::create_dir(dir.path().join(name)).unwrap();
        assert!(verify(dir.path()).is_err(), "{name}");
    }
}

/// HOSTILE 104: what is no plain file, and very many files, before any is read.
#[test]
fn an_export_of_pipes_links_devices_or_a_flood_of_files_is_refused_and_not_read() {
    let refused = |place: &str, problem: &str, make: &dyn Fn(&Path)| {
        let dir = export(&small());
        let path = dir.path().join(place);
        let _ = fs::remove_file(&path);
        make(&path);
        let ours = refusal(dir.path());
        assert!(ours.contains(problem), "{place}: {ours}");
        if let Some((accepted, _, theirs)) = python(dir.path()) {
            assert!(!accepted && theirs.contains(problem), "{place}: {theirs}");
        }
    };
    let pipe = |path: &Path| {
        let made = Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    };
    let endless = |path: &Path| symlink("/dev/zero", path).unwrap();
    for place in [
        "ledger.jsonl",
        "keys.json",
        "heads/00000001.json",
        "models/x.bin",
        "more",
    ] {
        refused(place, &format!("{place}: is not a plain file"), &pipe);
        refused(place, &format!("{place}: is not a plain file"), &endless);
    }
    refused("notes", "notes: is not a plain file", &|path| {
        fs::create_dir(path).unwrap();
    });
    refused("models/many", "holds more than 100000 files", &|path| {
        for number in 0..=100_000 {
            fs::File::create(path.with_extension(number.to_string())).unwrap();
        }
    });
}

/// What is printed of an export that somebody else wrote.
#[test]
fn names_of_others_are_shown_with_their_control_characters_escaped() {
    let name = "\u{1b}[2J\u{9b}\u{202e}\u{2066}\n\u{200f}";
    let shown = "\\u{1b}[2J\\u{9b}\\u{202e}\\u{2066}\\u{a}\\u{200f}";
    let dir = export(&small());
    fs::write(dir.path().join("models").join(name), "").unwrap();
    let warning = format!("models/{shown} is named by no line");
    assert!(verify(dir.path()).unwrap().warnings.contains(&warning));
    if let Some((accepted, _, theirs)) = python(dir.path()) {
        assert!(accepted && theirs.contains(&warning), "{theirs:?}");
    }
    let head = dir.path().join("heads").join(format!("{name}.json"));
    fs::write(head, "{}").unwrap();
    let ours = refusal(dir.path());
    assert!(
        ours.starts_with(&format!("heads/{shown}.json: ")),
        "{ours:?}"
    );
    if let Some((accepted, _, theirs)) = python(dir.path()) {
        assert!(!accepted && theirs.contains(shown), "{theirs:?}");
    }
}

#[test]
fn one_key_for_both_parties_is_pointed_out() {
    let world = World::new(&[Round::Restart], [1, 1]);
    let verified = verify(export(&world).path()).unwrap();
    assert_eq!(
        verified.warnings,
        ["coordinator and helper sign with the same key: they are one party"]
    );
}
