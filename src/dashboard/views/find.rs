//! What Ctrl K opens: hosts, what can be done to the first of them, and what can be done at all.

use super::{csrf_field, layout, list, query, sprite};
use crate::dashboard::live::model::{FleetView, HostEntry};
use crate::domain::group::Group;
use crate::domain::next_step::NextStep;
use crate::domain::operation::Operation;
use crate::domain::rollout::{UPDATE, takes_part};
use maud::{Markup, html};

/// So many hosts are shown at once.
const HOSTS: usize = 6;

/// What choosing something does.
enum Does {
    /// Goes to an address.
    Go(String),
    /// Opens a dialog.
    Open(String),
    /// Opens a host's log.
    Log(String),
    /// Sends a form: where to, and its operation. What is hard to take back is asked once more.
    Send(String, &'static str, Option<&'static str>),
}

/// Something to choose.
struct Choice {
    picture: &'static str,
    label: String,
    /// What it is called where it is asked once more.
    name: &'static str,
    note: String,
    key: &'static str,
    does: Does,
}

impl Choice {
    fn new(picture: &'static str, label: impl Into<String>, key: &'static str, does: Does) -> Self {
        Self { picture, label: label.into(), name: "", note: String::new(), key, does }
    }
}

/// The hosts that fit, the nearest by name first.
fn hosts<'a>(view: &'a FleetView, words: &str) -> Vec<&'a HostEntry> {
    let told = words.trim().to_lowercase();
    let mut found: Vec<(u8, Group, &HostEntry)> = view
        .hosts
        .values()
        .filter_map(|entry| {
            let name = entry.snapshot.id.as_str();
            let near = match &told {
                told if name.starts_with(told.as_str()) => 0,
                told if name.contains(told.as_str()) => 1,
                told if list::holds(entry, told) => 2,
                _ => return None,
            };
            Some((near, entry.group, entry))
        })
        .collect();
    // Those of one nearness stand as in the list: worst first, then by name.
    found.sort_by_key(|(near, group, _)| (*near, *group));
    found.into_iter().map(|(_, _, entry)| entry).collect()
}

/// What can be done to a host.
fn about(entry: &HostEntry) -> Vec<Choice> {
    let id = &entry.snapshot.id;
    let at = |what: &str| format!("/hosts/{id}/{what}");
    let run = |op: Operation| Does::Send(at("commands"), op.name(), super::host::confirm(op));
    let mut all = Vec::new();
    if let Some(step) = entry.snapshot.next_step() {
        let label = super::host::step_label(step);
        let (picture, does) = match step {
            NextStep::Update => ("update", Does::Send(at("update"), "update", None)),
            NextStep::Run(op) => ("play", run(op)),
            NextStep::Retry => ("restart", run(Operation::Switch)),
            NextStep::Release => ("hold", Does::Open(at("release"))),
            NextStep::Rollback => ("rollback", Does::Open(at("rollback"))),
            NextStep::Reboot => ("reboot", Does::Open(at("reboot"))),
            NextStep::Cancel(id) | NextStep::Stop(id) => {
                let live = entry.snapshot.command.as_ref();
                let asks = live.and_then(super::host::confirm_stop);
                ("stop", Does::Send(format!("/commands/{id}/stop"), "", asks))
            }
        };
        let told = format!("{label}: {}", entry.why.text);
        all.push(Choice { name: label, ..Choice::new(picture, told, "N", does) });
    }
    all.push(Choice::new("log", "Open its log", "L", Does::Log(id.to_string())));
    if !matches!(entry.snapshot.next_step(), Some(NextStep::Rollback)) {
        all.push(Choice::new("rollback", "Roll back…", "B", Does::Open(at("rollback"))));
    }
    if entry.snapshot.facts.hold.is_none() {
        all.push(Choice::new("hold", "Hold…", "H", Does::Open(at("hold"))));
    }
    all.push(Choice::new("sliders", "Settings…", "", Does::Open(at("settings"))));
    all
}

