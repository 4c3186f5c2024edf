//! The page of one host.

use super::story::{self, Story};
use super::{csrf_field, host, layout, log, message, time};
use crate::dashboard::live::model::HostEntry;
use crate::domain::looks::{DeviceType, Place};
use crate::domain::operation::Operation;
use crate::domain::snapshot::Standing;
use maud::{Markup, html};

/// Everything on the page that comes from the dashboard's state.
pub(crate) struct HostPage<'a> {
    /// The host.
    pub entry: &'a HostEntry,
    /// What happened on it.
    pub story: &'a Story,
    /// The log of one of its commands.
    pub shown: Option<&'a log::Shown<'a>>,
    /// The fleet's version when all of this was read.
    pub version: u64,
}

/// The page.
pub(crate) fn page(page: &HostPage<'_>, csrf: &str) -> Markup {
    let main = html! {
        (live(page, csrf))
        section #log-panel.log aria-label="Log" { (log::one(page.shown)) }
    };
    layout::page(&page.entry.snapshot.profile.hostname, Some(csrf), &main)
}

/// What is read again when something happened to the host.
pub(crate) fn live(page: &HostPage<'_>, csrf: &str) -> Markup {
    let HostPage { entry, story, version, .. } = page;
    let snapshot = &*entry.snapshot;
    let failed = u8::from(snapshot.standing() == Standing::Failed);
    html! {
        // The row is swapped like any other; the rest is read again when something happened.
        div #host-page data-host=(snapshot.id) data-version=(version) data-failed=(failed) {
            form #act method="post" { (csrf_field(csrf)) }
            h1.sr { (snapshot.profile.hostname) }
            (host::row(entry))
            (more(page))
            (why(page))
            (missing(page))
            (facts(page))
            section #commands {
                h2 { "Commands" }
                @if story.commands.is_empty() { p.quiet { "None yet." } }
                @for one in &story.commands { (story::told(one)) }
                @if let Some(last) = story.commands.last().filter(|_| story.more) {
                    p { a href={ "/hosts/" (snapshot.id) "?before=" (last.command.id) "#commands" } { "Earlier commands" } }
                }
            }
            @if !story.generations.is_empty() {
                section #generations {
                    h2 { "Generations" }
                    ul.plain {
                        @for one in &story.generations {
                            li data-generation=(one.generation.generation) data-current=(one.generation.current) {
                                (story::generation(one, &story.deploys))
                            }
                        }
                    }
                    p { a.button href={ "/hosts/" (snapshot.id) "/rollback" } data-dialog-open { "Roll back…" } }
                }
            }
            @if !story.deploys.is_empty() {
                section #deploys {
                    h2 { "Deployed" }
                    ul.plain { @for deploy in &story.deploys { (story::deployed(deploy)) } }
                }
            }
            @if !story.runs.is_empty() {
                section #runs {
                    h2 { "Test runs" }
                    @for (run, results) in &story.runs { (story::test_run(run, results)) }
                }
            }
        }
    }
}

/// What the row has no room for.
fn more(page: &HostPage<'_>) -> Markup {
    let host = &*page.entry.snapshot;
    html! {
        div.actions {
            (host::operation(host, Operation::DryRun, "Dry run"))
            a.button href={ "/hosts/" (host.id) "/dry-run" } data-dialog-open { "What would change" }
            a.button href={ "/hosts/" (host.id) "/rollback" } data-dialog-open { "Roll back…" }
            a.button href={ "/hosts/" (host.id) "/settings" } data-dialog-open { "Settings…" }
            a.button href={ "/hosts/" (host.id) "/reboot" } data-dialog-open { "Reboot…" }
            a.button href={ "/hosts/" (host.id) "/remove" } data-dialog-open { "Remove…" }
        }
    }
}

fn why(page: &HostPage<'_>) -> Markup {
    let host = &*page.entry.snapshot;
    html! {
        section #why {
            h2 { "Why" }
            dl {
                @for (compartment, verdict) in host.row.iter() {
                    dt { (compartment.label()) }
                    dd data-status=(verdict.status.name()) {
                        b { (host::word(verdict.status)) } " · " (message(&verdict.message))
                    }
                }
            }
        }
    }
}

fn missing(page: &HostPage<'_>) -> Markup {
    let host = &*page.entry.snapshot;
    html! {
        @if !host.missing().is_empty() {
            section #missing {
                h2 { "Commits it does not have" }
                (commits(host.missing()))
            }
        }
    }
}

/// Commits with their subjects.
pub(super) fn commits(list: &[crate::domain::facts::MissingCommit]) -> Markup {
    html! {
        ul.plain {
            @for commit in list {
                li { code title=(commit.commit) { (commit.commit.short()) } " " q.subject { (commit.subject) } }
            }
        }
    }
}

fn facts(page: &HostPage<'_>) -> Markup {
    let snapshot = &*page.entry.snapshot;
    let (profile, facts) = (&snapshot.profile, &snapshot.facts);
    let number = facts.system.generation.map(|n| n.to_string());
    let known: [(&str, Option<&str>); 12] = [
        ("Agent", facts.agent.version.as_deref()),
        ("Platform", Some(&profile.platform)),
        ("Operating system", Some(&profile.os_version)),
        ("nixpkgs", Some(&profile.nixpkgs_version)),
        ("Config repository", Some(&profile.repo_url)),
        ("Branch", profile.branch.as_deref()),
        ("Checkout", facts.checkout.as_ref().map(|c| c.as_str())),
        ("Generation", number.as_deref()),
        ("Store path", facts.system.store_path.as_deref()),
        ("Built from", facts.system.configuration_revision.as_deref()),
        ("Location", profile.location.map(Place::name)),
        ("Device", profile.device_type.map(DeviceType::name)),
    ];
    html! {
        section #facts {
            h2 { "Facts" }
            dl {
                @for (name, value) in known {
                    @if let Some(value) = value.filter(|v| !v.is_empty()) { dt { (name) } dd { bdi { (value) } } }
                }
                @if let Some(at) = facts.system.activated_at { dt { "Activated" } dd { (time(at)) } }
                @if let Some(at) = profile.boot_time { dt { "Booted" } dd { (time(at)) } }
            }
        }
    }
}
