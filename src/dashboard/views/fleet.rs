//! The fleet page.

use super::list::{self, Heads, Look};
use super::{csrf_field, host, layout, log, rollouts, sprite, time, update};
use crate::dashboard::live::model::{FleetView, HostEntry, SourceState};
use crate::domain::compartment::Compartment;
use crate::domain::desired::{Desired, MergedPr, PendingPr, Remote};
use crate::domain::facts::{DeployOutcome, LockState};
use crate::domain::generation;
use crate::domain::group::Group;
use crate::domain::ids::{Commit, HostId};
use crate::domain::rollout::{UPDATE, takes_part};
use maud::{Markup, PreEscaped, html};
use std::collections::BTreeMap;

/// Id of the summary.
pub(crate) const SUMMARY: &str = "fleet-summary";
/// Id of the line about the remote.
pub(crate) const TARGET: &str = "fleet-target";
/// Id of the list of hosts.
pub(crate) const HOSTS: &str = "hosts";

/// The counts of the strip. Each host is in one group, so they add up; each is a way to see only
/// those hosts.
pub(crate) fn summary(heads: &Heads, all: usize, look: &Look) -> Markup {
    let here = |group: Option<Group>| (look.show == group).then_some("true");
    html! {
        nav.stats id=(SUMMARY) aria-label="Hosts by state" data-failed=(heads.count(Group::Failed)) {
            a href="/?show=" data-show="" aria-current=[here(None)] { "All " b { (all) } }
            @for group in Group::ALL {
                @let n = heads.count(group);
                @if n > 0 || group != Group::Unverified {
                    a href={ "/?show=" (group.name()) } data-show=(group.name()) title=(group.word()) aria-current=[here(Some(group))] {
                        span class={ "g " (list::mark(group)) } aria-hidden="true" {}
                        b { (n) } @if group == Group::Due && n != 1 { "need action" } @else { (group.word()) }
                    }
                }
            }
        }
    }
}

/// What the fleet is compared with, or why that is not known, and what can be done to all.
pub(crate) fn target(remotes: &[SourceState], hosts: &BTreeMap<HostId, HostEntry>) -> Markup {
    let update = hosts.values().filter(|entry| takes_part(&UPDATE, &entry.snapshot)).count();
    html! {
        div id=(TARGET) .targets {
            @for (at, state) in remotes.iter().enumerate() {
                @let named = (remotes.len() > 1).then_some(&*state.name);
                @let actions = (at == 0).then_some(update);
                (one_target(state, named, split(&state.name, hosts).as_deref(), actions))
                @if let Some(merged) = &state.merged { (went_wrong(state, merged, hosts)) }
            }
            @if remotes.is_empty() { div.source { span.gap {} (actions(update)) } }
        }
    }
}

/// Adds a host, or updates all that need it.
fn actions(update: usize) -> Markup {
    html! {
        a.button.addh href="/add-host" data-dialog-open data-op="add-host" { (sprite("plus", "")) "Add host" }
        @if update > 0 {
            a.button.primary href="/rollouts/new?op=update" data-dialog-open data-op="update-all" {
                (sprite("update", "")) "Update " (update) "…"
            }
        }
    }
}

/// How the hosts of a source are split over the commits that run; `None` if they are not.
fn split(source: &str, hosts: &BTreeMap<HostId, HostEntry>) -> Option<String> {
    let follows = hosts.iter().filter(|(_, h)| h.snapshot.source.as_deref() == Some(source));
    let at = |(id, host): (&HostId, &HostEntry)| {
        Some((id.clone(), host.snapshot.facts.deployed_commit()?))
    };
    let deployed: BTreeMap<HostId, Commit> = follows.filter_map(at).collect();
    let mut commits = deployed.values();
    let first = commits.next()?;
    commits.any(|commit| commit != first).then(|| generation::split(&deployed))
}

fn refresh(label: &str) -> Markup {
    html! {
        button.ghost.icon type="submit" form="act" formaction="/desired/refresh" data-op="refresh"
            aria-label=(label) title=(label) { (sprite("refresh", "")) }
    }
}

