//! Commands that end by themselves: `simulate`, `plan`, `audit`.

use anyhow::{Context, ensure};

use super::difference::Outputs;
use super::{PUBLIC_SETS, Side, federation};

/// How `tacit` ends when it refuses its input: nothing would be compared.
const BAD_INPUT: i32 = 2;
const MODELS: [&str; 4] = ["spectral", "weighted", "rating", "neural"];
/// What both programs have in common, from where a comparison runs.
const COMMON: &str = "../../common";
/// Made-up interactions as a data set.
const MADE_UP: &str = "../../common/data";

/// Commands of one comparison, run one after the other.
pub(super) struct Commands {
    pub(super) name: String,
    lines: Vec<String>,
    /// Whether they draw noise, tell the time or name their program.
    under_system: bool,
}

/// All of them.
pub(super) fn all() -> Vec<Commands> {
    let mut all = vec![
        simulate(
            "spectral",
            "--users 300 --epsilon 3,10 --seeds 2 --evaluation 0.05",
        ),
        simulate(
            "weighted",
            "--users 300 --epsilon 3,10 --seeds 2 --evaluation 0.05",
        ),
        simulate(
            "rating",
            &format!("--data {MADE_UP} --epsilon 10,50 --seeds 2"),
        ),
        simulate(
            "neural",
            "--users 300 --epsilon 3,10 --seeds 2 --evaluation 0.05",
        ),
        // Networks and ratings have no such choice.
        simulate(
            "spectral",
            "--users 300 --no-features --factors 4 --rounds 2",
        ),
        simulate(
            "weighted",
            "--users 300 --no-features --factors 4 --rounds 2",
        ),
        simulate(
            "spectral",
            &format!("--data {MADE_UP} --no-features --epsilon 50"),
        ),
        simulate(
            "spectral",
            "--users 200,300 --projected-users 10000 --dropout 0.2",
        ),
        simulate(
            "weighted",
            "--users 200 --clip-norm 4,8 --dishonest 0.1 --history-max 64",
        ),
        simulate(
            "spectral",
            &format!("--data {MADE_UP} --split random-20 --half-life 5"),
        ),
        simulate(
            "spectral",
            &format!("--data {MADE_UP} --split time --epsilon 50"),
        ),
        exact(
            "spectral",
            "--users 100 --factors 4 --rounds 2 --evaluation 0.05",
        ),
        exact(
            "weighted",
            "--users 100 --factors 4 --rounds 2 --evaluation 0.05",
        ),
        exact(
            "neural",
            "--users 100 --factors 4 --rounds 2 --evaluation 0.05",
        ),
    ];
    for set in PUBLIC_SETS {
        all.push(simulate("spectral", &format!("--data {COMMON}/{set}")));
    }
    all.extend([plans(), audit(), canary()]);
    all
}

fn simulate(model: &str, options: &str) -> Commands {
    let line = format!("simulate --model {model} {options}");
    // Ratings are not written as a table.
    let table = if model == "rating" {
        ""
    } else {
        " --csv lines.csv"
    };
    Commands {
        lines: vec![format!("{line} --json{table}")],
        name: line,
        under_system: false,
    }
}

/// With every device's noise, as on the wire.
fn exact(model: &str, options: &str) -> Commands {
    Commands {
        under_system: true,
        ..simulate(model, &format!("{options} --exact"))
    }
}

fn plans() -> Commands {
    let mut requests: Vec<String> = MODELS
        .iter()
        .flat_map(|model| {
            [
                "--users 1000 --items 500 --epsilon 1",
                "--users 100000 --items 20000 --epsilon 4",
            ]
            .map(|size| format!("--model {model} {size}"))
        })
        .collect();
    requests.extend(
        [
            "--users 6040 --items 3706 --epsilon 8",
            "--users 6040 --items 3706 --epsilon 8 --helper-noise --delta 1e-7",
            "--users 50 --items 100 --epsilon 0.1",
            "--users 5000 --items 3000 --epsilon 3 --factors 16 --rounds 4 --evaluation 0",
            "--users 5000 --items 3000 --epsilon 3 --participation 5 --dropout 0.3",
            "--users 5000 --items 3000 --epsilon 3 --dishonest 0.2 --history-max 64",
        ]
        .map(str::to_owned),
    );
    Commands {
        name: "plan --json".to_owned(),
        lines: requests
            .iter()
            .map(|request| format!("plan {request} --json"))
            .collect(),
        under_system: false,
    }
}

/// Both programs read the ledger that the old one left.
fn audit() -> Commands {
    let ledger = format!(
        "../../old/{}/coordinator/ledger",
        federation::TASKS[0].folder()
    );
    let mut lines = vec![
        format!("audit verify {ledger}"),
        format!("audit report {ledger} --out report"),
    ];
    lines.extend((0..4).map(|line| format!("audit explain {ledger} {line}")));
    Commands {
        name: "audit of the first ledger".to_owned(),
        lines,
        under_system: true,
    }
}

fn canary() -> Commands {
    let options = "--devices 128 --length 256 --releases 2 --seed 1 --json";
    Commands {
        name: "audit canary".to_owned(),
        lines: vec![format!("audit canary {options}")],
        under_system: true,
    }
}

impl Commands {
    /// What they print on standard output, how they end and which files they write.
    pub(super) fn outputs(&self, side: &Side) -> anyhow::Result<Outputs> {
        let mut outputs = Outputs::default();
        for line in &self.lines {
            let mut command = if self.under_system {
                side.command_under_system()
            } else {
                side.command()
            };
            let output = command
                .args(line.split(' '))
                .output()
                .context("does not start")?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(
                output.status.code() != Some(BAD_INPUT),
                "tacit {line}: {said}"
            );
            outputs.add(format!("tacit {line}"), &output.stdout);
            let status = output.status.to_string();
            outputs.add(format!("status of tacit {line}"), status.as_bytes());
        }
        outputs.add_files(&side.folder)?;
        Ok(outputs)
    }
}
