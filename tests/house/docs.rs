//! What docs/ says is what the program does: the wire, the table of rows, the invariants and
//! their tests, and the paths and links that pages name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Fields by the title of their section: those of a message, an object, or a list of words.
type Sections = BTreeMap<String, BTreeSet<String>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn between<'a>(text: &'a str, begins: &str, ends: &str) -> &'a str {
    let rest = text.split_once(begins).unwrap_or_else(|| panic!("no {begins}")).1;
    rest.split_once(ends).unwrap_or_else(|| panic!("no {ends} after {begins}")).0
}

// ---- The wire ----

/// Types and enumerations of the wire that are defined elsewhere, because the domain has them too.
const DEFINED_ELSEWHERE: [(&str, &str); 5] = [
    ("src/domain/command/phase.rs", "pub enum WorkPhase {"),
    ("src/domain/generation.rs", "pub struct Generation {"),
    ("src/domain/operation.rs", "pub struct Args {"),
    ("src/domain/operation.rs", "pub enum Regardless {"),
    ("src/domain/test_report.rs", "pub enum TestCaseOutcome {"),
];

/// Files of src/protocol/ that hold no type of the wire.
const NO_TYPES: [&str; 2] = ["mod.rs", "fragments.rs"];

/// The source of every type of the wire.
fn types_of_the_wire() -> String {
    let mut files = Vec::new();
    collect(&root().join("src/protocol"), "rs", &mut files);
    files.retain(|file| !NO_TYPES.iter().any(|name| file.ends_with(name)));
    let mut text = String::new();
    for file in files {
        text.push('\n');
        text.push_str(&std::fs::read_to_string(file).unwrap());
    }
    for (file, head) in DEFINED_ELSEWHERE {
        let file = read(file);
        let body = between(&file, head, "\n}\n");
        text.push_str(&format!("\n{head}{body}\n}}\n"));
    }
    text
}

/// The names of public structs, each with the names of its fields on the wire.
fn structs(text: &str) -> Sections {
    let mut found = Sections::new();
    for rest in text.split("\npub struct ").skip(1) {
        let (name, rest) = rest.split_once(" {\n").expect("a struct with named fields");
        let body = rest.split_once("\n}").expect("its end").0;
        assert!(!body.contains("rename"), "{name}: a renamed field is not read here");
        let fields = body.lines().filter_map(|line| line.trim().strip_prefix("pub "));
        let names = fields.map(|field| field.split_once(':').expect("name: type").0.to_owned());
        found.insert(name.to_owned(), names.collect());
    }
    found
}

/// The names of public enumerations, each with its words on the wire.
fn enumerations(text: &str) -> Sections {
    let mut found = Sections::new();
    for rest in text.split("\npub enum ").skip(1) {
        let (name, rest) = rest.split_once(" {\n").expect("an enumeration");
        let body = rest.split_once("\n}").expect("its end").0;
        let is_word = |line: &&str| !line.starts_with("//") && !line.starts_with('#');
        let words = body.lines().map(str::trim).filter(is_word);
        let words = words.map(|line| snake_case(line.trim_end_matches(',')));
        found.insert(name.to_owned(), words.collect());
    }
    found
}

fn snake_case(name: &str) -> String {
    let mut word = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.extend(letter.to_lowercase());
    }
    word
}

/// The types of messages of one direction, each with the struct of its payload.
fn messages(direction: &str) -> BTreeMap<String, String> {
    let text = read("src/protocol/mod.rs");
    let payloads = between(&text, &format!("pub enum {direction} {{"), "\n}");
    let names = between(&text, &format!("messages!({direction} {{"), "\n}");
    let mut found = BTreeMap::new();
    for line in names.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (variant, name) = line.split_once(" = ").expect("Variant = \"name\"");
        let payload = between(payloads, &format!(" {variant}("), "),");
        let payload = payload.trim_start_matches("Box<").trim_end_matches('>');
        found.insert(name.trim_matches(['"', ',']).to_owned(), payload.to_owned());
    }
    found
}