fn one_target(
    state: &SourceState,
    named: Option<&str>,
    split: Option<&str>,
    update: Option<usize>,
) -> Markup {
    let known = state.desired.known();
    html! {
        @if let Desired::Unavailable { since, reason, .. } = &*state.desired {
            div.fail {
                (sprite("warn", ""))
                span.cut {
                    b { @if let Some(name) = named { (name) ": " } "The remote cannot be read" }
                    " since " (time(*since)) ": " bdi { (reason) }
                }
                span.gap {}
                button type="submit" form="act" formaction="/desired/refresh" data-op="refresh" {
                    (sprite("refresh", "")) "Retry"
                }
            }
        }
        div.source.target data-source=(state.name) data-known=(known.is_some()) {
            @if let Some(name) = named { b { (name) } }
            @match &*state.desired {
                Desired::Known(remote) => {
                    (line(remote)) (refresh("Check the remote now"))
                    @if let Some(split) = split { span.opt.faint.cut { "hosts: " (split) } }
                }
                Desired::NotYetFetched => span { "Waiting for the first answer of the remote." },
                Desired::NotConfigured { setting } => {
                    span.t-bad { "No remote to compare with: set " code { (setting) } " on the dashboard." }
                }
                Desired::Unavailable { last_known, .. } => {
                    @if let Some(remote) = last_known { span.nowrap { "Last known:" } (line(remote)) }
                }
            }
            span.gap {}
            @if let Some(pr) = known.and_then(|remote| remote.pending_pr.as_ref()) {
                (pull_request(&state.name, pr))
            }
            @if let Some(update) = update { (actions(update)) }
        }
        @if let Some(details) = known.and_then(|remote| remote.pending_details.as_ref()) {
            (update::details(details))
        }
    }
}

/// The head of a remote, in the line above the list.
fn line(remote: &Remote) -> Markup {
    html! {
        (sprite("branch", ""))
        b.nowrap { "origin/" (remote.branch) }
        (super::commit(&remote.commit, remote.forge.as_ref()))
        span.subject.cut title=(remote.subject) { bdi { (remote.subject) } }
        span.nowrap { (time(remote.committed_at)) }
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
        span { "origin/" (remote.branch) " " (super::commit(&remote.commit, remote.forge.as_ref())) }
        " " q.subject { (remote.subject) } " " (time(remote.committed_at))
        span.quiet { " · flake.lock " code { (lock) } }
    }
}

/// A pull request that waits to be merged. What the button merges is what is shown.
fn pull_request(source: &str, pr: &PendingPr) -> Markup {
    let title = html! { (sprite("pr", "")) "#" (pr.number) " waits: " bdi.cut { (pr.title) } };
    html! {
        span.pr {
            @if pr.url.is_empty() { span.pill.acc title=(pr.title) { (title) } } @else {
                a.pill.acc href=(pr.url) rel="noreferrer noopener" title=(pr.title) { (title) }
            }
            @if pr.mergeable.is_none() { span.faint { "checking" } }
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
                DeployOutcome::Unverified(_)
                | DeployOutcome::Failed(_)
                | DeployOutcome::Returned(_)
                | DeployOutcome::Lost(_),
            ) => "failed",
            Some(DeployOutcome::Stopped(_)) => "stopped",
            None => "not attempted",
        };
        told.entry(how).or_default().push(&host.profile.hostname);
    }
    let revert = format!(
        "/pull-requests/{}/revert?{}",
        merged.number,
        super::query(&[("source", &*state.name)])
    );
    let pull = |number| state.desired.forge().map(|forge| forge.pull_request(number));
    html! {
        @if told.contains_key("failed") {
            div.wrong data-merged=(merged.number) {
                p {
                    "Since " (super::pull_number(merged.number, pull(merged.number))) " " q.subject { (merged.title) } " was merged "
                    (time(merged.at)) ", a switch failed. "
                    @match merged.reverted_by {
                        Some(number) => { (super::pull_number(number, pull(number))) " takes it back: merge that, then pull and switch." }
                        None => {
                            button type="submit" form="act" formaction=(revert) data-op="revert" {
                                "Revert #" (merged.number)
                            }
                        }
                    }
                }
                ul {
                    @for how in ["failed", "stopped", "succeeded", "not attempted"] {
                        @if let Some(names) = told.get(how) { li { b { (how) } ": " (names.join(", ")) } }
                    }
                }
            }
        }
    }
}

/// Where the rows go. No text that is escaped can be this.
const ROWS: PreEscaped<&str> = PreEscaped("<!rows>");

fn around_rows(view: &FleetView) -> Markup {
    html! {
        div id=(HOSTS) data-version=(view.version) {
            (first_steps())
            (ROWS)
        }
    }
}

