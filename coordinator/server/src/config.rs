//! The coordinator's configuration file.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tacit_model::family::Family;
use tacit_model::family::rating::Scale;
use tacit_plan::{EVALUATION_SHARE, PlanRequest};
use tacit_round::keys::PublicKey;
use tacit_types::{Delta, Epsilon, TaskId};
use tacit_wire::listener::Front;

use crate::error::ServerError;

/// One TOML file; every key is known or refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address and port to listen on.
    pub listen: String,
    /// The policy the app ships, to find out before a start whether devices will take part.
    pub policy: Option<PathBuf>,
    /// What is logged, as `RUST_LOG` says it and where that is not set; `info` by default.
    pub log: Option<String>,
    /// Whether the state was put back from an older copy. Not in the file: an operator says so for
    /// one start.
    #[serde(skip)]
    pub restored: bool,
    /// Who stands in front of it.
    #[serde(default)]
    pub listener: Front,
    /// How often devices come.
    #[serde(default)]
    pub fleet: Fleet,
    /// Folder for durable state.
    pub state: PathBuf,
    /// Certificates of this server.
    pub tls: Tls,
    /// Where the helper is.
    pub helper: Helper,
    /// Keys that sign tickets and ledger heads.
    pub signing: Signing,
    /// How devices get certificates.
    pub enrolment: Enrolment,
    /// What is trained.
    pub task: Task,
}

const HOUR_MS: u64 = 3_600_000;

/// `[fleet]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fleet {
    /// Check-ins an hour that the fleet is asked to stay below, however large it is.
    pub check_ins_per_hour: u32,
    /// When a device comes back that has the last model of a task, in hours.
    pub finished_hours: u32,
    /// When a device comes back that refused its last ticket for a reason that lasts, in hours.
    pub refused_hours: u32,
}

impl Fleet {
    /// In milliseconds.
    pub fn finished_ms(self) -> u64 {
        u64::from(self.finished_hours) * HOUR_MS
    }

    /// In milliseconds.
    pub fn refused_ms(self) -> u64 {
        u64::from(self.refused_hours) * HOUR_MS
    }
}

impl Default for Fleet {
    /// A quarter of what two cores can shake hands with, a day, and a part of a day.
    fn default() -> Self {
        Self {
            check_ins_per_hour: 360_000,
            finished_hours: 24,
            refused_hours: 4,
        }
    }
}

/// `[tls]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM, readable by the owner only.
    pub key: PathBuf,
    /// Root certificate of the deployment, PEM.
    pub root: PathBuf,
    /// Who is revoked, as `tacit pki revoke` writes it; read again when it changes.
    pub revoked: Option<PathBuf>,
}

/// `[helper]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Helper {
    /// `https://host:port`.
    pub address: String,
    /// Name in its certificate.
    pub server_name: String,
    /// Its identity key, hexadecimal.
    pub identity_key: PublicKey,
}

/// `[signing]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signing {
    /// Ed25519 seed, hexadecimal, readable by the owner only. Not the TLS key.
    pub key: PathBuf,
}

/// `[enrolment]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// Issuing certificate, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM, readable by the owner only.
    pub key: PathBuf,
    /// SHA-256 digests of single-use tokens, one in hexadecimal a line, with its end in seconds
    /// since 1970 after a space if it has one.
    pub tokens: Option<PathBuf>,
    /// Key of the app's backend, hexadecimal: tokens that it signs enrol too.
    pub token_key: Option<PublicKey>,
    /// Root certificates that older ones have signed, as `tacit pki rotate` writes them: devices
    /// learn of them.
    pub roots: Option<PathBuf>,
    /// Days for which it is kept which device a token enrolled, so that a lost answer can be given
    /// again; 1 to 3650.
    #[serde(default = "retention")]
    pub retention_days: u32,
    /// Folder of what outlives a task: used tokens, and what each device was counted for. The
    /// coordinators of all tasks of a deployment share it; the state folder where there is only
    /// one.
    pub state: Option<PathBuf>,
}

