//! What a source file knows of the rest of the crate.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file of src/.
pub struct Source {
    /// Its path, from the repository's root.
    pub file: String,
    /// The module that it is.
    pub module: Vec<String>,
    /// Its text without what is behind `#[cfg(test)]`, comments and texts in quotes kept.
    pub text: String,
    pub imports: Vec<Import>,
}

/// One path into the crate.
pub struct Import {
    pub line: usize,
    pub path: Vec<String>,
}

/// Every file of src/ but those that are tests.
pub fn read_all() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    files.sort();
    let relative = |path: &PathBuf| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    let is_test = |file: &String| file.ends_with("/tests.rs") || file.contains("/tests/");
    files.iter().map(relative).filter(|file| !is_test(file)).map(|file| read(root, file)).collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

fn read(root: &Path, file: String) -> Source {
    let whole = std::fs::read_to_string(root.join(&file)).unwrap();
    // By the rules of this house tests stand last.
    let text = whole.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
    let module = module_of(&file);
    let imports = imports_of(&text, &module);
    Source { file, module, text, imports }
}

fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut module: Vec<String> = path.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| last == "mod" || last == "lib") {
        module.pop();
    }
    module
}

fn imports_of(text: &str, module: &[String]) -> Vec<Import> {
    let mut imports = Vec::new();
    let children: Vec<String> = text.lines().filter_map(child_of).collect();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        for child in &children {
            let path = format!("{child}::");
            for (at, _) in line.match_indices(&path) {
                let goes_on = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
                if !line[..at].ends_with(goes_on) {
                    let rest = &text[offset(text, number) + at..];
                    push(&mut imports, number, module.to_vec(), rest);
                }
            }
        }
        for (at, _) in line.match_indices("crate::") {
            if !line[..at].ends_with("pub(in ") {
                let rest = &text[offset(text, number) + at + "crate::".len()..];
                push(&mut imports, number, Vec::new(), rest);
            }
        }
        for (at, _) in line.match_indices("super::") {
            let before = &line[..at];
            if before.ends_with("super::") || before.ends_with("pub(in ") {
                continue;
            }
            let mut rest = &text[offset(text, number) + at..];
            let mut base = module.to_vec();
            while let Some(after) = rest.strip_prefix("super::") {
                base.pop();
                rest = after;
            }
            push(&mut imports, number, base, rest);
        }
    }
    imports
}

/// The name of the module that a line like `pub mod name;` declares.
fn child_of(line: &str) -> Option<String> {
    let name = line.trim_end().strip_suffix(';')?.rsplit_once("mod ")?;
    let plain = name.0.is_empty() || name.0.starts_with("pub");
    if plain { Some(name.1.to_owned()) } else { None }
}

fn offset(text: &str, line: usize) -> usize {
    text.split_inclusive('\n').take(line).map(str::len).sum()
}

/// Reads one path, or a group of them in braces (over several lines, nested).
fn push(imports: &mut Vec<Import>, number: usize, base: Vec<String>, rest: &str) {
    for path in paths(rest) {
        let mut whole = base.clone();
        whole.extend(path);
        imports.push(Import { line: number + 1, path: whole });
    }
}

fn paths(text: &str) -> Vec<Vec<String>> {
    let mut stem = Vec::new();
    let mut rest = text;
    loop {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end == 0 {
            break;
        }
        stem.push(rest[..end].to_owned());
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(after) => rest = after,
            None => return vec![stem],
        }
    }
    let Some(group) = rest.strip_prefix('{') else {
        return vec![stem];
    };
    let mut found = Vec::new();
    for part in parts(group) {
        for tail in paths(part) {
            let mut whole = stem.clone();
            whole.extend(tail.into_iter().filter(|name| name != "self"));
            found.push(whole);
        }
    }
    found
}

/// The parts of a group, up to its closing brace.
fn parts(group: &str) -> Vec<&str> {
    let (mut depth, mut begins, mut parts) = (0_usize, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(group[begins..at].trim());
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(group[begins..at].trim());
                begins = at + 1;
            }
            _ => {}
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// The file that defines what a path names: that of the longest module it begins with.
pub fn file_of<'a>(
    by_module: &BTreeMap<Vec<String>, &'a Source>,
    path: &[String],
) -> Option<&'a Source> {
    (1..=path.len()).rev().find_map(|length| by_module.get(&path[..length]).copied())
}

#[test]
fn groups_and_single_paths_are_read() {
    let text = "a::{self, b::C, d::{E, F}}; rest";
    let read: Vec<String> = paths(text).iter().map(|path| path.join("::")).collect();
    assert_eq!(read, ["a", "a::b::C", "a::d::E", "a::d::F"]);
    let text = "x::Y::new(1)";
    assert_eq!(paths(text)[0].join("::"), "x::Y::new");
}

#[test]
fn super_is_the_folder_and_its_tests_do_not_count() {
    let module: Vec<String> = ["dashboard", "fleet", "host"].map(str::to_owned).to_vec();
    let text = "use super::{Fleet, requests::Ask};\nlet a = super::super::store::read();\n";
    let read = imports_of(text, &module);
    let read: Vec<String> = read.iter().map(|import| import.path.join("::")).collect();
    let expected =
        ["dashboard::fleet::Fleet", "dashboard::fleet::requests::Ask", "dashboard::store::read"];
    assert_eq!(read, expected);
}

#[test]
fn a_child_that_a_module_declares_is_known_by_it() {
    let module = vec!["dashboard".to_owned()];
    let text =
        "mod store;\npub mod config;\nuse config::Config;\nlet a = store::open(x::store::y);\n";
    let read = imports_of(text, &module);
    let read: Vec<String> = read.iter().map(|import| import.path.join("::")).collect();
    assert_eq!(read, ["dashboard::config::Config", "dashboard::store::open"]);
}
