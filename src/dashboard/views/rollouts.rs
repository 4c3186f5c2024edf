//! Rollouts: the ones that go on, the one that is about to start, and the bar of a selection.

use super::layout::{Dialog, Kind};
use super::{counted, csrf_field, maintenance, sprite, time};
use crate::domain::ids::HostId;
use crate::domain::maintenance::{Freeze, Maintenance, Restraint};
use crate::domain::operation::Operation;
use crate::domain::rollout::{Plan, Progress, Rollout, SWITCH_AT_ONCE, label};
use maud::{Markup, html};

/// Id of the panel.
pub(crate) const PANEL: &str = "rollouts";

/// Rollouts that go on, and those whose end nobody has seen: one line each. Those of one host are
/// told by its row; those that ended well need nobody.
pub(crate) fn panel(rollouts: &[Rollout], maintenance: &Maintenance) -> Markup {
    let wanted = |rollout: &&Rollout| {
        let counts = rollout.counts();
        let one = rollout.hosts.len() - counts.left_out <= 1;
        let is_well = rollout.is_over() && counts.failed == 0 && rollout.halted.is_none();
        !(is_well || (one && rollout.hosts.len() == 1))
    };
    html! {
        div id=(PANEL) {
            @if let Some(freeze) = &maintenance.freeze { (maintenance::frozen(freeze)) }
            @for rollout in rollouts.iter().rev().filter(wanted) { (one(rollout)) }
        }
    }
}

/// How many go on.
pub(crate) fn going_on(rollouts: &[Rollout]) -> usize {
    rollouts.iter().filter(|rollout| !rollout.is_over()).count()
}

/// Parts of a whole as a bar: class, how many.
pub(super) fn share(parts: &[(&str, usize)], label: &str) -> Markup {
    let all = parts.iter().map(|(_, n)| n).sum::<usize>().max(1);
    let mut before = 0;
    let parts: Vec<_> = parts
        .iter()
        .map(|(class, n)| {
            let x = before * 1000 / all;
            before += n;
            (*class, x, before * 1000 / all - x)
        })
        .collect();
    let percent = |permille: usize| format!("{}.{}%", permille / 10, permille % 10);
    html! {
        svg.share role="img" aria-label=(label) {
            @for (class, x, width) in parts {
                @if width > 0 { rect class=(class) x=(percent(x)) width=(percent(width)) {} }
            }
        }
    }
}

fn one(rollout: &Rollout) -> Markup {
    let counts = rollout.counts();
    let action = |what: &str| format!("/rollouts/{}/{what}", rollout.id);
    let parts = [
        ("ok", counts.done),
        ("run", counts.running),
        ("bad", counts.failed),
        ("none", counts.waiting + counts.skipped),
    ];
    let mark = match (rollout.is_over(), counts.failed) {
        (false, _) => "run",
        (true, 0) => "ok",
        (true, _) => "bad",
    };
    html! {
        div.rollw {
            details.roll id={ "rollout-" (rollout.id) } data-over=(rollout.is_over()) data-bad=(counts.failed) {
                summary.flat {
                    (sprite("right", "tw"))
                    span class={ "g " (mark) } aria-hidden="true" {}
                    b.nowrap { (rollout.title()) @if rollout.is_over() { " ended" } }
                    (share(&parts, &rollout.told()))
                    span.counts { span { (rollout.told()) } }
                    span.soft.cut.who2 {
                        @if let Some(why) = &rollout.halted { bdi { (why) } " · " }
                        "by " (rollout.requested_by) ", " (time(rollout.created_at))
                    }
                }
                (not_well(rollout))
            }
            span.side {
                a.button.ghost href={ "/rollouts#rollout-" (rollout.id) } { "Show" }
                @if rollout.is_over() {
                    button.ghost type="submit" form="act" formaction=(action("dismiss")) data-op="dismiss" { "Dismiss" }
                } @else if rollout.halted.is_none() {
                    button.ghost type="submit" form="act" formaction=(action("cancel")) data-op="cancel"
                        title="Running steps end; no more start"
                        data-confirm="Running steps end; no more of them start." { "Cancel" }
                }
            }
        }
    }
}

