//! A host's row.

use crate::dashboard::live::model::HostEntry;
use crate::domain::command::{Command, State, WorkPhase};
use crate::domain::compartment::{Cause, Compartment, Status, Verdict};
use crate::domain::deploy::DeployKind;
use crate::domain::deployed::Deployed;
use crate::domain::disk::Disk;
use crate::domain::ids::{CommandId, HostId};
use crate::domain::looks::{DeviceType, Place};
use crate::domain::message::Message;
use crate::domain::next_step::NextStep;
use crate::domain::operation::{Operation, Regardless};
use crate::domain::snapshot::{HostSnapshot, Metrics};
use crate::domain::why::{Tone, Why, counted};
use maud::{Markup, PreEscaped, Render, html};

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
/// More bytes than a pulse has.
const PULSE_LEN: usize = 512;

/// The row. What changes with every heartbeat is put into what was rendered before.
pub(crate) fn row(entry: &HostEntry) -> Markup {
    let mut row = String::with_capacity(row_len(entry));
    push_row(&mut row, entry, true);
    PreEscaped(row)
}

/// How every row begins.
const TAG: &str = "<article";

/// Appends the row to `text`.
pub(super) fn push_row(text: &mut String, entry: &HostEntry, shown: bool) {
    let [before, after] = rendered(entry);
    if shown {
        text.push_str(&before.0);
    } else {
        text.push_str(TAG);
        text.push_str(" hidden");
        text.push_str(before.0.strip_prefix(TAG).unwrap_or_default());
    }
    pulse(entry).render_to(text);
    text.push_str(&after.0);
}

/// How many bytes the row has, roughly.
pub(super) fn row_len(entry: &HostEntry) -> usize {
    let [before, after] = rendered(entry);
    before.0.len() + after.0.len() + PULSE_LEN
}

fn rendered(entry: &HostEntry) -> &[Markup; 2] {
    entry.rendered.get_or_init(|| around_pulse(entry))
}

fn around_pulse(entry: &HostEntry) -> [Markup; 2] {
    let row = without_pulse(entry).into_string();
    let (before, after) = row.split_once(PULSE.0).unwrap_or((&row, ""));
    [PreEscaped(before.to_owned()), PreEscaped(after.to_owned())]
}

fn without_pulse(entry: &HostEntry) -> Markup {
    let host = &*entry.snapshot;
    let busy = host.command.as_ref().map_or("", |command| command.op.name());
    html! {
        article id=(row_id(&host.id)) data-host=(host.id) data-online=(host.online)
            data-busy=(busy) data-standing=(entry.group.name()) data-tags=[tags_of(host)] data-late=[late_after(host)] tabindex="-1" {
            input.pick type="checkbox" name="hosts" value=(host.id) aria-label={ "Select " (host.profile.hostname) };
            (who(host))
            div.five {
                @for (compartment, verdict) in host.row.iter() {
                    (cell(host, compartment, verdict))
                }
            }
            (why(host, &entry.why))
            (runs(host))
            (PULSE)
            (controls(host))
            (progress(host))
        }
    }
}

/// After how many seconds without a heartbeat its link looks dead: three of its intervals, where that
/// is more than the minute that holds for all.
fn late_after(host: &HostSnapshot) -> Option<u64> {
    let late = host.profile.beats_every?.as_secs() * 3;
    (late > 60).then_some(late)
}

/// The tags in one text; `None` if there are none.
pub(super) fn tags_of(host: &HostSnapshot) -> Option<String> {
    let tags = &host.profile.tags;
    (!tags.is_empty()).then(|| tags.to_string())
}

/// Name and looks.
fn who(host: &HostSnapshot) -> Markup {
    let profile = &host.profile;
    let (platform, word) = platform(&profile.platform).unwrap_or_default();
    let device = profile.device_type.map(DeviceType::name).unwrap_or_default();
    let place = profile.location.map(Place::name).unwrap_or_default();
    let names = [platform, place, device];
    let words = [word, profile.location.map(at).unwrap_or_default(), device];
    let said = |all: [&'static str; 3], between: &str| {
        all.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(between)
    };
    let places = said(names, " ");
    let long = (profile.hostname.len() > 18).then_some(profile.hostname.as_str());
    html! {
        div.who {
            a href={ "/hosts/" (host.id) } title=[long] { (profile.hostname) }
            @if !places.is_empty() || !profile.tags.is_empty() {
                i class={ (if places.is_empty() { "sr" } else { "tags " }) (places) } title=[tags_of(host)] {
                    (said(words, ", "))
                    // In the words of the filter.
                    @for tag in profile.tags.iter() { " tag:" (tag) }
                }
            }
        }
    }
}

