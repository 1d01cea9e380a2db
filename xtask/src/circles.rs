//! Which files of a crate import each other in circles (docs/architecture.md, "Walls").
//!
//! An arrow runs from a file to the one that defines a name it takes, whatever front page the name
//! came through: a module's `pub use` hands a name on and is no arrow of its own. Tests are no part
//! of the picture. It reads text, not meaning: macros and glob imports can hide an arrow.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Files that may import each other in a circle.
const MOST_IN_A_CIRCLE: usize = 4;

/// A path in code, from the crate's root: `["fs", "tree", "Node"]`.
type CodePath = Vec<String>;

/// One module and the names that it uses.
struct Module {
    file: PathBuf,
    /// Paths that its code takes names from.
    uses: Vec<CodePath>,
    /// Names that it hands on, and where they come from.
    hands_on: BTreeMap<String, CodePath>,
}

/// A finding for each circle of more than [`MOST_IN_A_CIRCLE`] files in any crate.
pub(crate) fn findings(sources: &[(PathBuf, String)]) -> Vec<String> {
    let mut crates: BTreeMap<PathBuf, BTreeMap<CodePath, Module>> = BTreeMap::new();
    for (file, text) in sources {
        if let Some((root, path)) = module_path(file) {
            let module = read_module(file, &path, text);
            crates.entry(root).or_default().insert(path, module);
        }
    }
    crates.values().flat_map(crate_findings).collect()
}

/// The crate's source folder and the module's path in it; `None` for tests, benches and the like.
fn module_path(file: &Path) -> Option<(PathBuf, CodePath)> {
    let parts: Vec<&str> = file.iter().filter_map(|part| part.to_str()).collect();
    let source = parts.iter().position(|part| *part == "src")?;
    let (root, inside) = (parts[..=source].iter().collect(), &parts[source + 1..]);
    let (name, folders) = inside.split_last()?;
    let stem = name.strip_suffix(".rs")?;
    if folders.first() == Some(&"bin") || folders.contains(&"tests") || stem == "tests" {
        return None;
    }
    let mut path: CodePath = folders.iter().map(|folder| (*folder).to_string()).collect();
    if !matches!(stem, "lib" | "main" | "mod") {
        path.push(stem.to_string());
    }
    Some((root, path))
}

/// Reads what a module uses and hands on.
fn read_module(file: &Path, path: &CodePath, text: &str) -> Module {
    let mut module = Module { file: file.into(), uses: Vec::new(), hands_on: BTreeMap::new() };
    let code = without_comments_and_tests(text);
    let mut rest = code.as_str();
    while let Some((start, is_import)) = next_path(rest) {
        let (before, from) = rest.split_at(start);
        let statement = before.rsplit([';', '{', '}']).next().unwrap_or_default().trim();
        let tree = &from[..path_end(from, is_import)];
        for (found, name) in expand(tree, path) {
            if is_import && statement.contains("pub") {
                module.hands_on.insert(name, found);
            } else {
                module.uses.push(found);
            }
        }
        rest = &from[tree.len().max(1)..];
    }
    module
}

/// The code without comments, and without what is compiled for tests alone.
fn without_comments_and_tests(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let code: String = lines.flat_map(|line| [line, "\n"]).collect();
    match code.find("#[cfg(test)]\nmod tests {") {
        Some(tests) => code[..tests].to_string(),
        None => code,
    }
}

/// Where the next import, or path from the crate's root or above, begins, and whether it is an import.
fn next_path(code: &str) -> Option<(usize, bool)> {
    let starts = [("use ", true), ("crate::", false), ("super::", false), ("self::", false)];
    let found = starts.into_iter().filter_map(|(start, is_import)| {
        let at = code.match_indices(start).map(|(at, _)| at).find(|&at| {
            let before = code[..at].chars().next_back();
            !before.is_some_and(|before| before.is_alphanumeric() || matches!(before, '_' | ':' | '$'))
        })?;
        Some((if is_import { at + start.len() } else { at }, is_import))
    });
    found.min_by_key(|&(at, is_import)| (at, !is_import))
}

/// How long the path, or the tree of an import, is that `code` begins with.
fn path_end(code: &str, is_import: bool) -> usize {
    let end = match is_import {
        true => code.find(';'),
        false => code.find(|letter: char| !letter.is_alphanumeric() && !matches!(letter, '_' | ':')),
    };
    end.unwrap_or(code.len())
}

/// All paths of an import tree, from the crate's root, each with the name that it is known by.
fn expand(tree: &str, module: &CodePath) -> Vec<(CodePath, String)> {
    let mut found = Vec::new();
    expand_into(tree.trim(), module.clone(), &mut found);
    found
}

