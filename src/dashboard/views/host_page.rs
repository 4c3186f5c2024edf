//! The page of one host: what to do next and why, what happened, and what it is.

use super::story::{self, Story};
use super::{csrf_field, host, layout, list, log, message, sprite, time, timeline};
use crate::dashboard::live::model::HostEntry;
use crate::domain::compartment::{Cause, Status};
use crate::domain::facts::{Feature, MissingCommit, TestOutcome};
use crate::domain::forge::Forge;
use crate::domain::generation::TestedGeneration;
use crate::domain::ids::{Commit, HostId};
use crate::domain::looks::{DeviceType, Place};
use crate::domain::operation::Operation;
use crate::domain::snapshot::{HostSnapshot, Standing};
use maud::{Markup, html};

/// Everything on the page that comes from the dashboard's state.
pub(crate) struct HostPage<'a> {
    /// The host.
    pub entry: &'a HostEntry,
    /// The hosts before and after it in its group.
    pub beside: [Option<HostId>; 2],
    /// What happened on it.
    pub story: &'a Story,
    /// The log of one of its commands.
    pub shown: Option<&'a log::Shown<'a>>,
    /// Somebody asked for that log.
    pub open: bool,
    /// How many rollouts go on.
    pub going: usize,
    /// The fleet's version when all of this was read.
    pub version: u64,
}

/// The page.
pub(crate) fn page(page: &HostPage<'_>, csrf: &str) -> Markup {
    let [before, after] = &page.beside;
    let one = |to: &Option<HostId>, picture: &str, label: &str| {
        html! {
            @if let Some(id) = to {
                a.button.ghost.icon href={ "/hosts/" (id) } aria-label=(label) title={ (label) ": " (id) } { (sprite(picture, "")) }
            }
        }
    };
    let main = html! {
        nav.beside aria-label="Hosts beside it" {
            (one(before, "left", "The host before it")) (one(after, "right", "The host after it"))
        }
        (live(page, csrf))
    };
    let dock = if page.open { layout::Dock::Side } else { layout::Dock::Tabs };
    let dock = (&log::panel_of_one(page.shown), dock);
    layout::docked(&page.entry.snapshot.profile.hostname, csrf, &main, dock, &html! {}, page.going)
}

/// What is read again when something happened to the host.
pub(crate) fn live(page: &HostPage<'_>, csrf: &str) -> Markup {
    let HostPage { entry, story, version, .. } = page;
    let snapshot = &*entry.snapshot;
    let failed = u8::from(snapshot.standing() == Standing::Failed);
    html! {
        div #host-page data-host=(snapshot.id)
            data-version=(version) data-failed=(failed) data-online=(snapshot.online)
            data-busy=(snapshot.command.as_ref().map_or("", |command| command.op.name())) data-standing=(entry.group.name()) {
            form #act method="post" { (csrf_field(csrf)) }
            nav.crumb aria-label="Where this is" {
                a href="/" { "Fleet" } (sprite("right", ""))
                a href={ "/?show=" (entry.group.name()) } { (list::title_of(entry.group)) } (sprite("right", ""))
                span.cut { (snapshot.profile.hostname) }
            }
            (head(entry))
            (now(entry))
            @if snapshot.online && snapshot.plain_link {
                p.alert #plain-link {
                    "The link of its agent is not encrypted: its token and all that it says cross the network in clear. "
                    "Give the agent an address that begins with https."
                }
            }
            (five(snapshot))
            div.two {
                div {
                    (missing(snapshot))
                    (timeline::card(snapshot, story))
                }
                div {
                    (generations(snapshot, story))
                    (load(entry))
                    (facts(snapshot))
                }
            }
        }
    }
}

/// Its name, what it is, and what can be done with it.
fn head(entry: &HostEntry) -> Markup {
    let host = &*entry.snapshot;
    let profile = &host.profile;
    let pill = |picture: &str, word: &str| html! { span.pill { (sprite(picture, "")) (word) } };
    html! {
        div.hh {
            h1.who { span.cut { (profile.hostname) } }
            @match profile.platform.as_str() {
                "nixos" => (pill("nixos", "NixOS")),
                "darwin" => (pill("darwin", "macOS")),
                "home-manager" => (pill("home", "home-manager")),
                _ => {}
            }
            @if let Some(place) = profile.location { (pill(place.name(), place.name())) }
            @if let Some(device) = profile.device_type { (pill(device.name(), device.name())) }
            span.soft.small {
                @match entry.pulse.last_seen { Some(at) => { "seen " (time(at)) } None => "never seen" }
            }
            span.gap {}
            div.actions {
                button form="act" formaction={ "/hosts/" (host.id) "/update" } data-op="update" disabled[!host.online]
                    title="Pull, switch, test: each step only if the one before succeeded" { (sprite("update", "")) "Update" }
                (host::operation(host, Operation::Test, "Test"))
                a.button href={ "/hosts/" (host.id) "/dry-run" } data-dialog-open data-op="open-dry-run" { (sprite("dryrun", "")) "What would change" }
                a.button.icon href={ "/hosts/" (host.id) "/menu" } data-op="menu" aria-label={ "More for " (profile.hostname) } { (sprite("more", "")) }
            }
        }
    }
}

