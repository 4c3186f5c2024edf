//! The page of one host, and the audit log.

use super::{host, layout, log, message, time};
use crate::dashboard::messages::HostEntry;
use crate::dashboard::store::events::EventRecord;
use crate::dashboard::store::transitions::TransitionRecord;
use crate::domain::closure_diff::{Change, Kind};
use crate::domain::command::Command;
use crate::domain::compartment::Compartment;
use crate::domain::facts::{Deploy, DeployOutcome, TestOutcome, TestRun};
use crate::domain::generation::TestedGeneration;
use crate::domain::ids::Commit;
use crate::domain::operation::Operation;
use crate::domain::snapshot::HostSnapshot;
use crate::domain::test_report::{TestCaseOutcome, TestResult};
use maud::{Markup, html};

/// What a host's page shows besides its row.
pub struct Story {
    /// Its last commands, newest first, with the states they went through.
    pub commands: Vec<Told>,
    /// Its last test runs, newest first, with the results of each test.
    pub runs: Vec<(TestRun, Vec<TestResult>)>,
    /// Its generations, newest first.
    pub generations: Vec<TestedGeneration>,
    /// What was deployed, newest first.
    pub deploys: Vec<Deploy>,
}

/// A command with its story.
pub struct Told {
    /// The command.
    pub command: Command,
    /// The states it went through.
    pub transitions: Vec<TransitionRecord>,
    /// What it changed, or would change.
    pub changes: Option<Vec<Change>>,
}

/// The page.
pub fn page(entry: &HostEntry, story: &Story, csrf: &str, version: u64, totp: bool) -> Markup {
    let snapshot = &entry.snapshot;
    let profile = &snapshot.profile;
    let facts = &snapshot.facts;
    let number = facts.system.generation.map(|n| n.to_string());
    let known: [(&str, Option<&str>); 11] = [
        ("Agent", facts.agent.version.as_deref()),
        ("Operating system", Some(&profile.os_version)),
        ("nixpkgs", Some(&profile.nixpkgs_version)),
        ("Config repository", Some(&profile.repo_url)),
        ("Branch", profile.branch.as_deref()),
        ("Checkout", facts.checkout.as_ref().map(|c| c.as_str())),
        ("Generation", number.as_deref()),
        ("Store path", facts.system.store_path.as_deref()),
        ("Built from", facts.system.configuration_revision.as_deref()),
        ("Location", Some(&profile.location)),
        ("Device", Some(&profile.device_type)),
    ];
    let main = html! {
        form #act method="post" { input type="hidden" name="csrf_token" value=(csrf); }
        (host::row(entry))
        section {
            h2 { "Why" }
            button.quiet type="submit" form="act" formaction={ "/hosts/" (snapshot.id) "/refresh" }
                data-op="refresh" { "Refresh" }
            dl {
                @for (compartment, verdict) in Compartment::ALL.into_iter().zip(&snapshot.row) {
                    dt { (compartment.label()) }
                    dd data-status=(verdict.status.name()) { (message(&verdict.message)) }
                }
            }
        }
        @if !snapshot.missing().is_empty() {
            section #missing {
                h2 { "Commits it does not have" }
                ul {
                    @for commit in snapshot.missing() {
                        li { code { (commit.commit.short()) } " " (commit.subject) }
                    }
                }
            }
        }
        section {
            h2 { "Facts" }
            dl {
                @for (name, value) in known {
                    @if let Some(value) = value.filter(|v| !v.is_empty()) { dt { (name) } dd { (value) } }
                }
            }
        }
        section {
            h2 { "Commands" }
            @if story.commands.is_empty() { p.quiet { "None yet." } }
            @for one in &story.commands { (told(one)) }
        }
        @if !story.generations.is_empty() {
            section #generations {
                h2 { "Generations" }
                @for one in &story.generations { (generation(snapshot, one, &story.deploys)) }
            }
        }
        @if !story.deploys.is_empty() {
            section #deploys {
                h2 { "Deployed" }
                ul { @for deploy in &story.deploys { (deployed(deploy)) } }
            }
        }
        @if !story.runs.is_empty() {
            section #runs {
                h2 { "Test runs" }
                @for (run, results) in &story.runs { (test_run(run, results)) }
            }
        }
        (settings(snapshot))
        (reboot(snapshot, totp))
    };
    // Its row is swapped like any other; the rest is read again when something happened.
    let main = html! {
        div #host-page data-host=(snapshot.id) data-version=(version) { (main) }
    };
    layout::page(&profile.hostname, Some(csrf), &main)
}

