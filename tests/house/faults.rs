//! The table of faults names tests that are there, and all that boot a real systemd.

use crate::docs::read;
use std::collections::BTreeSet;

/// Where a test is that is named without a file.
const USUAL: &str = "tests/blackbox/agent.rs";

fn whole_directory(path: &str) -> String {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

#[test]
fn every_fault_of_the_guard_names_its_test_and_every_test_of_the_guard_is_in_the_table() {
    let source = whole_directory("tests/systemd/guard");
    let lists = source.split("tests![").skip(1).map(|rest| rest.split_once("];").unwrap().0);
    let tests = lists.flat_map(|list| list.split(',').map(str::trim));
    let tests: BTreeSet<&str> = tests.filter(|test| !test.is_empty()).collect();
    let table = read("docs/GUARD.md");
    let rows = table.lines().filter(|line| line.starts_with("| ") && line.ends_with("` |"));
    let named = rows.map(|row| row.trim_end_matches("` |").rsplit('`').next().unwrap());
    let named: BTreeSet<&str> = named.collect();
    assert_eq!(named, tests, "docs/GUARD.md, and tests/systemd/guard/");
    assert!(named.len() > 10, "{named:?}");
}

/// The tests that a row names, each with its file: names come first, their file behind them.
fn shown_by(row: &str) -> Vec<(String, String)> {
    let cell = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
    let mut named: Vec<(String, String)> = Vec::new();
    let mut without_file = 0;
    for words in cell.split('`').skip(1).step_by(2) {
        if words.contains('/') {
            let list = named.len() - without_file..;
            // Of several names before one file, those stand in it that are there.
            for (test, file) in &mut named[list] {
                if read(words).contains(&format!("fn {test}()")) {
                    words.clone_into(file);
                }
            }
            without_file = 0;
        } else {
            named.push((words.to_owned(), USUAL.to_owned()));
            without_file += 1;
        }
    }
    named
}

#[test]
fn every_test_that_the_table_of_faults_names_exists_and_every_fault_under_systemd_is_in_it() {
    let table = read("docs/AGENT_FAULTS.md");
    let rows = table.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    let named: Vec<_> = rows.flat_map(shown_by).collect();
    for (test, file) in &named {
        assert!(read(file).contains(&format!("fn {test}()")), "{test} is not in {file}");
    }
    let named: BTreeSet<_> = named.into_iter().map(|(test, _)| test).collect();
    assert!(named.len() > 40, "{}", named.len());
    for file in ["faults", "stops", "switches"] {
        let source = read(&format!("tests/systemd/{file}.rs"));
        let lists = source.split("= tests![").skip(1);
        for list in lists.map(|rest| rest.split_once("];").unwrap().0) {
            for test in list.split(',').map(str::trim).filter(|test| !test.is_empty()) {
                assert!(named.contains(test), "{test} is in no row of docs/AGENT_FAULTS.md");
            }
        }
    }
}