/// Hosts that failed, wait for something, or were left out, by name.
fn not_well(rollout: &Rollout) -> Markup {
    let step = |step: usize| rollout.steps.get(step).map_or("", |op: &Operation| op.label());
    let telling = rollout.hosts.iter().filter_map(|(host, progress)| {
        let (kind, text) = match progress {
            Progress::Failed { why, .. } => ("failed", format!("failed: {why}")),
            Progress::Waiting { why: Some(why), step: n, .. } => {
                ("waits", format!("{} waits: {why}", step(*n)))
            }
            Progress::Skipped { step: n } => ("skipped", format!("{} not attempted", step(*n))),
            Progress::LeftOut { why } => ("left-out", format!("left out: {why}")),
            Progress::Done { note: Some(note) } => ("done", format!("done. {note}")),
            Progress::Done { note: None }
            | Progress::Running { .. }
            | Progress::Waiting { why: None, .. } => return None,
        };
        Some((host, kind, text))
    });
    let telling: Vec<_> = telling.collect();
    let current = rollout.hosts.values().filter(|progress| progress.was_current()).count();
    let summary = match (telling.len() - current, current) {
        (0, left_out) => format!("{} left out: current already", counted(left_out, "host")),
        (look_at, _) => format!("{} to look at", counted(look_at, "host")),
    };
    html! {
        @if !telling.is_empty() {
            p.flat.soft { (summary) }
            ul.told {
                @for (host, kind, text) in telling {
                    li data-progress=(kind) { a href={ "/hosts/" (host) } { (host) } " " bdi { (text) } }
                }
            }
        }
    }
}

/// What the page offers to do to several hosts: what the bar of a selection shows, in this order.
pub(crate) const OFFERED: [&str; 5] = ["update", "pull", "switch", "test", "dry-run"];

/// What a selection of hosts can do, and who would take part.
pub(crate) struct Choice {
    /// The name in the API: `update` or an operation.
    pub name: &'static str,
    /// The steps behind it.
    pub steps: Vec<Operation>,
    /// Who takes part.
    pub plan: Plan,
    /// Those that take part only where hosts are rebooted at the end: they need nothing else. `None`
    /// where that is not offered.
    pub only_reboot: Option<Vec<HostId>>,
    /// It would change what runs, and the fleet is frozen.
    pub frozen: Option<Freeze>,
    /// Those that wait for their windows, by why.
    pub outside: Vec<(String, Vec<HostId>)>,
}

impl Choice {
    /// Whether somebody is asked first: a freeze or windows hold some of it back, or nothing but a
    /// reboot is needed.
    pub(crate) fn asks(&self) -> bool {
        self.frozen.is_some() || !self.outside.is_empty() || self.reboots_alone()
    }

    /// Whether nobody needs anything but a reboot.
    fn reboots_alone(&self) -> bool {
        self.plan.hosts.is_empty() && !self.needing_only_that().is_empty()
    }

    fn needing_only_that(&self) -> &[HostId] {
        self.only_reboot.as_deref().unwrap_or_default()
    }

    /// Who it is about: those that take part; where that is nobody, those that need only a reboot.
    pub(crate) fn part(&self) -> &[HostId] {
        if self.reboots_alone() { self.needing_only_that() } else { &self.plan.hosts }
    }
}

/// The first of these have a button, the rest are offered behind them.
const FIRST: usize = 3;

/// The bar of a selection: what will happen to how many hosts, and who is left out.
pub(crate) fn bar(selected: &[HostId], choices: &[Choice], csrf: &str) -> Markup {
    let one = selected.len() == 1;
    let note = |plan: &Plan| {
        plan.waits_for().into_iter().chain(plan.exclusions()).collect::<Vec<_>>().join(" ")
    };
    let left_out = choices.first().map(|choice| note(&choice.plan));
    // What a freeze or windows hold back is asked about.
    let asks = choices.iter().any(Choice::asks);
    let button = |choice: &Choice, class: &str, at: usize| {
        let n = choice.part().len();
        html! {
            button class=(class) type="submit" name="op" value=(choice.name) data-op={ (choice.name) "-selected" }
                disabled[n == 0] title=(note(&choice.plan)) {
                @if at < FIRST { (sprite(picture(choice.name), "")) }
                (label(&choice.steps)) " " (n) @if n > 1 { "…" }
            }
        }
    };
    html! {
        form #bar .bar method="post" action=(if one && !asks { "/rollouts" } else { "/rollouts/new" })
            aria-label="Selected hosts" hidden[selected.is_empty()] {
            @if !selected.is_empty() {
                (csrf_field(csrf))
                @for host in selected { input type="hidden" name="hosts[]" value=(host); }
                b aria-live="polite" { (selected.len()) " selected" }
                span #deselected .soft.small {}
                @if let Some(note) = left_out.filter(|note| !note.is_empty()) { span.soft.small.opt.cut title=(note) { (note) } }
                span.sep.opt {}
                @for (at, choice) in choices.iter().enumerate() {
                    (button(choice, if at == 0 { "primary" } else { "opt" }, at))
                }
                button.ghost.icon type="button" #pick-none aria-label="Clear the selection" title="Clear (Esc)" { (sprite("close", "")) }
            }
        }
    }
}

