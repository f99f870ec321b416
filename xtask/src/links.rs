//! Every file, heading and path that a Markdown file names exists.
//!
//! Links: relative targets, and `#heading` in this file or another, with anchors as GitHub makes
//! them. Paths in backticks: those that begin with a folder of the root, written from there or from
//! the file's own folder, and any that end in `.md` or `.rs`, which may be the end of a longer one.
//! Code blocks are left out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::ensure;

/// What one file names, each with its line.
#[derive(Default)]
struct Page {
    anchors: Vec<String>,
    links: Vec<(usize, String)>,
    paths: Vec<(usize, String)>,
}

/// What there is.
struct Tree<'a> {
    /// Whether a path from the root does.
    exists: &'a dyn Fn(&Path) -> bool,
    /// Files that may be named by the end of their path.
    sources: Vec<PathBuf>,
}

/// Fails when anything named is missing.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let mut pages = BTreeMap::new();
    for path in crate::files(root, "md")? {
        let text = fs::read_to_string(root.join(&path))?;
        pages.insert(path, Page::new(&text));
    }
    let mut sources = crate::files(root, "rs")?;
    sources.extend(pages.keys().cloned());
    let tree = Tree {
        exists: &|path| root.join(path).exists(),
        sources,
    };
    let faults = faults(&pages, &tree);
    for fault in &faults {
        eprintln!("{fault}");
    }
    ensure!(faults.is_empty(), "{} names lead nowhere", faults.len());
    Ok(())
}

impl Page {
    fn new(text: &str) -> Self {
        let mut page = Self::default();
        let mut in_block = false;
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim_start().starts_with("```") {
                in_block = !in_block;
            } else if !in_block {
                page.read(number, line);
            }
        }
        page
    }

    fn read(&mut self, number: usize, line: &str) {
        if line.starts_with('#') {
            let first = anchor(line.trim_start_matches('#').trim());
            let others = (1..).map(|nth| format!("{first}-{nth}"));
            let mut anchors = std::iter::once(first.clone()).chain(others);
            self.anchors
                .extend(anchors.find(|one| !has(self, one)));
        }
        for (nth, part) in line.split('`').enumerate() {
            if nth % 2 == 1 {
                self.paths.push((number, part.to_owned()));
                continue;
            }
            let targets = part.split("](").skip(1);
            let targets = targets.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()));
            self.links
                .extend(targets.map(|target| (number, target)));
        }
    }
}

/// As GitHub makes it: letters, digits, hyphens and underscores, lower case, spaces as hyphens.
fn anchor(heading: &str) -> String {
    heading
        .to_lowercase()
        .replace(' ', "-")
        .chars()
        .filter(|one| one.is_alphanumeric() || matches!(one, '-' | '_'))
        .collect()
}

fn faults(pages: &BTreeMap<PathBuf, Page>, tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, page) in pages {
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut missing = |line: &usize, what: &str| {
            faults.push(format!("{}:{line}: {what} does not exist", path.display()));
        };
        for (line, target) in page
            .links
            .iter()
            .filter(|(_, target)| !is_remote(target))
        {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => path.clone(),
                _ => plain(&folder.join(file)),
            };
            let known = || pages.get(&file).is_some_and(|page| has(page, heading));
            if !(tree.exists)(&file) || !(heading.is_empty() || known()) {
                missing(line, target);
            }
        }
        for (line, code) in &page.paths {
            if is_path(code, tree) && !tree.has(folder, code) {
                missing(line, code);
            }
        }
    }
    faults
}

impl Tree<'_> {
    /// Whether a file in `folder` may name this path.
    fn has(&self, folder: &Path, path: &str) -> bool {
        (self.exists)(Path::new(path))
            || (self.exists)(&plain(&folder.join(path)))
            || self
                .sources
                .iter()
                .any(|source| source.ends_with(path))
    }
}

fn has(page: &Page, heading: &str) -> bool {
    page.anchors.iter().any(|anchor| anchor == heading)
}

fn is_remote(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:")
}

/// Whether this code is a path of the repository; not one with a placeholder in capitals.
fn is_path(code: &str, tree: &Tree) -> bool {
    let Some((first, _)) = code.split_once('/') else {
        return false;
    };
    let is_plain = |one: char| one.is_ascii_alphanumeric() || "/._-".contains(one);
    let is_placeholder =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase());
    let is_source = code.ends_with(".md") || code.ends_with(".rs");
    let is_tracked = first != "target" && (tree.exists)(Path::new(first));
    !first.is_empty()
        && code.chars().all(is_plain)
        && !code.split('/').any(is_placeholder)
        && (is_source || is_tracked)
}

/// Without `..`, so that it can be looked up.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path {
        match part.to_str() {
            Some("..") => drop(plain.pop()),
            Some(".") => {}
            _ => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const THERE: [&str; 5] = ["a.md", "b/c.md", "b", "b/src/d.rs", "b/e.toml"];

    fn found(text: &str) -> Vec<String> {
        let other = Page::new("# One thing\n## One: thing!\n# One thing\n");
        let pages = [("a.md".into(), Page::new(text)), ("b/c.md".into(), other)];
        let tree = Tree {
            exists: &|path| THERE.iter().any(|there| Path::new(there) == path),
            sources: THERE.map(PathBuf::from).into(),
        };
        faults(&pages.into(), &tree)
    }

    #[test]
    fn links_lead_to_files_and_headings() {
        let good = "# Here\n[x](b/c.md), [y](b/c.md#one-thing-2) [`z`](#here) [w](https://x.y/z)";
        assert_eq!(found(good), [""; 0]);
        for bad in [
            "b/d.md",
            "b/c.md#two",
            "#there",
            "../a.md/x",
            "b/c.md#one-thing-3",
        ] {
            let said = found(&format!("# Here\n[x]({bad})\n"));
            assert_eq!(said, [format!("a.md:2: {bad} does not exist")]);
        }
    }

    #[test]
    fn paths_in_backticks_exist() {
        let good = "`b/e.toml` `src/d.rs` `a::b` `x/y` `b/FILE/x` `--data/x y` `b/*.rs` `target/x`";
        assert_eq!(found(good), [""; 0]);
        for bad in ["b/x.toml", "rc/d.rs", "docs/PLAN.md"] {
            let said = found(&format!("see `{bad}`"));
            assert_eq!(said, [format!("a.md:1: {bad} does not exist")]);
        }
    }

    #[test]
    fn code_blocks_are_left_out() {
        assert_eq!(
            found("```sh\n[x](nowhere.md) `b/nothing.rs`\n# No heading\n```\n"),
            [""; 0]
        );
    }
}