/// The name in `class` and the word for people.
pub(super) fn platform(name: &str) -> Option<(&'static str, &'static str)> {
    match name {
        "nixos" => Some(("nixos", "NixOS")),
        "darwin" => Some(("darwin", "macOS")),
        "home-manager" => Some(("hm", "home-manager")),
        _ => None,
    }
}

pub(super) fn at(place: Place) -> &'static str {
    match place {
        Place::Home => "at home",
        Place::Work => "at work",
        Place::Cloud => "in the cloud",
    }
}

/// Why the host is as it is, in one line.
fn why(host: &HostSnapshot, why: &Why) -> Markup {
    let class = match why.tone {
        Tone::Bad => Some("bad"),
        Tone::Running => Some("run"),
        Tone::Soft => None,
    };
    let has_log = why.tone == Tone::Bad && host.last_command.is_some();
    html! {
        div.why {
            @if let Some(mark) = &why.mark { span class={ "hold" @if !host.held { " back" } } { (mark) } }
            @if !why.text.is_empty() {
                span class=[class] title=[(why.text.len() > 40).then_some(&why.text)] {
                    @if has_log { a href={ "/?log=" (host.id) } { bdi { (why.text) } } }
                    @else { bdi { (why.text) } }
                }
            }
            @if let Some(at) = why.since { time data-elapsed datetime=(at) class=[class] {} }
        }
    }
}

/// How far what runs is, on the row's lower edge.
fn progress(host: &HostSnapshot) -> Markup {
    let command = host.command.as_ref();
    let told = command.and_then(|command| command.progress.as_deref());
    html! {
        @if let (Some(command), Some((part, all))) = (command, told.and_then(counted)) {
            progress max=(all) value=(part) aria-label={ (command.op.label()) " on " (host.id) } {}
        }
    }
}

/// The word for a status.
pub(super) fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "current",
        Status::Outdated => "needs action",
        Status::Error => "failed",
        Status::Working => "working",
        Status::Unknown => "unknown",
    }
}

/// One compartment. Its shape comes with its status; what only follows from another one is an
/// outline. A click says why, and starts nothing.
fn cell(host: &HostSnapshot, compartment: Compartment, verdict: &Verdict) -> Markup {
    let missing = if compartment == Compartment::Git { host.missing() } else { &[] };
    let hover = || -> String {
        let list = missing.iter().map(|m| format!("\n{} {}", m.commit.short(), m.subject));
        verdict.message.plain() + &list.collect::<String>()
    };
    let cause = verdict.follows.is_none() && verdict.status != Status::Ok;
    let pr = host.pending_pr.as_ref().filter(|_| compartment == Compartment::Lock);
    html! {
        a href={ "/hosts/" (host.id) "/" (compartment.name()) }
            data-compartment=(compartment.name()) data-status=(verdict.status.name())
            data-follows=[verdict.follows.map(Cause::name)] data-pr[pr.is_some()] title=[cause.then(hover)] {
            (compartment.label()) ": " (word(verdict.status))
            @if pr.is_some() { ", an update waits" }
        }
    }
}

/// What runs: hash, time and subject.
fn told_of_what_runs(host: &HostSnapshot) -> Option<String> {
    let commit = host.facts.deployed_commit()?;
    let deploy = host.facts.last_deploy.as_ref().filter(|d| d.commit.as_ref() == Some(&commit));
    let subject = deploy.and_then(|deploy| deploy.subject.as_deref());
    let since = host.facts.system.activated_at.map(|at| Message::from("since ").time(at).plain());
    let parts = [Some(commit.to_string()), since, subject.map(str::to_owned)];
    Some(parts.into_iter().flatten().collect::<Vec<_>>().join("\n"))
}

/// What runs, and what is checked out where that is another.
fn runs(host: &HostSnapshot) -> Markup {
    let facts = &host.facts;
    let checkout = facts.checkout.as_ref();
    let pulled = checkout.filter(|checkout| facts.deployed_commit().as_ref() != Some(checkout));
    html! {
        div.gen title=[told_of_what_runs(host)] {
            @match facts.deployed() {
                Deployed::Commit { commit, .. } => code { (commit.short()) },
                Deployed::NoCommit(text) => code { (text.chars().take(20).collect::<String>()) },
                Deployed::Unknown if pulled.is_some() => {}
                Deployed::Unknown => span { "–" },
            }
            @if let Some(pulled) = pulled { span.pulled { code { (pulled.short()) } " pulled" } }
            @if host.drift { (differs(host)) }
            @if let Some(number) = facts.system.generation { b { (number) } }
            @if let Some(why) = facts.system.needs_a_reboot() {
                i.boot role="img" aria-label="reboot needed" title=(format!("Reboot needed: {why}")) {}
            }
            @if let Some(at) = facts.system.activated_at { time data-elapsed datetime=(at) {} }
        }
    }
}

