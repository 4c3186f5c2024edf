//! Runs the tests two at a time, and beside them those that only wait. The usual harness has no word
//! for a test that could not be run, and this one must have it.

use crate::tree;
use std::fs::OpenOptions;
use std::io::Write;
use std::panic;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
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

/// Most of a test is waiting for a machine that boots.
const AT_ONCE: usize = 2;

/// Those whose names contain one of the words on the command line; without a word, all.
fn chosen(tests: &[Test]) -> Vec<Test> {
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_chosen = |(name, _): &&Test| {
        words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))
    };
    tests.iter().filter(is_chosen).copied().collect()
}

/// Runs those that are asked for. `long` are the ones that wait most of their time.
pub fn run(tests: &[Test], long: &[Test]) -> ExitCode {
    let (tests, long) = (chosen(tests), chosen(long));
    let count = tests.len() + long.len();
    if std::env::args().any(|word| word == "--list") {
        for (name, _) in tests.iter().chain(&long) {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    if count == 0 {
        return ExitCode::SUCCESS;
    }
    if let Err(why) = tree::prepare() {
        return not_run(count, &why);
    }
    println!("\nrunning {count} tests with a real systemd");
    let todo = Mutex::new(tests.into_iter());
    let next = || todo.lock().unwrap().next();
    let work = || std::iter::from_fn(next).filter_map(fails).collect::<Vec<_>>();
    let failed = thread::scope(|scope| {
        let beside = long.into_iter().map(|test| scope.spawn(move || Vec::from_iter(fails(test))));
        let mut running: Vec<_> = beside.collect();
        running.extend((0..AT_ONCE).map(|_| scope.spawn(work)));
        running.into_iter().flat_map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    println!("\n{} passed, {} failed", count - failed.len(), failed.len());
    for name in &failed {
        println!("    {name}");
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one test; answers its name if it fails.
fn fails((name, test): Test) -> Option<&'static str> {
    let began = Instant::now();
    println!("test {name} ...");
    let passed = panic::catch_unwind(test).is_ok();
    let word = if passed { "ok" } else { "FAILED" };
    println!("test {name} ... {word} ({:.1} s)", began.elapsed().as_secs_f64());
    (!passed).then_some(name)
}

fn not_run(count: usize, why: &str) -> ExitCode {
    println!("\nNOT RUN: {count} tests with a real systemd: {why}\n");
    if let Some(file) = std::env::var_os(REASON_FILE) {
        let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
        writeln!(file, "{count} tests with a real systemd: {why}").unwrap();
    }
    if std::env::var_os(REQUIRED).is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
