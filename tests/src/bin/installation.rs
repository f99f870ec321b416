//! A process to be killed: `installation MODE FOLDER ORDER`; see [`tacit_tests::installation`].

#![forbid(unsafe_code)]

use std::path::Path;

use anyhow::{Result, bail};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, folder, order] = &arguments[..] else { bail!("usage: installation MODE FOLDER ORDER") };
    tacit_tests::installation::obey(mode, Path::new(folder), Path::new(order)).await
}