/// The picture of what is done to hosts.
fn picture(name: &str) -> &'static str {
    match name {
        "pull" => "pull",
        "switch" => "switch",
        "test" => "test",
        "dry-run" => "dryrun",
        _ => "update",
    }
}

/// So many names are shown at once.
const NAMES: usize = 60;

/// Those of these hosts that have steps before them in a rollout that goes on, by its title.
pub(crate) fn elsewhere(hosts: &[HostId], rollouts: &[Rollout]) -> Vec<(String, Vec<HostId>)> {
    let takes_part = |rollout: &Rollout, host: &HostId| {
        let progress = rollout.hosts.get(host);
        matches!(progress, Some(Progress::Waiting { .. } | Progress::Running { .. }))
    };
    let going = rollouts.iter().filter(|rollout| !rollout.is_over());
    let all = going.map(|rollout| {
        let some = hosts.iter().filter(|host| takes_part(rollout, host));
        (rollout.title(), some.cloned().collect::<Vec<_>>())
    });
    all.filter(|(_, hosts)| !hosts.is_empty()).collect()
}

/// What is about to happen, to whom, who is left out and why, and when it stops. `hosts` is empty
/// for the whole fleet. The hosts that are shown are those that are sent. `elsewhere`: which of them
/// are in another rollout.
pub(crate) fn confirm(
    choice: &Choice,
    elsewhere: &[(String, Vec<HostId>)],
    totp: bool,
    csrf: &str,
) -> Dialog {
    let only_reboot = choice.needing_only_that();
    let part = choice.part();
    let n = part.len();
    let what = label(&choice.steps);
    let title = format!("{what} {}", counted(n, "host"));
    let deploys = choice.steps.iter().any(|op| op.rules().deploys);
    let steps: Vec<String> = choice.steps.iter().map(|op| op.label().to_lowercase()).collect();
    let body = html! {
        form method="post" action="/rollouts" {
            (csrf_field(csrf))
            input type="hidden" name="op" value=(choice.name);
            @for host in choice.plan.hosts.iter().chain(only_reboot) { input type="hidden" name="hosts[]" value=(host); }
            @if n == 0 {
                p { "There is nothing to do." }
            } @else if steps.len() > 1 {
                p.soft { "Each host does " (steps.join(", then ")) ". It goes on only if the step before succeeded." }
            }
            @if deploys && n > 1 { (how(n)) }
            @if choice.only_reboot.is_some() && n > 0 { (may_reboot(only_reboot, choice.reboots_alone(), totp)) }
            (who(choice, elsewhere))
            @if n > 0 { (restraints(choice)) }
            div.buttons {
                button.primary type="submit" data-op="start" disabled[n == 0] {
                    (sprite(picture(choice.name), "")) (what) " " (counted(n, "host"))
                }
                button.ghost type="submit" formmethod="dialog" formnovalidate { "Cancel" }
            }
        }
    };
    Dialog { name: "rollout", title, host: None, body, kind: Kind::Plain }
}

