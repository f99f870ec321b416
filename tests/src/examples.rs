//! The examples of the SDK, which the workspace's tests build, and the folder an app ships.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::deployment::{Deployment, binary};

/// A built example of the SDK.
///
/// # Panics
/// When it was not built.
pub fn example(name: &str) -> PathBuf {
    let path = binary().with_file_name("examples").join(name);
    assert!(
        path.is_file(),
        "{} is missing; run: cargo build --release -p tacit-sdk --examples",
        path.display()
    );
    path
}

/// Writes what an app ships, as `client/GUIDE.md` says, from a deployment that has trained.
///
/// # Errors
/// When nothing is published yet, or a file cannot be written.
pub fn ship(deployment: &Deployment, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    for name in ["root.crt", "policy.json", "publisher.pub"] {
        fs::write(folder.join(name), deployment.pki(name)?)?;
    }
    let address = deployment.coordinator_address();
    fs::write(
        folder.join("coordinator.txt"),
        format!("{address} localhost\n"),
    )?;

    let (ledger, catalogue) = (deployment.ledger(), deployment.path("catalogue.txt"));
    let out = folder.join("app.bundle");
    let [ledger, catalogue, out] =
        [&ledger, &catalogue, &out].map(|path| path.to_string_lossy().into_owned());
    let make = ["bundle", &ledger, "--catalogue", &catalogue, "--out", &out];
    deployment.succeed(&make)?;
    Ok(())
}
