//! Asks for the same once more, of the hosts of a rollout that failed.

use super::layout::{Dialog, Kind};
use super::rollouts::{Choice, code, restraints, who};
use super::{counted, csrf_field, rollouts_page, sprite};
use crate::domain::ids::HostId;
use crate::domain::operation::Operation;
use crate::domain::rollout::{Rollout, label};
use maud::html;

/// What is about to be asked once more: the same steps, in the same order but for waves. The hosts
/// are those that failed, whoever looks. `elsewhere`: which of them are in another rollout.
pub(crate) fn confirm(
    before: &Rollout,
    choice: &Choice,
    elsewhere: &[(String, Vec<HostId>)],
    totp: bool,
    csrf: &str,
) -> Dialog {
    let n = choice.plan.hosts.len();
    let title = format!("{} {}", label(&choice.steps), counted(n, "host"));
    let steps: Vec<String> = choice.steps.iter().map(|op| op.label().to_lowercase()).collect();
    let order = rollouts_page::order(before, n).join(" · ");
    let reboots = choice.steps.contains(&Operation::Reboot);
    let body = html! {
        form method="post" action={ "/rollouts/" (before.id) "/retry" } {
            (csrf_field(csrf))
            @if n == 0 {
                p { "There is nothing to do." }
            } @else {
                p.soft { "As it was asked before: each host does " (steps.join(", then ")) "." }
                @if !order.is_empty() { p.soft { (order) } }
            }
            @if reboots && n > 0 {
                p.alert { "Those that need it are rebooted; a boot has no way back." }
                @if totp { (code()) }
            }
            (who(choice, elsewhere))
            @if n > 0 { (restraints(choice)) }
            div.buttons {
                button.primary type="submit" data-op="start" disabled[n == 0] {
                    (sprite("restart", "")) (title)
                }
                button.ghost type="submit" formmethod="dialog" formnovalidate { "Cancel" }
            }
        }
    };
    Dialog { name: "rollout", title, host: None, body, kind: Kind::Plain }
}