/// The wire as the program has it, by the titles that docs/PROTOCOL.md should have.
fn wire_of_the_program() -> Sections {
    let text = types_of_the_wire();
    let mut structs = structs(&text);
    let mut wire = Sections::new();
    for (direction, title) in
        [("AgentMessage", "From the agent"), ("DashboardMessage", "From the dashboard")]
    {
        for (name, payload) in messages(direction) {
            let fields = structs.remove(&payload).unwrap_or_else(|| panic!("no {payload}"));
            wire.insert(format!("{title} / `{name}`"), fields);
        }
    }
    for (name, fields) in structs {
        wire.insert(format!("Objects / Object `{name}`"), fields);
    }
    for (name, words) in enumerations(&text) {
        wire.insert(format!("Words / Words of `{name}`"), words);
    }
    wire
}

/// The first table of every section that has a title of the third rank.
fn wire_of_the_page() -> Sections {
    let page = read("docs/PROTOCOL.md");
    let mut wire = Sections::new();
    for chapter in page.split("\n## ").skip(1) {
        let (title, rest) = chapter.split_once('\n').expect("a title");
        for section in rest.split("\n### ").skip(1) {
            let (name, rest) = section.split_once('\n').expect("a title");
            let table = rest.lines().skip_while(|line| !line.starts_with('|'));
            let rows = table.take_while(|line| line.starts_with('|')).skip(2);
            let mut fields = BTreeSet::new();
            for row in rows {
                let field = between(row, "| `", "` |").to_owned();
                assert!(fields.insert(field), "{name}: twice: {row}");
            }
            wire.insert(format!("{title} / {name}"), fields);
        }
    }
    wire
}

#[test]
fn every_message_and_field_of_the_wire_is_in_its_reference_and_nothing_else_is() {
    let program = wire_of_the_program();
    let page = wire_of_the_page();
    let names = |wire: &Sections| wire.keys().cloned().collect::<BTreeSet<String>>();
    assert_eq!(names(&program), names(&page), "the program's messages, and the page's");
    for (name, fields) in &program {
        assert_eq!(fields, &page[name], "{name}: the program's fields, and the page's");
    }
    assert!(program.len() > 20, "only {} sections: the sources are not read", program.len());
}

// ---- Rows ----

fn is_row(text: &str) -> bool {
    let words: Vec<&str> = text.split(' ').collect();
    let is_status = |word: &&str| ["ok", "out", "err", "wrk", "unk"].contains(word);
    words.len() == 5 && words.iter().all(is_status)
}

#[test]
fn the_table_of_situations_is_that_of_the_tests() {
    let source = read("src/domain/host/tests/rows.rs");
    let table = between(&source, "const TABLE: &[Situation] = &[", "\n];");
    let mut tested: Vec<(String, String)> = Vec::new();
    let mut situation = None;
    for text in table.split('"').skip(1).step_by(2) {
        if is_row(text) {
            let situation: &str = situation.take().expect("a situation before its row");
            tested.push((situation.to_owned(), text.to_owned()));
        } else if situation.is_none() {
            situation = Some(text);
        }
    }
    let page = read("docs/ROWS.md");
    let heading = "| situation | Agent | Git | Lock | System | Tests |\n";
    let rows = page.split_once(heading).expect("the table").1;
    let rows = rows.lines().skip(1).take_while(|line| line.starts_with('|'));
    let told: Vec<(String, String)> = rows
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            (cells[0].to_owned(), cells[1..].join(" "))
        })
        .collect();
    assert_eq!(told, tested, "docs/ROWS.md, and the tests");
    assert!(tested.len() > 10, "only {} situations were read", tested.len());
}

// ---- Invariants ----

/// The names of all tests: functions below an attribute that ends in `test]`.
fn tests_of_the_sources() -> BTreeSet<String> {
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        collect(&root().join(folder), "rs", &mut files);
    }
    let mut names = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[") && line.ends_with("test]") {
                is_test = true;
            } else if let (true, Some((_, rest))) = (is_test, line.split_once("fn ")) {
                names.insert(rest.split_once('(').expect("a function").0.to_owned());
                is_test = false;
            }
        }
    }
    names
}