/// Puts the rows into what stands around them. They are nearly all of a page, so they are copied
/// once, into a text that has room for all of them.
fn with_rows(around: Markup, view: &FleetView, look: &Look) -> Markup {
    let around = around.into_string();
    let (before, after) = around.split_once(ROWS.0).unwrap_or((&around, ""));
    let rows: usize = view.hosts.values().map(|entry| host::row_len(entry) + 8).sum();
    let mut page = String::with_capacity(around.len() + rows + 8192);
    page.push_str(before);
    for section in list::sections(view, look) {
        if let Some(head) = section.head {
            page.push_str(&head.0);
        }
        for (entry, shown) in section.hosts {
            host::push_row(&mut page, entry, shown);
        }
    }
    page.push_str(after);
    PreEscaped(page)
}

/// What to do where there is no host. How the remote does is said by the line above; here it is shown
/// by the style, so that it needs no update of its own.
fn first_steps() -> Markup {
    html! {
        section.first {
            div { h2 { "Add the first host" } p.soft { "nixfleet reads your flake. Now it needs an agent on each machine." } }
            ol.card {
                li.source-step {
                    div.known { h3 { "The repository can be read" } p { "Its head is in the line above." } }
                    div.unknown {
                        h3 { "Connect your repository" }
                        p { "Start the dashboard with " code { "NIXFLEET_SOURCE" } " set to your config repository. The line above says how it is doing." }
                    }
                }
                li {
                    div {
                        h3 { "Give a machine its name and token" }
                        p { "Pick one of your repository, or type a name. The dialog shows what to paste, and the token, once." }
                    }
                    a.button.primary href="/add-host" data-dialog-open { (sprite("plus", "")) "Add host" }
                }
                li {
                    div {
                        h3 { "Switch it once by hand" }
                        p { "From then on pull, switch, test and roll back are a click here. Its row is here at once, and says when the agent has connected. Nothing needs a reload." }
                    }
                }
            }
        }
    }
}

/// The strip: what needs somebody, and the ways to see it.
fn strip(view: &FleetView, look: &Look) -> Markup {
    let heads = Heads::of(view.hosts.values());
    html! {
        form #view .strip method="get" action="/" role="search" {
            (summary(&heads, view.hosts.len(), look))
            button #resort .resort type="button" hidden { (sprite("refresh", "")) span {} }
            input type="hidden" name="show" value=(look.show.map_or("", Group::name));
            input type="hidden" name="fold" value=(list::folded_text(view, look));
            span.field {
                (sprite("search", ""))
                input #filter type="search" name="q" value=(look.words) placeholder="Filter" autocomplete="off"
                    aria-label="Filter hosts by name, tag, place, platform, commit, state or reason";
                kbd aria-hidden="true" { "/" }
            }
            label { span.sr { "Group by" } (list::choice_of_groups(look)) }
            label { span.sr { "Order" } select #sort name="sort" {
                option value="" { "By name" }
                option value="seen" selected[look.by_seen] { "Last seen" }
            } }
            noscript { button type="submit" { "Show" } }
        }
    }
}

/// The heads of the columns. Its box selects what is shown.
fn columns() -> Markup {
    html! {
        div.cols {
            input #pick-all type="checkbox" autocomplete="off" aria-label="Select every host that is shown";
            span.c-host { "Host" }
            span.five {
                @for compartment in Compartment::ALL { span { (compartment.label()) } }
            }
            span { "Why" } span { "Runs" }
            span.m3 { span { "CPU" } span { "RAM" } span { "Disk" } }
            span.c-seen { "Seen" } span {}
        }
    }
}

/// The whole page.
pub(crate) fn page(
    view: &FleetView,
    look: &Look,
    shown: Option<&log::Shown<'_>>,
    csrf: &str,
) -> Markup {
    let main = html! {
        h1.sr { "Fleet" }
        // Buttons of rows belong to this form: it holds the session's token, the rows do not.
        form #act method="post" hidden { (csrf_field(csrf)) }
        (target(&view.remotes, &view.hosts))
        (rollouts::panel(&view.rollouts, &view.maintenance))
        (strip(view, look))
        form #pick .list method="get" action="/rollouts/new" autocomplete="off" aria-label="Hosts" {
            (columns())
            (around_rows(view))
            noscript { button type="submit" { "Choose what to do with the selected hosts" } }
        }
        p #none-found .soft hidden { "No host fits. " a href="/?show=" { "Show all" } }
    };
    let around = html! { (rollouts::bar(&[], &[], csrf)) };
    let dock = log::panel(view.hosts.values(), shown);
    let how = if shown.is_some() { layout::Dock::Bottom } else { layout::Dock::Tabs };
    let page = layout::docked(
        "Fleet",
        csrf,
        &main,
        (&dock, how),
        &around,
        rollouts::going_on(&view.rollouts),
    );
    with_rows(page, view, look)
}