/// It is not what most hosts run. Faint where Git or System say why.
fn differs(host: &HostSnapshot) -> Markup {
    let known = [Compartment::Git, Compartment::System];
    let is_told = known.iter().any(|one| host.row[*one].status == Status::Outdated);
    html! {
        span class={ "ne" @if !is_told { " amber" } } role="img" aria-label="not what most hosts run" { "≠" }
    }
}

/// "12.5 GiB free of 100.0 GiB, room for 4711 files"
pub(super) fn room(disk: &Disk) -> String {
    let files = disk.inodes_free.map(|free| format!(", room for {free} files"));
    let (free, total) = (size(disk.free), size(disk.total));
    format!("{free} free of {total}{}", files.unwrap_or_default())
}

#[allow(clippy::cast_precision_loss, reason = "it is shown with one digit")]
fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes / MIB {
        mib @ 0..1024 => format!("{mib} MiB"),
        mib => format!("{:.1} GiB", mib as f64 / 1024.0),
    }
}

/// Load, room on the disks, and when the host was last heard.
pub(crate) fn pulse(entry: &HostEntry) -> Markup {
    let host = &*entry.snapshot;
    html! {
        div.pulse id=(pulse_id(&host.id)) {
            @match entry.pulse.metrics.filter(|_| host.online) {
                Some(metrics) => (bars(metrics, &host.profile.disks)),
                None => span {},
            }
            @match entry.pulse.last_seen {
                Some(at) => time data-elapsed datetime=(at) {},
                None => time title="never seen" { "–" },
            }
        }
    }
}

/// A bar is so wide, in CSS pixels.
const BAR: f64 = 36.0;

/// Load as bars, with the figures in their title.
fn bars(m: Metrics, disks: &[Disk]) -> Markup {
    let fullest = disks.iter().max_by(|a, b| a.used().total_cmp(&b.used()));
    let low = disks.iter().filter(|disk| disk.is_low());
    let low: String =
        low.map(|disk| format!(", {} nearly full: {}", disk.mount, room(disk))).collect();
    let disk = fullest.map_or_else(String::new, |disk| format!(", disk {:.0} %", disk.used()));
    let swap = if m.swap >= 1.0 { format!(", swap {:.0} %", m.swap) } else { String::new() };
    let title =
        format!("CPU {:.0} %, RAM {:.0} %{swap}, load {:.2}{disk}{low}", m.cpu, m.ram, m.load);
    let one = |percent: f64, alarm: bool| {
        let class = match percent {
            _ if alarm => Some("a"),
            v if v >= 90.0 => Some("a"),
            v if v >= 80.0 => Some("w"),
            _ => None,
        };
        let width = (percent.clamp(0.0, 100.0) * BAR / 100.0).round();
        html! { rect width=(width) class=[class] {} }
    };
    html! {
        svg.m {
            title { (title) }
            (one(m.cpu, false)) (one(m.ram, false))
            @if let Some(disk) = fullest { (one(disk.used(), !low.is_empty())) }
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

/// Where a button leads that asks once more what a command asked for, with all that it was asked with.
fn again(host: &HostId, id: CommandId) -> String {
    format!("/hosts/{host}/commands?again={id}")
}

/// A way on for a command that its host did not begin, where a user may choose that.
pub(super) fn regardless(command: &Command) -> Markup {
    let Some(all) = command.regardless() else {
        return html! {};
    };
    // What the dashboard looks at itself may have ended, or be another one: it is asked then.
    let keys = all.iter().filter(|one| one.restraint().is_none());
    let keys: Vec<&str> = keys.map(|one| one.name()).collect();
    let labels: Vec<&str> = all.iter().map(|one| one.label()).collect();
    html! {
        " "
        button form="act" name="op" value=(command.op.name()) data-regardless
            formaction={ (again(&command.host, command.id)) "&regardless=" (keys.join(",")) }
            title={ (command.op.label()) " regardless of " (labels.join(" and ")) } { "Go on regardless" }
        @if command.op == Operation::Rollback && all.contains(&Regardless::Inhibitors) {
            " "
            button form="act" name="op" value=(command.op.name()) data-at-boot
                formaction={ (again(&command.host, command.id)) "&boot=true" }
                title="Nothing is activated now" { "Start it at the next boot" }
        }
    }
}

/// The one next step, and the way to everything else.
fn controls(host: &HostSnapshot) -> Markup {
    html! {
        div.do {
            @if let Some(step) = host.next_step() { (next(host, step)) }
            a.more href={ "/hosts/" (host.id) "/menu" } data-op="menu" aria-label={ "More for " (host.profile.hostname) } {}
        }
    }
}

/// What the next step of a host is called.
pub(super) fn step_label(step: NextStep) -> &'static str {
    match step {
        NextStep::Cancel(_) => "Cancel",
        NextStep::Stop(_) => "Stop",
        NextStep::Update => "Update",
        NextStep::Run(Operation::RestartAgent) => "Restart",
        NextStep::Run(op) => op.label(),
        NextStep::Retry => "Retry",
        NextStep::Release => "Release…",
        NextStep::Rollback => "Roll back…",
        NextStep::Reboot => "Reboot…",
    }
}

/// What is asked before an operation starts; `None` if nothing is.
pub(super) fn confirm(op: Operation) -> Option<&'static str> {
    (op == Operation::RestartAgent)
        .then_some("Its agent stops and starts again. Commands that run go on.")
}

/// What is asked before a command is stopped; `None` if nothing is.
pub(super) fn confirm_stop(command: &Command) -> Option<&'static str> {
    let activates = command.phase == Some(WorkPhase::Activate);
    activates
        .then_some("It is being activated: stopped now, the host may be left between two systems.")
}

