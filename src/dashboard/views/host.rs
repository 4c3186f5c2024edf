//! A host's row.

use super::{message, time};
use crate::dashboard::messages::HostEntry;
use crate::domain::command::{Command, State};
use crate::domain::compartment::{Action, Compartment, Status, Verdict};
use crate::domain::host::HostState;
use crate::domain::ids::HostId;
use crate::domain::operation::Operation;
use crate::domain::snapshot::{HostSnapshot, Metrics};
use maud::{Markup, html};

/// Id of a host's row.
pub fn row_id(id: &HostId) -> String {
    format!("host-{id}")
}

/// Id of what changes with every heartbeat.
pub fn pulse_id(id: &HostId) -> String {
    format!("pulse-{id}")
}

/// The row.
pub fn row(entry: &HostEntry) -> Markup {
    let host = &entry.snapshot;
    let busy = host.command.as_ref().map_or("", |command| command.op.name());
    html! {
        article.host id=(row_id(&host.id)) data-host=(host.id) data-online=(host.online)
            data-busy=(busy) aria-label=(host.profile.hostname) {
            (identity(host))
            div.row role="group" aria-label="Compartments" {
                @for (compartment, verdict) in Compartment::ALL.into_iter().zip(&host.row) {
                    (cell(host, compartment, verdict))
                }
            }
            (generation(host))
            (pulse(entry))
            (activity(host))
            (controls(host))
        }
    }
}

fn identity(host: &HostSnapshot) -> Markup {
    let colour = Some(host.profile.theme_color.as_str()).filter(|colour| !colour.is_empty());
    let place = [&host.profile.platform, &host.profile.device_type, &host.profile.location];
    let place: Vec<&str> =
        place.into_iter().map(String::as_str).filter(|s| !s.is_empty()).collect();
    html! {
        div.identity {
            // An attribute, not a style: the page allows no inline style.
            svg.mark viewBox="0 0 4 32" preserveAspectRatio="none" aria-hidden="true" {
                rect width="4" height="32" fill=(colour.unwrap_or("#8a8f98")) {}
            }
            span.dot data-online=(host.online) {
                span.sr { @if host.online { "online" } @else { "offline" } }
            }
            div {
                a.name href={ "/hosts/" (host.id) } { (host.profile.hostname) }
                span.place { (place.join(" · ")) @if !host.online { " · offline" } }
            }
        }
    }
}

fn mark(status: Status) -> &'static str {
    match status {
        Status::Ok => "✓",
        Status::Outdated => "▲",
        Status::Error => "✗",
        Status::Working => "●",
        Status::Unknown => "?",
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "current",
        Status::Outdated => "action needed",
        Status::Error => "failed",
        Status::Working => "working",
        Status::Unknown => "unknown",
    }
}

fn cell(host: &HostSnapshot, compartment: Compartment, verdict: &Verdict) -> Markup {
    let text = verdict.message.to_string();
    let missing = if compartment == Compartment::Git { host.missing() } else { &[] };
    let hover: String =
        missing.iter().map(|m| format!("\n{} {}", m.commit.short(), m.subject)).collect();
    let pr = compartment == Compartment::Lock && host.pending_pr.is_some();
    html! {
        details.cell name={ "cells-" (host.id) } id={ "cell-" (host.id) "-" (compartment.name()) }
            data-compartment=(compartment.name()) data-status=(verdict.status.name()) data-pr[pr] {
            summary title={ (compartment.label()) ": " (text) (hover) } {
                span.mark aria-hidden="true" { (mark(verdict.status)) }
                span.label { (compartment.label()) }
                span.sr { (word(verdict.status)) }
            }
            p.why { (message(&verdict.message)) " " (offer(host, verdict.action)) }
        }
    }
}

/// What a compartment offers to do about what it says. Nothing starts by opening it.
fn offer(host: &HostSnapshot, action: Option<Action>) -> Markup {
    let run = |op: Operation, label: &str| {
        let refused =
            host.allowed.iter().find(|(o, _)| *o == op).and_then(|(_, r)| r.as_ref().err());
        html! {
            button.offer type="submit" form="act" name="op" value=(op.name())
                formaction={ "/hosts/" (host.id) "/commands" }
                disabled[refused.is_some()] title=[refused.map(|r| r.message.as_str())] { (label) }
        }
    };
    let back = html! { a.button href={ "/hosts/" (host.id) "#generations" } { "Roll back…" } };
    match action {
        None | Some(Action::Stop) => html! {},
        Some(Action::Pull) => run(Operation::Pull, "Pull"),
        Some(Action::PullSwitch) => run(Operation::PullSwitch, "Pull and switch"),
        Some(Action::RunTests) => run(Operation::Test, "Run tests"),
        Some(Action::RestartAgent) => run(Operation::RestartAgent, "Restart agent"),
        Some(Action::RetryFetch) => html! {
            button.offer type="submit" form="act" formaction="/desired/refresh" { "Retry" }
        },
        Some(Action::RetrySwitch) => html! {
            (run(Operation::Switch, "Switch again")) " " (back)
        },
        Some(Action::Rollback) => html! {
            a.button href={ "/hosts/" (host.id) "#runs" } { "Failed tests" } " " (back)
        },
    }
}