/// Why it is as it is, in one sentence and the words behind it, and the one next step.
fn now(entry: &HostEntry) -> Markup {
    let host = &*entry.snapshot;
    let why = &entry.why;
    let class = match entry.group {
        crate::domain::group::Group::Failed => "now bad",
        _ => "now",
    };
    let causes = host.row.iter().filter(|(_, verdict)| {
        let is_cause = matches!(verdict.status, Status::Error | Status::Outdated);
        // What stands above is not told twice.
        verdict.follows.is_none() && is_cause && verdict.message.plain() != why.text
    });
    let causes: Vec<_> = causes.collect();
    html! {
        section class=(class) aria-labelledby="next" {
            span class={ "g " (list::mark(entry.group)) } aria-hidden="true" {}
            p {
                b #next {
                    @if let Some(mark) = &why.mark { (mark) @if !why.text.is_empty() { ": " } }
                    bdi { (why.text) }
                    @if why.text.is_empty() && why.mark.is_none() { "Everything is current" }
                    @if let Some(at) = why.since { " " time data-elapsed datetime=(at) {} }
                }
                span.soft {
                    @for (compartment, verdict) in causes { (compartment.label()) ": " (message(&verdict.message)) " " }
                    @if let Some(why) = host.facts.system.needs_a_reboot() { "A reboot is needed: " (why) "." }
                }
            }
            @if let Some(last) = host.last_command.filter(|_| host.command.is_none()) {
                a.button href={ "/hosts/" (host.id) "?command=" (last.id) } data-log-open={ "/commands/" (last.id) "/log" } { (sprite("log", "")) "Log" }
            }
            @if host.facts.last_tests.as_ref().is_some_and(|run| run.outcome == TestOutcome::Failed) {
                a.button href={ "/hosts/" (host.id) "/tests" } data-dialog-open { "Results" }
            }
            span.do { @if let Some(step) = host.next_step() { (host::next(host, step)) } }
        }
    }
}

/// The five verdicts with their words.
fn five(host: &HostSnapshot) -> Markup {
    html! {
        div.five2 {
            @for (compartment, verdict) in host.row.iter() {
                a href={ "/hosts/" (host.id) "/" (compartment.name()) } data-compartment=(compartment.name())
                    data-status=(verdict.status.name()) {
                    span.g data-status=(verdict.status.name()) data-follows=[verdict.follows.map(Cause::name)] aria-hidden="true" {}
                    b { (compartment.label()) span.sr { ": " (host::word(verdict.status)) ". " } }
                    span { (message(&verdict.message)) }
                }
            }
        }
    }
}

fn missing(host: &HostSnapshot) -> Markup {
    html! {
        @if !host.missing().is_empty() {
            section.card #missing {
                header { h2 { "Commits it does not have" } }
                div.pad { (commits(host.missing(), host.forge.as_ref())) }
            }
        }
    }
}

/// Commits with their subjects.
pub(super) fn commits(list: &[MissingCommit], forge: Option<&Forge>) -> Markup {
    html! {
        ul.plain {
            @for commit in list {
                li { (super::commit(&commit.commit, forge)) " " q.subject { (commit.subject) } }
            }
        }
    }
}

fn generations(host: &HostSnapshot, story: &Story) -> Markup {
    html! {
        @if !story.generations.is_empty() {
            section.card #generations {
                header {
                    h2 { "Generations" } span.gap {}
                    a.button.ghost href={ "/hosts/" (host.id) "/rollback" } data-dialog-open { "Roll back…" }
                }
                ol.gens { @for one in &story.generations { (generation(one, story, host.forge.as_ref())) } }
            }
        }
    }
}

fn generation(one: &TestedGeneration, story: &Story, forge: Option<&Forge>) -> Markup {
    let it = &one.generation;
    let commit = it.configuration_revision.as_deref().and_then(Commit::parse);
    html! {
        li data-generation=(it.generation) data-current=(it.current) {
            b { (it.generation) }
            span.cut { (story::subject(it, commit.as_ref(), &story.deploys).unwrap_or_default()) }
            @match &one.tests {
                Some(run) => span class={ "pill " (if run.outcome == TestOutcome::Passed { "ok" } else { "bad" }) } {
                    span.sr { "tests " (story::outcome_name(run)) ": " }
                    @match run.counts { Some(counts) => { (counts.passed) "/" (counts.total) } None => (story::outcome_name(run)) }
                },
                None => span.pill { "not tested" },
            }
            span.sub {
                @if let Some(commit) = &commit { (super::commit(commit, forge)) " · " }
                @if let Some(at) = it.created_at { "made " (time(at)) }
                @if it.current { " · " b { "runs now" } }
                @if one.last_working { " · " b.t-ok { "last known working" } }
            }
        }
    }
}

