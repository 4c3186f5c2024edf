//! The page of rollouts: those that go on in full, how those ended that need somebody, and the
//! ones before.

use super::rollouts::share;
use super::{counted, csrf_field, layout, maintenance, sprite, time};
use crate::dashboard::live::model::FleetView;
use crate::domain::ids::HostId;
use crate::domain::operation::Operation;
use crate::domain::rollout::{Back, Counts, OnFailure, Progress, Rollout};
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};

/// So many hosts of a rollout that runs have a line at once; the others are below it.
const LINES: usize = 40;

/// The page. `all` are the newest rollouts, newest first.
pub(crate) fn page(view: &FleetView, all: &[Rollout], csrf: &str) -> Markup {
    layout::docked(
        "Rollouts",
        csrf,
        &html! { div.page { (live(view, all, csrf)) } },
        (&html! {}, layout::Dock::Tabs),
        &html! {},
        super::rollouts::going_on(&view.rollouts),
    )
}

/// What is read again when a rollout has changed, or one of its hosts.
pub(crate) fn live(view: &FleetView, all: &[Rollout], csrf: &str) -> Markup {
    let (going, ended): (Vec<_>, Vec<_>) = all.iter().partition(|rollout| !rollout.is_over());
    // What nobody has looked at yet, and would go on with.
    let is_open = |rollout: &&&Rollout| !rollout.dismissed && !failed_of(rollout).is_empty();
    let open: Vec<&Rollout> = ended.iter().filter(is_open).copied().collect();
    html! {
        div #rollouts-page data-version=(view.version) data-of="rollouts" {
            form #act method="post" hidden { (csrf_field(csrf)) }
            div.head {
                h1 { "Rollouts" }
                span.gap {}
                a.button.primary href="/rollouts/new?op=update" data-dialog-open data-op="new-rollout" {
                    (sprite("plus", "")) "New rollout…"
                }
            }
            @if let Some(freeze) = &view.maintenance.freeze { (maintenance::frozen(freeze)) }
            @for rollout in going { (going_on(view, rollout)) }
            @for rollout in open { (needs_somebody(rollout)) }
            section.card.clip #ended aria-labelledby="ended-title" {
                header { h2 #ended-title { "Ended" } span.gap {} span.soft.small { "Times in UTC, 24 h" } }
                @if ended.is_empty() {
                    p.pad.soft { "None yet. An update of several hosts, or of one with all its steps, is told here." }
                } @else {
                    (history(&ended))
                }
            }
        }
    }
}

/// The hosts of which a step failed.
fn failed_of(rollout: &Rollout) -> Vec<&HostId> {
    let failed = |(host, progress): (_, &Progress)| {
        matches!(progress, Progress::Failed { .. }).then_some(host)
    };
    rollout.hosts.iter().filter_map(failed).collect()
}

/// Asks for the same, of those that failed.
fn retry(rollout: &Rollout, class: &str, failed: &[&HostId]) -> Markup {
    html! {
        @if !failed.is_empty() {
            a class={ "button " (class) } href={ "/rollouts/" (rollout.id) "/retry" } data-dialog-open data-op="retry" {
                (sprite("restart", "")) "Retry " (failed.len()) " failed…"
            }
        }
    }
}

/// Leads to what its dry runs came to.
fn plans(rollout: &Rollout) -> Markup {
    html! {
        @if rollout.steps.contains(&Operation::DryRun) && rollout.counts().done > 0 {
            a.button.ghost href={ "/rollouts/" (rollout.id) "/plans" } data-dialog-open data-op="plans" { "What would change" }
        }
    }
}

fn bar(rollout: &Rollout) -> Markup {
    let counts = rollout.counts();
    let parts = [
        ("ok", counts.done),
        ("run", counts.running),
        ("bad", counts.failed),
        ("off", counts.left_out),
        ("none", counts.waiting + counts.skipped),
    ];
    share(&parts, &rollout.told())
}

