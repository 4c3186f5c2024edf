//! The house holds: which room may know which is written in docs/ARCHITECTURE.md, and nothing
//! in the code says otherwise.
//!
//! These tests read the sources as text. They see every path that begins with `crate::` or
//! `super::`, also the ones in the middle of a line; code behind `#[cfg(test)]` is left out,
//! because a test may look anywhere.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]
#![allow(
    unreachable_pub,
    reason = "a test program has no face: what its files share is plainly `pub`"
)]

mod arrows;
mod docs;
mod faults;
mod imports;

use arrows::{Arrow, Plan};
use imports::Source;
use std::collections::{BTreeMap, BTreeSet};

fn sources() -> Vec<Source> {
    imports::read_all()
}

/// Every arrow from one room to another that the code draws, with a line that draws it.
fn drawn(plan: &Plan, sources: &[Source]) -> BTreeMap<Arrow, String> {
    let mut drawn = BTreeMap::new();
    for source in sources {
        let from = plan.room_of(&source.module);
        for import in &source.imports {
            let to = plan.room_of(&import.path);
            let (Some(from), Some(to)) = (from, to) else {
                let at = format!("{}:{}", source.file, import.line);
                panic!("{at}: `{}` is in no room of docs/ARCHITECTURE.md", import.path.join("::"));
            };
            if from != to {
                let at = format!("{}:{} ({})", source.file, import.line, import.path.join("::"));
                let arrow = Arrow { from: from.to_owned(), to: to.to_owned() };
                drawn.entry(arrow).or_insert(at);
            }
        }
    }
    drawn
}

/// Invariant: rooms know each other in the listed directions only.
#[test]
fn no_room_knows_a_room_that_the_plan_does_not_list() {
    let plan = Plan::read();
    let drawn = drawn(&plan, &sources());
    let wrong: Vec<String> = drawn
        .iter()
        .filter(|(arrow, _)| !plan.allows(arrow))
        .map(|(arrow, at)| format!("{} -> {}: {at}", arrow.from, arrow.to))
        .collect();
    assert!(wrong.is_empty(), "not in docs/ARCHITECTURE.md:\n{}", wrong.join("\n"));
}

#[test]
fn every_arrow_of_the_plan_is_drawn_somewhere() {
    let plan = Plan::read();
    let drawn = drawn(&plan, &sources());
    let stale: Vec<String> = plan
        .arrows()
        .filter(|arrow| !drawn.contains_key(arrow))
        .map(|arrow| format!("{} -> {}", arrow.from, arrow.to))
        .collect();
    assert!(stale.is_empty(), "listed, but nothing needs it:\n{}", stale.join("\n"));
}

#[test]
fn the_plan_has_no_circle() {
    let plan = Plan::read();
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for arrow in plan.arrows() {
        edges.entry(arrow.from).or_default().insert(arrow.to);
    }
    assert_eq!(arrows::circle(&edges), None);
}

/// Invariant: no circle of files. A file of a folder may use what its `mod.rs` defines: they are
/// one room, cut into files. Everything else that goes both ways is a circle.
#[test]
fn no_files_know_each_other_in_a_circle() {
    let sources = sources();
    let by_module: BTreeMap<Vec<String>, &Source> =
        sources.iter().map(|source| (source.module.clone(), source)).collect();
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in &sources {
        for import in &source.imports {
            let Some(target) = imports::file_of(&by_module, &import.path) else { continue };
            let own_mod = source.module.starts_with(&target.module);
            if target.file != source.file && !own_mod {
                edges.entry(source.file.clone()).or_default().insert(target.file.clone());
            }
        }
    }
    assert_eq!(arrows::circle(&edges), None);
}

/// Where certain things may be: HTML, SQL, environment, processes (docs/ARCHITECTURE.md).
#[test]
fn what_belongs_to_one_room_is_found_in_no_other() {
    let rules: [(&str, &[&str]); 7] = [
        ("html!", &["src/dashboard/views/"]),
        ("PreEscaped(", &["src/dashboard/views/"]),
        ("std::env::var", &["src/cli/", "src/agent/", "src/demo/", "src/base/"]),
        ("conn.execute(", &["src/dashboard/store/"]),
        ("conn.prepare", &["src/dashboard/store/"]),
        ("Command::new(", &["src/base/", "src/agent/", "src/demo/"]),
        ("SystemTime::now", &["src/dashboard/clock.rs", "src/agent/", "src/demo/"]),
    ];
    let mut wrong = Vec::new();
    for source in sources() {
        for (text, allowed) in rules {
            if source.text.contains(text) && !allowed.iter().any(|at| source.file.starts_with(at)) {
                wrong.push(format!("{}: {text}", source.file));
            }
        }
    }
    assert!(wrong.is_empty(), "in the wrong room:\n{}", wrong.join("\n"));
}

/// Invariant: every queue has a bound that is true. `do_send` ignores a mailbox's capacity, so that
/// whoever uses it says what bounds it instead (finding B7).
#[test]
fn whoever_sends_past_a_queues_bound_says_what_bounds_it() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let before = &lines[number.saturating_sub(4)..number];
            if line.contains(".do_send(") && !before.iter().any(|line| line.contains("bound")) {
                wrong.push(format!("{}:{}", source.file, number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_domain_reads_no_clock_and_does_no_io() {
    let foreign = [
        "use actix",
        "use rusqlite",
        "use maud",
        "std::fs",
        "std::net",
        "std::process",
        "std::env",
        "Instant::now",
        "SystemTime",
        "async fn",
    ];
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.file.starts_with("src/domain/")) {
        for text in foreign {
            if source.text.contains(text) {
                wrong.push(format!("{}: {text}", source.file));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
