//! One installation in a process of its own, so that it can be killed: what the parent orders and
//! what the child does.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tacit_model::{Model, SpectralModel};
use tacit_privacy::ledger;
use tacit_privacy::noise::NoiseTable;
use tacit_round::contribute::contribute;
use tacit_round::policy::LogMark;
use tacit_round::ticket::Ticket;
use tacit_sdk::store::Pause;
use tacit_sdk::{Agent, Deployment, Store, TableCache};
use tacit_wire::clock;

use crate::stand_in::{Round, deployment};

/// Writes what a child needs to know: the deployment, and one ticket with the size of its
/// catalogue.
///
/// # Errors
/// When the file cannot be written.
pub fn order(path: &Path, deployment: &Deployment, round: &Round) -> Result<()> {
    let order = json!({
        "coordinator": deployment.coordinator,
        "root": deployment.root_certificate,
        "policy": deployment.policy(),
        "ticket": String::from_utf8(round.signed.bytes.clone())?,
        "items": round.model.catalogue_len(),
    });
    Ok(std::fs::write(path, order.to_string())?)
}

/// The child: `step` lets the SDK do one action and prints it; `reserve` and `spool` take a counts
/// release to that durable commit and abort.
///
/// # Errors
/// Whatever stops the action.
pub async fn obey(mode: &str, folder: &Path, order: &Path) -> Result<()> {
    let order: Value = serde_json::from_slice(&std::fs::read(order)?)?;
    let text = |name: &str| {
        order[name]
            .as_str()
            .map(str::to_owned)
            .with_context(|| name.to_owned())
    };
    let policy = serde_json::from_value(order["policy"].clone())?;
    let deployment = deployment(&text("coordinator")?, &text("root")?, &policy)?;
    if mode == "step" {
        let agent = Agent::new(folder, deployment.into(), TableCache::default());
        println!("{:?}", agent.step(clock::now()).await?);
        return Ok(());
    }
    let ticket = Ticket::from_bytes(text("ticket")?.as_bytes())?;
    let hash = tacit_privacy::canonical::digest(text("ticket")?.as_bytes());
    let mut store = Store::open(folder)?;
    let (budget, now) = (deployment.policy().budget(), clock::now());
    let permit = ledger::spend(
        &mut store.spending(LogMark::default()),
        budget,
        &ticket.task,
        ticket.round,
        hash,
        &ticket.mechanism,
        now,
    )??;
    if mode == "spool" {
        let items = u32::try_from(order["items"].as_u64().context("items")?)?;
        let model = Model::from(SpectralModel::genesis(items));
        let history_max = ticket.mechanism.history_max as usize;
        let vector = model
            .joint_vector(
                ticket.kind,
                store.histories()?.all(),
                history_max,
                ticket.hold_out,
            )
            .context("a model without counts")?;
        let table = NoiseTable::new(&ticket.mechanism);
        store.spool(
            &contribute(&ticket, permit, vector, &table, None)?,
            Pause::NONE,
        )?;
    } else {
        ensure!(mode == "reserve", "unknown mode {mode}");
    }
    std::process::abort()
}
