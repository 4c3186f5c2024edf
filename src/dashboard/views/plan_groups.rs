//! What would change on many hosts, each change once.

use super::layout::{Dialog, Kind};
use super::{counted, story};
use crate::domain::closure_diff::Alike;
use maud::{Markup, html};

/// So many packages are shown at once; more are behind a line that opens.
const SHOWN: usize = 10;

/// What the dry runs of a rollout came to.
pub(crate) fn dialog(groups: &[Alike]) -> Dialog {
    let hosts: usize = groups.iter().map(|group| group.hosts.len()).sum();
    let title = format!("What would change on {}", counted(hosts, "host"));
    let body = html! {
        @if groups.is_empty() { p { "No dry run of it is done yet." } }
        @for group in groups { (one(group)) }
        form.buttons method="dialog" { button.ghost type="submit" { "Close" } }
    };
    Dialog { name: "plans", title, host: None, body, kind: Kind::Plain }
}

fn one(group: &Alike) -> Markup {
    let n = group.hosts.len();
    let whose = match (&group.changes, n) {
        (None, _) => format!("Not told by {}", counted(n, "host")),
        (Some(_), 1) => "On one host alone".to_owned(),
        (Some(_), n) => format!("The same on {n} hosts"),
    };
    html! {
        section.plan data-hosts=(n) {
            h3 { (whose) }
            div.chips { @for host in &group.hosts { a href={ "/hosts/" (host) } { (host) } } }
            @match &group.changes {
                None => p.quiet { "No log of its dry run is found that says what would change." },
                Some(changes) if changes.is_empty() => p { "No package would change." },
                Some(changes) if changes.len() <= SHOWN => (story::what_changes(changes)),
                Some(changes) => details {
                    summary { (counted(changes.len(), "package")) }
                    (story::what_changes(changes))
                },
            }
        }
    }
}
