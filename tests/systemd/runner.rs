//! Runs the tests one after the other. The usual harness has no word for a test that could not
//! be run, and this one must have it.

use crate::tree;
use std::fs::OpenOptions;
use std::io::Write;
use std::panic;
use std::process::ExitCode;
use std::time::Instant;

/// Name and body.
pub type Test = (&'static str, fn());

/// Tests under their own names.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        &[$((stringify!($name), $name as fn())),*]
    };
}
pub(crate) use tests;

/// A file that gets a line with the reason where the tests cannot be run; `tests/run` repeats it
/// at its end.
const REASON_FILE: &str = "NIXFLEET_TESTS_NOT_RUN";
/// Where this is set, tests that cannot be run have failed.
const REQUIRED: &str = "NIXFLEET_TESTS_REQUIRED";

/// Runs those whose names contain one of the words on the command line; without a word, all.
pub fn run(tests: &[Test]) -> ExitCode {
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let chosen: Vec<&Test> = tests
        .iter()
        .filter(|(name, _)| {
            words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))
        })
        .collect();
    if std::env::args().any(|word| word == "--list") {
        for (name, _) in chosen {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    if chosen.is_empty() {
        return ExitCode::SUCCESS;
    }
    if let Err(why) = tree::prepare() {
        return not_run(chosen.len(), &why);
    }
    println!("\nrunning {} tests with a real systemd", chosen.len());
    let mut failed = Vec::new();
    for (name, test) in &chosen {
        let began = Instant::now();
        println!("test {name} ...");
        let passed = panic::catch_unwind(test).is_ok();
        let word = if passed { "ok" } else { "FAILED" };
        println!("test {name} ... {word} ({:.1} s)", began.elapsed().as_secs_f64());
        if !passed {
            failed.push(*name);
        }
    }
    println!("\n{} passed, {} failed", chosen.len() - failed.len(), failed.len());
    for name in &failed {
        println!("    {name}");
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn not_run(count: usize, why: &str) -> ExitCode {
    println!("\nNOT RUN: {count} tests with a real systemd: {why}\n");
    if let Some(file) = std::env::var_os(REASON_FILE) {
        let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
        writeln!(file, "{count} tests with a real systemd: {why}").unwrap();
    }
    if std::env::var_os(REQUIRED).is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
