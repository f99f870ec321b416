//! One installation's whole life against a coordinator that does what the test says: killed at
//! every step, asked again and again, given crafted tickets, restored from old copies. Its ledger
//! must cover what left it, and no round may have two contributions.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod again;
mod disk;
mod enrolment;
mod kills;
mod leases;
mod owners;
mod refresh;
mod rollback;
mod silence;
mod tickets;

use std::path::Path;
use std::time::Duration;

use tacit_proto::v2::ContributeRequest;
use tacit_proto::v2::contribute_request::Part;
use tacit_round::device::Outcome;
use tacit_sdk::store::Spooled;
use tacit_sdk::{Agent, SdkError, Step, TableCache, identity};
use tacit_tests::opt_in;
use tacit_tests::stand_in::{Said, StandIn};
use tacit_wire::clock;
use tokio::time::{Instant, sleep};

/// What is waited for must happen within this time.
const DEADLINE: Duration = Duration::from_secs(30);

/// An enrolled installation in `folder`.
async fn enrolled(stand_in: &StandIn, folder: &Path) -> Agent {
    identity::enrol(folder, &stand_in.deployment, &[1; 32])
        .await
        .unwrap();
    opt_in(folder).unwrap();
    Agent::new(folder, stand_in.deployment.clone(), TableCache::default())
}

async fn step(agent: &Agent) -> Result<Step, SdkError> {
    agent.step(clock::now()).await
}

async fn outcome(agent: &Agent) -> Option<Outcome> {
    step(agent).await.unwrap().outcome
}

/// Every contribution that arrived, in order, whoever sent it.
fn contributions(stand_in: &StandIn) -> Vec<Vec<ContributeRequest>> {
    let said = stand_in
        .recorded()
        .into_iter()
        .flatten()
        .map(|call| call.said);
    said.filter_map(|said| {
        if let Said::Contribute(messages) = said {
            Some(messages)
        } else {
            None
        }
    })
    .collect()
}

/// Waits until the coordinator has heard something that `wanted` looks for.
async fn heard(stand_in: &StandIn, wanted: impl Fn(&Said) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !stand_in
        .recorded()
        .into_iter()
        .flatten()
        .any(|call| wanted(&call.said))
    {
        assert!(Instant::now() < deadline, "nothing of the kind was said");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Whether these messages carry exactly these spooled bytes.
fn carries(messages: &[ContributeRequest], spooled: &Spooled) -> bool {
    let mut masked = Vec::new();
    messages
        .iter()
        .all(|message| match message.part.as_ref().unwrap() {
            Part::Header(header) => {
                header.sealed_seed == *spooled.sealed()
                    && header.contribution_id[..] == spooled.contribution().0
                    && header.ticket_hash[..] == spooled.ticket().0
                    && header.commitment[..] == spooled.commitment().0
                    && header.commitment_key[..] == *spooled.commitment_key().as_bytes()
            }
            Part::Chunk(chunk) => {
                masked.extend_from_slice(chunk);
                true
            }
        })
        && masked == spooled.masked()
}
