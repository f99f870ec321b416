//! Writes the valid part of the fuzzing corpora: `cargo run --release -p tacit-tests --example
//! seeds`.

use std::fs;
use std::path::Path;

use tacit_tests::fuzz::seeds::seeds;

fn main() -> std::io::Result<()> {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for seed in seeds() {
        let folder = corpora.join(seed.target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(seed.name), seed.bytes)?;
    }
    Ok(())
}