/// How busy it is now.
fn load(entry: &HostEntry) -> Markup {
    let host = &*entry.snapshot;
    html! {
        @if let Some(now) = entry.pulse.metrics.filter(|_| host.online) {
            section.card #load {
                header { h2 { "Load" } span.gap {} span.soft.small { "now" } }
                (meter("CPU", now.cpu, false))
                (meter("RAM", now.ram, false))
                @if now.swap >= 1.0 { (meter("Swap", now.swap, false)) }
                @for disk in &host.profile.disks { (meter(&disk.mount, disk.used(), disk.is_low())) }
            }
        }
    }
}

/// A bar with its figure.
fn meter(label: &str, percent: f64, low: bool) -> Markup {
    let percent = percent.clamp(0.0, 100.0).round();
    let class = match percent {
        _ if low => "bad",
        p if p >= 90.0 => "bad",
        p if p >= 80.0 => "due",
        _ => "off",
    };
    html! {
        div.spark {
            span.cut title=(label) { (label) }
            svg.share role="img" aria-label={ (label) " " (percent) " %" } { rect class=(class) width={ (percent) "%" } {} }
            b { (percent) " %" }
        }
    }
}

fn facts(snapshot: &HostSnapshot) -> Markup {
    let (profile, facts) = (&snapshot.profile, &snapshot.facts);
    let number = facts.system.generation.map(|n| n.to_string());
    let deployed = facts.deployed_commit();
    let to_copy: [(&str, Option<&str>); 6] = [
        ("Runs", deployed.as_ref().map(Commit::as_str)),
        ("Checkout", facts.checkout.as_ref().map(|c| c.as_str())),
        ("Built from", facts.system.configuration_revision.as_deref()),
        ("Store path", facts.system.store_path.as_deref()),
        ("A boot starts", facts.system.profile_path.as_deref()),
        ("Repository", Some(&profile.repo_url)),
    ];
    let known: [(&str, Option<&str>); 7] = [
        ("Generation", number.as_deref()),
        ("Branch", profile.branch.as_deref()),
        ("System", Some(&profile.os_version)),
        ("nixpkgs", Some(&profile.nixpkgs_version)),
        ("Agent", facts.agent.version.as_deref()),
        ("Location", profile.location.map(Place::name)),
        ("Device", profile.device_type.map(DeviceType::name)),
    ];
    // What is a commit has a page; a path has none.
    let page = |value: Option<&str>| {
        Some(snapshot.forge.as_ref()?.commit(&value.and_then(Commit::parse)?))
    };
    let some = |value: Option<&'_ str>| value.is_some_and(|text| !text.is_empty());
    html! {
        section.card #facts {
            header { h2 { "Facts" } }
            dl.facts {
                @for (n, (name, value)) in to_copy.into_iter().enumerate().filter(|(_, (_, value))| some(*value)) {
                    @let id = format!("fact-{n}");
                    dt { (name) }
                    dd {
                        code.cut id=(id) title=[value] { (super::outside(page(value), value.unwrap_or_default())) }
                        button.icon type="button" data-copy=(id) aria-label={ "Copy: " (name) } title="Copy" { (sprite("copy", "")) }
                    }
                }
                @for (name, value) in known.into_iter().filter(|(_, value)| some(*value)) {
                    dt { (name) } dd { bdi.cut title=[value] { (value.unwrap_or_default()) } }
                }
                @if !profile.tags.is_empty() {
                    dt { "Tags" }
                    dd {
                        span.cut {
                            @for (at, tag) in profile.tags.iter().enumerate() {
                                @if at > 0 { ", " }
                                a href={ "/?q=tag:" (tag) } { (tag) }
                            }
                        }
                    }
                }
                @if !profile.signers.is_empty() {
                    dt { "Commits" }
                    dd #signers { "only signed ones, by the keys in "
                        @for (n, file) in profile.signers.iter().enumerate() {
                            @if n > 0 { " or " }
                            code.cut title=(file) { (file) }
                        }
                    }
                }
                @if let Some(guarded) = snapshot.is_guarded() {
                    dt { "Switches" }
                    dd #guarded {
                        @if guarded { "guarded: what ran before comes back by itself" } @else { "not guarded" }
                        @if profile.overrides.guard.is_some() && facts.agent.can(Feature::Boot) { ", as set here" }
                    }
                }
                @for disk in &profile.disks {
                    dt { "Disk " bdi { (disk.mount) } }
                    dd data-low[disk.is_low()] { (host::room(disk)) @if disk.is_low() { ", nearly full" } }
                }
                @if let Some(why) = facts.system.needs_a_reboot() { dt { "Reboot" } dd.t-due title=(why) { "needed" } }
                @if let Some(at) = facts.system.activated_at { dt { "Activated" } dd { (time(at)) } }
                @if let Some(at) = profile.boot_time { dt { "Booted" } dd { (time(at)) } }
            }
        }
    }
}