/// `[task]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Name.
    pub name: TaskId,
    /// What is trained: `spectral`, `weighted`, `rating` or `neural`.
    #[serde(default)]
    pub model: Family,
    /// Least and largest rating, in thousandths at most; used where ratings are trained.
    #[serde(default = "stars")]
    pub scale: [f64; 2],
    /// Catalogue file, one item a line, `id<TAB>title<TAB>category|category`; see
    /// [`tacit_model::family::catalogue`].
    pub catalogue: PathBuf,
    /// Epsilon of the whole task for one device, at `delta`.
    pub epsilon: Epsilon,
    /// Delta the epsilon is stated at.
    pub delta: Delta,
    /// Devices a round waits for; it closes when all have reported or at the deadline. Up to twice
    /// as many are ever selected, and those that report are counted.
    pub cohort: u32,
    /// Assumed share of devices that drop out, 0 to below 1.
    #[serde(default = "five_percent")]
    pub dropout: f64,
    /// Assumed share of devices that are dishonest, 0 to below 1.
    #[serde(default = "five_percent")]
    pub dishonest: f64,
    /// How long a round waits for its cohort, in seconds.
    #[serde(default = "ten_minutes")]
    pub deadline_seconds: u64,
    /// How long a round may last whose set is too small at the deadline, in seconds; twice
    /// `deadline_seconds` unless it is given. A quarter of the time between the two is left for the
    /// helper's answer: at the end it erases the round's key.
    pub latest_deadline_seconds: Option<u64>,
    /// Interactions of one device that may enter a vector.
    #[serde(default = "history_max")]
    pub history_max: u32,
    /// Whether the helper adds its own noise, so that the guarantee rests on it alone.
    #[serde(default)]
    pub helper_noise: bool,
    /// Whether only members of the helper's organisation count; its helper must know the issuer.
    #[serde(default)]
    pub membership: bool,
    /// A model of an earlier task, from its export, whose factors this task updates. Its catalogue
    /// must be the first lines of this one's. For a spectral model; read at every start of the
    /// task.
    pub start: Option<PathBuf>,
    /// Factor-gradient rounds, instead of the planner's choice.
    pub rounds: Option<u32>,
    /// Number of factors, instead of the planner's choice.
    pub factors: Option<u32>,
    /// Weighted squares: norm at which a device's gradient is clipped, instead of the library's
    /// choice; 0.001 to 1000.
    pub clip_norm: Option<f64>,
    /// Share of the budget for evaluating the model on the devices, in thousandths at most; 0 for
    /// none.
    #[serde(default = "evaluation")]
    pub evaluation: f64,
}

impl Task {
    /// How long a round may last at most, in seconds.
    pub fn latest_deadline_seconds(&self) -> u64 {
        let twice = self.deadline_seconds.saturating_mul(2);
        self.latest_deadline_seconds.unwrap_or(twice)
    }

    /// What the planner is asked, for a catalogue of `items`.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] for ends that are no scale.
    pub fn request(&self, items: u32) -> Result<PlanRequest, ServerError> {
        let [low, high] = self.scale.map(|end| (end * 1000.0).round() / 1000.0);
        let not_a_scale =
            "task.scale must be the least and the largest rating, at least 0.01 apart";
        let scale = Scale::new(low, high)
            .ok_or_else(|| ServerError::OperatorConfig(not_a_scale.to_owned()))?;
        Ok(PlanRequest {
            model: self.model,
            scale,
            cohort: self.cohort,
            items,
            epsilon: self.epsilon,
            delta: self.delta,
            dropout: self.dropout,
            dishonest: self.dishonest,
            history_max: self.history_max,
            helper_noise: self.helper_noise,
            factors: self.factors,
            rounds: self.rounds,
            clip_norm: self.clip_norm,
            evaluation: self.evaluation,
            carried: None,
            participation: None,
        })
    }
}