/// What can be done at all.
fn everywhere(view: &FleetView, words: &str, found: usize) -> Vec<Choice> {
    let due = view.hosts.values().filter(|entry| takes_part(&UPDATE, &entry.snapshot)).count();
    let go = |path: &str| Does::Go(path.to_owned());
    let open = |path: &str| Does::Open(path.to_owned());
    let mut all = Vec::new();
    if due > 0 {
        let label = format!("Update {}…", super::counted(due, "host"));
        all.push(Choice::new("update", label, "", open("/rollouts/new?op=update")));
    }
    all.extend([
        Choice::new("plus", "Add host…", "", open("/add-host")),
        Choice::new(
            "refresh",
            "Check the remotes now",
            "",
            Does::Send("/desired/refresh".to_owned(), "", None),
        ),
        Choice::new("rows", "Fleet", "G F", go("/")),
        Choice::new("rollout", "Rollouts", "G R", go("/rollouts")),
        Choice::new("list", "Audit", "G A", go("/events")),
        Choice::new("sliders", "Settings", "G S", go("/settings")),
        Choice::new("key", "Keyboard", "?", open("/keys")),
    ]);
    let told = words.to_lowercase();
    all.retain(|choice| {
        told.split_whitespace().all(|word| choice.label.to_lowercase().contains(word))
    });
    if !words.is_empty() && found > 0 {
        let path = format!("/?{}", query(&[("q", words)]));
        let mut all_of_them =
            Choice::new("search", format!("Show hosts matching “{words}”"), "", Does::Go(path));
        all_of_them.note = found.to_string();
        all.push(all_of_them);
    }
    all
}

/// What fits the words, as options of a list.
pub(crate) fn found(view: &FleetView, words: &str) -> Markup {
    let words = words.trim();
    let hosts = hosts(view, words);
    let first = hosts.first().filter(|_| !words.is_empty());
    let on_first = first.map(|entry| about(entry)).unwrap_or_default();
    let everywhere = everywhere(view, words, hosts.len());
    let shown = hosts.len().min(HOSTS);
    html! {
        ul #pal-list role="listbox" aria-label="Found" {
            @if shown > 0 { li.cap role="presentation" { "Hosts" } }
            @for (n, entry) in hosts.iter().take(HOSTS).enumerate() { (host(n, entry)) }
            @if let Some(entry) = first { li.cap role="presentation" { "On " (entry.snapshot.id) } }
            @for (n, choice) in on_first.iter().enumerate() { (option(shown + n, choice)) }
            @if !everywhere.is_empty() { li.cap role="presentation" { "Fleet" } }
            @for (n, choice) in everywhere.iter().enumerate() { (option(shown + on_first.len() + n, choice)) }
        }
    }
}

fn host(n: usize, entry: &HostEntry) -> Markup {
    html! {
        li role="option" id={ "po-" (n) } aria-selected=(n == 0) data-go={ "/hosts/" (entry.snapshot.id) } {
            span class={ "g " (list::mark(entry.group)) } aria-hidden="true" {}
            b { (entry.snapshot.profile.hostname) }
            span.soft.cut {
                bdi { (entry.why.text) }
                @if let Some(at) = entry.why.since { " " time data-elapsed datetime=(at) {} }
            }
        }
    }
}

fn option(n: usize, choice: &Choice) -> Markup {
    let (go, open, log, send) = match &choice.does {
        Does::Go(path) => (Some(path), None, None, None),
        Does::Open(path) => (None, Some(path), None, None),
        Does::Log(host) => (None, None, Some(host), None),
        Does::Send(path, op, asks) => (None, None, None, Some((path, *op, *asks))),
    };
    html! {
        li role="option" id={ "po-" (n) } aria-selected=(n == 0) data-go=[go] data-open=[open] data-log-of=[log]
            data-send=[send.map(|(path, ..)| path)] data-op=[send.map(|(_, op, _)| op)]
            data-confirm=[send.and_then(|(.., asks)| asks)] data-label=[Some(choice.name).filter(|name| !name.is_empty())] {
            (sprite(choice.picture, "")) span.cut { (choice.label) }
            @if !choice.note.is_empty() { span.gap {} span.soft { (choice.note) } }
            @if !choice.key.is_empty() { span.gap {} kbd { (choice.key) } }
        }
    }
}

/// The same as a page, where the script does not run: hosts and pages as links.
pub(crate) fn page(view: &FleetView, words: &str, csrf: &str) -> Markup {
    let all = hosts(view, words);
    let main = html! {
        div.head { h1 { "Find" } }
        form.head.filters method="get" action="/find" role="search" {
            span.field {
                (sprite("search", ""))
                input type="search" name="q" value=(words) maxlength="200" aria-label="Find a host";
            }
            button type="submit" { "Find" }
        }
        form #act method="post" hidden { (csrf_field(csrf)) }
        section.card.pad {
            @if all.is_empty() { p.soft { "No host fits." } }
            ul.plain {
                @for entry in all {
                    li { a href={ "/hosts/" (entry.snapshot.id) } { (entry.snapshot.profile.hostname) } " " span.soft { bdi { (entry.why.text) } } }
                }
            }
        }
    };
    layout::page("Find", Some(csrf), &main)
}