/// The glyph of what became of a rollout.
fn mark(rollout: &Rollout) -> &'static str {
    match (rollout.is_over(), rollout.counts().failed, &rollout.halted) {
        (false, ..) => "run",
        (true, 0, None) => "ok",
        (true, 0, Some(_)) => "none",
        (true, ..) => "bad",
    }
}

/// How far it is in how it was asked to go: "one first · wave 1 of 2 · 3 at once".
fn manner(rollout: &Rollout) -> String {
    let part = rollout.hosts.len() - rollout.counts().left_out;
    let mut parts = order(rollout, part);
    let mut now = Vec::new();
    if rollout.waves() > 1 {
        now.push(format!("wave {} of {}", rollout.wave + 1, rollout.waves()));
    }
    if let Some(by) = &rollout.paused {
        now.push(format!("paused by {by}"));
    }
    let at = usize::from(rollout.one_first);
    parts.splice(at..at, now);
    parts.join(" · ")
}

/// How it was asked to go with so many hosts: "one first", "3 at once", "stops after 2 failures".
pub(super) fn order(rollout: &Rollout, hosts: usize) -> Vec<String> {
    let mut parts = Vec::new();
    if rollout.one_first {
        parts.push("one first".to_owned());
    }
    if usize::try_from(rollout.at_once).is_ok_and(|n| n < hosts) {
        parts.push(format!("{} at once", rollout.at_once));
    }
    if let Some(n) = rollout.stop_after {
        let n = usize::try_from(n).unwrap_or(usize::MAX);
        let back = rollout.way_back.on_failure == OnFailure::RollBack;
        let what = if back { "rolls its wave back" } else { "stops" };
        parts.push(format!("{what} after {}", counted(n, "failure")));
    }
    parts
}

fn title(rollout: &Rollout, told: &Markup, actions: &Markup) -> Markup {
    html! {
        header {
            span class={ "g " (mark(rollout)) } aria-hidden="true" {}
            h2 { (rollout.title()) }
            span.soft.small.cut { (told) }
            span.gap {}
            (actions)
        }
    }
}

/// One that goes on: how far it is, and each host that is not done.
fn going_on(view: &FleetView, rollout: &Rollout) -> Markup {
    let how = manner(rollout);
    let told = html! {
        "by " (rollout.requested_by) ", " (time(rollout.created_at))
        @if !how.is_empty() { " · " (how) }
        @if let Some(soaks) = rollout.soaks { " · soaks until " (time(soaks.ends)) }
        @if let Some(why) = &rollout.halted { " · " bdi { (why) } }
    };
    let change = |what: &str, label: &str, title: &str| {
        html! {
            button.ghost type="submit" form="act" formaction={ "/rollouts/" (rollout.id) "/" (what) }
                data-op=(what) title=(title) { (label) }
        }
    };
    let actions = html! {
        (plans(rollout))
        @if rollout.halted.is_none() {
            @if rollout.may_promote() { (change("promote", "Next wave now", "Without waiting for the end of this one")) }
            @if rollout.paused.is_some() {
                (change("resume", "Resume", "Further steps start again"))
            } @else {
                (change("pause", "Pause", "Running steps end; no more start until it is resumed"))
            }
            button type="submit" form="act" formaction={ "/rollouts/" (rollout.id) "/cancel" } data-op="cancel"
                data-confirm="Running steps end; no more of them start." { (sprite("stop", "")) "Cancel the rest" }
        }
    };
    let goes_back = |host: &HostId| rollout.way_back.hosts.contains_key(host);
    let (done, others): (Vec<_>, Vec<_>) =
        rollout.hosts.iter().partition(|(host, progress)| is_behind(progress) && !goes_back(host));
    let mut others = others;
    others.sort_by_key(|(_, progress)| urgency(progress));
    let first = others.len().min(LINES);
    html! {
        section.card.clip.rolling id={ "rollout-" (rollout.id) } data-over="false" {
            (title(rollout, &told, &actions))
            div.flat { (bar(rollout)) (counts(rollout.counts())) }
            table.tbl {
                thead { tr {
                    th scope="col" { "Host" } th scope="col" { "Steps" } th.wide scope="col" { "Now" }
                    th scope="col" { span.sr { "Can be done" } }
                } }
                tbody { @for (host, progress) in &others[..first] { (line(view, rollout, host, progress)) } }
            }
            @if first < others.len() {
                (behind(&format!("come-{}", rollout.id), &format!("{} more to come", others.len() - first), &others[first..]))
            }
            @if !done.is_empty() {
                (behind(&format!("done-{}", rollout.id), &format!("{} done or left out", done.len()), &done))
            }
        }
    }
}

