//! Devices that come and go together: one process of `tacit device` with a folder, tokens and
//! interactions of its own.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tacit_model::history::interaction::Interaction;
use tacit_sdk::Store;
use tacit_types::DeviceId;
use tacit_wire::Peer;

use crate::deployment::{Deployment, binary, interaction_rows};

/// What an installation keeps of its identity.
const IDENTITY: [&str; 3] = ["device.crt", "device.key", "device.life"];

/// One of them.
pub struct Fleet {
    number: usize,
    /// The deployment's, where configuration and logs lie.
    folder: PathBuf,
    environment: Vec<(String, String)>,
    devices: u32,
    running: Option<Child>,
    /// Whether it takes part at present.
    here: bool,
    /// Every identity each device has had.
    identities: Vec<BTreeSet<DeviceId>>,
    revoked: BTreeSet<u32>,
    /// Bytes of the log before the process that ran last.
    logged: usize,
}

impl Fleet {
    /// Writes the files of a fleet. Nothing runs yet.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn new(
        deployment: &Deployment,
        number: usize,
        tokens: &[Vec<u8>],
        histories: &[Vec<Interaction>],
    ) -> Result<Self> {
        let fleet = Self {
            number,
            folder: deployment.path(""),
            environment: deployment.environment().to_vec(),
            devices: u32::try_from(tokens.len())?,
            running: None,
            here: false,
            identities: vec![BTreeSet::new(); tokens.len()],
            revoked: BTreeSet::new(),
            logged: 0,
        };

        let config = fs::read_to_string(deployment.path("device.toml"))?;
        let config = config
            .replace("\"devices\"", &format!("\"fleet-{number}\""))
            .replace("pki/root.crt", &format!("fleet-{number}.crt"))
            .replace("pki/tokens.txt", &format!("fleet-{number}.tokens"))
            .replace("interactions.csv", &format!("fleet-{number}.csv"));
        fs::write(fleet.file("toml"), config)?;
        fs::write(fleet.file("csv"), interaction_rows(histories))?;
        fleet.give_tokens(tokens)?;
        fleet.give_root()?;
        Ok(fleet)
    }

    /// Its number.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Whether it takes part at present.
    pub fn is_here(&self) -> bool {
        self.here
    }

    /// Whether every device has enrolled: a kill may come at any moment.
    pub fn is_enrolled(&self) -> bool {
        let certificates = self.folders().map(|folder| folder.join("device.crt"));
        certificates.into_iter().all(|path| path.is_file())
    }

    /// It comes, or comes back.
    pub fn come(&mut self) {
        self.here = true;
    }

    /// It goes; its devices are off until it comes back.
    pub fn go(&mut self) {
        self.here = false;
    }

    /// Gives devices new tokens and today's root, as a new version of their app does, and lets them
    /// forget the identity they had: it ended too long ago.
    ///
    /// # Errors
    /// When a file cannot be written or removed.
    pub fn enrol_again(&mut self, tokens: &[Vec<u8>]) -> Result<()> {
        self.give_tokens(tokens)?;
        self.give_root()?;
        for folder in self.folders() {
            for name in IDENTITY {
                let path = folder.join(name);
                fs::remove_file(&path).with_context(|| path.display().to_string())?;
            }
        }
        Ok(())
    }

    fn give_tokens(&self, tokens: &[Vec<u8>]) -> Result<()> {
        let lines: String = tokens
            .iter()
            .map(|token| hex::encode(token) + "\n")
            .collect();
        Ok(fs::write(self.file("tokens"), lines)?)
    }

    /// The root that its app ships; a later one it learns by itself.
    fn give_root(&self) -> Result<()> {
        fs::copy(self.folder.join("pki/root.crt"), self.file("crt"))?;
        Ok(())
    }

    /// Starts its devices, unless they run.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(&mut self) -> Result<()> {
        if self.running.is_some() {
            return Ok(());
        }

        let open = |ending: &str| {
            let path = self.file(ending);
            File::options().create(true).append(true).open(path)
        };
        let (out, log) = (open("out")?, open("log")?);
        self.logged = self.log().len();
        let mut command = Command::new(binary());
        command
            .arg("device")
            .arg("--config")
            .arg(self.file("toml"))
            .args(["--devices", &self.devices.to_string()])
            .args(["--json", "--progress"])
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(log);
        self.running = Some(command.spawn()?);
        Ok(())
    }

    /// Kills the process, if it runs; says whether it did.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&mut self) -> Result<bool> {
        let Some(mut child) = self.running.take() else {
            return Ok(false);
        };
        child.kill()?;
        child.wait()?;
        Ok(true)
    }

    /// Whether all its devices have ended by themselves, which they do with their task.
    ///
    /// # Errors
    /// When another device has stopped than those that are revoked.
    pub fn has_finished(&mut self) -> Result<bool> {
        let Some(child) = &mut self.running else {
            return Ok(true);
        };
        let Some(status) = child.try_wait()? else {
            return Ok(false);
        };

        self.running = None;
        let stopped = self.stopped();
        let expected = stopped == self.revoked && status.success() == stopped.is_empty();
        ensure!(
            expected,
            "fleet {} ended with {status}, stopped {stopped:?}, revoked {:?}:\n{}",
            self.number,
            self.revoked,
            self.log_tail()
        );
        Ok(true)
    }

    /// Devices that the process that ran last gave up.
    fn stopped(&self) -> BTreeSet<u32> {
        let log = self.log();
        let lines = log[self.logged..].lines();
        let stopped = lines.filter(|line| line.contains("device_stopped"));
        stopped.filter_map(number_in).collect()
    }

    /// A device is revoked: by this name.
    ///
    /// # Errors
    /// When its certificate cannot be read.
    pub fn revoke(&mut self, device: u32) -> Result<DeviceId> {
        self.revoked.insert(device);
        identity(&self.installation(device).join("device.crt"))
    }

    /// Folders of those that are not revoked.
    pub fn living(&self) -> impl Iterator<Item = PathBuf> {
        let living = (0..self.devices).filter(|device| !self.revoked.contains(device));
        living.map(|device| self.installation(device))
    }

    /// Folders of all devices.
    pub fn folders(&self) -> impl Iterator<Item = PathBuf> {
        (0..self.devices).map(|device| self.installation(device))
    }

    /// Every identity a device has had.
    pub fn identities(&self, device: u32) -> &BTreeSet<DeviceId> {
        &self.identities[device as usize]
    }

    /// Notes which identities its devices have now.
    ///
    /// # Errors
    /// When a certificate cannot be read.
    pub fn note_identities(&mut self) -> Result<()> {
        for device in 0..self.devices {
            let certificate = self.installation(device).join("device.crt");
            if certificate.is_file() {
                let identity = identity(&certificate)?;
                self.identities[device as usize].insert(identity);
            }
        }
        Ok(())
    }

    /// The store of a device, if it has one.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn store(&self, device: u32) -> Result<Option<Store>> {
        let folder = self.installation(device);
        if !Store::path(&folder).exists() {
            return Ok(None);
        }
        Ok(Some(Store::open(&folder)?))
    }

    /// Its devices by number.
    pub fn devices(&self) -> std::ops::Range<u32> {
        0..self.devices
    }

    /// Contributions acknowledged, by its process's own count.
    pub fn acknowledged(&self) -> u64 {
        let out = fs::read_to_string(self.file("out")).unwrap_or_default();
        let last = out.lines().rev().find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            line["acknowledged"].as_u64()
        });
        last.unwrap_or(0)
    }

    fn installation(&self, device: u32) -> PathBuf {
        let state = self.folder.join(format!("fleet-{}", self.number));
        state.join(format!("{device:06}"))
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.folder
            .join(format!("fleet-{}.{ending}", self.number))
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.file("log")).unwrap_or_default()).into_owned()
    }

    /// The end of what the process that ran last has logged.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log[self.logged..].lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // One that has ended already needs no killing.
        let _ = self.kill();
    }
}

/// The device whose folder a line of the log names.
fn number_in(line: &str) -> Option<u32> {
    let (_, rest) = line.split_once("/fleet-")?;
    let (_, rest) = rest.split_once('/')?;
    rest.get(..6)?.parse().ok()
}

fn identity(certificate: &Path) -> Result<DeviceId> {
    let leaf = CertificateDer::from_pem_file(certificate)?;
    match Peer::from_certificate(&leaf) {
        Some(Peer::Device(id)) => Ok(id),
        other => anyhow::bail!("{}: {other:?}", certificate.display()),
    }
}
