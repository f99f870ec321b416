//! A throw-away deployment: keys, configuration files and the real `tacit` processes, which may be
//! killed at any moment.
//!
//! Everything lives in a temporary folder. When a test fails, the ends of the processes' logs are
//! printed.

use std::ffi::OsString;
use std::fmt::Write;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tacit_data::Dataset;
use tacit_model::history::interaction::Interaction;
use tacit_privacy::record::{Event, Line, Release};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// A command that does not serve must end within this time.
const COMMAND_DEADLINE: Duration = Duration::from_secs(20);
/// What is waited for in a log is there within this time.
const LOG_DEADLINE: Duration = Duration::from_secs(60);
/// Bytes of each log that are shown when a test fails.
const LOG_TAIL: usize = 3000;

/// What differs between deployments.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Devices a round waits for.
    pub cohort: u32,
    /// Installations of the devices' process; as many as the cohort when it is 0.
    pub devices: u32,
    /// Enrolment tokens made.
    pub tokens: u32,
    /// Lines of the catalogue.
    pub items: u32,
    /// Budget of the task, at delta 1e-5.
    pub epsilon: f64,
    /// Assumed share of devices that drop out.
    pub dropout: f64,
    /// How long a round waits for its cohort.
    pub deadline_seconds: u64,
    /// Further lines of `[task]`; without one, the model is not evaluated.
    pub task: &'static str,
    /// What every process finds in its environment beside what this one has.
    pub environment: Vec<(String, String)>,
}

impl Default for Settings {
    /// A task that releases one counts vector of 64 items and nothing else.
    fn default() -> Self {
        Self {
            cohort: 4,
            devices: 0,
            tokens: 8,
            items: 64,
            epsilon: 1.0,
            dropout: 0.05,
            deadline_seconds: 60,
            task: "",
            environment: Vec::new(),
        }
    }
}

/// One of the processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `tacit coordinator`.
    Coordinator,
    /// `tacit helper`.
    Helper,
    /// `tacit device`, with [`Settings::devices`] installations.
    Devices,
}

impl Role {
    const ALL: [Self; 3] = [Self::Coordinator, Self::Helper, Self::Devices];

    fn command(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Helper => "helper",
            Self::Devices => "device",
        }
    }
}

/// The deployment. Its processes die with it.
pub struct Deployment {
    folder: TempDir,
    settings: Settings,
    coordinator_port: u16,
    helper_port: u16,
    running: [Option<Child>; 3],
}