/// Whether nobody needs to look at it any more.
fn is_behind(progress: &Progress) -> bool {
    matches!(progress, Progress::Done { .. } | Progress::LeftOut { .. })
}

/// What failed comes first, then what runs, then what is kept, then what waits for its turn.
fn urgency(progress: &Progress) -> u8 {
    match progress {
        Progress::Failed { .. } => 0,
        Progress::Running { .. } => 1,
        Progress::Waiting { why: Some(_), .. } => 2,
        Progress::Waiting { .. } => 3,
        Progress::Skipped { .. } | Progress::Done { .. } | Progress::LeftOut { .. } => 4,
    }
}

fn counts(counts: Counts) -> Markup {
    let come = counts.waiting;
    html! {
        span.counts {
            span { b { (counts.done) } " done" }
            @if counts.running > 0 { span.t-run { b { (counts.running) } " working" } }
            @if counts.failed > 0 { span.t-bad { b { (counts.failed) } " failed" } }
            @if come > 0 { span { b { (come) } " to come" } }
            @if counts.skipped > 0 { span { b { (counts.skipped) } " not attempted" } }
        }
    }
}

/// Hosts behind a line that opens.
fn behind(id: &str, label: &str, hosts: &[(&HostId, &Progress)]) -> Markup {
    html! {
        details.pad id=(id) {
            summary.small.soft { (label) }
            div.chips {
                @for (host, progress) in hosts {
                    a href={ "/hosts/" (host) } title=[title_of(progress)] { (host) }
                }
            }
        }
    }
}

fn title_of(progress: &Progress) -> Option<String> {
    match progress {
        Progress::LeftOut { why } => Some(format!("left out: {why}")),
        Progress::Done { note } => note.clone(),
        _ => None,
    }
}

/// One host of a rollout that goes on.
fn line(view: &FleetView, rollout: &Rollout, host: &HostId, progress: &Progress) -> Markup {
    let entry = view.hosts.get(host);
    html! {
        tr data-of={ "host-" (host) } data-progress=(name_of(progress)) {
            td { a href={ "/hosts/" (host) } { (host) } }
            td { (steps(rollout, host, progress)) }
            @match progress {
                _ if rollout.way_back.hosts.contains_key(host) => td.wide {
                    @if let Progress::Failed { why, .. } = progress { span.t-bad { bdi { (why) } } " · " }
                    @if let Some(back) = rollout.way_back.hosts.get(host) { (goes_back(back)) }
                },
                Progress::Failed { why, .. } => td.wide.t-bad title=(why) { bdi { (why) } },
                Progress::Running { .. } => td.wide.t-run {
                    @if let Some(entry) = entry { bdi { (entry.why.text) } }
                },
                Progress::Waiting { .. } => td.wide.soft {
                    "waits: " bdi { (rollout.waits_for(host).unwrap_or_default()) }
                },
                Progress::Skipped { .. } => td.wide.soft { "not attempted" },
                Progress::Done { .. } | Progress::LeftOut { .. } => td.wide {},
            }
            td {
                @match progress {
                    Progress::Running { command, .. } => {
                        @let live = entry.and_then(|entry| entry.snapshot.command.as_ref());
                        button.ghost type="submit" form="act" formaction={ "/commands/" (command) "/stop" } data-op="stop"
                            data-confirm=[live.and_then(super::host::confirm_stop)] { "Stop" }
                    }
                    Progress::Waiting { .. } if rollout.halted.is_none() => {
                        button.ghost type="submit" form="act" data-op="leave-out"
                            formaction={ "/rollouts/" (rollout.id) "/leave-out?host=" (host) } { "Leave out" }
                    }
                    Progress::Failed { .. } => {
                        a.button.ghost href={ "/hosts/" (host) } { "Show" }
                    }
                    _ => {}
                }
            }
        }
    }
}

