//! A host's row.

use super::{icon, message, time};
use crate::dashboard::live::model::HostEntry;
use crate::domain::command::{Command, State};
use crate::domain::compartment::{Compartment, Status, Verdict};
use crate::domain::ids::HostId;
use crate::domain::looks::{Colour, Place, or_empty};
use crate::domain::operation::Operation;
use crate::domain::snapshot::{HostSnapshot, Metrics, Standing};
use maud::{Markup, PreEscaped, html};

/// Id of a host's row.
pub(crate) fn row_id(id: &HostId) -> String {
    format!("host-{id}")
}

/// Id of what changes with every heartbeat.
pub(crate) fn pulse_id(id: &HostId) -> String {
    format!("pulse-{id}")
}

/// Where the pulse stands in a row. No text of a host can hold it: what it writes is escaped.
const PULSE: PreEscaped<&str> = PreEscaped("<!pulse>");

/// The row. What changes with every heartbeat is put into what was rendered before.
pub(crate) fn row(entry: &HostEntry) -> Markup {
    let [before, after] = entry.rendered.get_or_init(|| around_pulse(&entry.snapshot));
    html! { (before) (pulse(entry)) (after) }
}

fn around_pulse(host: &HostSnapshot) -> [Markup; 2] {
    let row = without_pulse(host).into_string();
    let (before, after) = row.split_once(PULSE.0).unwrap_or((&row, ""));
    [PreEscaped(before.to_owned()), PreEscaped(after.to_owned())]
}

fn without_pulse(host: &HostSnapshot) -> Markup {
    let busy = host.command.as_ref().map_or("", |command| command.op.name());
    html! {
        article.host id=(row_id(&host.id)) data-host=(host.id) data-online=(host.online)
            data-busy=(busy) data-standing=(host.standing().name()) data-rank=(host.standing() as u8) data-find=(words(host))
            aria-label=(host.profile.hostname) tabindex="-1" {
            (identity(host))
            div.row role="group" aria-label="Compartments" {
                @for (compartment, verdict) in host.row.iter() {
                    (cell(host, compartment, verdict))
                }
            }
            (generation(host))
            (PULSE)
            (controls(host))
            (activity(host))
        }
    }
}

/// What the filter box finds a host by.
fn words(host: &HostSnapshot) -> String {
    let profile = &host.profile;
    let standing = match host.standing() {
        Standing::NeedsAction => "outdated needs action",
        other => other.name(),
    };
    let online = if host.online { "online" } else { "offline" };
    let words = [
        profile.hostname.as_str(),
        or_empty::text(profile.location.as_ref()),
        or_empty::text(profile.device_type.as_ref()),
        &profile.platform,
        standing,
        online,
    ];
    words.join(" ").to_lowercase()
}

fn identity(host: &HostSnapshot) -> Markup {
    let profile = &host.profile;
    let colour = profile.theme_color.as_ref().map(Colour::as_str);
    html! {
        div.identity {
            input.pick type="checkbox" name="hosts" value=(host.id) form="pick"
                aria-label={ "Select " (profile.hostname) };
            // An attribute, not a style: the page allows no inline style.
            svg.mark aria-hidden="true" {
                rect width="100%" height="100%" fill=(colour.unwrap_or("#8a8f98")) {}
            }
            span.dot { span.sr { @if host.online { "online" } @else { "offline" } } }
            div {
                a.name href={ "/hosts/" (host.id) } { bdi { (profile.hostname) } }
                span.place {
                    @if let Some((name, word)) = platform(&profile.platform) { (icon(name, word)) }
                    @if let Some(place) = profile.location { (icon(place.name(), at(place))) }
                    @if let Some(device) = profile.device_type { (icon(device.name(), device.name())) }
                    @if !host.online { span { "offline" } }
                }
            }
        }
    }
}

fn platform(name: &str) -> Option<(&'static str, &'static str)> {
    match name {
        "nixos" => Some(("nixos", "NixOS")),
        "darwin" => Some(("darwin", "macOS")),
        "home-manager" => Some(("home-manager", "home-manager")),
        _ => None,
    }
}

fn at(place: Place) -> &'static str {
    match place {
        Place::Home => "at home",
        Place::Work => "at work",
        Place::Cloud => "in the cloud",
    }
}

/// The word for a status.
pub(super) fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "current",
        Status::Outdated => "action needed",
        Status::Error => "failed",
        Status::Working => "working",
        Status::Unknown => "unknown",
    }
}

/// One compartment. Its shape comes with its status; a click says why, and starts nothing.
fn cell(host: &HostSnapshot, compartment: Compartment, verdict: &Verdict) -> Markup {
    let missing = if compartment == Compartment::Git { host.missing() } else { &[] };
    let hover: String =
        missing.iter().map(|m| format!("\n{} {}", m.commit.short(), m.subject)).collect();
    let pr = host.pending_pr.as_ref().filter(|_| compartment == Compartment::Lock);
    let pr = pr.map(|pr| format!("\nUpdate waits: #{} {}", pr.number, pr.title));
    html! {
        a.cell href={ "/hosts/" (host.id) "/" (compartment.name()) } data-dialog-open
            data-compartment=(compartment.name()) data-status=(verdict.status.name())
            data-pr[pr.is_some()]
            title={ (compartment.label()) ": " (verdict.message.plain()) (hover) (pr.unwrap_or_default()) } {
            (compartment.label()) span.sr { ": " (word(verdict.status)) }
        }
    }
}

