//! A process to be killed: `installation MODE FOLDER ORDER`; see [`tacit_tests::installation`].

#![forbid(unsafe_code)]

use std::path::Path;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, folder, order] = &arguments[..] else {
        bail!("usage: installation MODE FOLDER ORDER")
    };
    // One thread does all that blocks, so that its steps on the disk can be counted.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()?;
    runtime.block_on(tacit_tests::installation::obey(
        mode,
        Path::new(folder),
        Path::new(order),
    ))
}
