//! A whole task over the wire, by real processes: helper, coordinator, devices.

use std::fmt::Write;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::difference::Outputs;
use super::{CLOCK, Side, stop_clock, succeed};

const DEVICES: u32 = 40;
const ITEMS: u32 = 30;
/// How often the devices are looked at, and how many times before they take too long.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS_MAX: u32 = 1800;

/// What a coordinator is configured for.
pub(super) struct Task {
    pub(super) name: &'static str,
    /// Lines of `[task]`.
    lines: &'static str,
}

/// One task of each model.
pub(super) const TASKS: [Task; 4] = [
    Task {
        name: "ledger of a spectral task",
        lines: "factors = 4\nrounds = 2\nevaluation = 0.05\n",
    },
    Task {
        name: "ledger of a weighted task",
        lines: "model = \"weighted\"\nfactors = 4\nrounds = 2\nevaluation = 0.05\n",
    },
    Task {
        name: "ledger of a rating task",
        lines: "model = \"rating\"\nfactors = 2\nevaluation = 0.05\n",
    },
    Task {
        name: "ledger of a neural task",
        lines: "model = \"neural\"\nfactors = 4\nrounds = 2\nevaluation = 0.0\n",
    },
];

/// Makes keys, tokens, catalogue and interactions, once for both programs.
pub(super) fn prepare(old: &Path, common: &Path) -> anyhow::Result<()> {
    for line in [
        "pki init pki".to_owned(),
        format!("pki policy pki --epsilon 200 --cohort {DEVICES}"),
        format!("pki tokens pki --count {DEVICES}"),
    ] {
        let mut command = Command::new(old);
        command.args(line.split(' ')).current_dir(common);
        stop_clock(&mut command, common);
        succeed(&mut command)?;
    }
    fs::write(common.join("catalogue.txt"), catalogue("", '\t')?)?;
    fs::write(
        common.join("interactions.csv"),
        interactions("device", 1000)?,
    )?;
    // The same as a data set.
    let data = common.join("data");
    fs::create_dir(&data)?;
    fs::write(
        data.join("movies.csv"),
        catalogue("movieId,title,genres\n", ',')?,
    )?;
    fs::write(data.join("interactions.csv"), interactions("user", 1)?)?;
    Ok(())
}

/// One item a line; its number comes first where there is a heading.
fn catalogue(heading: &str, separator: char) -> Result<String, std::fmt::Error> {
    let mut text = heading.to_owned();
    for item in 0..ITEMS {
        if !heading.is_empty() {
            write!(text, "{item}{separator}")?;
        }
        let (year, kind, mood) = (1960 + item, item % 3, item % 7);
        writeln!(
            text,
            "Item {item} ({year}){separator}kind {kind}|mood {mood}"
        )?;
    }
    Ok(text)
}

/// Ten items a device, of one kind more often than of others, with ratings; `units` of its
/// times make a second.
fn interactions(who: &str, units: u64) -> Result<String, std::fmt::Error> {
    let mut text = format!("{who},item,timestamp,value,type\n");
    let mut state = 1u32;
    let mut draw = |bound: u32| {
        // A linear congruential generator, its high bits.
        state = state
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        (state >> 16) % bound
    };
    for device in 0..DEVICES {
        for nth in 0..10u64 {
            let (any, kind) = (draw(ITEMS), draw(4) > 0);
            let item = if kind {
                any - any % 3 + device % 3
            } else {
                any
            };
            let rating = 1 + draw(5);
            let at = units * (CLOCK - 3600 * (20 - nth));
            writeln!(text, "{device},{},{at},{rating},rating", item % ITEMS)?;
        }
    }
    Ok(text)
}

impl Task {
    /// Name of the folder it leaves.
    pub(super) fn folder(&self) -> String {
        self.name.replace(' ', "-")
    }

