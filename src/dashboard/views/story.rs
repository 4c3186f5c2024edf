//! What happened on a host: commands, generations, test runs, and what they changed.

use super::{log, time};
use crate::dashboard::store::transitions::TransitionRecord;
use crate::domain::closure_diff::{Change, Kind};
use crate::domain::command::Command;
use crate::domain::facts::{Deploy, DeployOutcome, TestOutcome, TestRun};
use crate::domain::generation::TestedGeneration;
use crate::domain::ids::Commit;
use crate::domain::test_report::{TestCaseOutcome, TestCounts, TestResult};
use maud::{Markup, html};

/// What a host's page shows besides its row.
pub(crate) struct Story {
    /// Its last commands, newest first, with the states they went through.
    pub commands: Vec<Told>,
    /// There are earlier ones.
    pub more: bool,
    /// Its last test runs, newest first, with the results of each test.
    pub runs: Vec<(TestRun, Vec<TestResult>)>,
    /// Its generations, newest first.
    pub generations: Vec<TestedGeneration>,
    /// What was deployed, newest first.
    pub deploys: Vec<Deploy>,
}

/// A command with its story.
pub(crate) struct Told {
    /// The command.
    pub command: Command,
    /// The states it went through.
    pub transitions: Vec<TransitionRecord>,
    /// What it changed, or would change.
    pub changes: Option<Vec<Change>>,
}

/// A generation: its number, commit, subject, time, and how its tests went.
pub(super) fn generation(one: &TestedGeneration, deploys: &[Deploy]) -> Markup {
    let it = &one.generation;
    let deployed = |d: &&Deploy| d.store_path.is_some() && d.store_path == it.store_path;
    let subject = deploys.iter().filter(deployed).find_map(|d| d.subject.as_deref());
    let commit = it.configuration_revision.as_deref().and_then(Commit::parse);
    html! {
        b { "Generation " (it.generation) } " "
        @if let Some(commit) = &commit { code title=(commit) { (commit.short()) } " " }
        @if let Some(subject) = subject { q.subject { (subject) } " " }
        @if let Some(at) = it.created_at { "made " (time(at)) " " }
        @match &one.tests {
            Some(run) => span data-outcome=(outcome_name(run)) { "tests: " (counted(run)) },
            None => span.quiet { "not tested" },
        }
        @if it.current { " " b { "runs now" } }
        @if one.last_working { " " b.working { "last known working" } }
    }
}

/// A deploy that ended.
pub(super) fn deployed(deploy: &Deploy) -> Markup {
    let (name, words) = match &deploy.outcome {
        DeployOutcome::Succeeded => ("passed", "succeeded".to_owned()),
        DeployOutcome::Unverified(what) => ("failed", format!("not proven: {what}")),
        DeployOutcome::Failed(why) => ("failed", format!("failed: {why}")),
        DeployOutcome::Lost(why) => ("failed", format!("lost: {why}")),
    };
    html! {
        li data-outcome=(name) {
            (time(deploy.ended_at)) " " b { (deploy.kind.label()) } " "
            @if let Some(commit) = &deploy.commit { code { (commit.short()) } " " }
            @if let Some(subject) = &deploy.subject { q.subject { (subject) } " " }
            @if let Some(number) = deploy.generation { "gen " (number) " " }
            (words)
        }
    }
}

/// `passed` or `failed`.
pub(super) fn outcome_name(run: &TestRun) -> &'static str {
    if run.outcome == TestOutcome::Passed { "passed" } else { "failed" }
}

/// A finished run with its tests, closed until somebody opens it.
pub(super) fn test_run(run: &TestRun, tests: &[TestResult]) -> Markup {
    html! {
        details.run id={ "run-" (run.command_id) } data-outcome=(outcome_name(run)) {
            summary { (time(run.ended_at)) " " (counted(run)) }
            (results(tests))
        }
    }
}

/// Each test with its mark, its time, and what it printed if it failed.
pub(super) fn results(results: &[TestResult]) -> Markup {
    html! {
        ul.tests {
            @for result in results {
                @let passed = result.outcome == TestCaseOutcome::Passed;
                li data-outcome=(if passed { "passed" } else { "failed" }) {
                    span aria-hidden="true" { @if passed { "✓ " } @else { "✗ " } }
                    bdi { (result.name) } " "
                    span.quiet { (seconds(result.duration_ms)) }
                    @match result.outcome {
                        TestCaseOutcome::Passed => span.sr { " passed" },
                        TestCaseOutcome::Failed => " failed",
                        TestCaseOutcome::TimedOut => " timed out",
                    }
                    @if let Some(sub) = result.subtests {
                        span.quiet { " · " (sub.passed) " of " (sub.total) " subtests passed" }
                    }
                    @if !result.output.is_empty() && !passed {
                        pre tabindex="0" { (log::plain_text(&result.output)) }
                    }
                }
            }
        }
    }
}

/// "7/8 passed"
pub(super) fn passed(counts: TestCounts) -> String {
    format!("{}/{} passed", counts.passed, counts.total)
}

/// "1.2 s"
#[allow(clippy::cast_precision_loss)] // shown with one digit
pub(super) fn seconds(millis: u64) -> String {
    format!("{:.1} s", millis as f64 / 1000.0)
}

/// How a run went, in a few words.
pub(super) fn counted(run: &TestRun) -> String {
    let counts = run.counts.map_or_else(String::new, passed);
    match &run.first_failed {
        Some(name) => format!("{counts}, failed: {name}"),
        None => counts,
    }
}

/// A command with its story, closed until somebody opens it.
pub(super) fn told(one: &Told) -> Markup {
    let Told { command, transitions, changes } = one;
    html! {
        details.command id={ "command-" (command.id) } {
            summary {
                b { (command.op.label()) } " " (time(command.created_at)) " by " (command.requested_by)
                ": " (log::ended(command))
            }
            ol {
                @for step in transitions {
                    li {
                        time datetime=(step.at) { (step.at) } " " code { (step.state.name()) }
                        @if let Some(reason) = &step.reason { " " (reason) }
                    }
                }
            }
            a href={ "/hosts/" (command.host) "?command=" (command.id) "#log-panel" } { "Log" }
            " (" (command.output_lines) " lines)"
            @if let Some(changes) = changes { (what_changes(changes)) }
        }
    }
}

/// Packages up, down, added, removed, and what that does to the closure's size.
pub(super) fn what_changes(changes: &[Change]) -> Markup {
    let bytes: i64 = changes.iter().filter_map(|change| change.bytes).sum();
    html! {
        div.changes {
            p { (changes.len()) " packages change, " (signed_size(bytes)) }
            ul {
                @for change in changes {
                    li data-kind=(kind(change.kind).0) {
                        (kind(change.kind).1) " " b { (change.name) } " "
                        (change.from) @if !change.to.is_empty() { " → " (change.to) }
                        @if let Some(bytes) = change.bytes { span.quiet { " " (signed_size(bytes)) } }
                    }
                }
            }
        }
    }
}

fn kind(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Up => ("up", "↑"),
        Kind::Down => ("down", "↓"),
        Kind::Added => ("added", "+"),
        Kind::Removed => ("removed", "−"),
        Kind::Rebuilt => ("rebuilt", "≈"),
    }
}

fn signed_size(bytes: i64) -> String {
    let sign = if bytes < 0 { "−" } else { "+" };
    let size = bytes.unsigned_abs();
    match size {
        0..1024 => format!("{sign}{size} B"),
        1024..1_048_576 => format!("{sign}{} KiB", size / 1024),
        _ => format!("{sign}{} MiB", size / 1_048_576),
    }
}