fn name_of(progress: &Progress) -> &'static str {
    match progress {
        Progress::Failed { .. } => "failed",
        Progress::Running { .. } => "running",
        Progress::Waiting { .. } => "waiting",
        Progress::Skipped { .. } => "skipped",
        Progress::Done { .. } => "done",
        Progress::LeftOut { .. } => "left-out",
    }
}

/// How far a host is with going back.
fn goes_back(back: &Back) -> Markup {
    html! {
        @match back {
            Back::Waiting { why, .. } => span.soft { "goes back when this is over: " bdi { (why) } },
            Back::Running { .. } => span.t-run { "goes back" },
            Back::RolledBack => span.t-due { "rolled back" },
            Back::Nothing { why } => span.soft { "nothing to go back from: " (why) },
            Back::Failed { why } => span.t-bad { "did not go back: " bdi { (why) } },
        }
    }
}

/// Each step with how it went.
fn steps(rollout: &Rollout, host: &HostId, progress: &Progress) -> Markup {
    let steps = &rollout.steps;
    let untested = rollout.boots.contains(host);
    let (at, here) = match progress {
        Progress::Waiting { step, .. } | Progress::Skipped { step } => (*step, "none"),
        Progress::Running { step, .. } => (*step, "run"),
        Progress::Failed { step, .. } => (*step, "bad"),
        Progress::Done { .. } => (steps.len(), "ok"),
        Progress::LeftOut { .. } => (0, "none"),
    };
    html! {
        span.steps {
            @for (n, op) in steps.iter().enumerate() {
                @let (mark, word) = match n.cmp(&at) {
                    std::cmp::Ordering::Less if untested && *op == Operation::Test => ("none", "left out"),
                    std::cmp::Ordering::Less => ("ok", "done"),
                    std::cmp::Ordering::Equal => (here, match here { "run" => "running", "bad" => "failed", _ => "not begun" }),
                    std::cmp::Ordering::Greater => ("none", "not begun"),
                };
                span {
                    span class={ "g " (mark) } aria-hidden="true" {} (op.label().to_lowercase())
                    span.sr { ": " (word) }
                }
            }
        }
    }
}

/// What is the same of two errors: neither hashes of the store, nor what comes after the first line.
fn sort_of(why: &str) -> String {
    let line = why.lines().next().unwrap_or_default();
    let mut parts = line.split("/nix/store/");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.split_once('-').map_or(part, |(_, name)| name));
    }
    text
}

/// Hosts that failed, by what they failed with, the most frequent first.
fn alike(rollout: &Rollout) -> Vec<(String, &str, Vec<&HostId>)> {
    let mut known: BTreeMap<String, (&str, Vec<&HostId>)> = BTreeMap::new();
    for (host, progress) in &rollout.hosts {
        if let Progress::Failed { why, .. } = progress {
            known.entry(sort_of(why)).or_insert((why, Vec::new())).1.push(host);
        }
    }
    let mut groups: Vec<_> =
        known.into_iter().map(|(sort, (why, hosts))| (sort, why, hosts)).collect();
    groups.sort_by_key(|(_, _, hosts)| std::cmp::Reverse(hosts.len()));
    groups
}