fn generation(host: &HostSnapshot) -> Markup {
    let commit = host.facts.checkout.as_ref();
    let deploy = host.facts.last_deploy.as_ref().filter(|d| d.commit.as_ref() == commit);
    let subject = deploy.and_then(|deploy| deploy.subject.as_deref()).unwrap_or_default();
    let told = commit.map(|commit| format!("{commit}\n{subject}"));
    html! {
        div.gen title=[told.as_deref().map(str::trim_end)] {
            @match commit { Some(commit) => code { (commit.short()) }, None => span.quiet { "–" } }
            @if let Some(number) = host.facts.system.generation { span.quiet { " gen " (number) } }
            @if host.facts.system.reboot_needed == Some(true) {
                span.reboot title="Another kernel would boot than the one that runs" { " reboot needed" }
            }
            @if host.drift {
                span.drift title="Its commit differs from that of most hosts" {
                    " ≠" span.sr { " differs from most hosts" }
                }
            }
            @if let Some(at) = host.facts.system.activated_at { div.quiet { (time(at)) } }
        }
    }
}

/// Metrics and when the host was last heard.
pub(crate) fn pulse(entry: &HostEntry) -> Markup {
    html! {
        div.pulse id=(pulse_id(&entry.snapshot.id)) {
            @if let Some(m) = entry.pulse.metrics { (metrics(m)) }
            span.seen {
                @match entry.pulse.last_seen {
                    Some(at) => (time(at)),
                    None => "never seen",
                }
            }
        }
    }
}

fn metrics(m: Metrics) -> Markup {
    let level = |value: f64| match value {
        v if v >= 90.0 => Some("alarm"),
        v if v >= 75.0 => Some("warn"),
        _ => None,
    };
    html! {
        span.metrics {
            span data-level=[level(m.cpu)] { "CPU " (format!("{:.0}", m.cpu)) "%" }
            " " span data-level=[level(m.ram)] { "RAM " (format!("{:.0}", m.ram)) "%" }
            @if m.swap >= 1.0 {
                " " span data-level=[level(m.swap)] { "swap " (format!("{:.0}", m.swap)) "%" }
            }
            " " span { "load " (format!("{:.2}", m.load)) }
        }
    }
}

/// The word for a state.
pub(super) fn word_of(state: State) -> &'static str {
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
    let name = &host.profile.hostname;
    html! {
        div.activity {
            @for command in host.command.iter().chain(&host.waiting) {
                p data-command=(command.id) data-state=(command.state.name()) {
                    b { (command.op.label()) } " "
                    @if command.slow && command.state == State::Running {
                        "running longer than usual"
                    } @else {
                        (word_of(command.state))
                    }
                    " for " time data-elapsed datetime=(command.sent_at.unwrap_or(command.created_at)) {}
                    @if let Some(progress) = &command.progress { " · " bdi { (progress) } }
                    (command_buttons(command))
                }
            }
            @if let Some(what) = &host.busy_with {
                p { "busy with " bdi { (what) } }
            }
            // Red tests are not only a colour: the way back is next to them.
            @if host.row[Compartment::Tests].status == Status::Error && host.command.is_none() {
                p.notice {
                    span { "Tests failed on " (name) ". Roll back? " (message(&host.row[Compartment::Tests].message)) }
                    a.button href={ "/hosts/" (host.id) "/tests" } data-dialog-open { "Results" }
                    a.button href={ "/hosts/" (host.id) "/rollback" } data-dialog-open { "Roll back…" }
                }
            }
        }
    }
}

/// A note for everybody who looks, when tests have failed.
pub(crate) fn tests_failed(command: &Command) -> Markup {
    html! {
        p data-stay {
            "Tests failed on " (command.host) ". Roll back? "
            a.button href={ "/hosts/" (command.host) "/tests" } data-dialog-open { "Results" } " "
            a.button href={ "/hosts/" (command.host) "/rollback" } data-dialog-open { "Roll back…" } " "
            button.quiet type="button" data-dismiss aria-label="Dismiss" { "✕" }
        }
    }
}

/// What can be done about a command that is not over.
pub(super) fn command_buttons(command: &Command) -> Markup {
    let action = |what: &str| format!("/commands/{}/{what}", command.id);
    html! {
        @if command.state == State::Overdue {
            button form="act" formaction=(action("extend")) data-op="extend" { "Extend" }
        }
        @if matches!(command.state, State::Queued | State::Sent | State::Running | State::Overdue) {
            button form="act" formaction=(action("stop")) data-op="stop" {
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
            @for op in BUTTONS { (operation(host, op, op.label())) }
            button.more form="act" formaction={ "/hosts/" (host.id) "/refresh" }
                data-op="refresh" title="Refresh" { "⟳" }
            a.button href={ "/hosts/" (host.id) "/menu" } data-dialog-open data-op="menu"
                aria-label={ "More for " (host.profile.hostname) } { "⋯" }
        }
    }
}

/// A button that starts an operation. One that cannot start now says why; a host that is gone
/// can still be asked, and the command waits for it.
pub(super) fn operation(host: &HostSnapshot, op: Operation, label: &str) -> Markup {
    let refused = host.refusal(op);
    let waits = !host.online && !host.waiting.iter().any(|command| command.op == op);
    let why = match refused {
        Some(_) if waits => Some("Offline: this runs when the host is back."),
        refused => refused.map(|refusal| refusal.message.as_str()),
    };
    html! {
        button form="act" name="op" value=(op.name())
            formaction={ "/hosts/" (host.id) "/commands" @if waits { "?queue=true" } }
            data-op=(op.name()) data-queue[waits]
            disabled[refused.is_some() && !waits] title=[why] { (label) }
    }
}
