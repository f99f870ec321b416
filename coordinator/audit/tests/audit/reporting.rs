//! What people are shown: the page, the JSON, the explanation of one line, and the second verifier
//! in Python.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::export::export;
use crate::support::{Round, World, head_file, small, write_lines};
use tacit_audit::canary::Measured;
use tacit_audit::{ExplainError, Summary, explain, report, verify};
use tacit_privacy::Rho;
use tacit_privacy::noise::NoiseTable;
use tacit_privacy::noise::table::release_total_variation;
use tacit_privacy::record::Event;

/// A task as a demonstration runs it.
fn task() -> World {
    let rounds = [
        Round::Released("counts", 1_682),
        Round::Released("head_gram", 79_800),
        Round::Released("factor_gradient", 31_200),
        Round::Abandoned("factor_gradient", 31_200),
        Round::Restart,
        Round::Released("factor_gradient", 31_200),
        Round::Released("factor_gradient", 31_200),
    ];
    World::new(&rounds, [1, 2])
}

#[test]
fn the_page_is_self_contained_and_says_what_it_must() {
    // Kept below the build directory, for looking at it.
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("audit");
    task().write(&kept);
    let verified = verify(&kept).unwrap();
    let html = report(&verified, None).html;
    fs::write(kept.join("report.html"), &html).unwrap();
    for absent in [
        "<script", "http://", "https://", "src=", "url(", "@import", "<link", "NaN",
    ] {
        assert!(!html.contains(absent), "{absent}");
    }
    for present in [
        "One device, meaning one installation",
        "Zero-out",
        "at most curious",
        "zCDP, optimal conversion (Canonne-Kamath-Steinke 2020, prop. 12)",
        "1e-10",
        "Empirical epsilon: not measured",
        "fewer than 948 contributions at the deadline",
        "the mechanics and not the separation",
        "no amplification",
        "table128",
        "None: the bound rests on",
        "Charged rounds are at least 1 apart",
        "0808080808080808",
        &verified.rho_total.to_string(),
    ] {
        assert!(html.contains(present), "{present}");
    }
    assert_eq!(html.matches("<svg").count(), 3);
}

#[test]
fn what_others_wrote_cannot_change_the_page() {
    let mut world = small();
    if let Event::Abandoned(abandoned) = &mut world.lines[2].event {
        abandoned.reason = "<script>alert(1)</script>\"><img src=x>".into();
    }
    world.rechain();
    let html = report(&verify(export(&world).path()).unwrap(), None).html;
    assert!(!html.contains("<script") && !html.contains("<img"));
    assert!(html.contains("&#60;script&#62;"));
}

#[test]
fn the_json_holds_the_same_numbers() {
    let verified = verify(export(&task()).path()).unwrap();
    let json: serde_json::Value = serde_json::from_str(&report(&verified, None).json).unwrap();
    assert_eq!(json["rho"], verified.rho_total.to_string());
    assert_eq!(json["rounds"].as_array().unwrap().len(), 6);
    assert_eq!(json["rounds"][3]["status"], "abandoned");
    assert_eq!(json["rounds"][5]["epsilon"], json["epsilon"]["1e-5"]);
    assert!(json["empirical_epsilon"].is_null());
}

