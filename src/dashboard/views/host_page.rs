//! The page of one host, and the audit log.

use super::{host, layout, log, message, time};
use crate::dashboard::messages::HostEntry;
use crate::dashboard::store::events::EventRecord;
use crate::dashboard::store::transitions::TransitionRecord;
use crate::domain::command::Command;
use crate::domain::compartment::Compartment;
use crate::domain::facts::TestRun;
use maud::{Markup, html};

/// What a host's page shows besides its row.
pub struct Story {
    /// Its last commands, newest first, with the states they went through.
    pub commands: Vec<(Command, Vec<TransitionRecord>)>,
    /// Its last test runs, newest first.
    pub runs: Vec<TestRun>,
}

/// The page.
pub fn page(entry: &HostEntry, story: &Story, csrf: &str) -> Markup {
    let snapshot = &entry.snapshot;
    let profile = &snapshot.profile;
    let facts = &snapshot.facts;
    let generation = facts.system.generation.map(|n| n.to_string());
    let known: [(&str, Option<&str>); 11] = [
        ("Agent", facts.agent.version.as_deref()),
        ("Operating system", Some(&profile.os_version)),
        ("nixpkgs", Some(&profile.nixpkgs_version)),
        ("Config repository", Some(&profile.repo_url)),
        ("Branch", profile.branch.as_deref()),
        ("Checkout", facts.checkout.as_ref().map(|c| c.as_str())),
        ("Generation", generation.as_deref()),
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
            @for (command, transitions) in &story.commands { (told(command, transitions)) }
        }
        @if !story.runs.is_empty() {
            section {
                h2 { "Test runs" }
                ul { @for run in &story.runs { li { (time(run.ended_at)) " " (counted(run)) } } }
            }
        }
    };
    layout::page(&profile.hostname, Some(csrf), &main)
}

fn counted(run: &TestRun) -> String {
    let counts =
        run.counts.map_or_else(String::new, |c| format!("{}/{} passed", c.passed, c.total));
    match &run.first_failed {
        Some(name) => format!("{counts}, failed: {name}"),
        None => counts,
    }
}

fn told(command: &Command, transitions: &[TransitionRecord]) -> Markup {
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
        }
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