/// A generation, and the way back to it: the target is shown before anything starts.
fn generation(host: &HostSnapshot, one: &TestedGeneration, deploys: &[Deploy]) -> Markup {
    let it = &one.generation;
    let deployed = |d: &&Deploy| d.store_path.is_some() && d.store_path == it.store_path;
    let subject = deploys.iter().filter(deployed).find_map(|d| d.subject.as_deref());
    let commit = it.configuration_revision.as_deref().and_then(Commit::parse);
    let told = html! {
        b { "Generation " (it.generation) } " "
        @if let Some(commit) = &commit { code { (commit.short()) } " " }
        @if let Some(subject) = subject { q.subject { (subject) } " " }
        @if let Some(at) = it.created_at { "made " (time(at)) " " }
        @match &one.tests {
            Some(run) => span data-outcome=(outcome_name(run)) { "tests: " (counted(run)) },
            None => span.quiet { "not tested" },
        }
    };
    let busy = host.allowed.iter().find(|(op, _)| *op == Operation::Rollback);
    let refused = busy.and_then(|(_, may)| may.as_ref().err());
    html! {
        div.generation data-generation=(it.generation) data-current=(it.current) {
            (told)
            @if it.current { " " b { "runs now" } }
            @if one.last_working { " " b.working { "last known working" } }
            @if !it.current {
                details.confirm id={ "back-" (it.generation) } {
                    summary { "Roll back…" }
                    p { "Activates: " (told) }
                    p.quiet { "Tests must run again afterwards." }
                    label for={ "why-" (it.generation) } { "Why, for the audit log" } " "
                    input id={ "why-" (it.generation) } data-reason maxlength="200" autocomplete="off";
                    " "
                    button type="submit" form="act" name="op" value="rollback" data-op="rollback"
                        data-generation=(it.generation) formaction={ "/hosts/" (host.id) "/commands" }
                        disabled[refused.is_some()] title=[refused.map(|r| r.message.as_str())] {
                        "Roll back to generation " (it.generation)
                    }
                }
            }
        }
    }
}

fn deployed(deploy: &Deploy) -> Markup {
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

fn outcome_name(run: &TestRun) -> &'static str {
    if run.outcome == TestOutcome::Passed { "passed" } else { "failed" }
}

fn test_run(run: &TestRun, results: &[TestResult]) -> Markup {
    html! {
        details.run id={ "run-" (run.command_id) } data-outcome=(outcome_name(run)) {
            summary { (time(run.ended_at)) " " (counted(run)) }
            ul {
                @for result in results {
                    li data-outcome=(if result.outcome == TestCaseOutcome::Passed { "passed" } else { "failed" }) {
                        (result.name) " "
                        span.quiet { (format!("{:.1} s", millis_as_seconds(result.duration_ms))) }
                        @match result.outcome {
                            TestCaseOutcome::Passed => " passed",
                            TestCaseOutcome::Failed => " failed",
                            TestCaseOutcome::TimedOut => " timed out",
                        }
                        @if let Some(sub) = result.subtests {
                            span.quiet { " · " (sub.passed) " of " (sub.total) " subtests passed" }
                        }
                        @if !result.output.is_empty() { pre { (log::plain_text(&result.output)) } }
                    }
                }
            }
        }
    }
}

#[allow(clippy::cast_precision_loss)] // shown with one digit
fn millis_as_seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

