//! What the app ships with, read from the folder that `client/GUIDE.md` fills.

use std::fs;
use std::path::Path;

use tacit_sdk::{Bundle, Deployment};

use crate::Problem;

/// Whom to trust and where the coordinator is, and the first model.
pub(crate) fn read(folder: &Path) -> Result<(Deployment, Bundle), Problem> {
    let text = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let address = text("coordinator.txt")?;
    let mut words = address.split_whitespace();
    let (Some(coordinator), Some(name)) = (words.next(), words.next()) else {
        return Err("coordinator.txt: write an https:// address and the certificate's name".into());
    };
    let deployment = Deployment::read(
        coordinator,
        name,
        &text("root.crt")?,
        &text("policy.json")?,
        &text("publisher.pub")?,
    )?;
    let bundle = fs::read(folder.join("app.bundle"))
        .map_err(|error| format!("{}/app.bundle: {error}", folder.display()))?;
    let bundle = Bundle::read(&bundle, deployment.policy())?;
    Ok((deployment, bundle))
}
