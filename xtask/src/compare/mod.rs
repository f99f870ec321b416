//! `cargo xtask compare OLD NEW`: two `tacit` programs must say the same, byte for byte.
//!
//! Each comparison runs the same commands with the same seeds in a folder of its own for either
//! program and compares what they print and write. What depends on the operating system's
//! randomness, clock or program file runs under `system.c`, which answers both alike, so that even
//! the ledger of a federation over the wire repeats. Comparing a program with itself shows that.
//!
//! Not compared: text for people (standard error, HTML), what `pki` and `demo` draw, and bytes
//! between processes.

mod commands;
mod difference;
mod federation;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use commands::Commands;
use difference::Outputs;

/// Where everything is done; the last run's files stay for who looks.
const FOLDER: &str = "target/compare";
const SYSTEM: &str = include_str!("system.c");
/// What every process takes for now, in seconds since 1970: 2030-03-17.
const CLOCK: u64 = 1_900_000_000;
/// Folders in `TACIT_DATA` that are compared too where it is set.
const PUBLIC_SETS: [&str; 2] = ["ml-100k", "ml-1m"];

/// Options.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The program whose results are right.
    old: PathBuf,
    /// The program to be compared.
    new: PathBuf,
    /// Only comparisons with this in their name. Those of `audit` need a federation's ledger:
    /// `--only ledger` makes both.
    #[arg(long, value_name = "WORD")]
    only: Option<String>,
    /// A JSON object that only the new program puts out, on purpose; may be repeated.
    #[arg(long, value_name = "NAME")]
    but: Vec<String>,
}

/// One comparison.
enum Comparison {
    Commands(Commands),
    Federation(&'static federation::Task),
}

/// One of the two programs in one comparison.
struct Side<'a> {
    program: &'a Path,
    /// An empty folder of this comparison and program.
    folder: PathBuf,
    /// What both have in common: the library, keys and made-up data.
    common: &'a Path,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let (old, new) = (absolute(&options.old)?, absolute(&options.new)?);
    let folder = crate::root().join(FOLDER);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let common = folder.join("common");
    fs::create_dir_all(&common)?;
    compile_system(&common)?;
    federation::prepare(&old, &common)?;

    let has_data = link_public_sets(&common)?;

    let mut different = 0;
    for comparison in Comparison::all() {
        let name = comparison.name();
        if options
            .only
            .as_ref()
            .is_some_and(|word| !name.contains(word))
        {
            continue;
        }
        if !has_data && PUBLIC_SETS.iter().any(|set| name.ends_with(set)) {
            println!("SKIPPED  {name}: TACIT_DATA is not set");
            continue;
        }
        let (of_old, of_new) = std::thread::scope(|scope| {
            let of_new = scope.spawn(|| comparison.outputs(&folder, "new", &new));
            let of_old = comparison.outputs(&folder, "old", &old);
            (of_old, of_new.join().expect("errors are returned"))
        });
        let of_old = of_old.context("the old program")?;
        let difference = match of_new {
            Ok(mut of_new) => {
                options
                    .but
                    .iter()
                    .for_each(|name| of_new.leave_out(name));
                of_old.difference(&of_new)
            }
            Err(error) => Some(format!("the new program: {error:#}")),
        };
        match difference {
            None => println!("same     {name}: {of_old}"),
            Some(difference) => {
                println!("DIFFERS  {name}: {difference}");
                different += 1;
            }
        }
    }
    ensure!(
        different == 0,
        "{different} comparisons differ; see {FOLDER}"
    );
    Ok(())
}

impl Comparison {
    /// Federations first, because `audit` reads their ledgers.
    fn all() -> Vec<Self> {
        let federations = federation::TASKS.iter().map(Self::Federation);
        federations
            .chain(commands::all().into_iter().map(Self::Commands))
            .collect()
    }

    fn name(&self) -> String {
        match self {
            Self::Commands(commands) => commands.name.clone(),
            Self::Federation(task) => task.name.to_owned(),
        }
    }

    /// What one program puts out, in a folder of its own below `folder`.
    fn outputs(&self, folder: &Path, side: &str, program: &Path) -> anyhow::Result<Outputs> {
        let side = Side {
            program,
            folder: folder
                .join(side)
                .join(self.name().replace(['/', ' '], "-")),
            common: &folder.join("common"),
        };
        fs::create_dir_all(&side.folder)?;
        match self {
            Self::Commands(commands) => commands.outputs(&side),
            Self::Federation(task) => task.outputs(&side),
        }
    }
}

impl Side<'_> {
    /// The program in its folder, without standard input.
    fn command(&self) -> Command {
        let mut command = Command::new(self.program);
        command.current_dir(&self.folder).stdin(Stdio::null());
        command
    }

    /// As [`Self::command`], under the system that answers all alike.
    fn command_under_system(&self) -> Command {
        let mut command = self.command();
        stop_clock(&mut command, self.common);
        command
            .env("COMPARE_PROGRAM", self.common.join("program"))
            .env("COMPARE_RANDOM", "1");
        command
    }
}

fn stop_clock(command: &mut Command, common: &Path) {
    command
        .env("LD_PRELOAD", common.join("system.so"))
        .env("COMPARE_CLOCK", CLOCK.to_string());
}

/// Whether there are public data sets.
fn link_public_sets(common: &Path) -> anyhow::Result<bool> {
    let Some(data) = std::env::var_os("TACIT_DATA") else {
        return Ok(false);
    };
    for set in PUBLIC_SETS {
        std::os::unix::fs::symlink(absolute(&Path::new(&data).join(set))?, common.join(set))?;
    }
    Ok(true)
}

fn compile_system(common: &Path) -> anyhow::Result<()> {
    fs::write(common.join("system.c"), SYSTEM)?;
    fs::write(common.join("program"), "the program that keeps the ledger")?;
    let mut compiler = Command::new("cc");
    compiler
        .args([
            "-O1",
            "-Wall",
            "-shared",
            "-fPIC",
            "-o",
            "system.so",
            "system.c",
        ])
        .current_dir(common);
    succeed(&mut compiler)
}

/// Runs a command that must succeed.
fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .output()
        .with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(())
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    path.canonicalize()
        .with_context(|| path.display().to_string())
}