fn collect(dir: &Path, ending: &str, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, ending, files);
        } else if path.extension().is_some_and(|end| end == ending) {
            files.push(path);
        }
    }
}

/// What stands in backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_invariant_names_tests_that_there_are() {
    let tests = tests_of_the_sources();
    let page = read("docs/ARCHITECTURE.md");
    let mut invariants = 0;
    for paragraph in page.split("\n\n").filter(|text| text.contains("Invariant:")) {
        for invariant in paragraph.split("Invariant:").skip(1) {
            invariants += 1;
            let said = invariant.trim();
            let proof = invariant.split_once("Proved by");
            let (_, proof) = proof.unwrap_or_else(|| panic!("no `Proved by`: {said}"));
            let named = quoted(proof);
            assert!(!named.is_empty(), "no test: {said}");
            for name in named {
                assert!(tests.contains(name), "there is no test {name}: {said}");
            }
        }
    }
    assert!(invariants >= 10, "only {invariants} invariants were read");
}

// ---- Security ----

#[test]
fn every_attack_of_the_security_page_names_tests_that_there_are() {
    let tests = tests_of_the_sources();
    let page = read("SECURITY.md");
    let table = between(&page, "| attack | answer | test |\n|---|---|---|\n", "\n\n");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with('|')).collect();
    for row in &rows {
        let proof = row.trim_end_matches('|').rsplit_once('|').expect("three columns").1;
        let named = quoted(proof);
        assert!(!named.is_empty(), "no test: {row}");
        for name in named {
            assert!(tests.contains(name), "there is no test {name}: {row}");
        }
    }
    assert!(rows.len() >= 5, "only {} rows were read", rows.len());
}

// ---- Pages ----

/// The readme, and every page of docs/, from the repository's root.
fn pages() -> BTreeSet<PathBuf> {
    let mut files = Vec::new();
    collect(&root().join("docs"), "md", &mut files);
    let mut pages: BTreeSet<PathBuf> =
        files.iter().map(|file| file.strip_prefix(root()).unwrap().to_owned()).collect();
    for page in ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"] {
        pages.insert(PathBuf::from(page));
    }
    pages
}

/// The files of this repository that a page leads to.
fn links(page: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    let mut links = Vec::new();
    for rest in text.split("](").skip(1) {
        let target = rest.split_once(')').expect("the end of a link").0;
        let file = target.split('#').next().unwrap_or_default();
        if !file.is_empty() && !file.contains("://") {
            links.push(page.parent().unwrap().join(file));
        }
    }
    links
}

fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part.as_os_str() == ".." {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}

#[test]
fn every_page_is_reached_from_the_readme_and_no_link_leads_nowhere() {
    let mut reached = BTreeSet::new();
    let mut to_read = vec![PathBuf::from("README.md")];
    while let Some(page) = to_read.pop() {
        if !reached.insert(page.clone()) {
            continue;
        }
        for link in links(&page) {
            let target = without_dots(&link);
            let shown = format!("{} leads to {}", page.display(), target.display());
            assert!(root().join(&target).exists(), "{shown}: that is not there");
            if target.extension().is_some_and(|end| end == "md") {
                to_read.push(target);
            }
        }
    }
    let forgotten: Vec<PathBuf> = pages().difference(&reached).cloned().collect();
    assert!(forgotten.is_empty(), "nothing leads to {forgotten:?}");
}

#[test]
fn every_path_that_a_page_names_is_there() {
    let roots = ["src/", "tests/", "docs/", "nix/", "assets/"];
    for page in pages() {
        let text = std::fs::read_to_string(root().join(&page)).unwrap();
        let prose: String = text.split("```").step_by(2).collect();
        for path in quoted(&prose) {
            let is_path = roots.iter().any(|start| path.starts_with(start));
            if is_path && !path.contains(['*', '<', ' ']) {
                assert!(root().join(path).exists(), "{}: no {path}", page.display());
            }
        }
    }
}
