//! The fleet page.

use super::{counted, csrf_field, host, layout, log, rollouts, time};
use crate::dashboard::live::model::{FleetView, HostEntry, Remotes, SourceState};
use crate::domain::desired::{Desired, MergedPr, PendingPr, Remote};
use crate::domain::facts::{DeployOutcome, LockState};
use crate::domain::generation;
use crate::domain::ids::{Commit, HostId};
use crate::domain::snapshot::Standing;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Id of the summary.
pub(crate) const SUMMARY: &str = "fleet-summary";
/// Id of the line about the remote.
pub(crate) const TARGET: &str = "fleet-target";
/// Id of the menu of what can be done to all.
pub(crate) const BULK: &str = "bulk";
/// Id of the list of hosts.
pub(crate) const HOSTS: &str = "hosts";

/// "12 hosts: 9 current, 2 need action, 1 failed, 1 offline". A host is current only if all
/// of its row says so; where there are no tests, Tests says nothing.
pub(crate) fn summary<'a>(entries: impl Iterator<Item = &'a HostEntry>) -> Markup {
    let (mut all, mut current, mut action, mut failed) = (0, 0, 0, 0);
    let (mut busy, mut unknown, mut offline) = (0, 0, 0);
    for entry in entries {
        all += 1;
        offline += u32::from(!entry.snapshot.online);
        match entry.snapshot.standing() {
            Standing::Failed => failed += 1,
            Standing::Busy => busy += 1,
            Standing::NeedsAction => action += 1,
            Standing::Current => current += 1,
            Standing::Unknown => unknown += 1,
        }
    }
    let parts = [
        (current, "current"),
        (busy, "busy"),
        (action, if action == 1 { "needs action" } else { "need action" }),
        (failed, "failed"),
        (unknown, "not known yet"),
        (offline, "offline"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    html! {
        h1 id=(SUMMARY) data-failed=(failed) {
            (counted(all, "host")) @if !parts.is_empty() { ": " (parts.join(", ")) }
        }
    }
}

/// What the fleet is compared with, or why that is not known.
pub(crate) fn target(remotes: &[SourceState], hosts: &BTreeMap<HostId, HostEntry>) -> Markup {
    html! {
        div id=(TARGET) .targets {
            @for state in remotes {
                (one_target(state, remotes.len() > 1, split(&state.name, hosts).as_deref()))
                @if let Some(merged) = &state.merged { (went_wrong(state, merged, hosts)) }
            }
        }
    }
}

/// How the hosts of a source are split over commits; `None` if they are not.
fn split(source: &str, hosts: &BTreeMap<HostId, HostEntry>) -> Option<String> {
    let follows = hosts.iter().filter(|(_, h)| h.snapshot.source.as_deref() == Some(source));
    let at = |(id, host): (&HostId, &HostEntry)| {
        Some((id.clone(), host.snapshot.facts.checkout.clone()?))
    };
    let checkouts: BTreeMap<HostId, Commit> = follows.filter_map(at).collect();
    let mut commits = checkouts.values();
    let first = commits.next()?;
    commits.any(|commit| commit != first).then(|| generation::split(&checkouts))
}

fn one_target(state: &SourceState, named: bool, split: Option<&str>) -> Markup {
    let refresh = |label: &str| {
        html! {
            button.quiet type="submit" form="act" formaction="/desired/refresh" data-op="refresh" { (label) }
        }
    };
    html! {
        div.target data-source=(state.name) data-known=(state.desired.known().is_some()) {
            @if named { b { (state.name) } " " }
            @match &*state.desired {
                Desired::Known(remote) => {
                    (head(remote))
                    @if let Some(split) = split { span.quiet { " · hosts: " (split) } }
                    " " (refresh("Refresh"))
                    @if let Some(pr) = &remote.pending_pr { (pull_request(&state.name, pr)) }
                }
                Desired::NotYetFetched => "Waiting for the first answer of the remote.",
                Desired::NotConfigured { setting } => {
                    span.alert { "No remote to compare with: set " code { (setting) } " on the dashboard." }
                }
                Desired::Unavailable { since, reason, last_known } => {
                    span.alert { "Cannot fetch the remote: " (reason) " (since " (time(*since)) ")" }
                    @if let Some(remote) = last_known { " Last known: " (head(remote)) }
                    " " (refresh("Retry"))
                }
            }
        }
    }
}

/// The head of a remote.
pub(super) fn head(remote: &Remote) -> Markup {
    let lock = match &remote.lock {
        Some(LockState::Hash(hash)) => hash.short(),
        Some(LockState::Absent) => "none",
        None => "not told",
    };
    html! {
        span { "origin/" (remote.branch) " " code title=(remote.commit) { (remote.commit.short()) } }
        " " q.subject { (remote.subject) } " " (time(remote.committed_at))
        span.quiet { " · flake.lock " code { (lock) } }
    }
}

/// A pull request that waits to be merged. What the button merges is what is shown.
fn pull_request(source: &str, pr: &PendingPr) -> Markup {
    html! {
        p.pr {
            "Update waits: "
            @if pr.url.is_empty() { "#" (pr.number) } @else {
                a href=(pr.url) rel="noreferrer" { "#" (pr.number) }
            }
            " " q.subject { (pr.title) } " "
            @if pr.mergeable.is_none() { span.quiet { "checking " } }
            (merge_button(source, pr, "Merge"))
        }
    }
}

fn merge_button(source: &str, pr: &PendingPr, label: &str) -> Markup {
    let query = super::query(&[("source", source), ("head", &pr.head)]);
    let merge = format!("/pull-requests/{}/merge?{query}", pr.number);
    let why_not = match pr.mergeable {
        Some(true) => None,
        Some(false) => Some("It cannot be merged now: conflicts, or a check is missing."),
        None => Some("Checking whether it can be merged."),
    };
    html! {
        button type="submit" form="act" formaction=(merge) data-op="merge"
            disabled[why_not.is_some()] title=[why_not] {
            (label)
        }
    }
}

/// After a merge whose deploys failed on some hosts: who is how far, and the way back.
fn went_wrong(
    state: &SourceState,
    merged: &MergedPr,
    hosts: &BTreeMap<HostId, HostEntry>,
) -> Markup {
    let mut told: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for host in hosts.values().map(|entry| &*entry.snapshot) {
        if host.source.as_deref().is_some_and(|source| *source != *state.name) {
            continue;
        }
        let since = host.facts.last_deploy.as_ref().filter(|d| d.ended_at >= merged.at);
        let how = match since.map(|deploy| &deploy.outcome) {
            Some(DeployOutcome::Succeeded) => "succeeded",
            Some(
                DeployOutcome::Unverified(_) | DeployOutcome::Failed(_) | DeployOutcome::Lost(_),
            ) => "failed",
            None => "not attempted",
        };
        told.entry(how).or_default().push(&host.profile.hostname);
    }
    let revert = format!(
        "/pull-requests/{}/revert?{}",
        merged.number,
        super::query(&[("source", &*state.name)])
    );
    html! {
        @if told.contains_key("failed") {
            div.wrong data-merged=(merged.number) {
                p {
                    "Since #" (merged.number) " " q.subject { (merged.title) } " was merged "
                    (time(merged.at)) ", a switch failed. "
                    @match merged.reverted_by {
                        Some(number) => { "#" (number) " takes it back: merge that, then pull and switch." }
                        None => {
                            button type="submit" form="act" formaction=(revert) data-op="revert" {
                                "Revert #" (merged.number)
                            }
                        }
                    }
                }
                ul {
                    @for how in ["failed", "succeeded", "not attempted"] {
                        @if let Some(names) = told.get(how) { li { b { (how) } ": " (names.join(", ")) } }
                    }
                }
            }
        }
    }
}

/// What can be done to all hosts. It deploys nothing without saying to whom first.
pub(crate) fn bulk(remotes: &Remotes) -> Markup {
    let pending = remotes.iter().filter_map(|state| {
        let pr =
            state.desired.known()?.pending_pr.as_ref().filter(|pr| pr.mergeable == Some(true))?;
        Some((&*state.name, pr))
    });
    html! {
        div.items id=(BULK) {
            @for (source, pr) in pending {
                (merge_button(source, pr, &format!("Merge PR #{}", pr.number)))
            }
            @for (op, label) in [("update", "Update all…"), ("pull", "Pull all…"), ("test", "Test all…")] {
                a href={ "/rollouts/new?op=" (op) } data-dialog-open data-op={ (op) "-all" } { (label) }
            }
            button type="submit" form="act" formaction="/desired/refresh" data-op="refresh-all" { "Refresh all" }
        }
    }
}

/// All rows, or how to add the first host.
pub(crate) fn hosts(view: &FleetView) -> Markup {
    html! {
        div id=(HOSTS) data-version=(view.version) {
            @if view.hosts.is_empty() { (first_steps()) }
            @for entry in view.hosts.values() { (host::row(entry)) }
        }
    }
}

fn first_steps() -> Markup {
    html! {
        section.first {
            h2 { "Add the first host" }
            ol {
                li {
                    "Choose " a href="/add-host" data-dialog-open { "Add host" }
                    " and enter the machine's name. You get its token, once."
                }
                li {
                    "The dialog then shows what to paste: the NixOS or nix-darwin settings, or one "
                    "command to try it. They hold this dashboard's address and the place of the token."
                }
                li { "Its row appears here as soon as the agent connects. Nothing needs a reload." }
            }
            p {
                "No remote to compare with yet? Start the dashboard with " code { "NIXFLEET_SOURCE" }
                " set to your config repository; the line above says how it is doing."
            }
        }
    }
}

fn tools(view: &FleetView) -> Markup {
    html! {
        div.tools {
            label.all { input #pick-all type="checkbox" autocomplete="off"; " All" }
            input #filter type="search" placeholder="Filter: name, place, type, status  ( / )"
                aria-label="Filter hosts by name, place, type or status";
            label { "Sort " select #sort {
                option value="name" { "name" }
                option value="status" { "status" }
                option value="seen" { "last seen" }
            } }
            span.gap {}
            button #bulk-button type="button" popovertarget="bulk-menu" { "All hosts ▾" }
            div.drop #bulk-menu popover { (bulk(&view.remotes)) }
            a.button href="/add-host" data-dialog-open data-op="add-host" { "Add host" }
        }
    }
}

/// The whole page.
pub(crate) fn page(view: &FleetView, shown: Option<&log::Shown<'_>>, csrf: &str) -> Markup {
    let main = html! {
        // Buttons of rows belong to this form: it holds the session's token, the rows do not.
        form #act method="post" { (csrf_field(csrf)) }
        section.head {
            (summary(view.hosts.values()))
            (target(&view.remotes, &view.hosts))
        }
        (rollouts::panel(&view.rollouts))
        (tools(view))
        (hosts(view))
        p #none-found.quiet hidden { "No host fits the filter." }
        form #pick method="get" action="/rollouts/new" autocomplete="off" {
            noscript { button type="submit" { "Choose what to do with the selected hosts" } }
        }
        (rollouts::bar(&[], &[], csrf))
        (log::panel(view.hosts.values(), shown))
    };
    layout::page("Fleet", Some(csrf), &main)
}
