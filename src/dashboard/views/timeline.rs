//! What happened on a host, newest first: its commands with what came of them, and what the audit
//! log says of the host itself.

use super::story::{self, Only, Story, Told};
use super::{clock, day, host, log, took};
use crate::dashboard::store::events::EventRecord;
use crate::domain::command::Command;
use crate::domain::facts::{Deploy, TestRun};
use crate::domain::forge::Forge;
use crate::domain::snapshot::HostSnapshot;
use crate::domain::terminal::plain;
use crate::domain::test_report::TestResult;
use crate::domain::timestamp::Timestamp;
use maud::{Markup, html};

/// One thing that happened.
enum Entry<'a> {
    Command(&'a Told),
    Event(&'a EventRecord),
}

impl Entry<'_> {
    fn at(&self) -> Timestamp {
        match self {
            Self::Command(told) => told.command.created_at,
            Self::Event(event) => event.at,
        }
    }
}

/// The card.
pub(super) fn card(host: &HostSnapshot, story: &Story) -> Markup {
    let (id, forge) = (&host.id, host.forge.as_ref());
    let commands = story.commands.iter().map(Entry::Command);
    let mut all: Vec<Entry<'_>> = commands.chain(story.events.iter().map(Entry::Event)).collect();
    // Commands keep the order in which they were asked for: no clock that anybody sets changes it.
    all.sort_by_key(|entry| std::cmp::Reverse(entry.at()));
    let mut last = String::new();
    html! {
        section.card #timeline {
            header {
                h2 { "Timeline" }
                span.soft.small { "UTC, 24 h" }
                span.gap {}
                nav.seg aria-label="Show" {
                    @for (only, name, label) in Only::ALL {
                        @let path = if name.is_empty() { format!("/hosts/{id}") } else { format!("/hosts/{id}?only={name}") };
                        a.button href=(path) aria-current=[(only == story.only).then_some("true")] { (label) }
                    }
                }
            }
            @if all.is_empty() { p.pad.soft { "Nothing yet." } }
            ol.tl {
                @for entry in &all {
                    @let today = day(entry.at());
                    @if today != last { li.day { (today) } }
                    @let () = { last = today; };
                    @match entry {
                        Entry::Command(told) => (command(story, told, forge)),
                        Entry::Event(event) => (happened(event)),
                    }
                }
            }
            @if let Some(last) = story.commands.last().filter(|_| story.more) {
                p.pad { a href={ "/hosts/" (id) "?before=" (last.command.id) "#timeline" } { "Earlier" } }
            }
        }
    }
}

fn happened(event: &EventRecord) -> Markup {
    html! {
        li {
            (clock(event.at))
            span.g aria-hidden="true" {}
            div {
                div { bdi { (event.message) } }
                @if let Some(by) = &event.by { div.sub { "by " (by) } }
            }
            span.ends {}
        }
    }
}

/// A command with what came of it, and how it went behind a line that opens.
fn command(story: &Story, told: &Told, forge: Option<&Forge>) -> Markup {
    let Told { command, changes, .. } = told;
    let deploy = story.deploys.iter().find(|deploy| deploy.command_id == command.id);
    let run = story.runs.iter().find(|(run, _)| run.command_id == command.id);
    let lasted =
        command.finished_at.map(|end| end.since(command.sent_at.unwrap_or(command.created_at)));
    html! {
        li id={ "command-" (command.id) } data-state=(command.state.name()) {
            (clock(command.created_at))
            span class={ "g " (log::mark(command.state)) } aria-hidden="true" {}
            div {
                (what(command, deploy, forge))
                (below(command, deploy, run.map(|(run, _)| run)))
                (details(told, run.map_or(&[], |(_, results)| results)))
            }
            span.ends {
                a href={ "/hosts/" (command.host) "?command=" (command.id) }
                    data-log-open={ "/commands/" (command.id) "/log" } { "Log" }
                @if let Some(lasted) = lasted { " · " (took(lasted)) }
                @if changes.is_some() { span.sr { ", with what changed" } }
            }
        }
    }
}

/// "Switch succeeded: gen 213, 2959808"
fn what(command: &Command, deploy: Option<&Deploy>, forge: Option<&Forge>) -> Markup {
    let ran = deploy.filter(|deploy| deploy.ran());
    html! {
        div {
            b { (command.op.label()) } " " span data-outcome=(log::mark(command.state)) { (host::word_of(command.state)) }
            @if let Some(deploy) = ran {
                @if let Some(number) = deploy.generation { ": gen " (number) }
                @if let Some(commit) = &deploy.commit { ", " (super::commit(commit, forge)) }
            }
        }
    }
}

/// Why, by whom, and what it was of.
fn below(command: &Command, deploy: Option<&Deploy>, run: Option<&TestRun>) -> Markup {
    let reason = command.reason.as_deref().map(plain);
    let subject = deploy.filter(|deploy| deploy.ran()).and_then(|deploy| deploy.subject.as_deref());
    html! {
        div.sub {
            @if let Some(reason) = &reason { bdi.reason title=(reason) { (reason) } }
            @if let Some(run) = run { (story::counted(run)) " · " }
            @if let Some(subject) = subject { q.subject { (subject) } " · " }
            "by " (command.requested_by)
        }
    }
}

/// The states that it went through, its tests, and what it changed.
fn details(told: &Told, results: &[TestResult]) -> Markup {
    let Told { transitions, changes, .. } = told;
    html! {
        details.small.command {
            summary.soft {
                @if !results.is_empty() { "Results" } @else if changes.is_some() { "Changes" } @else { "Steps" }
            }
            @if !results.is_empty() { (story::results(results)) }
            @if let Some(changes) = changes { (story::what_changes(changes)) }
            ol {
                @for step in transitions {
                    li {
                        (clock(step.at)) " " (step.state.name().replace('_', " "))
                        @if let Some(reason) = &step.reason { ": " bdi { (reason) } }
                    }
                }
            }
        }
    }
}
