//! What uses the network.

use std::path::Path;
use std::sync::Arc;

use tacit_sdk::types::Timestamp;
use tacit_sdk::{Agent, Deployment, SdkError, Step, TableCache, blocking, identity};

use crate::desk::{Desk, call};

fn deployment(desk: &mut Desk) -> Result<Deployment, SdkError> {
    let [address, name, root, policy, publisher] = std::array::from_fn(|_| desk.text());
    Deployment::read(&address, &name, &root, &policy, &publisher)
}

/// Told: the folder, address, name, root, policy and publisher, then the token's bytes.
#[unsafe(no_mangle)]
pub extern "C" fn tacit_enrol() -> i32 {
    call(|desk| {
        let folder = desk.text();
        let told = |desk: &mut Desk| {
            let deployment = deployment(desk)?;
            let token = desk.rest();
            blocking(identity::enrol(Path::new(&folder), &deployment, &token))
        };
        told(desk).map_err(|error| error.to_string())?;
        Ok(String::new())
    })
}

/// Told: the folder, a deployment as for [`tacit_enrol`], and the time.
#[unsafe(no_mangle)]
pub extern "C" fn tacit_step() -> i32 {
    run(|agent, now| blocking(agent.step(now)))
}

/// As [`tacit_step`].
#[unsafe(no_mangle)]
pub extern "C" fn tacit_refresh() -> i32 {
    run(|agent, now| blocking(agent.refresh(now)))
}

fn run(work: impl FnOnce(&Agent, Timestamp) -> Result<Step, SdkError>) -> i32 {
    call(|desk| {
        let folder = desk.text();
        let told = |desk: &mut Desk| {
            let deployment = Arc::new(deployment(desk)?);
            let agent = Agent::new(Path::new(&folder), deployment, TableCache::default());
            work(&agent, Timestamp(desk.number()))
        };
        let step = told(desk).map_err(|error| error.to_string())?;
        Ok(format!("{} {}", step.retry_after.as_secs(), step.new_model))
    })
}

/// Told: the folder and a deployment as for [`tacit_enrol`].
#[unsafe(no_mangle)]
pub extern "C" fn tacit_leave() -> i32 {
    call(|desk| {
        let folder = desk.text();
        let told = |desk: &mut Desk| {
            let deployment = deployment(desk)?;
            blocking(identity::leave(Path::new(&folder), &deployment))
        };
        told(desk).map_err(|error| error.to_string())?;
        Ok(String::new())
    })
}

/// Told: the folder and the membership.
#[unsafe(no_mangle)]
pub extern "C" fn tacit_member() -> i32 {
    call(|desk| {
        let folder = desk.text();
        let kept = identity::keep_member(Path::new(&folder), &desk.text());
        kept.map_err(|error| error.to_string())?;
        Ok(String::new())
    })
}