fn generation(host: &HostSnapshot) -> Markup {
    let commit = host.facts.checkout.as_ref();
    html! {
        div.gen title=[commit.map(|commit| commit.to_string())] {
            @match commit { Some(commit) => code { (commit.short()) }, None => span.quiet { "–" } }
            @if let Some(number) = host.facts.system.generation { span.quiet { " gen " (number) } }
            @if host.facts.system.reboot_needed == Some(true) {
                span.reboot title="Another kernel would boot than the one that runs" { " reboot needed" }
            }
            @if host.drift { span.drift title="Its commit differs from that of most hosts" { " ≠" } }
        }
    }
}

/// Metrics and when the host was last heard.
pub fn pulse(entry: &HostEntry) -> Markup {
    html! {
        div.pulse id=(pulse_id(&entry.snapshot.id)) {
            @if let Some(m) = entry.pulse.metrics { (metrics(m)) }
            span.seen {
                @match entry.pulse.last_seen {
                    Some(at) => (time(at)),
                    None => span.quiet { "never seen" },
                }
            }
        }
    }
}

fn metrics(m: Metrics) -> Markup {
    let level = |value: f64| match value {
        v if v >= 90.0 => "alarm",
        v if v >= 75.0 => "warn",
        _ => "fine",
    };
    html! {
        span.metrics {
            span data-level=(level(m.cpu)) { "CPU " (format!("{:.0}", m.cpu)) "%" }
            span data-level=(level(m.ram)) { "RAM " (format!("{:.0}", m.ram)) "%" }
            @if m.swap >= 1.0 {
                span data-level=(level(m.swap)) { "swap " (format!("{:.0}", m.swap)) "%" }
            }
            span { "load " (format!("{:.2}", m.load)) }
        }
    }
}

fn state_word(state: State) -> &'static str {
    match state {
        State::Queued => "waits for the host",
        State::Sent => "sent",
        State::Running => "running",
        State::Overdue => "running longer than expected",
        State::Stopping => "stopping",
        State::Verifying => "checking the result",
        State::Succeeded => "succeeded",
        State::Failed => "failed",
        State::Unverified => "not verified",
        State::Rejected => "refused",
        State::Blocked => "blocked",
        State::Stopped => "stopped",
        State::TimedOut => "timed out",
        State::Lost => "lost",
        State::Expired => "expired",
        State::Cancelled => "cancelled",
    }
}

fn activity(host: &HostSnapshot) -> Markup {
    html! {
        div.activity {
            @for command in host.command.iter().chain(&host.waiting) {
                p data-command=(command.id) data-state=(command.state.name()) {
                    b { (command.op.label()) } " "
                    @if command.slow && command.state == State::Running {
                        "running longer than usual"
                    } @else {
                        (state_word(command.state))
                    }
                    " "
                    (time(command.sent_at.unwrap_or(command.created_at)))
                    @if let Some(progress) = &command.progress { " · " (progress) }
                    (command_buttons(command))
                }
            }
            // Red tests are not only a colour: the way back is next to them.
            @if host.row[4].status == Status::Error && host.command.is_none() {
                p.notice {
                    "Tests: " (message(&host.row[4].message)) " "
                    a href={ "/hosts/" (host.id) "#generations" } { "Roll back…" }
                }
            }
        }
    }
}

fn command_buttons(command: &Command) -> Markup {
    let action = |what: &str| format!("/commands/{}/{what}", command.id);
    html! {
        @if command.state == State::Overdue {
            button type="submit" form="act" formaction=(action("extend")) data-op="extend" { "Extend" }
        }
        @if matches!(command.state, State::Queued | State::Sent | State::Running | State::Overdue) {
            button type="submit" form="act" formaction=(action("stop")) data-op="stop" {
                @if command.state == State::Queued { "Cancel" } @else { "Stop" }
            }
        }
    }
}

/// The operations that have a button of their own.
const BUTTONS: [Operation; 3] = [Operation::Pull, Operation::Switch, Operation::Test];

fn controls(host: &HostSnapshot) -> Markup {
    html! {
        div.controls {
            @for op in BUTTONS {
                @let refused = host.allowed.iter().find(|(o, _)| *o == op).and_then(|(_, r)| r.as_ref().err());
                // A host that is gone can still be asked: the command waits for it.
                @let waits = !host.online && !host.waiting.iter().any(|c| c.op == op);
                @let later = format!("{} is offline: this runs when it is back.", host.profile.hostname);
                @let why = refused.map(|r| if waits { later.as_str() } else { r.message.as_str() });
                button type="submit" form="act" name="op" value=(op.name())
                    formaction={ "/hosts/" (host.id) "/commands" @if waits { "?queue=true" } }
                    data-op=(op.name()) data-queue[waits]
                    disabled[refused.is_some() && !waits] title=[why] {
                    (op.label())
                }
            }
            @if host.last_command.is_some() || host.command.is_some() {
                a.button href={ "/?log=" (host.id) } data-op="log" data-for=(host.id) { "Log" }
            } @else {
                button type="button" disabled title="Nothing ran yet." { "Log" }
            }
        }
    }
}

/// Whether anything is known of a host at all; used by tests.
#[doc(hidden)]
pub fn entry_of(state: &HostState) -> HostEntry {
    let snapshot = std::sync::Arc::new(state.snapshot());
    HostEntry { snapshot, pulse: state.pulse(), compared_at: None }
}

/// The word for a state, as the host's page shows it.
pub(super) fn word_of(state: State) -> &'static str {
    state_word(state)
}
