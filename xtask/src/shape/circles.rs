//! Circles of files: files of one crate whose module-level `use` lead round to where they began.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use syn::{Item, UseTree};

use super::source::for_tests;
use super::tree::File;

/// Files, and those each uses.
type Graph<'a> = BTreeMap<&'a Path, BTreeSet<&'a Path>>;
/// Files of a crate, by the module they are.
type Modules<'a> = BTreeMap<Vec<String>, &'a File>;

/// Every set of files each of which leads to each other, as sorted lists.
pub(super) fn find(files: &[File]) -> BTreeSet<Vec<&Path>> {
    let mut found = BTreeSet::new();
    let packages: BTreeSet<&Path> = files
        .iter()
        .map(|file| file.package.as_path())
        .collect();
    for package in packages {
        let graph = graph(files.iter().filter(|file| file.package == package));
        let reach: Graph = graph
            .keys()
            .map(|file| (*file, reached(&graph, file)))
            .collect();
        for (file, reached) in &reach {
            let back = |other: &&&Path| reach.get(*other).is_some_and(|set| set.contains(file));
            let circle: Vec<&Path> = reached.iter().filter(back).copied().collect();
            if circle.len() > 1 {
                found.insert(circle);
            }
        }
    }
    found
}

/// The files that a crate's files use.
fn graph<'a>(files: impl Iterator<Item = &'a File>) -> Graph<'a> {
    let modules: Modules = files
        .filter_map(|file| Some((module(file)?, file)))
        .collect();
    let mut graph = Graph::new();
    for (own, file) in &modules {
        let mut paths = Vec::new();
        for item in &file.source.items {
            if let Item::Use(item) = item
                && !for_tests(&item.attrs)
            {
                leaves(&item.tree, &mut Vec::new(), &mut paths);
            }
        }
        let used = paths
            .iter()
            .filter_map(|path| target(own, path, &modules))
            .filter(|used| !used.starts_with(own));
        let used = used.map(|used| modules[used].path.as_path());
        graph.insert(&file.path, used.collect());
    }
    graph
}

/// The module that a file of `src` is, as its names below the crate.
fn module(file: &File) -> Option<Vec<String>> {
    let inside = file.path.strip_prefix(file.package.join("src")).ok()?;
    let mut names: Vec<String> = inside
        .with_extension("")
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    if matches!(names.last()?.as_str(), "lib" | "main" | "mod") {
        names.pop();
    }
    Some(names)
}

/// Writes every path that a `use` brings in.
fn leaves(tree: &UseTree, prefix: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    let ident = match tree {
        UseTree::Group(group) => {
            return group
                .items
                .iter()
                .for_each(|tree| leaves(tree, prefix, paths));
        }
        UseTree::Glob(_) => return paths.push(prefix.clone()),
        UseTree::Path(path) => &path.ident,
        UseTree::Name(name) => &name.ident,
        UseTree::Rename(rename) => &rename.ident,
    };
    prefix.push(ident.to_string());
    match tree {
        UseTree::Path(path) => leaves(&path.tree, prefix, paths),
        _ => paths.push(prefix.clone()),
    }
    prefix.pop();
}

/// The innermost module on a path that begins with `crate` or `super`.
fn target<'a>(own: &[String], path: &[String], modules: &'a Modules) -> Option<&'a [String]> {
    let ups = path.iter().take_while(|name| *name == "super").count();
    let mut full = match path.first()?.as_str() {
        "crate" => path[1..].to_vec(),
        "super" => [&own[..own.len().checked_sub(ups)?], &path[ups..]].concat(),
        _ => return None,
    };
    loop {
        if let Some((module, _)) = modules.get_key_value(&full) {
            return Some(module);
        }
        full.pop()?;
    }
}

fn reached<'a>(graph: &Graph<'a>, from: &'a Path) -> BTreeSet<&'a Path> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        for next in graph.get(file).into_iter().flatten() {
            if reached.insert(*next) {
                open.push(next);
            }
        }
    }
    reached
}

/// The only circle allowed: the phases of a round name the coordinator that drives them.
pub(super) fn allowed(circle: &[&Path]) -> bool {
    let phases = "shared/round/src/phase";
    let coordinator = Path::new("shared/round/src/coordinator.rs");
    circle
        .iter()
        .all(|file| file.starts_with(phases) || *file == coordinator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::source::Source;

    fn file(path: &str, text: &str) -> File {
        File {
            path: path.into(),
            package: "a".into(),
            ships: true,
            text: text.to_owned(),
            source: Source::parse(text).unwrap(),
        }
    }

    #[test]
    fn files_that_use_each_other_are_a_circle() {
        let files = [
            file("a/src/lib.rs", "mod b; mod c; pub use crate::b::B;"),
            file(
                "a/src/b/mod.rs",
                "use crate::{c::C, Root}; mod d; use self::d::D;",
            ),
            file("a/src/b/d.rs", "use super::B;"),
            file("a/src/c.rs", "use std::fmt; use super::b::d::{self, D};"),
        ];
        // The root and `b` take from modules below them, which makes no circle.
        let circle = ["a/src/b/d.rs", "a/src/b/mod.rs", "a/src/c.rs"];
        assert_eq!(find(&files), [circle.map(Path::new).to_vec()].into());
    }

    #[test]
    fn what_tests_and_function_bodies_use_makes_no_circle() {
        let files = [
            file("a/src/b.rs", "use crate::c::C;"),
            file(
                "a/src/c.rs",
                "#[cfg(test)] use crate::b; fn f() { use crate::b; }",
            ),
        ];
        assert_eq!(find(&files), [].into());
    }

    #[test]
    fn only_the_phases_of_a_round_may_be_one() {
        let phases = [
            "shared/round/src/phase/closing.rs",
            "shared/round/src/coordinator.rs",
        ];
        assert!(allowed(&phases.map(Path::new)));
        let others = [
            "shared/round/src/phase/closing.rs",
            "shared/round/src/ticket.rs",
        ];
        assert!(!allowed(&others.map(Path::new)));
    }
}
