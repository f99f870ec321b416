//! Checks that every model the ledger names is in the export, byte for byte.

use std::collections::HashSet;
use std::path::Path;

use crate::error::VerifyError;
use crate::files;
use crate::ledger::{self, Ledger};

const FOLDER: &str = "models";

/// Hashes every named model; files that no line names are worth a warning.
pub(crate) fn check(
    dir: &Path,
    ledger: &Ledger,
    warnings: &mut Vec<String>,
) -> Result<(), VerifyError> {
    let present: HashSet<String> = files::names(dir, FOLDER)?.into_iter().collect();
    let mut named = HashSet::new();
    for (seq, model) in &ledger.models {
        let name = format!("{model}.bin");
        let file = format!("{FOLDER}/{name}");
        if !present.contains(&name) {
            return Err(VerifyError::line(
                ledger::FILE,
                *seq,
                format!("its model is missing: {file}"),
            ));
        }
        if named.insert(name) && files::digest(dir, &file)? != *model {
            return Err(VerifyError::file(file, "its SHA-256 is not its name"));
        }
    }
    let mut extra: Vec<&String> = present.difference(&named).collect();
    extra.sort();
    warnings.extend(
        extra
            .iter()
            .map(|name| format!("{FOLDER}/{name} is named by no line")),
    );
    Ok(())
}