impl Deployment {
    /// Makes keys, policy, tokens and configuration files. Nothing runs yet.
    ///
    /// # Errors
    /// When the binary is missing or refuses.
    pub fn new(settings: Settings) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("tacit-test-")
            .tempdir()?;
        let deployment = Self {
            folder,
            settings,
            coordinator_port: free_port()?,
            helper_port: free_port()?,
            running: [const { None }; 3],
        };
        let (cohort, tokens) = (
            deployment.settings.cohort.to_string(),
            deployment.settings.tokens.to_string(),
        );
        let epsilon = deployment.settings.epsilon.to_string();
        deployment.succeed(&["pki", "init", "pki"])?;
        deployment.succeed(&[
            "pki",
            "policy",
            "pki",
            "--epsilon",
            &epsilon,
            "--cohort",
            &cohort,
        ])?;
        deployment.succeed(&["pki", "tokens", "pki", "--count", &tokens])?;
        let catalogue: String = (0..deployment.settings.items)
            .map(|item| format!("item {item}\n"))
            .collect();
        fs::write(deployment.path("catalogue.txt"), catalogue)?;
        fs::write(
            deployment.path("coordinator.toml"),
            deployment.coordinator_config()?,
        )?;
        fs::write(deployment.path("helper.toml"), deployment.helper_config()?)?;
        fs::write(deployment.path("device.toml"), deployment.device_config()?)?;
        Ok(deployment)
    }

    /// As [`Self::new`], with coordinator and helper running.
    ///
    /// # Errors
    /// As [`Self::new`] and [`Self::start`].
    pub fn running(settings: Settings) -> Result<Self> {
        let mut deployment = Self::new(settings)?;
        deployment.start(Role::Helper)?;
        deployment.start(Role::Coordinator)?;
        Ok(deployment)
    }

    /// Devices that a round waits for.
    pub(crate) fn cohort(&self) -> u16 {
        u16::try_from(self.settings.cohort).unwrap_or(u16::MAX)
    }

    /// A path inside the deployment's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What every process finds in its environment beside what this one has.
    pub fn environment(&self) -> &[(String, String)] {
        &self.settings.environment
    }

    /// The coordinator's export for auditors.
    pub fn ledger(&self) -> PathBuf {
        self.path("coordinator/ledger")
    }

    /// Changes one text in a role's configuration file.
    ///
    /// # Errors
    /// When the file cannot be read or written, or does not hold the text.
    pub fn configure(&self, role: Role, from: &str, to: &str) -> Result<()> {
        let path = self.path(&format!("{}.toml", role.command()));
        let text = fs::read_to_string(&path)?;
        ensure!(text.contains(from), "{} has no {from}", path.display());
        Ok(fs::write(&path, text.replace(from, to))?)
    }

    /// What a process has logged.
    pub fn log(&self, role: Role) -> String {
        let path = self.path(&format!("{}.log", role.command()));
        String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
    }

    /// Where devices reach the coordinator.
    pub fn coordinator_address(&self) -> String {
        format!("https://127.0.0.1:{}", self.coordinator_port)
    }

    /// Where the coordinator reaches the helper.
    pub fn helper_address(&self) -> String {
        format!("https://127.0.0.1:{}", self.helper_port)
    }

    /// Port of the coordinator.
    pub fn coordinator_port(&self) -> u16 {
        self.coordinator_port
    }

    /// Port of the helper.
    pub fn helper_port(&self) -> u16 {
        self.helper_port
    }

    /// Starts a process on the state it left, logging to a file.
    ///
    /// # Errors
    /// When it cannot be started or runs already.
    pub fn start(&mut self, role: Role) -> Result<()> {
        self.start_under(&[], role)
    }

    /// As [`Self::start`], as the argument of another command that keeps its process.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_under(&mut self, wrapper: &[String], role: Role) -> Result<()> {
        self.spawn(wrapper, role, &[])
    }

    /// As [`Self::start`], as an operator does who has put its state back from a copy.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_restored(&mut self, role: Role) -> Result<()> {
        self.spawn(&[], role, &["--restored"])
    }

    fn spawn(&mut self, wrapper: &[String], role: Role, options: &[&str]) -> Result<()> {
        ensure!(
            self.running[role as usize].is_none(),
            "the {} runs already",
            role.command()
        );
        let log = |suffix: &str| {
            let path = self.path(&format!("{}.{suffix}", role.command()));
            File::options().create(true).append(true).open(path)
        };
        let mut words: Vec<OsString> = wrapper.iter().map(OsString::from).collect();
        words.push(binary().into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(role.command());
        command
            .arg("--config")
            .arg(self.path(&format!("{}.toml", role.command())))
            .args(options)
            .envs(self.environment().iter().cloned());
        if role == Role::Devices {
            let devices = match self.settings.devices {
                0 => self.settings.cohort,
                devices => devices,
            };
            command.args(["--json", "--devices", &devices.to_string()]);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(log("out")?)
            .stderr(log("log")?)
            .spawn()?;
        self.running[role as usize] = Some(child);
        Ok(())
    }

    /// Kills a process with SIGKILL; gives how it ended.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self, role: Role) -> Result<ExitStatus> {
        let mut child = self.running[role as usize]
            .take()
            .context("nothing to kill")?;
        child.kill()?;
        Ok(child.wait()?)
    }

    /// Asks a process to end, with SIGTERM.
    ///
    /// # Errors
    /// When it does not run.
    pub fn terminate(&self, role: Role) -> Result<()> {
        self.signal(role, Signal::TERM)
    }

    /// Tells a process that its terminal is gone, or to read its files again, with SIGHUP.
    ///
    /// # Errors
    /// When it does not run.
    pub fn hang_up(&self, role: Role) -> Result<()> {
        self.signal(role, Signal::HUP)
    }

    /// Sends a process a signal.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, role: Role, signal: Signal) -> Result<()> {
        let child = self.running[role as usize].as_ref();
        let pid = Pid::from_child(child.context("it does not run")?);
        Ok(kill_process(pid, signal)?)
    }

    /// The number of a process.
    ///
    /// # Errors
    /// When it does not run.
    pub fn process(&self, role: Role) -> Result<u32> {
        let running = self.running[role as usize].as_ref();
        Ok(running.context("it does not run")?.id())
    }

    /// Starts a process again that has ended by itself.
    ///
    /// # Errors
    /// When it has not ended, or cannot be started.
    pub fn restart(&mut self, role: Role) -> Result<()> {
        ensure!(self.ended(role)?.is_some(), "it runs");
        self.running[role as usize] = None;
        self.start(role)
    }

    /// Kills a process and starts it again on the same state.
    ///
    /// # Errors
    /// When it had ended by itself before, or cannot be started.
    pub fn crash(&mut self, role: Role) -> Result<()> {
        let status = self.kill(role)?;
        ensure!(
            status.code().is_none(),
            "the {} had ended by itself: {status}",
            role.command()
        );
        self.start(role)
    }

    /// Bytes of memory a process holds now.
    ///
    /// # Errors
    /// When it does not run.
    pub fn memory(&self, role: Role) -> Result<u64> {
        let process = self.process(role)?;
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let mut lines = status.lines();
        let resident = lines.find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
        let kilobytes: u64 = resident.context("no VmRSS")?.trim().parse()?;
        Ok(kilobytes * 1024)
    }

    /// Waits until a process has logged a word.
    ///
    /// # Errors
    /// When it has not after a minute.
    pub async fn logs(&self, role: Role, word: &str) -> Result<()> {
        let start = Instant::now();
        while !self.log(role).contains(word) {
            ensure!(start.elapsed() < LOG_DEADLINE, "no {word}");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// How a process ended by itself, if it has.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn ended(&mut self, role: Role) -> Result<Option<ExitStatus>> {
        Ok(self.running[role as usize]
            .as_mut()
            .map(Child::try_wait)
            .transpose()?
            .flatten())
    }

    /// Gives the devices what their owners did: one device a list, in order.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_interactions(&self, data: &Dataset) -> Result<()> {
        let rows = interaction_rows(&data.users);
        Ok(fs::write(self.path("interactions.csv"), rows)?)
    }

    /// Waits until the devices' process has ended by itself, which it does with their task.
    ///
    /// # Errors
    /// When that takes longer than `limit`, or it failed.
    pub fn finish(&mut self, limit: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended(Role::Devices)? {
                ensure!(status.success(), "the devices ended with {status}");
                return Ok(());
            }
            ensure!(
                start.elapsed() < limit,
                "the devices did not finish their task in {limit:?}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs `tacit` in the deployment's folder, to its end and at most 20 seconds.
    ///
    /// # Errors
    /// When it takes longer.
    pub fn tacit(&self, arguments: &[&str]) -> Result<Output> {
        run_tacit(self.folder.path(), arguments, self.environment())
    }

    /// Runs `tacit` in the deployment's folder and gives what it printed.
    ///
    /// # Errors
    /// When it fails.
    pub fn succeed(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        let output = self.tacit(arguments)?;
        ensure!(
            output.status.success(),
            "tacit {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(output.stdout)
    }

    /// Runs `tacit audit verify` on the export.
    ///
    /// # Errors
    /// When it finds anything wrong, or prints no second opinion.
    pub fn verify(&self) -> Result<()> {
        let printed = self.succeed(&["audit", "verify", "coordinator/ledger"])?;
        let printed: serde_json::Value = serde_json::from_slice(&printed)?;
        let opinion = &printed["second_opinion"];
        ensure!(
            opinion["epsilon"].is_object() && opinion["difference"].is_object(),
            "no second opinion: {printed}"
        );
        Ok(())
    }

    /// Lines of the exported release ledger; none before the first export.
    ///
    /// # Errors
    /// When a line cannot be read.
    pub fn lines(&self) -> Result<Vec<Line>> {
        let text = fs::read_to_string(self.ledger().join("ledger.jsonl")).unwrap_or_default();
        Ok(text
            .lines()
            .map(|line| Line::from_bytes(line.as_bytes()))
            .collect::<Result<_, _>>()?)
    }

    /// Releases of the exported ledger.
    ///
    /// # Errors
    /// When a line cannot be read.
    pub fn releases(&self) -> Result<Vec<Release>> {
        let releases = self
            .lines()?
            .into_iter()
            .filter_map(|line| match line.event {
                Event::Release(release) => Some(*release),
                _ => None,
            });
        Ok(releases.collect())
    }

    /// Enrolment tokens.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn tokens(&self) -> Result<Vec<Vec<u8>>> {
        let text = fs::read_to_string(self.path("pki/tokens.txt"))?;
        Ok(text
            .lines()
            .map(hex::decode)
            .collect::<Result<_, _>>()?)
    }

    /// A file of the `pki` folder.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn pki(&self, name: &str) -> Result<String> {
        let path = self.path("pki").join(name);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    fn coordinator_config(&self) -> Result<String> {
        let Settings {
            cohort,
            epsilon,
            dropout,
            deadline_seconds,
            task,
            ..
        } = &self.settings;
        let evaluation = if task.contains("evaluation") {
            ""
        } else {
            "evaluation = 0.0\n"
        };
        Ok(format!(
            "listen = \"127.0.0.1:{}\"\nstate = \"coordinator\"\n\n{}\n\
             [fleet]\ncheck_ins_per_hour = 7200000\nrefused_hours = 0\n\n\
             [helper]\naddress = \"{}\"\nserver_name = \"localhost\"\nidentity_key = \"{}\"\n\n\
             [signing]\nkey = \"pki/coordinator.sign\"\n\n\
             [enrolment]\ncertificate = \"pki/issuing.crt\"\nkey = \"pki/issuing.key\"\ntokens = \
             \"pki/tokens.sha256\"\nroots = \"pki/roots.txt\"\nstate = \"enrolled\"\n\n\
             [task]\nname = \"test\"\ncatalogue = \"catalogue.txt\"\nepsilon = {epsilon}\ndelta = \
             1e-5\n\
             cohort = {cohort}\ndropout = {dropout}\ndeadline_seconds = \
             {deadline_seconds}\n{evaluation}{task}",
            self.coordinator_port,
            tls("coordinator"),
            self.helper_address(),
            self.pki("helper.pub")?.trim(),
        ))
    }

    fn helper_config(&self) -> Result<String> {
        Ok(format!(
            "listen = \"127.0.0.1:{}\"\nstate = \"helper\"\ncoordinator_key = \"{}\"\n\n{}\n\
             [signing]\nkey = \"pki/helper.sign\"\n",
            self.helper_port,
            self.pki("coordinator.pub")?.trim(),
            tls("helper"),
        ))
    }

    fn device_config(&self) -> Result<String> {
        Ok(format!(
            "coordinator = \"{}\"\nserver_name = \"localhost\"\nroot = \"pki/root.crt\"\npolicy = \
             \"pki/policy.json\"\n\
             publisher_key = \"{}\"\nstate = \"devices\"\ntokens = \"pki/tokens.txt\"\n\
             interactions = \"interactions.csv\"\n",
            self.coordinator_address(),
            self.pki("publisher.pub")?.trim(),
        ))
    }

    /// Ends of all logs, to be printed with a failure.
    pub fn log_tails(&self) -> String {
        let mut text = String::new();
        for role in Role::ALL {
            let log = fs::read(self.path(&format!("{}.log", role.command()))).unwrap_or_default();
            let tail = &log[log.len().saturating_sub(LOG_TAIL)..];
            let _ = writeln!(
                text,
                "--- {} ---\n{}",
                role.command(),
                String::from_utf8_lossy(tail)
            );
        }
        text
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        for child in self.running.iter_mut().flatten() {
            // One that has ended already needs no killing.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.log_tails());
        }
    }
}

/// Runs `tacit` in `folder`, to its end and at most 20 seconds.
///
/// # Errors
/// When it takes longer.
pub fn tacit(folder: &Path, arguments: &[&str]) -> Result<Output> {
    run_tacit(folder, arguments, &[])
}

fn run_tacit(
    folder: &Path,
    arguments: &[&str],
    environment: &[(String, String)],
) -> Result<Output> {
    let mut command = Command::new(binary());
    command
        .args(arguments)
        .envs(environment.iter().cloned())
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let deadline = Instant::now() + COMMAND_DEADLINE;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
            let output = child.wait_with_output()?;
            bail!(
                "tacit {arguments:?} did not end: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(child.wait_with_output()?)
}

/// What owners did, as `tacit device` reads it: one device a list, in order.
pub(crate) fn interaction_rows(histories: &[Vec<Interaction>]) -> String {
    let mut text = String::from("device,item,timestamp,value,type\n");
    for (device, history) in histories.iter().enumerate() {
        for one in history {
            let at = one
                .timestamp
                .map(|at| at.0.to_string())
                .unwrap_or_default();
            let (item, value, kind) = (one.item.0, one.value, one.kind.as_str());
            let _ = writeln!(text, "{device},{item},{at},{value},{kind}");
        }
    }
    text
}

/// The binary under test, beside the folder this test lies in.
///
/// # Panics
/// When it was not built.
pub fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("a running program has a path");
    let profile = own
        .ancestors()
        .nth(2)
        .expect("tests lie in target/<profile>/deps");
    let binary = profile.join("tacit");
    assert!(
        binary.is_file(),
        "{} is missing; run: cargo build --release -p tacit-cli",
        binary.display()
    );
    binary
}

fn tls(name: &str) -> String {
    format!(
        "[tls]\ncertificate = \"pki/{name}.crt\"\nkey = \"pki/{name}.key\"\nroot = \
         \"pki/root.crt\"\nrevoked = \"pki/revoked.txt\"\n"
    )
}

/// A port nobody listens on, outside the range the kernel gives to outgoing connections: a process
/// that is down for a moment must find its port free again.
fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in 0..1000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let start = u16::try_from(std::process::id() % 1000).unwrap_or(0) * 20;
        let port = 10_000 + (start + step) % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port")
}
