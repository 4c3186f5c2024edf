//! Rollouts: the ones that go on, the one that is about to start, and the bar of a selection.

use super::layout::Dialog;
use super::{counted, csrf_field, time};
use crate::domain::ids::HostId;
use crate::domain::operation::Operation;
use crate::domain::rollout::{Plan, Progress, Rollout, SWITCH_AT_ONCE, label};
use maud::{Markup, html};

/// Id of the panel.
pub(crate) const PANEL: &str = "rollouts";

/// Rollouts that go on, and those whose end nobody has seen.
pub(crate) fn panel(rollouts: &[Rollout]) -> Markup {
    html! {
        div id=(PANEL) {
            @for rollout in rollouts.iter().rev() { (one(rollout)) }
        }
    }
}

fn one(rollout: &Rollout) -> Markup {
    let counts = rollout.counts();
    let part = rollout.hosts.len() - counts.left_out;
    let through = counts.done + counts.failed + counts.skipped;
    let action = |what: &str| format!("/rollouts/{}/{what}", rollout.id);
    html! {
        section.rollout id={ "rollout-" (rollout.id) } data-over=(rollout.is_over())
            data-bad=(counts.failed) aria-label=(rollout.title()) {
            p {
                b { (rollout.title()) } " " (rollout.told())
                @if let Some(why) = &rollout.halted { " · " (why) }
                span.quiet { " · by " (rollout.requested_by) ", " (time(rollout.created_at)) }
                @if rollout.is_over() {
                    button.quiet type="submit" form="act" formaction=(action("dismiss")) data-op="dismiss" { "Dismiss" }
                } @else if rollout.halted.is_none() {
                    button type="submit" form="act" formaction=(action("cancel")) data-op="cancel"
                        title="Running steps end; no more start" { "Cancel" }
                }
            }
            progress max=(part) value=(through) aria-label="Hosts that are through" {}
            (not_well(rollout))
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
    html! {
        @if !telling.is_empty() {
            details id={ "rollout-hosts-" (rollout.id) } open[telling.len() <= 8] {
                summary { (counted(telling.len(), "host")) " to look at" }
                ul {
                    @for (host, kind, text) in telling {
                        li data-progress=(kind) { a href={ "/hosts/" (host) } { (host) } " " (text) }
                    }
                }
            }
        }
    }
}

/// A note for everybody who looks, when one has ended.
pub(crate) fn ended(rollout: &Rollout) -> Markup {
    html! { p data-stay[rollout.counts().failed > 0] {
        (rollout.title()) " ended: " (rollout.told()) ". "
        @if rollout.counts().failed > 0 {
            button.quiet type="button" data-dismiss aria-label="Dismiss" { "✕" }
        }
    } }
}

/// What a selection of hosts can do, and who would take part.
pub(crate) struct Choice {
    /// The name in the API: `update` or an operation.
    pub name: &'static str,
    /// The steps behind it.
    pub steps: Vec<Operation>,
    /// Who takes part.
    pub plan: Plan,
}

/// The bar of a selection: what will happen to how many hosts, and who is left out.
pub(crate) fn bar(selected: &[HostId], choices: &[Choice], csrf: &str) -> Markup {
    let mut notes: Vec<(String, Vec<String>)> = Vec::new();
    for choice in choices {
        for note in choice.plan.exclusions() {
            match notes.iter_mut().find(|(known, _)| *known == note) {
                Some((_, ops)) => ops.push(label(&choice.steps)),
                None => notes.push((note, vec![label(&choice.steps)])),
            }
        }
    }
    html! {
        form #bar .bar method="post" action="/rollouts" aria-live="polite" {
            @if !selected.is_empty() {
                (csrf_field(csrf))
                @for host in selected { input type="hidden" name="hosts[]" value=(host); }
                b { (counted(selected.len(), "host")) " selected" }
                @for choice in choices {
                    @let n = choice.plan.hosts.len();
                    button type="submit" name="op" value=(choice.name) data-op={ (choice.name) "-selected" }
                        disabled[n == 0] title=(choice.plan.exclusions().join(" ")) {
                        (label(&choice.steps)) " " (n)
                    }
                }
                button.quiet type="button" #pick-none { "Clear" }
                @for (note, ops) in &notes {
                    p.quiet {
                        @if ops.len() < choices.len() { (ops.join(", ")) ": " }
                        (note)
                    }
                }
            }
        }
    }
}

/// What is about to happen, to whom. `hosts` is empty for the whole fleet.
pub(crate) fn confirm(choice: &Choice, hosts: &[HostId], csrf: &str) -> Dialog {
    let n = choice.plan.hosts.len();
    let title = format!("{} of {}", label(&choice.steps), counted(n, "host"));
    let deploys = choice.steps.iter().any(|op| op.rules().deploys);
    let names: Vec<&str> = choice.plan.hosts.iter().map(HostId::as_str).collect();
    let steps: Vec<&str> = choice.steps.iter().map(|op| op.label()).collect();
    let body = html! {
        form method="post" action="/rollouts" {
            (csrf_field(csrf))
            input type="hidden" name="op" value=(choice.name);
            @for host in hosts { input type="hidden" name="hosts[]" value=(host); }
            @if hosts.is_empty() { input type="hidden" name="all" value="true"; }
            @if n == 0 {
                p { "There is nothing to do." }
            } @else {
                @if steps.len() > 1 {
                    p { "Each host goes on only if its step succeeded: " (steps.join(", then ")) "." }
                }
                p.names { (names.join(", ")) }
            }
            @for note in choice.plan.exclusions() { p.quiet { (note) } }
            @if deploys {
                p {
                    label for="at-once" { "Hosts that switch at once" } " "
                    input #at-once name="at_once" type="number" min="1" max="1000" value=(SWITCH_AT_ONCE) required;
                }
                p {
                    label for="stop-after" { "Start no more after so many failures" } " "
                    input #stop-after name="stop_after" type="number" min="1" max="1000"
                        placeholder="never";
                }
            }
            div.buttons {
                button.main type="submit" data-op="start" disabled[n == 0] {
                    (label(&choice.steps)) " " (counted(n, "host"))
                }
                button type="submit" formmethod="dialog" formnovalidate { "Cancel" }
            }
        }
    };
    Dialog { name: "rollout", title, host: None, body }
}