    /// Runs the task to its end: the export for auditors and the devices' summary.
    pub(super) fn outputs(&self, side: &Side) -> anyhow::Result<Outputs> {
        configure(side, self.lines)?;
        let mut processes = Processes(Vec::new());
        for role in ["helper", "coordinator", "device"] {
            processes.start(side, role)?;
        }
        processes.wait_for_devices().with_context(|| {
            let folder = side.folder.display();
            format!("{}: see the logs in {folder}", self.name)
        })?;
        let mut outputs = Outputs::default();
        outputs.add_files(&side.folder.join("coordinator/ledger"))?;
        outputs.add("device --json", &fs::read(side.folder.join("device.out"))?);
        Ok(outputs)
    }
}

fn configure(side: &Side, task: &str) -> anyhow::Result<()> {
    let (coordinator, helper) = (free_port()?, free_port()?);
    let common = side.common.display();
    let key = |name: &str| {
        let text = fs::read_to_string(side.common.join("pki").join(name))?;
        anyhow::Ok(text.trim().to_owned())
    };
    let tls = |name: &str| {
        format!(
            "[tls]\ncertificate = \"{common}/pki/{name}.crt\"\nkey = \"{common}/pki/{name}.key\"\n\
             root = \"{common}/pki/root.crt\"\n\
             [signing]\nkey = \"{common}/pki/{name}.sign\"\n"
        )
    };
    let helper_config = format!(
        "listen = \"127.0.0.1:{helper}\"\nstate = \"helper\"\ncoordinator_key = \"{}\"\n{}",
        key("coordinator.pub")?,
        tls("helper"),
    );
    let coordinator_config = format!(
        "listen = \"127.0.0.1:{coordinator}\"\nstate = \"coordinator\"\n{}\
         [helper]\naddress = \"https://127.0.0.1:{helper}\"\nserver_name = \"localhost\"\n\
         identity_key = \"{}\"\n\
         [enrolment]\ncertificate = \"{common}/pki/issuing.crt\"\n\
         key = \"{common}/pki/issuing.key\"\n\
         tokens = \"{common}/pki/tokens.sha256\"\nstate = \"enrolled\"\n\
         [task]\nname = \"compared\"\ncatalogue = \"{common}/catalogue.txt\"\nepsilon = 200.0\n\
         delta = 1e-5\ncohort = {DEVICES}\ndropout = 0.0\ndeadline_seconds = 3600\n{task}",
        tls("coordinator"),
        key("helper.pub")?,
    );
    let device_config = format!(
        "coordinator = \"https://127.0.0.1:{coordinator}\"\nserver_name = \"localhost\"\n\
         root = \"{common}/pki/root.crt\"\npolicy = \"{common}/pki/policy.json\"\n\
         publisher_key = \"{}\"\nstate = \"devices\"\ntokens = \"{common}/pki/tokens.txt\"\n\
         interactions = \"{common}/interactions.csv\"\n",
        key("publisher.pub")?,
    );
    fs::write(side.folder.join("helper.toml"), helper_config)?;
    fs::write(side.folder.join("coordinator.toml"), coordinator_config)?;
    fs::write(side.folder.join("device.toml"), device_config)?;
    Ok(())
}

/// A port that nobody listens on.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// What runs, the devices last; it dies with this.
struct Processes(Vec<Child>);

impl Processes {
    fn start(&mut self, side: &Side, role: &str) -> anyhow::Result<()> {
        let log = |suffix: &str| File::create(side.folder.join(format!("{role}.{suffix}")));
        let mut command = side.command_under_system();
        command.args([role, "--config", &format!("{role}.toml")]);
        if role == "device" {
            command.args(["--json", "--devices", &DEVICES.to_string()]);
        }
        self.0.push(
            command
                .stdout(log("out")?)
                .stderr(log("log")?)
                .spawn()?,
        );
        Ok(())
    }

    /// Devices end with their task.
    fn wait_for_devices(&mut self) -> anyhow::Result<()> {
        let devices = self.0.last_mut().context("nothing runs")?;
        for _ in 0..LOOKS_MAX {
            if let Some(status) = devices.try_wait()? {
                ensure!(status.success(), "the devices ended with {status}");
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        bail!("the devices did not finish in {:?}", LOOK * LOOKS_MAX)
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // One that has ended by itself needs no killing.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
