//! What an update of flake.lock brings: its inputs, and what the forge's checks say. All texts are
//! hostile.

use super::time;
use crate::domain::desired::{Checks, UpdateDetails};
use crate::domain::flake_lock::{InputChange, LockChanges, Locked};
use maud::{Markup, html};

/// A line that says it shortly, and opens.
pub(crate) fn details(update: &UpdateDetails) -> Markup {
    html! {
        details.update {
            summary { (inputs_in_short(update.inputs.as_ref())) " · " (checks(&update.checks)) }
            @if let Some(changes) = &update.inputs {
                ul.plain {
                    @for change in &changes.inputs { li { (input(change)) } }
                    @if changes.nested > 0 { li.quiet { "and " (changes.nested) " inputs of inputs" } }
                }
            }
            @if let Checks::Failed(names) = &update.checks {
                p.alert { "Failed: " (names.join(", ")) }
            }
        }
    }
}

fn inputs_in_short(changes: Option<&LockChanges>) -> String {
    match changes.map(|changes| changes.inputs.as_slice()) {
        None => "what it changes could not be read".to_owned(),
        Some([]) => "no input of the flake changes".to_owned(),
        Some([one]) => format!("{} changes", one.name),
        Some(several) => format!("{} inputs change", several.len()),
    }
}

fn checks(checks: &Checks) -> Markup {
    match checks {
        Checks::None => html! { span.quiet { "no checks" } },
        Checks::Pending => html! { span.quiet { "checks run" } },
        Checks::Passed => html! { span { "checks passed" } },
        Checks::Failed(_) => html! { span.alert { "checks failed" } },
    }
}

fn input(change: &InputChange) -> Markup {
    let version = |locked: &Locked| {
        html! { code { (locked.version) } @if let Some(at) = locked.at { " (" (time(at)) ")" } }
    };
    html! {
        b { (change.name) } " "
        @match (&change.from, &change.to) {
            (Some(from), Some(to)) => { (version(from)) " → " (version(to)) }
            (None, Some(to)) => { "is new: " (version(to)) }
            (Some(from), None) => { "goes: " (version(from)) }
            (None, None) => {}
        }
    }
}
