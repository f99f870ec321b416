//! The throw-away deployment of a demo: folders, keys, configuration files, and each user's
//! interactions.

use std::fmt::Write;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use rand::TryRng;
use tacit_data::{Dataset, Item};
use tacit_model::Model;
use tacit_model::family::Family;
use tacit_model::family::rating::Scale;
use tacit_plan::{Plan, PlanError, PlanRequest, plan};
use tacit_round::policy::published;
use tacit_types::{Delta, Digest, Epsilon, Timestamp};
use tempfile::TempDir;

use super::Options;
use crate::data::scale_of;
use crate::failure::Failure;
use crate::pki;

/// As often as devices can: nobody waits for a demo longer than it takes.
const CHECK_INS_PER_HOUR: u32 = 7_200_000;
/// Share of devices assumed dishonest.
pub(super) const DISHONEST: f64 = 0.05;
/// Share of devices assumed to drop out.
pub(super) const DROPOUT: f64 = 0.05;

/// Where the deployment lives.
enum Folder {
    /// `--keep`: the caller's from the start.
    Kept(PathBuf),
    /// Removed when dropped, so that no way out of the demo leaves keys or stores behind.
    Temporary(TempDir),
}

/// The deployment's folder.
pub(super) struct World {
    folder: Folder,
    request: PlanRequest,
    plan: Plan,
}

impl World {
    /// Makes everything the processes need. Nothing is written before the inputs are known to be
    /// good.
    pub(super) fn create(
        options: &Options,
        data: &Dataset,
        epsilon: Epsilon,
        delta: Delta,
    ) -> Result<Self, Failure> {
        let request = request(options, data, epsilon, delta)?;
        // The planner's refusals are bad input: hear them before any file is made.
        let plan = plan(&request).map_err(|error| refused(&error))?;
        let folder = match &options.keep {
            Some(folder) => Folder::Kept(new_folder(folder)?),
            None => Folder::Temporary(TempDir::with_prefix("tacit-demo-")?),
        };
        let world = Self {
            folder,
            request,
            plan,
        };
        pki::init(&world.pki(), "localhost", "localhost")?;
        let cohort = world.request.cohort;
        pki::policy(&world.pki(), &pki::Agreed::new(epsilon, delta, cohort))?;
        pki::tokens(&world.pki(), cohort)?;
        world.write_configs(options)?;
        fs::write(world.path("catalogue.txt"), catalogue(data))?;
        fs::write(world.path("interactions.csv"), interactions(data))?;
        Ok(world)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        match &self.folder {
            Folder::Kept(folder) => folder.join(name),
            Folder::Temporary(folder) => folder.path().join(name),
        }
    }

    fn pki(&self) -> PathBuf {
        self.path("pki")
    }

    /// The ledger as auditors get it.
    pub(super) fn ledger(&self) -> PathBuf {
        self.path("coordinator/ledger")
    }

    pub(super) fn report(&self) -> PathBuf {
        self.path("report")
    }

    /// Folder of one device.
    pub(super) fn device(&self, device: u32) -> PathBuf {
        crate::device::installation(&self.path("devices"), device)
    }

    /// How many devices there are.
    pub(super) fn devices(&self) -> u32 {
        self.request.cohort
    }

    /// The plan both the coordinator and this process derive from the same public numbers.
    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The last published model, from the coordinator's export.
    pub(super) fn final_model(&self) -> Result<Model, Failure> {
        let lines = fs::read_to_string(self.ledger().join("ledger.jsonl"))?;
        let newest = lines.lines().rev().find_map(|line| {
            published(&tacit_privacy::record::Line::from_bytes(line.as_bytes()).ok()?)
        });
        self.model(newest.ok_or_else(|| anyhow::anyhow!("the ledger has no model"))?)
    }

    /// A model of the coordinator's export.
    pub(super) fn model(&self, hash: Digest) -> Result<Model, Failure> {
        Ok(Model::from_bytes(&fs::read(
            self.ledger()
                .join("models")
                .join(format!("{hash}.bin")),
        )?)?)
    }