/// A reboot is asked for twice: by opening this, and by the button, with the one-time code
/// where that is set up.
fn reboot(host: &HostSnapshot, totp: bool) -> Markup {
    let refused = host.allowed.iter().find(|(op, _)| *op == Operation::Reboot);
    let refused = refused.and_then(|(_, may)| may.as_ref().err());
    html! {
        section #reboot {
            h2 { "Reboot" }
            @if host.facts.system.reboot_needed == Some(true) {
                p { "Another kernel would boot than the one that runs." }
            }
            details.confirm #reboot-confirm {
                summary { "Reboot…" }
                p { (host.profile.hostname) " will be gone until it has booted." }
                @if totp {
                    label for="reboot-totp" { "One-time code" }
                    input #reboot-totp inputmode="numeric" autocomplete="one-time-code";
                }
                button type="submit" form="act" name="op" value="reboot" data-op="reboot"
                    data-confirmed="yes" formaction={ "/hosts/" (host.id) "/commands" }
                    disabled[refused.is_some()] title=[refused.map(|r| r.message.as_str())] {
                    "Reboot " (host.profile.hostname)
                }
            }
        }
    }
}

/// What users set here wins over what the agent says.
fn settings(host: &HostSnapshot) -> Markup {
    let tests = host.facts.tests_enabled != Some(false);
    let auto = host.profile.tests_auto_run != Some(false);
    let rollback = host.profile.overrides.auto_rollback;
    let switch = |field: &str, on: bool, label: &str| {
        html! {
            p {
                (label) ": " b { @if on { "on" } @else { "off" } } " "
                button type="submit" form="act" formaction={ "/hosts/" (host.id) }
                    data-op=(field) data-patch=(format!("{{\"{field}\":{}}}", !on)) {
                    @if on { "Turn off" } @else { "Turn on" }
                }
            }
        }
    };
    html! {
        section #settings {
            h2 { "Settings" }
            (switch("tests_enabled", tests, "Tests"))
            (switch("tests_auto_run", auto, "Tests run by themselves after a switch"))
            (switch("auto_rollback", rollback, "Roll back by itself when they fail"))
        }
    }
}

fn counted(run: &TestRun) -> String {
    let counts =
        run.counts.map_or_else(String::new, |c| format!("{}/{} passed", c.passed, c.total));
    match &run.first_failed {
        Some(name) => format!("{counts}, failed: {name}"),
        None => counts,
    }
}

fn told(one: &Told) -> Markup {
    let Told { command, transitions, changes } = one;
    html! {
        details.command id={ "command-" (command.id) } {
            summary {
                b { (command.op.label()) } " " (time(command.created_at)) " by " (command.requested_by)
                ": " (log::outcome(command))
            }
            ol {
                @for step in transitions {
                    li {
                        time datetime=(step.at) { (step.at) } " " code { (step.state.name()) }
                        @if let Some(reason) = &step.reason { " " (reason) }
                    }
                }
            }
            a href={ "/api/commands/" (command.id) "/output" } { "Output" }
            " (" (command.output_lines) " lines)"
            @if let Some(changes) = changes { (what_changes(changes)) }
        }
    }
}

/// Packages up, down, added, removed, and what that does to the closure's size.
fn what_changes(changes: &[Change]) -> Markup {
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

/// The audit log.
pub fn events(events: &[EventRecord], csrf: &str) -> Markup {
    let main = html! {
        section {
            h1 { "Audit log" }
            @if events.is_empty() { p.quiet { "Nothing yet." } }
            ul.events {
                @for event in events {
                    li {
                        (time(event.at)) " "
                        @if let Some(host) = &event.host { b { (host) } " " }
                        (event.message)
                        @if let Some(by) = &event.by { span.quiet { " by " (by) } }
                    }
                }
            }
            @if let Some(last) = events.last().filter(|_| events.len() >= 100) {
                p { a href={ "/events?before=" (last.id) } { "Older" } }
            }
        }
    };
    layout::page("Audit log", Some(csrf), &main)
}