fn retention() -> u32 {
    30
}
fn stars() -> [f64; 2] {
    [Scale::STARS.low, Scale::STARS.high]
}
fn five_percent() -> f64 {
    0.05
}
fn ten_minutes() -> u64 {
    600
}
fn evaluation() -> f64 {
    EVALUATION_SHARE
}
fn history_max() -> u32 {
    1024
}

impl Config {
    /// Folder of what outlives a task.
    pub fn deployment_state(&self) -> &Path {
        self.enrolment.state.as_deref().unwrap_or(&self.state)
    }

    /// Checks what TOML types cannot.
    ///
    /// # Errors
    /// [`ServerError::OperatorConfig`] naming the key.
    pub fn check(&self) -> Result<(), ServerError> {
        let task = &self.task;
        // The catalogue is not read yet: the planner checks again with its length.
        task.request(1)?.check()?;
        let rules = [
            (
                "fleet.check_ins_per_hour must be at least 3600",
                self.fleet.check_ins_per_hour >= 3600,
            ),
            (
                "fleet.finished_hours must be from 0 to 36: devices wait no longer",
                self.fleet.finished_hours <= 36,
            ),
            (
                "fleet.refused_hours must be from 0 to 36: devices wait no longer",
                self.fleet.refused_hours <= 36,
            ),
            (
                "task.deadline_seconds must be from 1 to 604800",
                (1..=604_800).contains(&task.deadline_seconds),
            ),
            (
                "task.latest_deadline_seconds must be above task.deadline_seconds, and at most \
                 1209600",
                (task.deadline_seconds + 1..=1_209_600).contains(&task.latest_deadline_seconds()),
            ),
            (
                "task.clip_norm is for model = \"weighted\"",
                task.clip_norm.is_none() || task.model == Family::Weighted,
            ),
            (
                "task.start is for model = \"spectral\"",
                task.start.is_none() || task.model == Family::Spectral,
            ),
            (
                "helper.identity_key is a placeholder; give the key in the helper's pki/helper.pub",
                self.helper.identity_key.is_usable(),
            ),
            (
                "enrolment.retention_days must be from 1 to 3650",
                (1..=3650).contains(&self.enrolment.retention_days),
            ),
            (
                "enrolment.tokens or enrolment.token_key must say who may enrol",
                self.enrolment.tokens.is_some() || self.enrolment.token_key.is_some(),
            ),
            (
                "enrolment.token_key is a placeholder; give the key in pki/tokens.pub",
                self.enrolment
                    .token_key
                    .is_none_or(|key| key.is_usable()),
            ),
            (
                "helper.address must start with https://",
                self.helper.address.starts_with("https://"),
            ),
        ];
        match rules.iter().find(|(_, holds)| !holds) {
            Some((rule, _)) => Err(ServerError::OperatorConfig((*rule).to_owned())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Why a task with `key` set to `value` has no plan for a catalogue of `items`.
    fn refused(key: &str, value: serde_json::Value, items: u32) -> String {
        let mut keys = serde_json::json!({
            "name": "demo",
            "catalogue": "catalogue.txt",
            "epsilon": 8.0,
            "delta": 1e-5,
            "cohort": 1500,
        });
        keys[key] = value;
        let task: Task = serde_json::from_value(keys).unwrap();
        let planned = task
            .request(items)
            .and_then(|request| Ok(tacit_plan::plan(&request)?));
        planned.unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_planned_names_its_key() {
        let few = refused("dropout", 0.9995.into(), 400);
        assert!(
            few.starts_with("task.cohort: fewer than 2 honest devices remain"),
            "{few}"
        );
        let wide = refused("factors", 512.into(), 200_000);
        assert!(
            wide.starts_with("task.factors: must be from 1 to 512 and, times the items,"),
            "{wide}"
        );
        let flat = refused("scale", vec![3.0, 3.0004].into(), 400);
        assert!(flat.starts_with("task.scale must be"), "{flat}");
    }
}
