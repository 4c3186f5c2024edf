//! The fleet page.

use super::{host, layout, log, time};
use crate::dashboard::messages::{FleetView, HostEntry, SourceState};
use crate::domain::compartment::Status;
use crate::domain::desired::{Desired, PendingPr, Remote};
use crate::domain::facts::LockState;
use crate::domain::generation;
use crate::domain::ids::{Commit, HostId};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Id of the summary.
pub const SUMMARY: &str = "fleet-summary";
/// Id of the line about the remote.
pub const TARGET: &str = "fleet-target";
/// Id of the list of hosts.
pub const HOSTS: &str = "hosts";

/// "12 hosts: 9 current, 2 need action, 1 failed, 1 offline". A host is current only if all
/// of its row says so; where there are no tests, Tests says nothing.
pub fn summary<'a>(entries: impl Iterator<Item = &'a HostEntry>) -> Markup {
    let (mut all, mut current, mut action, mut failed) = (0, 0, 0, 0);
    let (mut busy, mut unknown, mut offline) = (0, 0, 0);
    for entry in entries {
        let row = &entry.snapshot.row;
        let has = |status| row.iter().any(|verdict| verdict.status == status);
        let proven = row[..4].iter().all(|verdict| verdict.status == Status::Ok);
        all += 1;
        offline += u32::from(!entry.snapshot.online);
        match () {
            () if has(Status::Error) => failed += 1,
            () if has(Status::Working) => busy += 1,
            () if has(Status::Outdated) => action += 1,
            () if proven => current += 1,
            () => unknown += 1,
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
            @if all == 1 { "1 host" } @else { (all) " hosts" }
            @if !parts.is_empty() { ": " (parts.join(", ")) }
        }
    }
}

/// What the fleet is compared with, or why that is not known.
pub fn target(remotes: &[SourceState], hosts: &BTreeMap<HostId, HostEntry>) -> Markup {
    html! {
        div id=(TARGET) .targets {
            @for state in remotes {
                (one_target(state, remotes.len() > 1, split(&state.name, hosts).as_deref()))
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

fn head(remote: &Remote) -> Markup {
    let lock = match &remote.lock {
        LockState::Hash(hash) => hash.short(),
        LockState::Absent => "none",
    };
    html! {
        span { "origin/" (remote.branch) " " code title=(remote.commit) { (remote.commit.short()) } }
        " " q.subject { (remote.subject) } " " (time(remote.committed_at))
        span.quiet { " · flake.lock " code { (lock) } }
    }
}

/// A pull request that waits to be merged. What the button merges is what is shown.
fn pull_request(source: &str, pr: &PendingPr) -> Markup {
    let merge = format!("/pull-requests/{}/merge", pr.number);
    html! {
        p.pr {
            "Update waits: "
            @if pr.url.is_empty() { "#" (pr.number) } @else {
                a href=(pr.url) rel="noreferrer" { "#" (pr.number) }
            }
            " " q.subject { (pr.title) } " "
            button type="submit" form="act" formaction=(merge) data-op="merge"
                data-source=(source) data-head=(pr.head) disabled[!pr.mergeable]
                title=[(!pr.mergeable).then_some("It cannot be merged now: conflicts, or a check is missing.")] {
                "Merge"
            }
        }
    }
}

/// All rows, or how to add the first host.
pub fn hosts(view: &FleetView) -> Markup {
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
                li { "Choose " b { "Add host" } " below and enter the machine's name. You get its token once." }
                li { "On that machine, run the agent with the dashboard's address, the token and the URL of your config repository. The dialog shows the command and the NixOS and nix-darwin settings." }
                li { "Its row appears here as soon as the agent connects. Nothing needs a reload." }
            }
        }
    }
}

/// The whole page.
pub fn page(view: &FleetView, log: &Markup, csrf: &str, added: Option<&Added<'_>>) -> Markup {
    let main = html! {
        // Buttons of rows belong to this form: it holds the session's token, the rows do not.
        form #act method="post" { input type="hidden" name="csrf_token" value=(csrf); }
        section.head {
            (summary(view.hosts.values()))
            (target(&view.remotes, &view.hosts))
        }
        (hosts(view))
        details #add-host.add open[view.hosts.is_empty() || added.is_some()] data-dialog="add-host" {
            summary { "Add host" }
            form method="post" action="/hosts" {
                input type="hidden" name="csrf_token" value=(csrf);
                label for="hostname" { "Name of the machine" }
                input #hostname name="hostname" required maxlength="253" placeholder="hsb1"
                    pattern="[A-Za-z0-9][A-Za-z0-9._\\-]*" autocomplete="off";
                button type="submit" { "Add" }
            }
            @if let Some(added) = added { (token(added)) }
        }
        (log)
    };
    layout::page("Fleet", Some(csrf), &main)
}

/// A host that was just added.
pub struct Added<'a> {
    /// Its name.
    pub hostname: &'a str,
    /// Its token, shown this once.
    pub token: &'a str,
    /// The dashboard's address.
    pub url: &'a str,
}

fn token(added: &Added<'_>) -> Markup {
    let (hostname, token, url) = (added.hostname, added.token, added.url);
    html! {
        section.token {
            p { "The token of " b { (hostname) } " is shown only now. Keep it in a file that only root can read." }
            pre #new-token { code { (token) } }
            p { "Try it on that machine:" }
            pre { code {
                "NIXFLEET_URL=" (url) " NIXFLEET_HOSTNAME=" (hostname) " \\\n"
                "NIXFLEET_TOKEN=" (token) " \\\n"
                "NIXFLEET_REPO_URL=<your config repository> nixfleet --agent"
            } }
        }
    }
}

/// The empty place of the log panel.
pub fn no_log() -> Markup {
    log::panel(None, &[], false)
}