/// One that ended with failures: each reason once, with its hosts, and who did not take part.
fn needs_somebody(rollout: &Rollout) -> Markup {
    let failed = failed_of(rollout);
    let told = html! {
        "ended " @if let Some(at) = rollout.finished_at { (time(at)) }
        " · by " (rollout.requested_by) " · " (rollout.told())
        @if let Some(why) = &rollout.halted { " · " bdi { (why) } }
    };
    let actions = html! {
        button.ghost type="submit" form="act" formaction={ "/rollouts/" (rollout.id) "/dismiss" } data-op="dismiss" { "Dismiss" }
        (plans(rollout))
        (retry(rollout, "primary", &failed))
    };
    let mut left_out: BTreeMap<&str, Vec<&HostId>> = BTreeMap::new();
    for (host, progress) in &rollout.hosts {
        match progress {
            Progress::LeftOut { why } => left_out.entry(why).or_default().push(host),
            Progress::Skipped { .. } => left_out.entry("not attempted").or_default().push(host),
            _ => {}
        }
    }
    html! {
        section.card.clip id={ "rollout-" (rollout.id) } data-over="true" data-bad=(failed.len()) {
            (title(rollout, &told, &actions))
            @for (sort, why, hosts) in alike(rollout) {
                div.same {
                    span.g.bad aria-hidden="true" {}
                    b { bdi { (sort) } }
                    @if let Some(first) = hosts.first() {
                        a.button.ghost href={ "/hosts/" (first) "?log=1" } { "Log" }
                    }
                    @if why.lines().count() > 1 { p.soft { bdi { (why.lines().skip(1).take(3).collect::<Vec<_>>().join(" ")) } } }
                    (chips(&hosts))
                }
            }
            @for (host, back) in &rollout.way_back.hosts {
                div.same data-back=(host) { span.g.off aria-hidden="true" {} a href={ "/hosts/" (host) } { (host) } ": " (goes_back(back)) }
            }
            @for (why, hosts) in &left_out {
                div.same { span.g.off aria-hidden="true" {} span { (why) } (chips(hosts)) }
            }
        }
    }
}

fn chips(hosts: &[&HostId]) -> Markup {
    html! { div.chips { @for host in hosts { a href={ "/hosts/" (host) } { (host) } } } }
}

/// The ones that ended, a line each.
fn history(ended: &[&Rollout]) -> Markup {
    let mut days = BTreeSet::new();
    html! {
        table.tbl {
            thead { tr {
                th.wide scope="col" { "Rollout" } th scope="col" { "Hosts" } th scope="col" { "Outcome" }
                th.opt scope="col" { "By" } th scope="col" { "Began" } th scope="col" { span.sr { "Can be done" } }
            } }
            tbody {
                @for rollout in ended {
                    @let day = super::day(rollout.created_at);
                    @if days.insert(day.clone()) { tr.day { th colspan="6" scope="rowgroup" { (day) } } }
                    (ended_line(rollout))
                }
            }
        }
    }
}

fn ended_line(rollout: &Rollout) -> Markup {
    let failed = failed_of(rollout);
    html! {
        tr data-rollout=(rollout.id) {
            td.wide {
                details {
                    summary.out { span class={ "g " (mark(rollout)) } aria-hidden="true" {} (rollout.title()) }
                    ul.small.soft {
                        @for (host, progress) in &rollout.hosts {
                            li {
                                a href={ "/hosts/" (host) } { (host) } " " (name_of(progress).replace('-', " "))
                                @match progress {
                                    Progress::Failed { why, .. } | Progress::LeftOut { why } => { ": " bdi { (why) } }
                                    Progress::Done { note: Some(note) } => { ": " bdi { (note) } }
                                    _ => {}
                                }
                                @if let Some(back) = rollout.way_back.hosts.get(host) { " · " (goes_back(back)) }
                            }
                        }
                    }
                }
            }
            td { (bar(rollout)) }
            td.soft { (rollout.told()) @if let Some(why) = &rollout.halted { " · " bdi { (why) } } }
            td.opt.soft { (rollout.requested_by) }
            td.soft { (super::clock(rollout.created_at)) }
            td { (plans(rollout)) (retry(rollout, "ghost", &failed)) }
        }
    }
}