    fn write_configs(&self, options: &Options) -> Result<(), Failure> {
        let [coordinator, helper] = free_ports()?;
        let helper_key = pki::public_key(&self.pki(), "helper")?;
        let coordinator_key = pki::public_key(&self.pki(), "coordinator")?;
        let publisher_key = pki::public_key(&self.pki(), "publisher")?;
        let tls = |name: &str| {
            format!(
                "[tls]\ncertificate = \"pki/{name}.crt\"\nkey = \"pki/{name}.key\"\nroot = \
                 \"pki/root.crt\"\n"
            )
        };
        let request = &self.request;
        // Long enough for the slowest machine: a round ends as soon as its cohort has reported.
        let deadline_seconds = 120 + u64::from(request.cohort) / 10;
        let mut own = String::new();
        for (key, value) in [("rounds", options.rounds), ("factors", options.factors)] {
            if let Some(value) = value {
                writeln!(own, "{key} = {value}")?;
            }
        }
        if request.model == Family::Rating {
            let Scale { low, high } = request.scale;
            writeln!(own, "scale = [{low:?}, {high:?}]")?;
        }
        fs::write(
            self.path("coordinator.toml"),
            format!(
                "listen = \"127.0.0.1:{coordinator}\"\nstate = \"coordinator\"\n\n{}\n\
                 [fleet]\ncheck_ins_per_hour = {CHECK_INS_PER_HOUR}\nrefused_hours = 0\n\n\
                 [helper]\naddress = \"https://127.0.0.1:{helper}\"\nserver_name = \"localhost\"\n\
                 identity_key = \"{helper_key}\"\n\n[signing]\nkey = \"pki/coordinator.sign\"\n\n\
                 [enrolment]\ncertificate = \"pki/issuing.crt\"\nkey = \"pki/issuing.key\"\n\
                 tokens = \"pki/tokens.sha256\"\n\n\
                 [task]\nname = \"demo\"\nmodel = \"{}\"\ncatalogue = \"catalogue.txt\"\nepsilon = \
                 {}\ndelta = {}\ncohort = {}\n\
                 dropout = {DROPOUT}\ndishonest = {DISHONEST}\n\
                 deadline_seconds = {deadline_seconds}\nevaluation = {}\n{own}",
                tls("coordinator"),
                request.model.as_str(),
                request.epsilon,
                request.delta,
                request.cohort,
                request.evaluation,
            ),
        )?;
        fs::write(
            self.path("helper.toml"),
            format!(
                "listen = \"127.0.0.1:{helper}\"\nstate = \"helper\"\ncoordinator_key = \
                 \"{coordinator_key}\"\n\n{}\n\
                 [signing]\nkey = \"pki/helper.sign\"\n",
                tls("helper"),
            ),
        )?;
        fs::write(
            self.path("device.toml"),
            format!(
                "coordinator = \"https://127.0.0.1:{coordinator}\"\nserver_name = \"localhost\"\n\
                 root = \"pki/root.crt\"\npolicy = \"pki/policy.json\"\npublisher_key = \
                 \"{publisher_key}\"\n\
                 state = \"devices\"\ntokens = \"pki/tokens.txt\"\ninteractions = \
                 \"interactions.csv\"\n",
            ),
        )?;
        Ok(())
    }

    /// Without `--keep`, leaves only the ledger and the report.
    pub(super) fn leave_results(self) -> Result<(), Failure> {
        let Folder::Temporary(folder) = self.folder else {
            return Ok(());
        };
        remove_all_but(folder.path(), &["coordinator", "report"])?;
        remove_all_but(&folder.path().join("coordinator"), &["ledger"])?;
        let _left = folder.keep();
        Ok(())
    }

    /// What the log of a process that stopped has to say.
    pub(super) fn last_words(&self, role: &str) -> String {
        let log = self.path(&format!("{role}.log"));
        if matches!(self.folder, Folder::Kept(_)) {
            return format!("see {}", log.display());
        }
        let text = fs::read(log).unwrap_or_default();
        match String::from_utf8_lossy(&text).lines().next_back() {
            Some(line) => format!("the last line of its log: {line}; --keep FOLDER keeps the log"),
            None => "its log is empty".into(),
        }
    }
}