/// Who takes part, who is away, who is in another rollout too, and who is left out and why.
pub(super) fn who(choice: &Choice, elsewhere: &[(String, Vec<HostId>)]) -> Markup {
    let part = choice.part();
    let n = part.len();
    let more = n.saturating_sub(NAMES);
    html! {
        @if n > 0 {
            details open {
                summary.small { b { (n) " take part" } }
                div.chips.names {
                    @for host in part.iter().take(NAMES) { span { (host) } }
                    @if more > 0 { span { (more) " more" } }
                }
            }
        }
        @if !choice.plan.away.is_empty() {
            details.away {
                summary.small { span.t-due { (choice.plan.away.len()) " offline" } ": asked when back, left out after a day" }
                div.chips { @for host in &choice.plan.away { span { (host) } } }
            }
        }
        @for (title, hosts) in elsewhere {
            details.elsewhere {
                summary.small { span.t-due { (hosts.len()) " also in “" (title) "”" } ": each step waits until the host is free" }
                div.chips { @for host in hosts { span { (host) } } }
            }
        }
        @for (why, hosts) in &choice.plan.left_out {
            details.left-out {
                summary.small { span.t-due { (hosts.len()) " left out" } ": " (why) }
                div.chips { @for host in hosts { span { (host) } } }
            }
        }
    }
}

/// Whether what needs a reboot is rebooted at the end, and who takes part for that alone.
fn may_reboot(only: &[HostId], required: bool, totp: bool) -> Markup {
    html! {
        label.choice {
            input #reboot type="checkbox" name="reboot" value="true" required[required];
            span { b { "Reboot those that need it" } br; span.soft { "last of all; a boot has no way back" } }
        }
        @if !only.is_empty() {
            details.only-reboot {
                summary.small { span.t-due { (only.len()) (if only.len() == 1 { " needs" } else { " need" }) } " nothing but a reboot: left out without it" }
                div.chips { @for host in only { span { (host) } } }
            }
        }
        @if totp { (code()) }
    }
}

/// Where the one-time code goes.
pub(super) fn code() -> Markup {
    html! {
        label.label {
            "One-time code, to reboot"
            input #rollout-totp name="totp" inputmode="numeric" autocomplete="one-time-code";
        }
    }
}

/// What holds hosts back, and the boxes of whoever goes on regardless.
pub(super) fn restraints(choice: &Choice) -> Markup {
    let go_on = |what: Restraint, required: bool| {
        html! {
            label.check {
                input type="checkbox" name="regardless" value=(what.name()) required[required];
                " Go on regardless of " (what.label())
            }
        }
    };
    html! {
        @if let Some(freeze) = &choice.frozen {
            (maintenance::frozen(freeze))
            (go_on(Restraint::Freeze, true))
        }
        @for (why, hosts) in &choice.outside {
            details.outside {
                summary.small { span.t-due { (hosts.len()) (if hosts.len() == 1 { " waits" } else { " wait" }) } ": " (why) }
                div.chips { @for host in hosts { span { (host) } } }
            }
        }
        @if !choice.outside.is_empty() { (go_on(Restraint::Windows, false)) }
    }
}

/// How a rollout begins unless somebody chooses otherwise.
const FIRST_ONE: &str = "first";

/// In which order many hosts change, and when no more of them do.
fn how(n: usize) -> Markup {
    let few = usize::try_from(SWITCH_AT_ONCE).unwrap_or(usize::MAX);
    let choice = |value: &str, title: &str, text: &str| {
        html! {
            label.choice {
                input type="radio" name="how" value=(value) checked[value == FIRST_ONE];
                span { b { (title) } br; span.soft { (text) } }
            }
        }
    };
    let rest =
        format!("the others follow when it is through, {few} at once, and not at all if it fails");
    html! {
        div.choices role="radiogroup" aria-label="How" {
            (choice(FIRST_ONE, "One first, then the rest", &rest))
            @if n > few { (choice("few", &format!("{few} at once"), "the next host takes a place that is free")) }
            (choice("all", "All at once", "as fast as they can"))
            (choice("waves", "In waves", "each begins when the one before is done and was looked at for a while"))
        }
        label.label {
            "Waves: numbers of hosts, shares, rest"
            input #waves name="waves" value="1, 10%, rest" autocomplete="off";
        }
        label.label {
            "Minutes between two waves"
            input #soak name="soak_minutes" type="number" min="0" max="10080" value="10";
        }
        label.label {
            "Start no more after"
            select #stop-after name="stop_after" {
                option value="1" { "1 failure" }
                option value="2" { "2 failures" }
                option value="5" { "5 failures" }
                option value="" { "never stop" }
            }
        }
        label.label {
            "Then"
            select #on-failure name="on_failure" {
                option value="halt" { "what is done stays" }
                option value="roll_back" { "roll back the wave that failed" }
            }
        }
    }
}
