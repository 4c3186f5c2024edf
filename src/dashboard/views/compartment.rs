//! Why a compartment is as it is, and what can be done about that.

use super::dialogs::{about, act, stop};
use super::layout::{Dialog, Kind};
use super::{csrf_field, host, host_page, message, sprite, time};
use crate::dashboard::live::model::{HostEntry, SourceState};
use crate::domain::compartment::{Action, Compartment, Status};
use crate::domain::desired::Desired;
use crate::domain::facts::DeployOutcome;
use crate::domain::ids::Commit;
use crate::domain::operation::Operation;
use crate::domain::snapshot::HostSnapshot;
use maud::{Markup, html};

/// Why a compartment is as it is, and what can be done about it. Opening it starts nothing.
pub(crate) fn dialog(
    entry: &HostEntry,
    which: Compartment,
    source: Option<&SourceState>,
    csrf: &str,
) -> Dialog {
    let host = &*entry.snapshot;
    let verdict = &host.row[which];
    let remote = matches!(which, Compartment::Git | Compartment::Lock);
    let checked = if remote { entry.compared_at } else { entry.pulse.last_seen };
    let body = html! {
        p.status data-status=(verdict.status.name()) {
            b { (host::word(verdict.status)) } " · " (message(&verdict.message))
        }
        @if remote && let Some(Desired::Known(remote)) = source.map(|source| &*source.desired) {
            p.quiet { "Compared with " (super::fleet::head(remote)) }
        }
        @if let Some((word, commit)) = own_commit(host, which) {
            p.quiet { (word) " " (super::commit(&commit, host.forge.as_ref())) }
        }
        @if which == Compartment::Git && !host.missing().is_empty() {
            h3 { "Commits it does not have" }
            (host_page::commits(host.missing(), host.forge.as_ref()))
        }
        @if which == Compartment::Lock && let Some(pr) = &host.pending_pr {
            p {
                "Update waits: "
                (super::pull_number(pr.number, Some(pr.url.clone()).filter(|url| !url.is_empty())))
                " " q.subject { (pr.title) } ". Merging it deploys nothing."
            }
        }
        @if which == Compartment::System && verdict.status == Status::Error { (failed_deploy(host)) }
        @if let Some(at) = checked { p.quiet { "Checked " (time(at)) } }
        div.buttons { (offer(host, verdict.action, csrf)) }
    };
    let title = format!("{} of {}", which.label(), host.profile.hostname);
    Dialog { kind: Kind::Popover, ..about(which.name(), host, title, body) }
}

/// The commit of the host that a compartment is about, and what it is to the host.
fn own_commit(host: &HostSnapshot, which: Compartment) -> Option<(&'static str, Commit)> {
    match which {
        Compartment::Git => Some(("Checked out is", host.facts.checkout.clone()?)),
        Compartment::System => Some(("What runs was built from", host.facts.deployed_commit()?)),
        Compartment::Agent | Compartment::Lock | Compartment::Tests => None,
    }
}

/// The whole message of a deploy that did not work, line by line, and its log.
fn failed_deploy(host: &HostSnapshot) -> Markup {
    let Some(deploy) = &host.facts.last_deploy else {
        return html! {};
    };
    let why = match &deploy.outcome {
        DeployOutcome::Failed(why) | DeployOutcome::Lost(why) | DeployOutcome::Unverified(why) => {
            why
        }
        DeployOutcome::Returned(missing) => missing,
        DeployOutcome::Succeeded | DeployOutcome::Stopped(_) => return html! {},
    };
    html! {
        @if why.lines().count() > 1 { pre tabindex="0" { (super::log::plain_text(why)) } }
        a.button href={ "/hosts/" (host.id) "?command=" (deploy.command_id) }
            data-log-open={ "/commands/" (deploy.command_id) "/log" } { (sprite("log", "")) "Open its log" }
    }
}

/// What a compartment offers to do about what it says.
fn offer(host: &HostSnapshot, action: Option<Action>, csrf: &str) -> Markup {
    let back = html! { a.button href={ "/hosts/" (host.id) "/rollback" } data-dialog-open { "Roll back…" } };
    match action {
        None => html! {},
        Some(Action::Pull) => act(host, Operation::Pull, "Pull", csrf),
        Some(Action::PullSwitch) => act(host, Operation::PullSwitch, "Pull and switch", csrf),
        Some(Action::Switch) => act(host, Operation::Switch, "Switch", csrf),
        Some(Action::Reboot) => html! {
            a.button href={ "/hosts/" (host.id) "/reboot" } data-dialog-open { "Reboot…" }
        },
        Some(Action::RunTests) => act(host, Operation::Test, "Run tests", csrf),
        Some(Action::RestartAgent) => act(host, Operation::RestartAgent, "Restart agent", csrf),
        Some(Action::Stop) => html! {
            @if let Some(command) = &host.command { (stop(command, csrf)) }
        },
        Some(Action::RetryFetch) => html! {
            form method="post" action="/desired/refresh" {
                (csrf_field(csrf))
                button type="submit" data-op="refresh" { "Retry" }
            }
        },
        Some(Action::RetrySwitch) => html! {
            (act(host, Operation::Switch, "Switch again", csrf)) (back)
        },
        Some(Action::Rollback) => html! {
            a.button href={ "/hosts/" (host.id) "/tests" } data-dialog-open { "Failed tests" } (back)
        },
    }
}
