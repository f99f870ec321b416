//! Makes the file an app ships from a coordinator's export: the newest model with factors that were
//! trained, else the newest, with the catalogue and both signed lines.

use std::path::{Path, PathBuf};

use tacit_privacy::record::{Event, Line};
use tacit_privacy::{canonical, merkle};
use tacit_round::bundle::Bundle;
use tacit_round::head::{LoggedLine, SignedHead};
use tacit_round::policy::published;
use tacit_types::{Digest, Kind};
use tacit_wire::files;

use crate::failure::Failure;
use crate::say;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Folder a coordinator exports its release ledger to.
    ledger: PathBuf,
    /// The catalogue its task was started with.
    #[arg(long)]
    catalogue: PathBuf,
    /// File to write.
    #[arg(long)]
    out: PathBuf,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let export = Export::read(&options.ledger)?;
    let catalogue = read(&options.catalogue)?;
    let genesis = export.genesis(canonical::digest(&catalogue), &options.catalogue)?;
    let (published, model) = export.newest()?;
    let bundle = Bundle {
        genesis: export.logged(genesis)?,
        published: export.logged(published)?,
        catalogue,
        model,
    };

    let bytes = bundle.to_bytes();
    let out = options.out.display();
    let large = || {
        Failure::input(format_args!(
            "{out}: catalogue or model are too large for it"
        ))
    };
    let bytes = bytes.ok_or_else(large)?;
    files::replace_private(&options.out, &bytes)
        .map_err(|error| Failure::input(format_args!("{out}: cannot be written: {error}")))?;
    let size = bytes.len();
    say::note(format_args!(
        "{out}: {size} bytes, the model of line {published}"
    ));
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    files::read_large(path)
        .map_err(|error| Failure::input(format_args!("{}: {error}", path.display())))
}

/// Lines of an export, up to its newest signed head.
struct Export {
    folder: PathBuf,
    lines: Vec<(Line, Vec<u8>)>,
    leaves: Vec<Digest>,
    head: SignedHead,
}

impl Export {
    fn read(folder: &Path) -> Result<Self, Failure> {
        let heads = folder.join("heads");
        let wrong = |problem: &dyn std::fmt::Display| {
            Failure::input(format_args!("{}: {problem}", folder.display()))
        };
        let entries = std::fs::read_dir(&heads).map_err(|error| wrong(&error))?;
        let whole = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "json");
        let paths = entries.flatten().map(|entry| entry.path());
        let newest = paths.filter(whole).max();
        let newest = newest.ok_or_else(|| wrong(&"no head is signed yet; try again later"))?;
        let head: SignedHead = canonical::decode(&read(&newest)?)
            .map_err(|error| Failure::input(format_args!("{}: {error}", newest.display())))?;

        let size = usize::try_from(head.head.size)?;
        let text = read(&folder.join("ledger.jsonl"))?;
        let mut lines = Vec::new();
        for line in text.split(|&byte| byte == b'\n').take(size) {
            let read = Line::from_bytes(line).map_err(|error| wrong(&error))?;
            lines.push((read, line.to_vec()));
        }
        let leaves = lines.iter().map(|(_, line)| merkle::leaf(line));
        Ok(Self {
            folder: folder.to_owned(),
            leaves: leaves.collect(),
            lines,
            head,
        })
    }

    /// Place of the line that names this catalogue.
    fn genesis(&self, catalogue: Digest, file: &Path) -> Result<usize, Failure> {
        let names = |(line, _): &(Line, Vec<u8>)| match &line.event {
            Event::Genesis(genesis) => genesis.catalogue_hash == catalogue,
            _ => false,
        };
        let problem = "not the catalogue this ledger's task was started with";
        self.lines
            .iter()
            .position(names)
            .ok_or_else(|| Failure::input(format_args!("{}: {problem}", file.display())))
    }

    /// The newest model whose factors were trained, else the newest, with the place of its line.
    fn newest(&self) -> Result<(usize, Vec<u8>), Failure> {
        let lines = self.lines.iter().enumerate().rev();
        let models = lines.filter_map(|(place, (line, _))| Some((place, line, published(line)?)));
        let mut newest = models.clone();
        let mut trained = models.filter(|(_, line, _)| is_trained(line));

        let chosen = trained.next().or_else(|| newest.next());
        let (place, _, hash) = chosen.ok_or_else(|| {
            let folder = self.folder.display();
            Failure::input(format_args!("{folder}: no model is published yet"))
        })?;
        let path = self.folder.join("models").join(format!("{hash}.bin"));
        let bytes = read(&path)?;
        if canonical::digest(&bytes) != hash {
            let problem = "is damaged: it is not the model that its line names";
            return Err(Failure::input(format_args!("{} {problem}", path.display())));
        }
        Ok((place, bytes))
    }

    /// A line with its proof under the newest head.
    fn logged(&self, place: usize) -> Result<LoggedLine, Failure> {
        let proof = merkle::inclusion_proof(&self.leaves, place);
        let short = || Failure::input("ledger.jsonl: shorter than its newest head says");
        Ok(LoggedLine {
            line: String::from_utf8(self.lines[place].1.clone())?,
            seq: place as u64,
            proof: proof.ok_or_else(short)?,
            head: self.head.clone(),
        })
    }
}

/// Whether a line's round trained factors, or judged a model that had been trained.
fn is_trained(line: &Line) -> bool {
    let kind = line
        .charge()
        .and_then(|charge| Kind::parse(&charge.kind));
    kind.is_some_and(|kind| kind.trains() || kind == Kind::Metrics)
}