fn remove_all_but(folder: &Path, kept: &[&str]) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if kept.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// What the coordinator will ask its planner, from the configuration that is written for it.
fn request(
    options: &Options,
    data: &Dataset,
    epsilon: Epsilon,
    delta: Delta,
) -> Result<PlanRequest, Failure> {
    let in_range = |option: &str, value: Option<u32>, max: u32| match value {
        Some(value) if !(1..=max).contains(&value) => Err(Failure::input(format!(
            "{option} must be from 1 to {max}, not {value}"
        ))),
        _ => Ok(value),
    };
    Ok(PlanRequest {
        model: options.model.into(),
        scale: match Family::from(options.model) {
            Family::Rating => scale_of(&data.reading)?,
            _ => Scale::STARS,
        },
        cohort: u32::try_from(data.users.len())?,
        items: u32::try_from(data.items.len())?,
        epsilon,
        delta,
        dropout: DROPOUT,
        dishonest: DISHONEST,
        history_max: super::HISTORY_MAX,
        helper_noise: false,
        rounds: in_range("--rounds", options.rounds, 64)?,
        factors: in_range("--factors", options.factors, 512)?,
        clip_norm: None,
        carried: None,
        participation: None,
        evaluation: match options.evaluation {
            share if (0.0..=0.5).contains(&share) => share,
            share => {
                return Err(Failure::input(format!(
                    "--evaluation must be from 0 to 0.5, not {share}"
                )));
            }
        },
    })
}

/// Names the key the demo would have written.
fn refused(error: &PlanError) -> Failure {
    Failure::input(format!("task.{}: {error}", error.field()))
}

fn new_folder(folder: &Path) -> Result<PathBuf, Failure> {
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::input(format!(
            "--keep {}: the folder exists and is not empty",
            folder.display()
        )));
    }
    fs::create_dir_all(folder)
        .map_err(|error| Failure::input(format!("--keep {}: {error}", folder.display())))?;
    Ok(fs::canonicalize(folder)?)
}

/// Two ports below those the system gives to outgoing connections, so that a daemon that restarts
/// finds its own free again.
fn free_ports() -> Result<[u16; 2], Failure> {
    // The first is held until the second is found: they must differ.
    let (first, _held) = free_port()?;
    let (second, _) = free_port()?;
    Ok([first, second])
}

fn free_port() -> Result<(u16, TcpListener), Failure> {
    for _ in 0..1000 {
        let port = 20_000 + u16::try_from(rand::rngs::SysRng.try_next_u32()? % 10_000)?;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return Ok((port, listener));
        }
    }
    Err(anyhow::anyhow!("no free port between 20000 and 29999").into())
}

/// One line an item, as [`tacit_model::family::catalogue`] reads it.
fn catalogue(data: &Dataset) -> String {
    let plain = |text: &str| text.replace(char::is_control, " ");
    let line = |item: &Item| {
        let (id, title) = (plain(&item.key), plain(&item.title));
        let tags: Vec<String> = item
            .tags()
            .iter()
            .map(|tag| plain(tag).replace('|', " "))
            .collect();
        format!("{id}\t{title}\t{}\n", tags.join("|"))
    };
    data.items.iter().map(line).collect()
}

fn interactions(data: &Dataset) -> String {
    let mut text = String::from("device,item,timestamp,value,type\n");
    for (device, interactions) in data.users.iter().enumerate() {
        for one in interactions {
            // Seconds with a fraction, so that no early time is taken for another unit.
            let seconds = |at: Timestamp| format!("{}.{:03}", at.0 / 1000, at.0 % 1000);
            let at = one.timestamp.map(seconds).unwrap_or_default();
            let _ = writeln!(
                text,
                "{device},{},{at},{},{}",
                one.item.0,
                one.value,
                one.kind.as_str()
            );
        }
    }
    text
}
