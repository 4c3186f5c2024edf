//! What happened on a host: commands, generations, test runs, and what they changed.

use super::{log, time};
use crate::dashboard::store::events::EventRecord;
use crate::dashboard::store::transitions::TransitionRecord;
use crate::domain::closure_diff::{Change, Kind};
use crate::domain::command::Command;
use crate::domain::facts::{Deploy, TestOutcome, TestRun};
use crate::domain::generation::{Generation, TestedGeneration};
use crate::domain::ids::Commit;
use crate::domain::operation::Operation;
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
    /// What the audit log says of the host itself, newest first.
    pub events: Vec<EventRecord>,
    /// What of it was asked for.
    pub only: Only,
}

/// What of the timeline is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Only {
    /// All of it.
    #[default]
    All,
    /// What changed what runs, or was to.
    Deploys,
    /// Runs of tests.
    Tests,
    /// What the audit log says of the host itself.
    Host,
}

impl Only {
    /// All of them, as the page offers them: name in the address, and label.
    pub(super) const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::All, "", "All"),
        (Self::Deploys, "deploys", "Deploys"),
        (Self::Tests, "tests", "Tests"),
        (Self::Host, "host", "Host"),
    ];

    /// Reads what an address says. What is not known there is all.
    pub(crate) fn parse(name: &str) -> Self {
        let known = Self::ALL.into_iter().find(|(_, known, _)| *known == name);
        known.map(|(only, ..)| only).unwrap_or_default()
    }

    /// Whether commands of this kind are shown.
    pub(crate) fn shows(self, op: Operation) -> bool {
        match self {
            Self::All => true,
            Self::Deploys => op.rules().deploys,
            Self::Tests => op == Operation::Test,
            Self::Host => false,
        }
    }

    /// Whether what the audit log says of the host is shown.
    pub(crate) fn shows_the_host(self) -> bool {
        matches!(self, Self::All | Self::Host)
    }
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

/// The subject of what a generation was built from: of the deploy that brought it, if that was of
/// the commit that the generation names.
pub(super) fn subject<'a>(
    it: &Generation,
    commit: Option<&Commit>,
    deploys: &'a [Deploy],
) -> Option<&'a str> {
    let brought = deploys.iter().filter(|deploy| {
        deploy.brought().is_some()
            && deploy.brought() == it.store_path.as_deref()
            && (commit.is_none() || deploy.commit.as_ref() == commit)
    });
    brought.into_iter().find_map(|deploy| deploy.subject.as_deref())
}

/// A generation: its number, commit, subject, time, and how its tests went.
pub(super) fn generation(one: &TestedGeneration, deploys: &[Deploy]) -> Markup {
    let it = &one.generation;
    let commit = it.configuration_revision.as_deref().and_then(Commit::parse);
    let subject = subject(it, commit.as_ref(), deploys);
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

/// How a run ended, in one word.
pub(super) fn outcome_name(run: &TestRun) -> &'static str {
    match run.outcome {
        TestOutcome::Passed => "passed",
        TestOutcome::Failed | TestOutcome::TimedOut => "failed",
        TestOutcome::Stopped => "stopped",
        TestOutcome::Lost => "lost",
        TestOutcome::Unverified => "unverified",
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
#[allow(clippy::cast_precision_loss, reason = "it is shown with one digit")]
pub(super) fn seconds(millis: u64) -> String {
    format!("{:.1} s", millis as f64 / 1000.0)
}

/// How a run went, in a few words.
pub(super) fn counted(run: &TestRun) -> String {
    let counts = run.counts.map_or_else(String::new, passed);
    match &run.first_failed {
        Some(name) => format!("{counts}, failed: {name}"),
        None if counts.is_empty() => outcome_name(run).to_owned(),
        None => counts,
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