/// The button of the next step.
pub(super) fn next(host: &HostSnapshot, step: NextStep) -> Markup {
    let label = step_label(step);
    let asks = |what: &str| {
        html! { a.button.next href={ "/hosts/" (host.id) "/" (what) } data-op=(what) { (label) } }
    };
    let runs = |op: Operation| {
        html! {
            button.next form="act" name="op" value=(op.name()) data-confirm=[confirm(op)]
                formaction={ "/hosts/" (host.id) "/commands" } data-op=(op.name()) { (label) }
        }
    };
    match step {
        NextStep::Cancel(id) | NextStep::Stop(id) => html! {
            button.ghost form="act" formaction={ "/commands/" (id) "/stop" } data-op="stop"
                data-confirm=[host.command.as_ref().and_then(confirm_stop)] { (label) }
        },
        NextStep::Update => html! {
            button.next form="act" formaction={ "/hosts/" (host.id) "/update" } data-op="update" { (label) }
        },
        NextStep::Run(op) => runs(op),
        NextStep::Retry => retry(host, label),
        NextStep::Release => asks("release"),
        NextStep::Rollback => asks("rollback"),
        NextStep::Reboot => asks("reboot"),
    }
}

/// Switches once more what did not switch: where that was of a plan, to that and nothing else.
fn retry(host: &HostSnapshot, label: &str) -> Markup {
    let failed = host.facts.last_deploy.as_ref().filter(|last| last.kind == DeployKind::Switch);
    let action = match failed {
        Some(failed) => again(&host.id, failed.command_id),
        None => format!("/hosts/{}/commands", host.id),
    };
    let op = Operation::Switch.name();
    html! { button.next form="act" name="op" value=(op) formaction=(action) data-op=(op) { (label) } }
}

/// Where a button that starts an operation leads, what it says on hovering, and whether it is
/// disabled. One that cannot start now says why; a host that is gone can still be asked, and the
/// command waits for it.
pub(super) fn asks(host: &HostSnapshot, op: Operation) -> (String, Option<&str>, bool) {
    let refused = host.refusal(op);
    let can_wait = op != Operation::RestartAgent;
    let waits = !host.online && can_wait && !host.waiting.iter().any(|command| command.op == op);
    let why = match refused {
        Some(_) if waits => Some("Offline: this runs when the host is back."),
        refused => refused.map(|refusal| refusal.message.as_str()),
    };
    let queue = if waits { "?queue=true" } else { "" };
    let action = format!("/hosts/{}/commands{queue}", host.id);
    (action, why, refused.is_some() && !waits)
}

/// A button that starts an operation.
pub(super) fn operation(host: &HostSnapshot, op: Operation, label: &str) -> Markup {
    let (action, why, disabled) = asks(host, op);
    html! {
        button form="act" name="op" value=(op.name()) formaction=(action)
            data-op=(op.name()) disabled[disabled] title=[why] { (label) }
    }
}
