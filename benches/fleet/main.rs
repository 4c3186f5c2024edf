//! The fleet load generator: simulated agents and browsers against a dashboard process.
//!
//! `cargo bench --bench fleet -- --help` says how; docs/PERFORMANCE.md what came out.

mod agent;
mod api;
mod browser;
mod counted;
mod floor;
mod frames;
mod harm;
mod options;
mod plot;
mod report;
mod scenarios;
mod server;
mod stats;
mod wire;

use anyhow::Context as _;
use clap::Parser as _;
use options::{Options, Scenario, Size};
use report::{Report, Run};
use server::Prepared;
use std::process::ExitCode;

/// How this program is called when it is the floor server itself.
const FLOOR: &str = "serve-floor";
/// How it is called when it is the dashboard itself, and counts what that allocates.
const COUNTED: &str = "serve-counted";

#[global_allocator]
static ALLOCATOR: counted::Counting = counted::Counting;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::new().filter_or("FLEET_LOG", "warn")).init();
    let arguments: Vec<String> = std::env::args().collect();
    let done = match arguments.get(1).map(String::as_str) {
        Some(FLOOR) => floor::serve(),
        Some(COUNTED) => counted::serve(&arguments[2..]),
        // `cargo test --all-targets` starts benches without a word: it wants no load.
        None => Ok(()),
        Some(_) => measure(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleet: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &[String]) -> anyhow::Result<()> {
    // Cargo adds this word to whatever a user gives.
    let own_arguments = arguments.iter().filter(|argument| *argument != "--bench");
    let options = match Options::try_parse_from(own_arguments) {
        Ok(options) => options,
        Err(error) => error.exit(),
    };
    server::raise_file_limit(&options)?;
    let subjects = options.subjects();
    let mut report = Report::new(&options);
    for scenario in options.scenarios() {
        for size in scenario.sizes(&options) {
            let mut prepared = Vec::new();
            for subject in subjects.iter().filter(|subject| scenario.fits(subject)) {
                let label = subject.label();
                eprintln!("{}: preparing {label}, {} hosts", scenario.name(), size.hosts);
                let ready = Prepared::new(subject.clone(), &options, size)
                    .with_context(|| format!("preparing {label}"))?;
                prepared.push(ready);
            }
            rounds(&options, scenario, size, &prepared, &mut report)?;
        }
    }
    print!("{}", report.text());
    if let Some(path) = &options.json {
        std::fs::write(path, report.json()?)
            .with_context(|| format!("--json: writing {}", path.display()))?;
    }
    if let Some(dir) = &options.svg {
        plot::write_all(dir, &report)
            .with_context(|| format!("--svg: writing into {}", dir.display()))?;
    }
    report.verdict()
}

/// Subjects take turns, and in every other round the other way round: what the machine does
/// beside us then hits them alike.
fn rounds(
    options: &Options,
    scenario: Scenario,
    size: Size,
    prepared: &[Prepared],
    report: &mut Report,
) -> anyhow::Result<()> {
    for round in 0..options.rounds {
        let mut order: Vec<&Prepared> = prepared.iter().collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for subject in order {
            let label = subject.label();
            eprintln!("{}: round {} of {}: {label}", scenario.name(), round + 1, options.rounds);
            let figures = scenarios::run(scenario, options, subject)
                .with_context(|| format!("{} with {label}", scenario.name()))?;
            report.add(Run { scenario, size, subject: label.to_owned(), round, figures });
        }
    }
    Ok(())
}