#[test]
fn what_canaries_measured_stands_beside_the_certificate_as_a_lower_bound() {
    let printed = r#"{
        "one_run": {"epsilon_lower_bound": 0.12399, "confidence": 0.95, "canaries": 1024},
        "certified_epsilon": 2.99991, "delta": 1e-5, "passed": true, "build_hash": null,
        "meaning": "..."
    }"#;
    let measured = Measured::from_json(printed).unwrap();
    let verified = verify(export(&task()).path()).unwrap();
    let found = report(&verified, Some(&measured));
    // A lower bound is rounded down, a certificate up.
    let said = "Empirical epsilon: at least 0.123 with probability 95.0 %, measured by canaries \
                in releases certified at epsilon 3.000 and delta 1e-5, by another build";
    assert!(found.html.contains(said));
    let same = Measured {
        build_hash: Some(verified.entries[0].charge.build_hash),
        ..measured.clone()
    };
    assert!(
        report(&verified, Some(&same))
            .html
            .contains("by a build that kept this ledger.")
    );
    let json: serde_json::Value = serde_json::from_str(&found.json).unwrap();
    assert_eq!(json["empirical_epsilon"]["epsilon_lower_bound"], 0.12399);
    let failed = Measured {
        passed: false,
        ..measured
    };
    assert!(
        report(&verified, Some(&failed))
            .html
            .contains("the audit FAILED")
    );
    for bad in ["", "{}", "[]", r#"{"one_run":{}}"#] {
        assert!(Measured::from_json(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_registry_entry_states_the_verified_numbers_and_leaves_the_operators_part_empty() {
    let verified = verify(export(&task()).path()).unwrap();
    let entry: serde_json::Value = serde_json::from_str(&report(&verified, None).registry).unwrap();
    let deployment = &entry["deployment"];
    assert_eq!(deployment["dp_flavor"]["name"], "Zero-concentrated DP");
    let parameters = &deployment["privacy_loss"]["privacy_parameters"];
    assert_eq!(
        parameters["epsilon"]["1e-5"],
        Summary::of(&verified).epsilon["1e-5"]
    );
    assert!(
        parameters["rho"]
            .as_str()
            .unwrap()
            .parse::<f64>()
            .unwrap()
            >= verified.rho_total.to_f64_up() * 0.999_999
    );
    assert_eq!(deployment["model"]["model_name"], "Distributed");
    assert_eq!(
        (&entry["status"], &deployment["product"]["intended_use"]),
        (&"Draft".into(), &"".into())
    );
}

#[test]
fn an_empty_ledger_has_a_report_too() {
    let verified = verify(export(&World::new(&[], [1, 2])).path()).unwrap();
    let report = report(&verified, None);
    assert!(report.html.contains("Nothing was charged yet") && !report.html.contains("NaN"));
    assert_eq!(Summary::of(&verified).epsilon["1e-5"], 0.0);
}

#[test]
fn every_line_has_an_explanation() {
    let dir = export(&small());
    let texts: Vec<String> = (0..5)
        .map(|seq| explain(dir.path(), seq).unwrap())
        .collect();
    assert!(texts[0].contains("it cost nothing"));
    assert!(
        texts[1].contains("Rho is B2_int / (2 sigma^2), and 2^-64 more (tau)"),
        "{}",
        texts[1]
    );
    assert!(texts[1].contains("951 devices contributed") && texts[1].contains("times in 100"));
    assert!(texts[2].contains("abandoned") && texts[2].contains("The helper never answered"));
    assert!(texts[3].contains("started again"));
    // No epsilon without the conversion it came from.
    assert!(
        texts
            .iter()
            .all(|text| text.contains("epsilon ") == text.contains("prop. 12"))
    );
    assert_eq!(
        explain(dir.path(), 5),
        Err(ExplainError::NoSuchLine { seq: 5, lines: 5 })
    );
    // What the coordinator wrote moves no cursor and begins no line.
    let mut world = small();
    world.change_line(2, |line| {
        if let Event::Abandoned(abandoned) = &mut line.event {
            abandoned.reason = "\u{1b}[2J\u{202e}late\nall is well".to_owned();
        }
    });
    let text = explain(export(&world).path(), 2).unwrap();
    assert!(
        text.contains(": \\u{1b}[2J\\u{202e}late\\u{a}all is well."),
        "{text:?}"
    );
    fs::remove_file(head_file(dir.path(), 5)).unwrap();
    assert!(matches!(
        explain(dir.path(), 1),
        Err(ExplainError::Verify(_))
    ));
}

/// Runs the second verifier: whether it accepted, and what it printed. `None` without a Python to
/// run it.
pub(crate) fn python(dir: &Path) -> Option<(bool, String, String)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/verify.py");
    let output = Command::new("python3")
        .arg(script)
        .arg(dir)
        .output()
        .ok()?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Some((
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    ))
}

#[test]
fn the_second_verifier_agrees_to_the_last_unit() {
    for world in [
        task(),
        small(),
        World::new(&[], [1, 2]),
        too_dear(900),
        too_dear(2),
    ] {
        assert_agreement(&world);
    }
}

/// One release so dear that no finite epsilon follows; with 2 shares its price stops at the largest
/// there is.
fn too_dear(n_min: u32) -> World {
    let mut world = World::new(&[Round::Released("counts", 500)], [1, 2]);
    world.change_line(0, |line| {
        let Event::Genesis(genesis) = &mut line.event else {
            panic!("line 0 is the genesis line")
        };
        genesis.rho_budget = Rho::MAX;
    });
    world.change(1, |charge| {
        let mechanism = &mut charge.mechanism;
        (mechanism.steps, mechanism.n_min, mechanism.sigma2) =
            (1 << 20, n_min, 16 * u64::from(n_min));
        charge.squared_sensitivity = mechanism.squared_sensitivity();
        charge.total_variation = release_total_variation(mechanism);
        (charge.rho, charge.table_hash) = (mechanism.rho(), NoiseTable::new(mechanism).digest());
    });
    world.reticket();
    world
}

pub(crate) fn assert_agreement(world: &World) {
    let dir = export(world);
    let ours = serde_json::to_value(Summary::of(&verify(dir.path()).unwrap())).unwrap();
    let Some((accepted, stdout, stderr)) = python(dir.path()) else {
        println!("SKIPPED: python3 is not installed");
        return;
    };
    assert!(accepted, "{stderr}");
    let theirs: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let (theirs, ours) = (theirs.as_object().unwrap(), ours.as_object().unwrap());
    assert!(theirs.keys().eq(ours.keys()), "{stdout}");
    for (field, value) in ours.iter().filter(|(field, _)| *field != "epsilon") {
        assert_eq!(&theirs[field], value, "{field}");
    }
    for (delta, epsilon) in ours["epsilon"].as_object().unwrap() {
        match (theirs["epsilon"][delta].as_f64(), epsilon.as_f64()) {
            (Some(theirs), Some(ours)) => {
                assert!((theirs - ours).abs() < 1e-9, "{delta}: {theirs} {ours}")
            }
            (theirs, ours) => assert_eq!(theirs, ours, "{delta}"),
        }
    }
}

#[test]
fn the_second_verifier_refuses_what_the_first_refuses() {
    let spoil: [fn(&Path, &World); 9] = [
        |dir, world| {
            let mut lines = world.bytes();
            lines.swap(1, 2);
            write_lines(dir, "ledger.jsonl", &lines);
        },
        |dir, _| fs::remove_file(head_file(dir, 5)).unwrap(),
        |dir, _| {
            let mut world = small();
            world.change(2, |charge| {
                charge.rho = tacit_privacy::Rho::saturating_from_units(12)
            });
            world.write(dir);
        },
        |dir, _| {
            let mut fork = small();
            fork.change_line(4, |line| line.time_bucket += 1);
            fork.write_head(dir, 5);
        },
        |dir, world| {
            let sign = |line: &tacit_privacy::record::Line| {
                let context = tacit_round::keys::Context::Head;
                world
                    .helper
                    .sign(context, &line.to_bytes().unwrap())
                    .to_string()
                    .into_bytes()
            };
            write_lines(
                dir,
                "helper.sig",
                &world.helper_lines.iter().map(sign).collect::<Vec<_>>(),
            );
        },
        |dir, world| {
            let mut other = small();
            other.helper_lines.truncate(1);
            other.write(dir);
            write_lines(dir, "ledger.jsonl", &world.bytes());
        },
        |dir, _| {
            let mut other = small();
            other.change(4, |charge| charge.dishonest_milli = 10);
            other.rechain();
            other.write(dir);
        },
        |dir, world| {
            fs::remove_file(dir.join(format!("tickets/{}.json", world.tickets[1].hash()))).unwrap()
        },
        |dir, world| {
            let mut foreign = tacit_round::ticket::TicketFile::from(&world.tickets[1]);
            foreign.helper_signature = foreign.coordinator_signature;
            let path = dir.join(format!("tickets/{}.json", world.tickets[1].hash()));
            fs::write(path, tacit_privacy::canonical::encode(&foreign).unwrap()).unwrap();
        },
    ];
    for (i, spoil) in spoil.into_iter().enumerate() {
        let world = small();
        let dir = export(&world);
        spoil(dir.path(), &world);
        let ours = verify(dir.path()).expect_err("spoilt").to_string();
        let Some((accepted, _, stderr)) = python(dir.path()) else {
            println!("SKIPPED: python3 is not installed");
            return;
        };
        // Both name the same place: what stands before the first colon.
        let place = |text: &str| {
            text.trim()
                .split(':')
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        assert!(
            !accepted && place(&stderr) == place(&ours),
            "case {i}: '{ours}' but '{stderr}'"
        );
    }
}