fn expand_into(tree: &str, mut prefix: CodePath, found: &mut Vec<(CodePath, String)>) {
    let (head, group) = match tree.split_once('{') {
        Some((head, group)) => (head, Some(group.rsplit_once('}').map_or(group, |(inside, _)| inside))),
        None => (tree, None),
    };
    let (head, alias) = head.split_once(" as ").map_or((head, None), |(head, alias)| (head, Some(alias)));
    for part in head.split("::").map(str::trim).filter(|part| !part.is_empty() && *part != "*") {
        match part {
            "crate" => prefix.clear(),
            "self" => {}
            "super" => drop(prefix.pop()),
            name => prefix.push(name.to_string()),
        }
    }
    match group {
        Some(group) => {
            for branch in branches(group) {
                expand_into(branch.trim(), prefix.clone(), found);
            }
        }
        None => {
            let name = alias.or(prefix.last().map(String::as_str)).unwrap_or_default().trim().to_string();
            found.push((prefix, name));
        }
    }
}

/// The parts of a group between its own commas.
fn branches(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0_usize, 0, Vec::new());
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// The module that defines what `path` names, through however many front pages.
fn definer<'a>(modules: &'a BTreeMap<CodePath, Module>, path: &CodePath) -> Option<&'a CodePath> {
    const MOST_HANDS: usize = 8;
    let mut path = path.clone();
    for _ in 0..MOST_HANDS {
        let depth = (0..=path.len()).rev().find(|&depth| modules.contains_key(&path[..depth]))?;
        let (place, module) = modules.get_key_value(&path[..depth])?;
        match path.get(depth).and_then(|name| module.hands_on.get(name)) {
            Some(origin) => path = [&origin[..], &path[depth + 1..]].concat(),
            None => return Some(place),
        }
    }
    None
}

fn crate_findings(modules: &BTreeMap<CodePath, Module>) -> Vec<String> {
    let places: Vec<&CodePath> = modules.keys().collect();
    let arrows: Vec<BTreeSet<usize>> =
        modules.iter().map(|(own, module)| arrows_from(modules, &places, own, module)).collect();
    let mut findings = Vec::new();
    for circle in circles(&arrows) {
        if circle.len() > MOST_IN_A_CIRCLE {
            let files = circle.iter().map(|&at| modules[places[at]].file.display().to_string());
            let files = files.collect::<Vec<_>>().join(", ");
            findings.push(format!(
                "{} files import each other in a circle, at most {MOST_IN_A_CIRCLE} may: {files}",
                circle.len()
            ));
        }
    }
    findings
}

/// The places, by number, that `module` takes names from.
fn arrows_from(
    modules: &BTreeMap<CodePath, Module>,
    places: &[&CodePath],
    own: &CodePath,
    module: &Module,
) -> BTreeSet<usize> {
    let targets = module.uses.iter().filter_map(|path| definer(modules, path));
    targets.filter(|target| *target != own).filter_map(|target| places.binary_search(&target).ok()).collect()
}

/// The sets of places that reach each other by `arrows`.
fn circles(arrows: &[BTreeSet<usize>]) -> Vec<Vec<usize>> {
    let reach: Vec<BTreeSet<usize>> = (0..arrows.len()).map(|start| reachable(arrows, start)).collect();
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for start in 0..arrows.len() {
        if seen.contains(&start) || !reach[start].contains(&start) {
            continue;
        }
        let circle: Vec<usize> =
            reach[start].iter().copied().filter(|&other| reach[other].contains(&start)).collect();
        seen.extend(circle.iter().copied());
        circles.push(circle);
    }
    circles
}

/// Every place that a walk of one arrow or more from `start` comes to.
fn reachable(arrows: &[BTreeSet<usize>], start: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open: Vec<usize> = arrows[start].iter().copied().collect();
    while let Some(place) = open.pop() {
        if found.insert(place) {
            open.extend(arrows[place].iter().copied());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(file: &str, text: &str) -> (PathBuf, String) {
        (format!("crates/x/src/{file}").into(), text.into())
    }

    /// Five files, each of which takes a name of the next and the last one of the first.
    fn ring(last: &str) -> Vec<(PathBuf, String)> {
        vec![
            source("lib.rs", "mod a; mod b; mod c; mod d; mod e; pub use a::{self as first, A};"),
            source("a.rs", "use crate::b::B;"),
            source("b.rs", "use crate::{c::{C, Other as Alias}};"),
            source("c.rs", "fn f() { super::d::g(); }"),
            source("d.rs", "use std::fmt;\nuse super::e::E;"),
            source("e.rs", last),
        ]
    }

    #[test]
    fn a_ring_of_five_is_found_through_every_kind_of_path() {
        for last in ["use crate::a::A;", "use crate::A;", "fn f() -> crate::A {}", "use super::A as B;"] {
            let found = findings(&ring(last));
            assert_eq!(found.len(), 1, "{last}");
            assert!(found[0].starts_with("5 files"), "{found:?}");
            assert!(!found[0].contains("lib.rs"), "a front page hands names on: {found:?}");
        }
    }

    #[test]
    fn comments_tests_and_other_crates_make_no_circle() {
        for last in [
            "",
            "// use crate::A;",
            "use other::A;",
            "fn f() { notcrate::a::f(); }",
            "#[cfg(test)]\nmod tests {\n use crate::A;\n}",
        ] {
            assert_eq!(findings(&ring(last)), Vec::<String>::new(), "{last}");
        }
    }
}
